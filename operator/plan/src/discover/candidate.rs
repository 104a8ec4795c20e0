//! A running workload for which a Channel is drafted: its name, preset and listeners.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString};
use subrosa_crds::{
    channel::{Listener, Reload, WorkloadKind, WorkloadRef},
    common::{PortRange, Protocol},
    names::ChannelRef,
    preset::{self, Preset},
    trust_domain::Direction,
};

use super::{RunningWorkload, Service, Survey, Surveyed, rules, shortened};
use crate::world::selector;

/// The longest name of a Channel.
const LONGEST_NAME: usize = 36;
/// The most listeners of a Channel.
const MOST_LISTENERS: usize = 32;

/// A running workload for which a Channel is drafted.
pub struct Candidate<'a> {
    /// The workload.
    pub workload: &'a RunningWorkload,
    /// The Channel's name.
    pub name: ChannelRef,
    /// The Channel's selector.
    pub selector: LabelSelector,
    /// Its ServiceAccount, if no other workload uses it.
    pub account: Option<String>,
    /// The preset for its image.
    pub preset: Option<Preset>,
    /// The listeners to write; empty where the preset gives them.
    pub written: Vec<Listener>,
    /// Ports of the preset that stay closed.
    pub closed: Vec<String>,
    /// What was guessed.
    pub guessed: Vec<String>,
    /// What a person must decide.
    pub decide: Vec<String>,
}

impl<'a> Candidate<'a> {
    /// Drafts from the workload alone and the Services in front of it.
    pub fn of(namespace: &str, workload: &'a RunningWorkload, surveyed: &Surveyed) -> Self {
        let name = shortened(&workload.name, LONGEST_NAME);
        let (mut guessed, mut decide) = (Vec::new(), Vec::new());
        if name != workload.name {
            decide.push(format!("the name {name}: {} is no name for a Channel, which has at most {LONGEST_NAME} letters, digits and hyphens", workload.name));
        }
        let preset = workload.images.iter().find_map(|image| Some((image, preset::of_image(image)?)));
        if let Some((image, preset)) = preset {
            guessed.push(format!("preset {preset}, from the image {image}"));
        }
        let account = workload.service_account.clone().filter(|account| account != "default");
        let shared = |other: &&RunningWorkload| {
            other.service_account == account && (&other.kind, &other.name) != (&workload.kind, &workload.name)
        };
        let sharing = surveyed.workloads.iter().find(shared).filter(|_| account.is_some());
        if let (Some(account), Some(other)) = (&account, sharing) {
            decide.push(format!(
                "ServiceAccount {account} is that of {} {} too, and belongs to one Channel only: give each its own, for access in Vault",
                other.kind, other.name
            ));
        }
        if workload.host_network {
            decide.push(
                "its pods use the node's network, which no NetworkPolicy reaches (HostNetworkPods)".into(),
            );
        }
        let behind: Vec<_> =
            surveyed.services.iter().filter(|service| is_behind(service, workload)).collect();
        for service in &behind {
            if let Some(outside) = &service.outside {
                decide.push(format!(
                    "Service {} is reached from outside ({outside}): name who comes in accepts, as an ExternalParty or a Service of the TrustDomain",
                    service.name
                ));
            }
        }
        let mut candidate = Self {
            workload,
            name: ChannelRef::new(namespace, name),
            selector: selector::tidy(&workload.selector),
            account: account.filter(|_| sharing.is_none()),
            preset: preset.map(|(_, preset)| preset),
            written: Vec::new(),
            closed: Vec::new(),
            guessed,
            decide,
        };
        let declared = workload.ports.iter().map(|port| (port.name.clone(), port.range));
        let served = behind.iter().flat_map(|service| targets(service, workload));
        for (name, range) in declared.chain(served).collect::<Vec<_>>() {
            candidate.listen(name, range);
        }
        candidate
    }

    /// Adds a port, once.
    fn listen(&mut self, name: Option<String>, range: PortRange) {
        let facts = self.preset.map(Preset::facts);
        if self.written.iter().any(|listener| listener.range().and_then(|own| own.intersect(range)).is_some())
        {
            return;
        }
        let offer = facts.and_then(|facts| facts.listeners.iter().find(|offer| offer.ports == range));
        if let (Some(preset), Some(facts), None) = (self.preset, facts, offer)
            && let Some(closed) = facts.closed.iter().find(|closed| closed.ports.intersect(range).is_some())
        {
            let port = closed.ports.to_string();
            if !self.closed.contains(&port) {
                self.decide.push(format!(
                    "{port} is left out: {preset} speaks plain text there ({}). Have it listen with TLS first, or agree on an exception for SR-TLS-02",
                    closed.what
                ));
                self.closed.push(port);
            }
            return;
        }
        if self.written.len() >= MOST_LISTENERS {
            self.decide
                .push(format!("{range} is left out: a Channel has at most {MOST_LISTENERS} listeners"));
            return;
        }
        let wanted = match (offer, name) {
            (Some(offer), _) => offer.name.to_owned(),
            (None, Some(name)) => shortened(&name, 60),
            (None, None) => format!("port-{}", range.start),
        };
        let taken = self.written.iter().any(|listener| listener.name == wanted);
        let name = if taken { format!("{}-{}", shortened(&wanted, 50), range.start) } else { wanted };
        self.written.push(Listener {
            name,
            port: i32::from(range.start),
            end_port: (range.end != range.start).then_some(i32::from(range.end)),
            protocol: Some(range.protocol).filter(|protocol| *protocol != Protocol::Tcp),
            tls: None,
        });
    }

    /// Its listeners with the preset filled in.
    pub fn listeners(&self) -> Vec<Listener> {
        match self.preset {
            Some(preset) if self.written.is_empty() => {
                preset.facts().listeners.iter().map(preset::Offer::listener).collect()
            }
            _ => self.written.clone(),
        }
    }

    /// The reference to its workload, where the preset needs restarts.
    pub fn reference(&self) -> Option<WorkloadRef> {
        let restarts = self.preset?.facts().reload == Reload::Restart;
        let kind = match self.workload.kind.as_str() {
            "Deployment" => WorkloadKind::Deployment,
            "StatefulSet" => WorkloadKind::StatefulSet,
            "DaemonSet" => WorkloadKind::DaemonSet,
            _ => return None,
        };
        restarts.then(|| WorkloadRef { kind, name: self.workload.name.clone() })
    }

    /// Removes what the preset gives anyway, and describes the rest.
    fn settle(&mut self) {
        let offered = self.preset.map(|preset| preset.facts().listeners).unwrap_or_default();
        let given = |listener: &Listener| offered.iter().any(|offer| Some(offer.ports) == listener.range());
        if let Some(preset) = self.preset {
            if self.written.iter().all(given) {
                self.written.clear();
                let names: Vec<_> =
                    offered.iter().map(|offer| format!("{} {}", offer.name, offer.ports)).collect();
                self.guessed.push(format!("listeners of preset {preset}: {}", names.join(", ")));
            } else {
                self.decide.push(format!(
                    "its ports are not those of preset {preset}: what is written here replaces them"
                ));
            }
        }
        let silent = |listener: &&Listener| {
            listener.protocol.is_none() && listener.end_port.is_none() && !given(listener)
        };
        let plain: Vec<_> = self.written.iter().filter(silent).map(|one| one.name.as_str()).collect();
        if !plain.is_empty() {
            self.decide.push(format!(
                "{} stand for TLS from the first byte: say tls: PostgreSQL, SMTP or IMAP where it begins otherwise, and None where it is plain text",
                plain.join(", ")
            ));
        }
        if self.listeners().is_empty() {
            self.guessed.push("it listens nowhere: no port is declared and no Service is before it".into());
        }
    }
}

/// Whether the Service selects the workload's pods.
fn is_behind(service: &Service, workload: &RunningWorkload) -> bool {
    !service.selector.is_empty()
        && service.selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
}

/// The pods' ports to which a Service forwards.
fn targets<'a>(
    service: &'a Service,
    workload: &'a RunningWorkload,
) -> impl Iterator<Item = (Option<String>, PortRange)> + 'a {
    service.ports.iter().filter_map(|port| {
        let range = match &port.target {
            IntOrString::Int(number) => {
                let number = u16::try_from(*number).ok().filter(|number| *number > 0)?;
                PortRange { protocol: port.protocol, start: number, end: number }
            }
            IntOrString::String(name) => {
                workload.ports.iter().find(|declared| declared.name.as_ref() == Some(name))?.range
            }
        };
        Some((port.name.clone(), range))
    })
}

/// Makes names and selectors distinct, as far as labels allow.
pub fn tell_apart(candidates: &mut [Candidate<'_>]) {
    let labels: Vec<_> =
        candidates.iter().map(|one| (one.name.namespace.clone(), one.workload.labels.clone())).collect();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let meets = |selector: &LabelSelector| {
            labels.iter().enumerate().any(|(other, (namespace, labels))| {
                other != index
                    && *namespace == candidate.name.namespace
                    && selector::matches(selector, labels)
            })
        };
        if !meets(&candidate.selector) {
            continue;
        }
        candidate.selector =
            LabelSelector { match_labels: Some(candidate.workload.labels.clone()), match_expressions: None };
        candidate.decide.push(if meets(&candidate.selector) {
            "its pods cannot be told from another workload's by their labels: give them a label of their own, or make one Channel of both".into()
        } else {
            "all labels of its pods are selected, since what it selects by itself meets another workload's pods".into()
        });
    }
    let mut taken: BTreeMap<ChannelRef, usize> = BTreeMap::new();
    for candidate in candidates {
        let count = taken.entry(candidate.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            let kind = candidate.workload.kind.to_lowercase();
            let name = shortened(&candidate.name.name, LONGEST_NAME - kind.len().min(20) - 1);
            candidate.name.name = format!("{name}-{}", shortened(&kind, 20));
            candidate.decide.push("its name: two workloads here are called the same".into());
        }
    }
}

/// Adds ports that only NetworkPolicies name.
pub fn add_what_policies_name(candidates: &mut [Candidate<'_>], found: &Survey) {
    for candidate in candidates.iter_mut() {
        for (namespace, surveyed) in &found.surveyed {
            let own = namespace == &candidate.name.namespace;
            // Rules that admit, and rules that connect there.
            let inward =
                own.then(|| rules::rules(surveyed, &candidate.workload.labels, Direction::Ingress)).flatten();
            let outward = surveyed
                .workloads
                .iter()
                .filter_map(|other| rules::rules(surveyed, &other.labels, Direction::Egress))
                .flatten()
                .filter(|rule| {
                    rule.reach(namespace, &candidate.name.namespace, &candidate.workload.labels, found)
                        == rules::Reach::ByName
                });
            let named: Vec<_> = inward.into_iter().flatten().chain(outward).collect();
            for rule in named {
                for range in rule.ranges() {
                    let known = candidate.written.len() + candidate.closed.len();
                    candidate.listen(None, range);
                    if candidate.written.len() + candidate.closed.len() > known {
                        candidate.guessed.push(format!("{range}, from NetworkPolicy {}", rule.policy));
                    }
                }
            }
        }
        candidate.settle();
    }
}
