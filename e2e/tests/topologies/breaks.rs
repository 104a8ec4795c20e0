//! Ways to be wrong. Each is caught, or agreement with the judge would prove nothing.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use subrosa_plan::network::DEFAULT_DENY;

use crate::town::{Audience, Entry, Kind, Town};

/// What is done to the manifests before the plan reads them: as if it did not look at something.
pub type Blind = fn(&mut Town);
/// What is done to a policy after the plan: as if it wrote something else.
pub type Slip = fn(&mut NetworkPolicy);

pub const BLIND: [(&str, Blind); 12] = [
    ("the listeners that accepts names are ignored", |town| {
        town.channels.iter_mut().flat_map(|one| &mut one.accepts).for_each(|entry| entry.listeners.clear());
    }),
    ("the listeners that connectsTo names are ignored", |town| {
        town.channels
            .iter_mut()
            .flat_map(|one| &mut one.connects_to)
            .for_each(|entry| entry.listeners.clear());
    }),
    ("the client's consent is ignored", |town| answer(town, false)),
    ("the server's consent is ignored", |town| answer(town, true)),
    ("the namespace of an entry is ignored", |town| {
        let lists = town.channels.iter_mut().flat_map(|one| [&mut one.accepts, &mut one.connects_to]);
        lists.flatten().for_each(|entry| entry.namespace = None);
    }),
    ("trust domains are ignored", |town| {
        for namespace in &mut town.namespaces {
            if namespace.domain.is_some() {
                namespace.domain = Some("hospital".into());
            }
        }
    }),
    ("a Stalled Channel is taken at its word", |town| {
        town.channels.iter_mut().for_each(|one| one.stalled = false);
    }),
    ("agreements that have ended are ignored", |town| {
        town.parties.iter_mut().flat_map(|one| &mut one.agreements).for_each(|(_, days)| *days = 400);
    }),
    ("agreements end a day late", |town| {
        town.parties.iter_mut().flat_map(|one| &mut one.agreements).for_each(|(_, days)| *days += 1);
    }),
    ("missing agreements are ignored", |town| town.parties.iter_mut().for_each(|one| one.processor = false)),
    ("a party's consent is ignored", |town| {
        let all: Vec<_> = town.channels.iter().map(|one| (one.namespace.clone(), one.name.clone())).collect();
        for party in &mut town.parties {
            for (namespace, channel) in &all {
                for ingress in [true, false] {
                    let ports = vec![crate::town::Ports { udp: false, first: 1, last: 60 }];
                    let (namespace, channel) = (namespace.clone(), channel.clone());
                    party.consents.push(crate::town::Consent { namespace, channel, ingress, ports });
                }
            }
        }
    }),
    ("every service is for everybody", |town| {
        let services = town.domains.iter_mut().flat_map(|one| &mut one.services);
        services.for_each(|service| service.audience = Audience::All);
    }),
];

/// Lets every named Channel answer, on one side.
fn answer(town: &mut Town, server: bool) {
    let channels = town.channels.clone();
    for from in &channels {
        for entry in if server { &from.connects_to } else { &from.accepts } {
            let namespace = entry.namespace.as_ref().unwrap_or(&from.namespace);
            let name = entry.channel.as_ref().unwrap_or(&entry.name);
            let peer = town.channels.iter_mut().find(|one| one.namespace == *namespace && one.name == *name);
            let Some(peer) = peer.filter(|_| entry.kind == Kind::Channel) else { continue };
            let list = if server { &mut peer.accepts } else { &mut peer.connects_to };
            list.push(Entry {
                name: format!("answer-{}-{}", from.namespace, from.name),
                kind: Kind::Channel,
                namespace: Some(from.namespace.clone()),
                channel: Some(from.name.clone()),
                listeners: Vec::new(),
            });
        }
    }
}

pub const SLIPS: [(&str, Slip); 17] = [
    ("the namespace selector is dropped", |policy| peers(policy, |peer| peer.namespace_selector = None)),
    ("every namespace is selected", |policy| {
        peers(policy, |peer| {
            if let Some(selector) = &mut peer.namespace_selector {
                *selector = LabelSelector::default();
            }
        });
    }),
    ("namespace and pods are two peers", |policy| {
        lists(policy, |list| {
            let apart = |peer: NetworkPolicyPeer| match (peer.namespace_selector, peer.pod_selector) {
                (Some(namespace), Some(pods)) => vec![
                    NetworkPolicyPeer { namespace_selector: Some(namespace), ..NetworkPolicyPeer::default() },
                    NetworkPolicyPeer { pod_selector: Some(pods), ..NetworkPolicyPeer::default() },
                ],
                (namespace_selector, pod_selector) => {
                    vec![NetworkPolicyPeer { namespace_selector, pod_selector, ip_block: peer.ip_block }]
                }
            };
            *list = std::mem::take(list).into_iter().flat_map(apart).collect();
        });
    }),
    ("the pod selector is dropped", |policy| {
        peers(policy, |peer| {
            if peer.namespace_selector.is_some() {
                peer.pod_selector = None;
            }
        });
    }),
    ("address ranges are too wide", |policy| {
        peers(policy, |peer| {
            if let Some(block) = &mut peer.ip_block {
                block.cidr =
                    if block.cidr.contains(':') { "2001:db8::/32".into() } else { "0.0.0.0/0".into() };
            }
        });
    }),
    ("ports are left out", |policy| {
        policy
            .spec
            .iter_mut()
            .flat_map(|spec| &mut spec.ingress)
            .flatten()
            .for_each(|rule| rule.ports = None);
        policy.spec.iter_mut().flat_map(|spec| &mut spec.egress).flatten().for_each(|rule| rule.ports = None);
    }),
    ("the end of a range is left out", |policy| ports(policy, |port| port.end_port = None)),
    ("ranges are one port too long", |policy| {
        ports(policy, |port| port.end_port = port.end_port.map(|end| end + 1));
    }),
    ("the protocol is left out", |policy| ports(policy, |port| port.protocol = None)),
    ("ingress is not written", |policy| {
        policy.spec.iter_mut().for_each(|spec| spec.ingress = Some(Vec::new()));
    }),
    ("egress is not written", |policy| {
        policy.spec.iter_mut().for_each(|spec| spec.egress = Some(Vec::new()))
    }),
    ("ingress and egress are exchanged", |policy| {
        let Some(spec) = &mut policy.spec else { return };
        let from = std::mem::take(&mut spec.ingress).unwrap_or_default();
        let to = std::mem::take(&mut spec.egress).unwrap_or_default();
        let turned =
            |rule: NetworkPolicyEgressRule| NetworkPolicyIngressRule { from: rule.to, ports: rule.ports };
        spec.ingress = Some(to.into_iter().map(turned).collect());
        let turned =
            |rule: NetworkPolicyIngressRule| NetworkPolicyEgressRule { to: rule.from, ports: rule.ports };
        spec.egress = Some(from.into_iter().map(turned).collect());
    }),
    ("the last rule is forgotten", |policy| {
        policy.spec.iter_mut().flat_map(|spec| &mut spec.ingress).for_each(|rules| drop(rules.pop()));
    }),
    ("a Channel's policy takes every pod", |policy| {
        policy.spec.iter_mut().for_each(|spec| spec.pod_selector = Some(LabelSelector::default()));
    }),
    ("replicas always reach each other", |policy| {
        let Some(spec) = &mut policy.spec else { return };
        let own =
            NetworkPolicyPeer { pod_selector: spec.pod_selector.clone(), ..NetworkPolicyPeer::default() };
        let own = vec![own];
        spec.ingress
            .get_or_insert_default()
            .push(NetworkPolicyIngressRule { from: Some(own.clone()), ports: None });
        spec.egress.get_or_insert_default().push(NetworkPolicyEgressRule { to: Some(own), ports: None });
    }),
    ("default deny is only for what comes in", |policy| {
        if policy.metadata.name.as_deref() == Some(DEFAULT_DENY) {
            policy.spec.iter_mut().for_each(|spec| spec.policy_types = Some(vec!["Ingress".into()]));
        }
    }),
    ("default deny is not for every pod", |policy| {
        if policy.metadata.name.as_deref() == Some(DEFAULT_DENY) {
            let labels = [("tier".to_owned(), "edge".to_owned())].into();
            let selector = LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
            policy.spec.iter_mut().for_each(|spec| spec.pod_selector = Some(selector.clone()));
        }
    }),
];

fn lists(policy: &mut NetworkPolicy, mut edit: impl FnMut(&mut Vec<NetworkPolicyPeer>)) {
    let Some(spec) = &mut policy.spec else { return };
    spec.ingress.iter_mut().flatten().filter_map(|rule| rule.from.as_mut()).for_each(&mut edit);
    spec.egress.iter_mut().flatten().filter_map(|rule| rule.to.as_mut()).for_each(&mut edit);
}

fn peers(policy: &mut NetworkPolicy, mut edit: impl FnMut(&mut NetworkPolicyPeer)) {
    lists(policy, |list| list.iter_mut().for_each(&mut edit));
}

fn ports(policy: &mut NetworkPolicy, mut edit: impl FnMut(&mut NetworkPolicyPort)) {
    let Some(spec) = &mut policy.spec else { return };
    spec.ingress.iter_mut().flatten().flat_map(|rule| &mut rule.ports).flatten().for_each(&mut edit);
    spec.egress.iter_mut().flatten().flat_map(|rule| &mut rule.ports).flatten().for_each(&mut edit);
}
