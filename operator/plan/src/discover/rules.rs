//! Interprets NetworkPolicies as Kubernetes does.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use subrosa_crds::{
    channel::Listener,
    common::{PortRange, Protocol},
    trust_domain::Direction,
};

use super::{ContainerPort, Survey, Surveyed};
use crate::world::selector;

/// The label with the name of every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// How a rule matches a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Not at all.
    Not,
    /// As part of everybody or of a whole namespace.
    Broadly,
    /// By its labels.
    ByName,
}

/// A rule with one of its peers; no peer means everybody.
pub struct Rule<'a> {
    /// The policy.
    pub policy: &'a str,
    /// The peer.
    pub peer: Option<&'a NetworkPolicyPeer>,
    /// The ports; `None` for all.
    pub ports: Option<&'a [NetworkPolicyPort]>,
}

/// The rules in `direction` for pods with `labels`; `None` when no policy selects them, so that everything is
/// allowed.
pub fn rules<'a>(
    surveyed: &'a Surveyed,
    labels: &BTreeMap<String, String>,
    direction: Direction,
) -> Option<Vec<Rule<'a>>> {
    let selects =
        |spec: &NetworkPolicySpec| selector::matches(&spec.pod_selector.clone().unwrap_or_default(), labels);
    let mut governed = false;
    let mut found = Vec::new();
    for (name, spec) in &surveyed.policies {
        if !governs(spec, direction) || !selects(spec) {
            continue;
        }
        governed = true;
        let all: Vec<(Option<&Vec<_>>, Option<&Vec<_>>)> = match direction {
            Direction::Ingress => {
                spec.ingress.iter().flatten().map(|rule| (rule.from.as_ref(), rule.ports.as_ref())).collect()
            }
            Direction::Egress => {
                spec.egress.iter().flatten().map(|rule| (rule.to.as_ref(), rule.ports.as_ref())).collect()
            }
        };
        for (peers, ports) in all {
            let ports = ports.map(Vec::as_slice).filter(|ports| !ports.is_empty());
            match peers.filter(|peers| !peers.is_empty()) {
                None => found.push(Rule { policy: name, peer: None, ports }),
                Some(peers) => {
                    found.extend(peers.iter().map(|peer| Rule { policy: name, peer: Some(peer), ports }));
                }
            }
        }
    }
    governed.then_some(found)
}

/// Whether a policy applies in `direction`: without `policyTypes` always for ingress, and for egress if it has egress
/// rules.
fn governs(spec: &NetworkPolicySpec, direction: Direction) -> bool {
    match spec.policy_types.as_deref().filter(|types| !types.is_empty()) {
        Some(types) => types.iter().any(|one| one == direction.as_str()),
        None => direction == Direction::Ingress || spec.egress.is_some(),
    }
}

impl Rule<'_> {
    /// How this rule, of a policy in `own`, matches pods with `labels` in `namespace`.
    pub fn reach(
        &self,
        own: &str,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        found: &Survey,
    ) -> Reach {
        let Some(peer) = self.peer else { return Reach::Broadly };
        if peer.ip_block.is_some() {
            return Reach::Not;
        }
        let place = match &peer.namespace_selector {
            None => own == namespace,
            Some(wanted) => selector::matches(wanted, &labels_of(namespace, found)),
        };
        match self.pods() {
            _ if !place => Reach::Not,
            None => Reach::Broadly,
            Some(pods) if selector::matches(pods, labels) => Reach::ByName,
            Some(_) => Reach::Not,
        }
    }

    /// The pod selector, if it has one.
    pub fn pods(&self) -> Option<&LabelSelector> {
        let pods = self.peer?.pod_selector.as_ref()?;
        let tidy = selector::tidy(pods);
        (tidy.match_labels.is_some() || tidy.match_expressions.is_some_and(|all| !all.is_empty()))
            .then_some(pods)
    }

    /// The matched namespaces, for people.
    pub fn place(&self, own: &str) -> String {
        match self.peer.and_then(|peer| peer.namespace_selector.as_ref()) {
            None => format!("namespace {own}"),
            Some(wanted) => match named_namespace(wanted) {
                Some(name) => format!("namespace {name}"),
                None if selector::text(wanted).is_empty() => "every namespace".to_owned(),
                None => format!("namespaces with {}", selector::text(wanted)),
            },
        }
    }

    /// The only matched namespace, if the rule names it.
    pub fn namespace<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match self.peer?.namespace_selector.as_ref() {
            None => Some(own),
            Some(wanted) => named_namespace(wanted),
        }
    }

    /// Whether it is only for DNS.
    pub fn is_dns(&self) -> bool {
        self.ports.is_some_and(|ports| {
            ports.iter().all(|port| port.port == Some(IntOrString::Int(53)) && port.end_port.is_none())
        })
    }

    /// Its ports, for people.
    pub fn ports_text(&self) -> String {
        let Some(ports) = self.ports else { return "every port".to_owned() };
        let text = |port: &NetworkPolicyPort| match (&port.port, range(port)) {
            (Some(IntOrString::String(name)), _) => format!("port {name}"),
            (_, Some(range)) => range.to_string(),
            _ => "a port of another protocol".to_owned(),
        };
        ports.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    /// Its numeric ports.
    pub fn ranges(&self) -> impl Iterator<Item = PortRange> {
        let numbered = |port: &&NetworkPolicyPort| matches!(port.port, Some(IntOrString::Int(_)));
        self.ports.into_iter().flatten().filter(numbered).filter_map(range)
    }

    /// Whether it allows a listener on a pod whose containers declare `ports`.
    pub fn allows(&self, listener: &Listener, ports: &[ContainerPort]) -> bool {
        let (Some(rule), Some(wanted)) = (self.ports, listener.range()) else { return self.ports.is_none() };
        rule.iter().any(|port| match &port.port {
            Some(IntOrString::String(name)) => ports.iter().any(|declared| {
                declared.name.as_ref() == Some(name)
                    && declared.range.protocol == protocol(port).unwrap_or_default()
                    && declared.range.intersect(wanted).is_some()
            }),
            _ => range(port).is_some_and(|range| range.intersect(wanted).is_some()),
        })
    }
}

fn named_namespace(wanted: &LabelSelector) -> Option<&str> {
    let labels = wanted.match_labels.as_ref().filter(|labels| labels.len() == 1)?;
    let alone = wanted.match_expressions.as_ref().is_none_or(Vec::is_empty);
    labels.get(NAME_LABEL).filter(|_| alone).map(String::as_str)
}

/// A namespace's labels; only its name where they may not be read.
fn labels_of(namespace: &str, found: &Survey) -> BTreeMap<String, String> {
    let mut labels = found.labels.get(namespace).cloned().unwrap_or_default();
    labels.insert(NAME_LABEL.to_owned(), namespace.to_owned());
    labels
}

fn protocol(port: &NetworkPolicyPort) -> Option<Protocol> {
    match port.protocol.as_deref() {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}

/// The port's number or range; all ports of its protocol where it has none.
fn range(port: &NetworkPolicyPort) -> Option<PortRange> {
    let protocol = protocol(port)?;
    match &port.port {
        None => Some(PortRange { protocol, start: 1, end: u16::MAX }),
        Some(IntOrString::Int(start)) => {
            let start = u16::try_from(*start).ok().filter(|start| *start > 0)?;
            let end = port.end_port.map_or(Some(start), |end| u16::try_from(end).ok())?;
            (start <= end).then_some(PortRange { protocol, start, end })
        }
        Some(IntOrString::String(_)) => None,
    }
}
