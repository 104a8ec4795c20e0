//! Finds what others' NetworkPolicies open beyond the declared connections.
//!
//! Policies are additive, so one foreign rule can open a Channel more widely than both ends declared. A rule that
//! opens no more than the Channel's own policy is harmless and not reported.

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};

use subrosa_crds::trust_domain::Direction;

use crate::{
    network::{self, port_range},
    world::{World, declaration::Declaration, policy::PolicyFacts},
};

/// A rule of a foreign policy that opens what no connection declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widening {
    /// The policy.
    pub policy: String,
    /// The rule, such as `ingress[0]`.
    pub rule: String,
}

/// Whether it is the policy of an existing Channel; our labels alone do not make it one.
fn is_a_channels(name: &str, policy: &PolicyFacts, namespace: &str, world: &World) -> bool {
    let channel = || {
        let channel = name.strip_prefix(&network::policy_name(""))?;
        world.channels.get(namespace)?.get(channel)
    };
    policy.is_ours() && channel().is_some_and(|channel| policy.is_of(channel))
}

/// The foreign rules that apply to pods of `channel` and that `wanted` does not cover.
pub fn widenings(channel: &Declaration, wanted: &NetworkPolicySpec, world: &World) -> Vec<Widening> {
    let (namespace, workload) = (channel.name().namespace.as_str(), channel.selector());
    let reaches = |policy: &NetworkPolicySpec| {
        let selector = policy.pod_selector.clone().unwrap_or_default();
        crate::world::selector::implies(workload, &selector)
            || world.running_pods(namespace).any(|(_, pod)| {
                crate::world::selector::matches(workload, &pod.labels)
                    && crate::world::selector::matches(&selector, &pod.labels)
            })
    };
    let mut found = Vec::new();
    for (name, policy) in world.network_policies.get(namespace).into_iter().flatten() {
        if is_a_channels(name, policy, namespace, world) {
            continue;
        }
        let Some(spec) = policy.spec().filter(&reaches) else { continue };
        // Rules for a direction that the policy does not govern have no effect.
        let governs = |direction: Direction| {
            let types = spec.policy_types.as_deref().unwrap_or_default();
            types.is_empty() || types.iter().any(|one| one == direction.as_str())
        };
        let own_ingress: Vec<_> = wanted
            .ingress
            .iter()
            .flatten()
            .map(|rule| (rule.from.as_deref(), rule.ports.as_deref()))
            .collect();
        let own_egress: Vec<_> =
            wanted.egress.iter().flatten().map(|rule| (rule.to.as_deref(), rule.ports.as_deref())).collect();
        let ingress = spec.ingress.iter().flatten().filter(|_| governs(Direction::Ingress));
        for (index, rule) in ingress.enumerate() {
            if !covered(rule.from.as_deref(), rule.ports.as_deref(), &own_ingress) {
                found.push(Widening { policy: name.clone(), rule: format!("ingress[{index}]") });
            }
        }
        let egress = spec.egress.iter().flatten().filter(|_| governs(Direction::Egress));
        for (index, rule) in egress.enumerate() {
            if !covered(rule.to.as_deref(), rule.ports.as_deref(), &own_egress) {
                found.push(Widening { policy: name.clone(), rule: format!("egress[{index}]") });
            }
        }
    }
    found
}

type Rule<'a> = (Option<&'a [NetworkPolicyPeer]>, Option<&'a [NetworkPolicyPort]>);

/// Whether every peer and port of a rule is covered by a rule of ours. No peers means everybody and no ports means
/// every port; our rules never say either, so they cover neither.
fn covered(
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
    own: &[Rule<'_>],
) -> bool {
    let (Some(peers), Some(ports)) = (peers, ports) else { return false };
    if peers.is_empty() || ports.is_empty() {
        return false;
    }
    peers.iter().all(|peer| {
        ports.iter().all(|port| {
            own.iter().any(|(own_peers, own_ports)| {
                own_peers.unwrap_or_default().contains(peer)
                    && own_ports.unwrap_or_default().iter().any(|own| within(port, own))
            })
        })
    })
}

fn within(port: &NetworkPolicyPort, own: &NetworkPolicyPort) -> bool {
    match (port_range(port), port_range(own)) {
        (Some(port), Some(own)) => port.intersect(own) == Some(port),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
