//! The part of an existing policy that a wanted one still allows.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use subrosa_crds::common::PortRange;

use super::{both_directions, policy_port, port_range};

/// What both `existing` and `wanted` open, down to the port.
///
/// Where nothing new may open (an audited or frozen namespace, or a Stalled Channel), this applies withdrawals and
/// nothing else. A rule that is wanted with more ports keeps its current ones.
/// has keeps those it has: a widening takes nothing away.
pub fn narrowed(existing: &NetworkPolicySpec, wanted: &NetworkPolicySpec) -> NetworkPolicySpec {
    let ingress = common(&openings(&existing.ingress), &openings(&wanted.ingress));
    let egress = common(&openings(&existing.egress), &openings(&wanted.egress));
    NetworkPolicySpec {
        pod_selector: existing.pod_selector.clone(),
        policy_types: Some(both_directions()),
        ingress: Some(
            ingress
                .into_iter()
                .map(|Opening { peers, ports }| NetworkPolicyIngressRule { from: peers, ports })
                .collect(),
        ),
        egress: Some(
            egress
                .into_iter()
                .map(|Opening { peers, ports }| NetworkPolicyEgressRule { to: peers, ports })
                .collect(),
        ),
    }
}

/// A rule of either direction. No peers means everybody, no ports every port.
#[derive(Clone, PartialEq)]
struct Opening {
    peers: Option<Vec<NetworkPolicyPeer>>,
    ports: Option<Vec<NetworkPolicyPort>>,
}

impl From<&NetworkPolicyIngressRule> for Opening {
    fn from(rule: &NetworkPolicyIngressRule) -> Self {
        Self { peers: rule.from.clone(), ports: rule.ports.clone() }
    }
}

impl From<&NetworkPolicyEgressRule> for Opening {
    fn from(rule: &NetworkPolicyEgressRule) -> Self {
        Self { peers: rule.to.clone(), ports: rule.ports.clone() }
    }
}

fn openings<'a, Rule>(rules: &'a Option<Vec<Rule>>) -> Vec<Opening>
where
    Opening: From<&'a Rule>,
{
    rules.iter().flatten().map(Opening::from).collect()
}

fn common(existing: &[Opening], wanted: &[Opening]) -> Vec<Opening> {
    let mut kept: Vec<Opening> = Vec::new();
    for rule in existing {
        let parts = if wanted.contains(rule) {
            vec![rule.clone()]
        } else {
            wanted.iter().filter_map(|wanted| intersection(rule, wanted)).collect()
        };
        for part in parts {
            if !kept.contains(&part) {
                kept.push(part);
            }
        }
    }
    kept
}

/// Our rules always name peers and ports, so a wanted rule without them is not ours and keeps nothing.
fn intersection(existing: &Opening, wanted: &Opening) -> Option<Opening> {
    let named = |peers: &Option<Vec<_>>| peers.clone().filter(|peers| !peers.is_empty());
    let mut peers = named(&wanted.peers)?;
    if let Some(some) = named(&existing.peers) {
        peers.retain(|peer| some.contains(peer));
    }
    let wanted: Vec<_> = wanted.ports.iter().flatten().filter_map(port_range).collect();
    let ports: Vec<_> = match existing.ports.as_deref() {
        None | Some([]) => wanted,
        Some(some) => some
            .iter()
            .filter_map(whole_range)
            .flat_map(|own| wanted.iter().filter_map(move |wanted| own.intersect(*wanted)))
            .collect(),
    };
    let ports: Vec<_> = ports.into_iter().map(policy_port).collect();
    (!peers.is_empty() && !ports.is_empty()).then_some(Opening { peers: Some(peers), ports: Some(ports) })
}

/// The ports of an entry; an entry without a number stands for all of its protocol.
fn whole_range(port: &NetworkPolicyPort) -> Option<PortRange> {
    if port.port.is_some() {
        return port_range(port);
    }
    let first = NetworkPolicyPort { port: Some(IntOrString::Int(1)), ..port.clone() };
    port_range(&NetworkPolicyPort { end_port: Some(u16::MAX.into()), ..first })
}
