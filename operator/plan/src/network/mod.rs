//! The network policies of a Channel and of a governed namespace.
//!
//! One rule for each peer, with namespace and pods in one entry (two entries would mean "either") and exactly the
//! agreed ports. Source: networking.k8s.io/v1 NetworkPolicy; policies are additive, so what no policy opens stays
//! closed once the namespace has a default deny.

pub mod coverage;
mod narrow;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use subrosa_crds::{
    TrustDomain,
    common::{PortRange, Protocol},
    names::ChannelRef,
    trust_domain::{Direction, DnsServer, NetworkService, ServiceAudience},
};

pub use narrow::narrowed;

use crate::{
    consent::connection::{Connection, implied_services},
    record::connection::Other,
    world::{World, declaration::Declaration, objects, selector},
};

/// The name of a namespace's default deny.
pub const DEFAULT_DENY: &str = "subrosa-default-deny";

/// The name of a Channel's policy.
pub fn policy_name(channel: &str) -> String {
    format!("subrosa-channel-{channel}")
}

/// Denies what no Channel declares, for every pod of `namespace`.
///
/// It has no owner reference, so deleting a TrustDomain, a CRD or the operator opens nothing.
pub fn default_deny(namespace: &str, domain: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(DEFAULT_DENY.into()),
            namespace: Some(namespace.into()),
            labels: Some(objects::domain_labels(domain)),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(both_directions()),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// The policy of `channel`: its open connections, its services and DNS, and nothing else.
///
/// `is_held` tells whether a Channel's declaration, perhaps this one's, is not in force: then its pods are those that
/// its existing policy protects, not those that a bad edit selects.
pub fn channel_policy(
    channel: &Declaration,
    domain: &TrustDomain,
    connections: &[Connection],
    world: &World,
    is_held: &dyn Fn(&ChannelRef) -> bool,
) -> NetworkPolicy {
    let (name, mut rules) = (channel.name(), Rules::default());
    for connection in connections.iter().filter(|connection| connection.is_open()) {
        let peers = peers(&connection.other, domain, world, is_held);
        rules.add(connection.direction, peers.clone(), &connection.ports);
        if connection.other == Other::Channel(name.clone()) {
            // A connection to itself needs both directions, whichever list has the entry.
            let mirrored = if connection.direction == Direction::Ingress {
                Direction::Egress
            } else {
                Direction::Ingress
            };
            rules.add(mirrored, peers, &connection.ports);
        }
    }
    for service in implied_services(channel, domain) {
        let ports = service_ports(service, channel);
        rules.add(service.direction.unwrap_or_default(), service_peers(service), &ports);
    }
    rules.dns(domain);
    if let Some(source) = &world.probes {
        // Only the operator's pods, and only to TLS listeners.
        let selector =
            LabelSelector { match_labels: Some(source.labels.clone()), ..LabelSelector::default() };
        rules.add(Direction::Ingress, vec![pods(&source.namespace, &selector)], &probed(channel));
    }
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(policy_name(&name.name)),
            namespace: Some(name.namespace.clone()),
            labels: Some(objects::channel_labels(&name.name)),
            owner_references: objects::owner(channel).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(workload(channel, world, is_held)),
            policy_types: Some(both_directions()),
            ingress: Some(rules.ingress),
            egress: Some(rules.egress),
        }),
    }
}

/// What the pods of backup workers, selected by `workers`, may reach: DNS, and the services that are for whoever seals,
/// such as Vault, or for backups. Nobody reaches them.
pub fn of_workers(workers: LabelSelector, domain: &TrustDomain) -> NetworkPolicySpec {
    let mut rules = Rules::default();
    for service in &domain.spec.network.services {
        let is_for = matches!(service.for_, ServiceAudience::Sealing | ServiceAudience::Backup);
        if is_for && service.direction.unwrap_or_default() == Direction::Egress {
            let ports: Vec<_> = service.ports.iter().filter_map(|port| port.range().ok()).collect();
            rules.add(Direction::Egress, service_peers(service), &ports);
        }
    }
    rules.dns(domain);
    NetworkPolicySpec {
        pod_selector: Some(workers),
        policy_types: Some(both_directions()),
        ingress: Some(rules.ingress),
        egress: Some(rules.egress),
    }
}

/// A peer and ports for a rule of pods of a namespace, for who knows both.
pub(crate) fn to_pods(
    namespace: &str,
    selector: &LabelSelector,
    ports: &[PortRange],
) -> (NetworkPolicyPeer, Vec<NetworkPolicyPort>) {
    (pods(namespace, selector), ports.iter().copied().map(policy_port).collect())
}

/// Whether the peer's policy allows the connection: it names our pods, selected by `workload` in `namespace`, and
/// every agreed port.
pub fn lets_through(
    theirs: &NetworkPolicySpec,
    namespace: &str,
    workload: &LabelSelector,
    connection: &Connection,
) -> bool {
    let us = pods(namespace, workload);
    // Several entries for one peer are several rules, each with some of the ports.
    let has = |peers: &Option<Vec<_>>, open: &Option<Vec<_>>, port: &NetworkPolicyPort| {
        peers.iter().flatten().any(|peer| peer == &us) && open.iter().flatten().any(|one| one == port)
    };
    let mut ports = connection.ports.iter().copied().map(policy_port);
    // The peer's policy has the opposite direction.
    match connection.direction {
        Direction::Ingress => {
            ports.all(|port| theirs.egress.iter().flatten().any(|rule| has(&rule.to, &rule.ports, &port)))
        }
        Direction::Egress => {
            ports.all(|port| theirs.ingress.iter().flatten().any(|rule| has(&rule.from, &rule.ports, &port)))
        }
    }
}

/// Whether two specs are equal, where an absent list equals an empty one.
pub fn same(one: &NetworkPolicySpec, other: &NetworkPolicySpec) -> bool {
    fn list<T: Clone>(list: &Option<Vec<T>>) -> Vec<T> {
        list.clone().unwrap_or_default()
    }
    one.pod_selector.clone().unwrap_or_default() == other.pod_selector.clone().unwrap_or_default()
        && list(&one.policy_types) == list(&other.policy_types)
        && list(&one.ingress) == list(&other.ingress)
        && list(&one.egress) == list(&other.egress)
}

#[derive(Default)]
struct Rules {
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
}

impl Rules {
    /// The trust domain's DNS servers.
    fn dns(&mut self, domain: &TrustDomain) {
        for server in dns_servers(domain) {
            let ports = dns_ports(&server);
            let servers = located(server.namespace.as_deref(), server.pod_selector.as_ref(), &server.cidrs);
            self.add(Direction::Egress, servers, &ports);
        }
    }

    // No peers would mean everybody, and no ports every port, so such a rule is not written.
    fn add(&mut self, direction: Direction, peers: Vec<NetworkPolicyPeer>, ports: &[PortRange]) {
        if peers.is_empty() || ports.is_empty() {
            return;
        }
        let ports = Some(ports.iter().copied().map(policy_port).collect());
        match direction {
            Direction::Ingress => {
                let rule = NetworkPolicyIngressRule { from: Some(peers), ports };
                if !self.ingress.contains(&rule) {
                    self.ingress.push(rule);
                }
            }
            Direction::Egress => {
                let rule = NetworkPolicyEgressRule { to: Some(peers), ports };
                if !self.egress.contains(&rule) {
                    self.egress.push(rule);
                }
            }
        }
    }
}

pub(crate) fn both_directions() -> Vec<String> {
    vec![Direction::Ingress.as_str().into(), Direction::Egress.as_str().into()]
}

fn policy_port(range: PortRange) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(range.protocol.to_string()),
        port: Some(IntOrString::Int(range.start.into())),
        end_port: (range.end != range.start).then(|| range.end.into()),
    }
}

/// The numbers that a port entry opens; `None` for a named port or all ports of a protocol.
pub(crate) fn port_range(port: &NetworkPolicyPort) -> Option<PortRange> {
    let protocol = match port.protocol.as_deref() {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some(_) => return None,
    };
    let Some(IntOrString::Int(start)) = port.port else { return None };
    let start = u16::try_from(start).ok()?;
    let end = port.end_port.map_or(Some(start), |end| u16::try_from(end).ok())?;
    Some(PortRange { protocol, start, end })
}

fn peers(
    other: &Other,
    domain: &TrustDomain,
    world: &World,
    is_held: &dyn Fn(&ChannelRef) -> bool,
) -> Vec<NetworkPolicyPeer> {
    match other {
        Other::Channel(name) => world
            .channel(name)
            .map(|peer| vec![pods(&name.namespace, &workload(peer, world, is_held))])
            .unwrap_or_default(),
        Other::Party(name) => {
            world.parties.get(name).map(|party| blocks(&party.spec.addresses.cidrs)).unwrap_or_default()
        }
        Other::Service(name) => domain
            .spec
            .network
            .services
            .iter()
            .find(|service| &service.name == name)
            .map(service_peers)
            .unwrap_or_default(),
    }
}

/// The pods of a Channel: the declared ones or, where its declaration is not in force, those that its policy
/// protects.
pub(crate) fn workload(
    channel: &Declaration,
    world: &World,
    is_held: &dyn Fn(&ChannelRef) -> bool,
) -> LabelSelector {
    let name = channel.name();
    let in_force = || {
        let policy = world.network_policies.get(&name.namespace)?.get(&policy_name(&name.name))?;
        policy.is_of(channel).then(|| policy.pod_selector())?
    };
    let declared = selector::tidy(channel.selector());
    match in_force() {
        // Computing `is_held` is expensive and unnecessary where both are equal.
        Some(in_force) if in_force != declared && is_held(name) => in_force,
        _ => declared,
    }
}

fn service_peers(service: &NetworkService) -> Vec<NetworkPolicyPeer> {
    located(service.namespace.as_deref(), service.pod_selector.as_ref(), &service.cidrs)
}

fn located(
    namespace: Option<&str>,
    selector: Option<&LabelSelector>,
    cidrs: &[String],
) -> Vec<NetworkPolicyPeer> {
    match namespace {
        Some(namespace) => vec![pods(namespace, &selector.cloned().unwrap_or_default())],
        None => blocks(cidrs),
    }
}

fn pods(namespace: &str, selector: &LabelSelector) -> NetworkPolicyPeer {
    // The API server sets this label on every namespace, and nobody can change it.
    let label = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector { match_labels: Some(label), ..LabelSelector::default() }),
        pod_selector: Some(selector::tidy(selector)),
        ip_block: None,
    }
}

fn blocks(cidrs: &[String]) -> Vec<NetworkPolicyPeer> {
    cidrs
        .iter()
        .map(|cidr| NetworkPolicyPeer {
            ip_block: Some(IPBlock { cidr: cidr.clone(), except: None }),
            ..NetworkPolicyPeer::default()
        })
        .collect()
}

/// The ports that probes may reach.
fn probed(channel: &Declaration) -> Vec<PortRange> {
    let one = |port: u16| PortRange { protocol: Protocol::Tcp, start: port, end: port };
    channel.tls_listeners().into_keys().map(one).collect()
}

fn service_ports(service: &NetworkService, channel: &Declaration) -> Vec<PortRange> {
    if service.ports.is_empty() {
        channel.listeners().iter().filter_map(|listener| listener.range()).collect()
    } else {
        service.ports.iter().filter_map(|port| port.range().ok()).collect()
    }
}

fn dns_servers(domain: &TrustDomain) -> Vec<DnsServer> {
    if !domain.spec.network.dns.is_empty() {
        return domain.spec.network.dns.clone();
    }
    let labels = BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]);
    vec![DnsServer {
        namespace: Some("kube-system".into()),
        pod_selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
        cidrs: Vec::new(),
        ports: Vec::new(),
    }]
}

/// DNS uses both protocols (RFC 7766).
fn dns_ports(server: &DnsServer) -> Vec<PortRange> {
    let ports: &[i32] = if server.ports.is_empty() { &[53] } else { &server.ports };
    [Protocol::Udp, Protocol::Tcp]
        .into_iter()
        .flat_map(|protocol| {
            ports
                .iter()
                .filter_map(|port| u16::try_from(*port).ok().filter(|port| *port > 0))
                .map(move |port| PortRange { protocol, start: port, end: port })
        })
        .collect()
}

#[cfg(test)]
mod tests;
