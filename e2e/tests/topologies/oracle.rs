//! Who may talk to whom, read naively from what was declared. It shares no code with the plan: what it
//! says is the contract in its own words.

use std::net::IpAddr;

use crate::town::{
    Audience, Channel, Domain, End, Entry, Kind, Listener, Party, Place, Ports, Question, Service, Town,
};

/// Why each end lets it pass; none where one of them does not.
pub fn allows(town: &Town, question: Question<'_>) -> Option<(&'static str, &'static str)> {
    Some((may_leave(town, question)?, may_enter(town, question)?))
}

fn may_leave(town: &Town, question: Question<'_>) -> Option<&'static str> {
    match question.from {
        End::Outside(_) => Some("from outside"),
        End::Pod(pod) if town.domain_of(&pod.namespace).is_none() => Some("from an ungoverned pod"),
        End::Pod(_) => {
            owners(town, question.from).find_map(|channel| declares_leaving(town, channel, question))
        }
    }
}

fn may_enter(town: &Town, question: Question<'_>) -> Option<&'static str> {
    match question.to {
        End::Outside(_) => Some("to outside"),
        End::Pod(pod) if town.domain_of(&pod.namespace).is_none() => Some("to an ungoverned pod"),
        End::Pod(_) => {
            owners(town, question.to).find_map(|channel| declares_entering(town, channel, question))
        }
    }
}

/// The Channels whose declaration is in force for a pod.
fn owners<'a>(town: &'a Town, end: End<'a>) -> impl Iterator<Item = &'a Channel> {
    town.channels.iter().filter(move |channel| !channel.stalled && is_pod_of(end, channel))
}

fn is_pod_of(end: End<'_>, channel: &Channel) -> bool {
    match end {
        End::Pod(pod) => {
            pod.namespace == channel.namespace
                && pod.labels.get("app").is_some_and(|app| channel.apps.contains(app))
        }
        End::Outside(_) => false,
    }
}

fn declares_leaving(town: &Town, client: &Channel, question: Question<'_>) -> Option<&'static str> {
    let domain = town.domain_of(&client.namespace)?;
    for entry in &client.connects_to {
        if let Some(server) = channel_named(town, client, entry)
            && is_pod_of(question.to, server)
            && both_declare(town, client, server, question)
        {
            return Some("to a Channel");
        }
        if let Some(party) = party_named(town, entry)
            && in_order(party, domain)
            && party_consents(party, client, false, question)
            && within_any(&party.ranges, question.to.address())
        {
            return Some("to a party");
        }
        if let Some(service) = service_named(domain, entry)
            && for_whom(service, client)
            && !service.ingress
            && in_ports(&service.ports, question)
            && at(&service.at, question.to)
        {
            return Some("to a named service");
        }
    }
    if is_pod_of(question.to, client) && replicas_talk(client, question) {
        return Some("to a replica");
    }
    for service in domain.services.iter().filter(|service| unasked(service, client) && !service.ingress) {
        if in_ports(&service.ports, question) && at(&service.at, question.to) {
            return Some("to a service for all");
        }
    }
    let usual =
        [crate::town::Dns { at: Place::Pods("kube-system".into(), Some("dns".into())), ports: vec![53] }];
    let dns = if domain.dns.is_empty() { &usual[..] } else { &domain.dns };
    dns.iter()
        .any(|server| server.ports.contains(&question.port) && at(&server.at, question.to))
        .then_some("to DNS")
}

fn declares_entering(town: &Town, server: &Channel, question: Question<'_>) -> Option<&'static str> {
    let domain = town.domain_of(&server.namespace)?;
    for entry in &server.accepts {
        if let Some(client) = channel_named(town, server, entry)
            && is_pod_of(question.from, client)
            && both_declare(town, client, server, question)
        {
            return Some("from a Channel");
        }
        if let Some(party) = party_named(town, entry)
            && in_order(party, domain)
            && party_consents(party, server, true, question)
            && chosen_listener(server, entry, question)
            && within_any(&party.ranges, question.from.address())
        {
            return Some("from a party");
        }
        if let Some(service) = service_named(domain, entry)
            && for_whom(service, server)
            && service.ingress
            && (service.ports.is_empty() || in_ports(&service.ports, question))
            && chosen_listener(server, entry, question)
            && at(&service.at, question.from)
        {
            return Some("from a named service");
        }
    }
    if is_pod_of(question.from, server) && replicas_talk(server, question) {
        return Some("from a replica");
    }
    for service in domain.services.iter().filter(|service| unasked(service, server) && service.ingress) {
        let listeners: Vec<Ports> = server.listeners.iter().map(|listener| listener.ports).collect();
        let ports = if service.ports.is_empty() { &listeners } else { &service.ports };
        if in_ports(ports, question) && at(&service.at, question.from) {
            return Some("from a service for all");
        }
    }
    None
}

/// Both ends name each other and the listener that has this port, in one trust domain.
fn both_declare(town: &Town, client: &Channel, server: &Channel, question: Question<'_>) -> bool {
    let names = |entry: &Entry, by: &Channel, whom: &Channel| {
        channel_named(town, by, entry)
            .is_some_and(|named| named.namespace == whom.namespace && named.name == whom.name)
    };
    let same_domain = match (town.domain_of(&client.namespace), town.domain_of(&server.namespace)) {
        (Some(one), Some(other)) => one.name == other.name,
        _ => false,
    };
    let different = client.namespace != server.namespace || client.name != server.name;
    let in_force = !client.stalled && !server.stalled;
    same_domain
        && different
        && in_force
        && server.listeners.iter().any(|listener| {
            has(listener.ports, question)
                && client
                    .connects_to
                    .iter()
                    .any(|entry| names(entry, client, server) && chooses(entry, listener))
                && server.accepts.iter().any(|entry| names(entry, server, client) && chooses(entry, listener))
        })
}

/// A Channel that names itself, in either list, is both ends.
fn replicas_talk(channel: &Channel, question: Question<'_>) -> bool {
    channel.accepts.iter().chain(&channel.connects_to).any(|entry| {
        entry.kind == Kind::Channel
            && entry.namespace.as_ref().is_none_or(|namespace| *namespace == channel.namespace)
            && entry.channel.as_ref().unwrap_or(&entry.name) == &channel.name
            && chosen_listener(channel, entry, question)
    })
}

fn channel_named<'a>(town: &'a Town, by: &Channel, entry: &Entry) -> Option<&'a Channel> {
    let namespace = entry.namespace.as_ref().unwrap_or(&by.namespace);
    let name = entry.channel.as_ref().unwrap_or(&entry.name);
    let mut channels = town.channels.iter().filter(|_| entry.kind == Kind::Channel);
    channels.find(|channel| channel.namespace == *namespace && channel.name == *name)
}

fn party_named<'a>(town: &'a Town, entry: &Entry) -> Option<&'a Party> {
    town.parties.iter().find(|party| entry.kind == Kind::Party && party.name == entry.name)
}

fn service_named<'a>(domain: &'a Domain, entry: &Entry) -> Option<&'a Service> {
    domain.services.iter().find(|service| entry.kind == Kind::Service && service.name == entry.name)
}

/// A Processor has a DPA, under HIPAA a BAA too, and nothing that was agreed has ended.
fn in_order(party: &Party, domain: &Domain) -> bool {
    let has = |kind: &str| party.agreements.iter().any(|(agreed, _)| agreed == kind);
    let agreed = !party.processor || (has("DPA") && (!domain.hipaa || has("BAA")));
    let inside = party.ranges.iter().any(|range| range.starts_with("10."));
    agreed && !inside && party.agreements.iter().all(|(_, days)| *days >= 0)
}

fn party_consents(party: &Party, channel: &Channel, ingress: bool, question: Question<'_>) -> bool {
    party.consents.iter().any(|consent| {
        consent.namespace == channel.namespace
            && consent.channel == channel.name
            && consent.ingress == ingress
            && in_ports(&consent.ports, question)
    })
}

fn for_whom(service: &Service, channel: &Channel) -> bool {
    service.audience != Audience::Sealing || channel.seals
}

fn unasked(service: &Service, channel: &Channel) -> bool {
    service.audience == Audience::All || (service.audience == Audience::Sealing && channel.seals)
}

fn chosen_listener(channel: &Channel, entry: &Entry, question: Question<'_>) -> bool {
    channel.listeners.iter().any(|listener| has(listener.ports, question) && chooses(entry, listener))
}

fn chooses(entry: &Entry, listener: &Listener) -> bool {
    entry.listeners.is_empty() || entry.listeners.contains(&listener.name)
}

fn in_ports(ports: &[Ports], question: Question<'_>) -> bool {
    ports.iter().any(|ports| has(*ports, question))
}

fn has(ports: Ports, question: Question<'_>) -> bool {
    ports.udp == question.udp && ports.first <= question.port && question.port <= ports.last
}

fn at(place: &Place, end: End<'_>) -> bool {
    match (place, end) {
        (Place::Ranges(ranges), end) => within_any(ranges, end.address()),
        (Place::Pods(namespace, app), End::Pod(pod)) => {
            pod.namespace == *namespace && app.as_ref().is_none_or(|app| pod.labels.get("app") == Some(app))
        }
        (Place::Pods(..), End::Outside(_)) => false,
    }
}

fn within_any(ranges: &[String], address: IpAddr) -> bool {
    ranges.iter().any(|range| within(range, address))
}

fn within(range: &str, address: IpAddr) -> bool {
    let (network, bits) = range.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (network.parse().unwrap(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - bits;
            bits == 0 || u32::from(network) >> shift == u32::from(address) >> shift
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128 - bits;
            bits == 0 || u128::from(network) >> shift == u128::from(address) >> shift
        }
        _ => false,
    }
}
