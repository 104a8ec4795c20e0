//! Rules of policies that name no particular pods: everybody, whole namespaces, addresses, services of the trust
//! domain.

use ipnet::IpNet;
use subrosa_crds::{
    TrustDomain,
    channel::{Peer, PeerKind},
    trust_domain::{Direction, NetworkService, ServiceAudience},
};

use super::{
    Draft, Survey,
    candidate::Candidate,
    rules::{self, Reach, Rule},
};
use crate::world::selector;

/// Adds remarks to `draft` about rules that name no particular pods.
pub fn describe(candidate: &Candidate<'_>, all: &[Candidate<'_>], found: &Survey, draft: &mut Draft) {
    let Some(surveyed) = found.surveyed.get(&candidate.name.namespace) else { return };
    let domain = surveyed
        .trust_domain
        .as_ref()
        .and_then(|name| found.domains.iter().find(|domain| domain.metadata.name.as_ref() == Some(name)));
    for direction in [Direction::Ingress, Direction::Egress] {
        match rules::rules(surveyed, &candidate.workload.labels, direction) {
            None if direction == Direction::Ingress && !candidate.listeners().is_empty() => {
                draft.decide.push(
                    "no NetworkPolicy says who connects here: accepts has only whom others' policies name"
                        .into(),
                )
            }
            None => {}
            Some(rules) => {
                for rule in rules {
                    around(candidate, &rule, direction, domain, all, found, draft);
                }
            }
        }
    }
}

fn around(
    candidate: &Candidate<'_>,
    rule: &Rule<'_>,
    direction: Direction,
    domain: Option<&TrustDomain>,
    all: &[Candidate<'_>],
    found: &Survey,
    draft: &mut Draft,
) {
    let own = candidate.name.namespace.as_str();
    let (list, lets) = match direction {
        Direction::Ingress => ("accepts", "lets in"),
        Direction::Egress => ("connectsTo", "lets reach"),
    };
    let (policy, ports) = (rule.policy, rule.ports_text());
    let outward = direction == Direction::Egress;
    if outward && rule.is_dns() {
        return remember(
            &mut draft.guessed,
            format!("DNS (NetworkPolicy {policy}): the TrustDomain opens it for everybody"),
        );
    }
    let Some(peer) = rule.peer else {
        return remember(
            &mut draft.decide,
            format!("NetworkPolicy {policy} {lets} everybody on {ports}: name in {list} who that is"),
        );
    };
    if let Some(block) = &peer.ip_block {
        let except =
            block.except.as_ref().map(|except| format!(" without {}", except.join(", "))).unwrap_or_default();
        let who = addresses(&block.cidr, direction, domain, found);
        return remember(
            &mut draft.decide,
            format!("NetworkPolicy {policy} {lets} {}{except} on {ports}: {who}", block.cidr),
        );
    }
    if let Some(service) = domain.and_then(|domain| service(domain, rule, direction, own)) {
        let name = &service.name;
        if service.for_ == ServiceAudience::Named {
            let entries = if outward { &mut draft.spec.connects_to } else { &mut draft.spec.accepts };
            if !entries.iter().any(|entry| &entry.name == name) {
                entries.push(Peer {
                    name: name.clone(),
                    kind: Some(PeerKind::Service),
                    namespace: None,
                    channel: None,
                    listeners: Vec::new(),
                });
            }
            remember(
                &mut draft.guessed,
                format!("service {name} of the TrustDomain, from NetworkPolicy {policy}"),
            );
        } else {
            remember(
                &mut draft.guessed,
                format!("NetworkPolicy {policy}: the TrustDomain opens its service {name} by itself"),
            );
        }
        return;
    }
    let place = rule.place(own);
    let Some(pods) = rule.pods() else {
        return remember(
            &mut draft.decide,
            format!(
                "NetworkPolicy {policy} {lets} every pod of {place} on {ports}: name in {list} which of them"
            ),
        );
    };
    let known = |namespace: &str, labels: &_| rule.reach(own, namespace, labels, found) == Reach::ByName;
    let drafted = all.iter().any(|other| known(&other.name.namespace, &other.workload.labels));
    let there = found.channels.iter().any(|(name, channel)| {
        known(&name.namespace, &channel.selector().match_labels.clone().unwrap_or_default())
    });
    if drafted || there {
        return;
    }
    let next = match rule.namespace(own) {
        Some(namespace) if found.surveyed.contains_key(namespace) => {
            "no workload there has such pods".to_owned()
        }
        Some(namespace) => format!("draft both together with -n {namespace}, or name its Channel in {list}"),
        None => format!("name its Channel in {list}"),
    };
    remember(
        &mut draft.decide,
        format!("NetworkPolicy {policy} {lets} pods {} of {place} on {ports}: {next}", selector::text(pods)),
    );
}

fn remember(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

/// Describes who has these addresses.
fn addresses(cidr: &str, direction: Direction, domain: Option<&TrustDomain>, found: &Survey) -> String {
    let Ok(wanted) = cidr.parse::<IpNet>() else { return "no address range".to_owned() };
    let within = |texts: &[String]| {
        texts.iter().filter_map(|text| text.parse::<IpNet>().ok()).any(|net| net.contains(&wanted))
    };
    let list = if direction == Direction::Ingress { "accepts" } else { "connectsTo" };
    let party = found.parties.iter().find(|party| within(&party.spec.addresses.cidrs));
    if let Some(name) = party.and_then(|party| party.metadata.name.as_ref()) {
        return format!(
            "of ExternalParty {name}: add {{name: {name}, kind: ExternalParty}} to {list}; it has to list this Channel too"
        );
    }
    if domain.is_some_and(|domain| within(&domain.spec.network.cluster_cidrs)) {
        return "addresses of the cluster: ask who governs the TrustDomain for an entry in network.services"
            .to_owned();
    }
    "if that is outside, ask the compliance office for an ExternalParty with these addresses; else it is a service of the TrustDomain (network.services)".to_owned()
}

/// The service of the trust domain that a rule refers to.
fn service<'a>(
    domain: &'a TrustDomain,
    rule: &Rule<'_>,
    direction: Direction,
    own: &str,
) -> Option<&'a NetworkService> {
    let namespace = rule.namespace(own)?;
    domain.spec.network.services.iter().find(|service| {
        let pods = match (&service.pod_selector, rule.pods()) {
            (None, _) => true,
            (Some(theirs), Some(named)) => {
                selector::implies(named, theirs) || selector::implies(theirs, named)
            }
            // The author allowed a whole namespace, but meant the service in it.
            (Some(_), None) => namespace != own,
        };
        service.direction.unwrap_or_default() == direction
            && service.namespace.as_deref() == Some(namespace)
            && pods
    })
}
