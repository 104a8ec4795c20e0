//! Random towns. Names and labels come from few words, so that they meet across namespaces.

use std::collections::BTreeMap;

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::town::{
    Audience, Channel, Consent, Dns, Domain, End, Entry, Kind, Listener, Namespace, Party, Place, Pod, Ports,
    Question, Service, Town,
};

const NAMESPACES: [&str; 4] = ["front", "data", "web", "loose"];
const NAMES: [&str; 4] = ["voice", "ivr", "db", "chat"];
const LISTENERS: [&str; 3] = ["x", "y", "z"];
/// Addresses outside, each with a range or two that hold it.
const OUTSIDERS: [(&str, &[&str]); 5] = [
    ("203.0.113.5", &["203.0.113.0/28", "203.0.113.5/32"]),
    ("203.0.113.20", &["203.0.113.16/28"]),
    ("198.51.100.7", &["198.51.100.0/24"]),
    ("2001:db8:5::7", &["2001:db8:5::/48"]),
    ("2001:db8:6::7", &["2001:db8:6::/64"]),
];
const API_SERVER: &str = "10.0.0.1";

fn chance(random: &mut StdRng, percent: u32) -> bool {
    random.random_range(0..100) < percent
}

fn pick<'a, T>(random: &mut StdRng, from: &'a [T]) -> &'a T {
    from.choose(random).unwrap()
}

fn word(random: &mut StdRng, from: &[&str]) -> String {
    (*pick(random, from)).to_owned()
}

fn ports(random: &mut StdRng) -> Ports {
    let first = random.random_range(1..40);
    let length = if chance(random, 35) { random.random_range(1..8) } else { 0 };
    Ports { udp: chance(random, 35), first, last: first + length }
}

pub fn town(random: &mut StdRng) -> Town {
    let mut town = Town::default();
    for name in NAMESPACES {
        let domain = match random.random_range(0..10) {
            _ if name == "loose" => None,
            0 => Some("other"),
            _ => Some("hospital"),
        };
        town.namespaces.push(Namespace { name: name.into(), domain: domain.map(str::to_owned) });
    }
    for name in ["kube-system", "monitoring"] {
        town.namespaces.push(Namespace { name: name.into(), domain: None });
    }
    for namespace in NAMESPACES {
        for name in NAMES {
            if chance(random, 45) {
                town.channels.push(channel(random, namespace, name));
            }
        }
    }
    consent(random, &mut town);
    // The API server admits no entry that names a listener of nobody.
    for channel in &mut town.channels {
        let own: Vec<_> = channel.listeners.iter().map(|listener| &listener.name).collect();
        for entry in &mut channel.accepts {
            entry.listeners.retain(|name| own.contains(&name));
        }
    }
    for name in ["hospital", "other"] {
        town.domains.push(domain(random, name));
    }
    for name in ["carrier", "lab"] {
        if chance(random, 80) {
            let one = party(random, name, &town);
            town.parties.push(one);
        }
    }
    people(random, &mut town);
    town
}

fn channel(random: &mut StdRng, namespace: &str, name: &str) -> Channel {
    let mut listeners: Vec<Listener> = Vec::new();
    for name in LISTENERS {
        let ports = ports(random);
        let overlaps = |one: &Listener| {
            one.ports.udp == ports.udp && one.ports.first <= ports.last && ports.first <= one.ports.last
        };
        if chance(random, 60) && !listeners.iter().any(overlaps) {
            listeners.push(Listener { name: name.into(), ports });
        }
    }
    let mut apps = vec![name.to_owned()];
    if chance(random, 15) {
        apps.push(format!("{name}-canary"));
    }
    let seals = chance(random, 40);
    Channel {
        namespace: namespace.into(),
        name: name.into(),
        in_words: apps.len() > 1 || chance(random, 15),
        apps,
        accepts: entries(random),
        connects_to: entries(random),
        listeners,
        seals,
        stalled: seals && chance(random, 15),
    }
}

fn entries(random: &mut StdRng) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..random.random_range(0..5) {
        let (kind, name) = match random.random_range(0..10) {
            0 | 1 => (Kind::Party, word(random, &["carrier", "lab"])),
            2 | 3 => (Kind::Service, word(random, &["vault", "prometheus", "api"])),
            _ => (Kind::Channel, word(random, &NAMES)),
        };
        let mut entry = Entry { name, kind, namespace: None, channel: None, listeners: chosen(random) };
        if kind == Kind::Channel {
            entry.namespace = chance(random, 50).then(|| word(random, &NAMESPACES));
            if chance(random, 15) {
                entry.channel = Some(entry.name.clone());
                entry.name = word(random, &["one", "two"]);
            }
        }
        if !entries.iter().any(|one| one.name == entry.name) {
            entries.push(entry);
        }
    }
    entries
}

fn chosen(random: &mut StdRng) -> Vec<String> {
    if chance(random, 60) { Vec::new() } else { vec![word(random, &LISTENERS), word(random, &LISTENERS)] }
}

/// By chance alone two ends seldom name each other: most of those that are named answer.
fn consent(random: &mut StdRng, town: &mut Town) {
    let channels = town.channels.clone();
    for from in &channels {
        for (entry, accepts) in
            from.accepts.iter().map(|one| (one, true)).chain(from.connects_to.iter().map(|one| (one, false)))
        {
            let namespace = entry.namespace.as_ref().unwrap_or(&from.namespace);
            let name = entry.channel.as_ref().unwrap_or(&entry.name);
            let answer = Entry {
                name: format!("{}-{}", from.namespace, from.name),
                kind: Kind::Channel,
                namespace: Some(from.namespace.clone()),
                channel: Some(from.name.clone()),
                listeners: chosen(random),
            };
            let peer = town.channels.iter_mut().find(|one| one.namespace == *namespace && one.name == *name);
            if let Some(peer) = peer.filter(|_| entry.kind == Kind::Channel && chance(random, 70)) {
                let list = if accepts { &mut peer.connects_to } else { &mut peer.accepts };
                if !list.iter().any(|one| one.name == answer.name) {
                    list.push(answer);
                }
            }
        }
    }
}

fn domain(random: &mut StdRng, name: &str) -> Domain {
    let mut services = Vec::new();
    for name in ["vault", "prometheus", "api"] {
        if chance(random, 75) {
            let ingress = if name == "prometheus" { chance(random, 80) } else { chance(random, 20) };
            let none = ingress && chance(random, 40);
            let ports = if none { Vec::new() } else { vec![ports(random), ports(random)] };
            let audience =
                *pick(random, &[Audience::All, Audience::Sealing, Audience::Named, Audience::Named]);
            services.push(Service { name: name.into(), at: place(random), ingress, ports, audience });
        }
    }
    let dns = match random.random_range(0..4) {
        0 => vec![Dns { at: place(random), ports: vec![53, 5353] }],
        1 => vec![
            Dns { at: Place::Pods("kube-system".into(), Some("dns".into())), ports: vec![53] },
            Dns { at: Place::Ranges(vec!["10.0.0.0/24".into()]), ports: vec![53] },
        ],
        _ => Vec::new(),
    };
    Domain { name: name.into(), hipaa: chance(random, 30), services, dns }
}

fn place(random: &mut StdRng) -> Place {
    match random.random_range(0..6) {
        0 => Place::Ranges(vec![format!("{API_SERVER}/32")]),
        1 => Place::Ranges(vec![word(random, &["10.244.0.0/16", "10.244.1.0/24", "198.51.100.0/24"])]),
        2 => Place::Pods(word(random, &NAMESPACES), None),
        3 => Place::Pods(word(random, &NAMESPACES), Some(word(random, &["ingress", "voice", "stray"]))),
        _ => Place::Pods("monitoring".into(), chance(random, 70).then(|| "prometheus".into())),
    }
}

fn party(random: &mut StdRng, name: &str, town: &Town) -> Party {
    let mut ranges: Vec<String> = Vec::new();
    for _ in 0..random.random_range(1..3) {
        let (_, known) = pick(random, &OUTSIDERS);
        let range = if chance(random, 95) { word(random, known) } else { "10.244.0.0/24".into() };
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    let mut agreements = Vec::new();
    for (kind, percent) in [("DPA", 75), ("BAA", 60), ("SLA", 20)] {
        if chance(random, percent) {
            let days = *pick(random, &[-400, -1, 0, 0, 1, 30, 30, 400, 400, 400, 400]);
            agreements.push((kind.to_owned(), days));
        }
    }
    // Mostly for Channels that name the party.
    let mut consents: Vec<Consent> = Vec::new();
    for channel in &town.channels {
        for (list, ingress) in [(&channel.accepts, true), (&channel.connects_to, false)] {
            let named = list.iter().any(|entry| entry.kind == Kind::Party && entry.name == name);
            if chance(random, if named { 85 } else { 4 }) {
                let mut agreed = vec![ports(random)];
                if ingress && let Some(listener) = channel.listeners.first() {
                    agreed.push(listener.ports);
                }
                consents.push(Consent {
                    namespace: channel.namespace.clone(),
                    channel: channel.name.clone(),
                    ingress,
                    ports: agreed,
                });
            }
        }
    }
    Party { name: name.into(), ranges, processor: chance(random, 50), agreements, consents }
}

/// Pods of Channels and of nobody, and who is outside.
fn people(random: &mut StdRng, town: &mut Town) {
    let names: Vec<String> = town.namespaces.iter().map(|namespace| namespace.name.clone()).collect();
    for (number, namespace) in names.iter().enumerate() {
        let mut apps: Vec<String> = match namespace.as_str() {
            "kube-system" => vec!["dns".into()],
            "monitoring" => vec!["prometheus".into(), "voice".into()],
            _ => vec![word(random, &["stray", "ingress"])],
        };
        for channel in town.channels.iter().filter(|channel| channel.namespace == *namespace) {
            apps.extend(channel.apps.iter().cloned());
            if chance(random, 50) {
                apps.push(channel.name.clone());
            }
        }
        for (index, app) in apps.into_iter().enumerate() {
            let mut labels = BTreeMap::from([("app".to_owned(), app.clone())]);
            if app == "dns" {
                labels.insert("k8s-app".into(), "kube-dns".into());
            }
            if chance(random, 30) {
                labels.insert("tier".into(), "edge".into());
            }
            let address = format!("10.244.{number}.{}", index + 1).parse().unwrap();
            town.pods.push(Pod { namespace: namespace.clone(), labels, address });
        }
    }
    town.outsiders = OUTSIDERS.iter().map(|(address, _)| address.parse().unwrap()).collect();
    town.outsiders.push(API_SERVER.parse().unwrap());
}

fn governed(town: &Town, end: &End<'_>) -> bool {
    matches!(end, End::Pod(pod) if town.domain_of(&pod.namespace).is_some())
}

/// Every pair of ends, asked on a few ports: where ranges begin and end, just beside, and DNS.
pub fn questions<'a>(town: &'a Town, random: &mut StdRng) -> Vec<Question<'a>> {
    let pods = town.pods.iter().map(End::Pod);
    let ends: Vec<End<'a>> = pods.chain(town.outsiders.iter().map(|one| End::Outside(*one))).collect();
    let domains = town.domains.iter();
    let services: Vec<Ports> =
        domains.flat_map(|domain| &domain.services).flat_map(|service| service.ports.clone()).collect();
    let mut questions = Vec::new();
    for from in &ends {
        for to in &ends {
            let outside = matches!((from, to), (End::Outside(_), End::Outside(_)));
            if outside || from.address() == to.address() {
                continue;
            }
            // Where nothing is governed there is little to ask.
            if !governed(town, from) && !governed(town, to) && chance(random, 95) {
                continue;
            }
            let mut known: Vec<Ports> = services.clone();
            for channel in &town.channels {
                if matches!(to, End::Pod(pod) if pod.namespace == channel.namespace && channel.apps.contains(&pod.labels["app"]))
                {
                    // Three times: most of what is asked should be what somebody offers.
                    for _ in 0..3 {
                        known.extend(channel.listeners.iter().map(|listener| listener.ports));
                    }
                }
            }
            if matches!(to, End::Outside(_)) {
                known.extend(
                    town.parties.iter().flat_map(|party| &party.consents).flat_map(|one| one.ports.clone()),
                );
            }
            let offers = known.len() > services.len();
            known.push(Ports { udp: false, first: 53, last: 53 });
            // A pod that offers something is asked about it more often than one that does not.
            for _ in 0..if offers { 2 } else { 1 } {
                let ports = *pick(random, &known);
                let beside = [
                    ports.first,
                    ports.last,
                    ports.last,
                    ports.first.saturating_sub(1).max(1),
                    ports.last + 1,
                ];
                let udp = if ports.first == 53 || chance(random, 8) { chance(random, 50) } else { ports.udp };
                questions.push(Question { from: *from, to: *to, port: *pick(random, &beside), udp });
            }
        }
    }
    questions
}
