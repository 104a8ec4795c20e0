//! A town's manifests, and what the plan makes of them.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _, civil::Date};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subrosa_crds::names::ChannelRef;
use subrosa_plan::{
    channel::{self, Scope},
    network,
    world::{NamespaceFacts, PodFacts, World, declaration::Declaration},
};

use crate::town::{Audience, Channel, Domain, Entry, Kind, Party, Place, Ports, Service, Town};

/// A Sunday at noon.
pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn read<T: DeserializeOwned>(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Arc<T> {
    let manifest = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {
            "name": name, "namespace": namespace,
            "uid": format!("uid-{}-{name}", namespace.unwrap_or(kind)), "creationTimestamp": "2026-11-01T00:00:00Z",
        },
    });
    Arc::new(serde_json::from_value(manifest).unwrap())
}

fn port(ports: &Ports) -> Value {
    let protocol = if ports.udp { "/UDP" } else { "" };
    match ports.first == ports.last {
        true if !ports.udp => json!(ports.first),
        true => json!(format!("{}{protocol}", ports.first)),
        false => json!(format!("{}-{}{protocol}", ports.first, ports.last)),
    }
}

fn entry(entry: &Entry, accepts: bool) -> Value {
    let mut value = json!({"name": entry.name});
    match entry.kind {
        Kind::Channel => {}
        Kind::Party => value["kind"] = json!("ExternalParty"),
        Kind::Service => value["kind"] = json!("Service"),
    }
    if let Some(namespace) = &entry.namespace {
        value["namespace"] = json!(namespace);
    }
    if let Some(channel) = &entry.channel {
        value["channel"] = json!(channel);
    }
    if !entry.listeners.is_empty() && (accepts || entry.kind == Kind::Channel) {
        value["listeners"] = json!(entry.listeners);
    }
    value
}

fn channel(channel: &Channel) -> Value {
    let selector = match channel.in_words {
        true => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": channel.apps}]}),
        false => json!({"matchLabels": {"app": channel.apps[0]}}),
    };
    let listeners: Vec<_> = channel
        .listeners
        .iter()
        .map(|listener| {
            let protocol = if listener.ports.udp { "UDP" } else { "TCP" };
            let mut value =
                json!({"name": listener.name, "port": listener.ports.first, "protocol": protocol});
            if listener.ports.last != listener.ports.first {
                value["endPort"] = json!(listener.ports.last);
            }
            value
        })
        .collect();
    let accepts: Vec<_> = channel.accepts.iter().map(|one| entry(one, true)).collect();
    let connects: Vec<_> = channel.connects_to.iter().map(|one| entry(one, false)).collect();
    let mut workload = json!({"selector": selector});
    let mut classes = Vec::new();
    if channel.seals {
        workload["serviceAccountName"] = json!(channel.name);
        classes.push(if channel.stalled { "unheard-of" } else { "call" });
    }
    json!({"workload": workload, "listeners": listeners, "accepts": accepts, "connectsTo": connects, "dataClasses": classes})
}

fn place(place: &Place, app: &str) -> Value {
    match place {
        Place::Ranges(ranges) => json!({"cidrs": ranges}),
        Place::Pods(namespace, None) => json!({"namespace": namespace}),
        Place::Pods(namespace, Some(name)) => {
            json!({"namespace": namespace, "podSelector": {"matchLabels": {app: name}}})
        }
    }
}

fn service(service: &Service) -> Value {
    let mut value = place(&service.at, "app");
    value["name"] = json!(service.name);
    value["direction"] = json!(if service.ingress { "Ingress" } else { "Egress" });
    value["ports"] = service.ports.iter().map(port).collect();
    value["for"] = json!(match service.audience {
        Audience::All => "All",
        Audience::Sealing => "Sealing",
        Audience::Named => "Named",
    });
    value
}

fn domain(domain: &Domain) -> Value {
    let dns = domain.dns.iter().map(|server| {
        let mut value = place(&server.at, "app");
        value["ports"] = json!(server.ports);
        value
    });
    json!({
        "organisation": {"name": "a hospital", "country": "NL"},
        "jurisdictions": ["NL"],
        "frameworks": if domain.hipaa { vec!["HIPAA"] } else { vec![] },
        "timeZone": "Europe/Amsterdam",
        "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
        "retentionPolicies": ["kept"],
        "network": {
            "clusterCIDRs": ["10.0.0.0/8"],
            "dns": dns.collect::<Vec<_>>(),
            "services": domain.services.iter().map(service).collect::<Vec<_>>(),
        },
    })
}

fn party(party: &Party) -> Value {
    let today: Date = "2026-11-22".parse().unwrap();
    let agreements = party.agreements.iter().map(|(kind, days)| {
        json!({"type": kind, "validUntil": today.checked_add(days.days()).unwrap().to_string()})
    });
    let consents = party.consents.iter().map(|consent| {
        json!({
            "namespace": consent.namespace, "name": consent.channel,
            "direction": if consent.ingress { "Ingress" } else { "Egress" },
            "ports": consent.ports.iter().map(port).collect::<Vec<_>>(),
        })
    });
    json!({
        "role": if party.processor { "Processor" } else { "Carrier" },
        "addresses": {"cidrs": party.ranges},
        "tls": {"mode": "OneWay"},
        "agreements": agreements.collect::<Vec<_>>(),
        "channels": consents.collect::<Vec<_>>(),
    })
}

/// The world as the operator would see it.
pub fn world(town: &Town) -> World {
    let mut world = World::default();
    for one in &town.domains {
        world.domains.insert(one.name.clone(), read("TrustDomain", None, &one.name, domain(one)));
    }
    for one in &town.namespaces {
        let facts = NamespaceFacts {
            uid: format!("uid-{}", one.name),
            trust_domain: one.domain.clone(),
            terminating: false,
        };
        world.namespaces.insert(one.name.clone(), facts);
    }
    for one in &town.parties {
        world.parties.insert(one.name.clone(), read("ExternalParty", None, &one.name, party(one)));
    }
    for one in &town.channels {
        let object = read("Channel", Some(&one.namespace), &one.name, channel(one));
        world.put_channel(&ChannelRef::new(&one.namespace, &one.name), Some(Declaration::of(object)));
    }
    for (number, one) in town.pods.iter().enumerate() {
        let facts = PodFacts { labels: one.labels.clone(), ..PodFacts::default() };
        world.pods.entry(one.namespace.clone()).or_default().insert(format!("pod-{number}"), facts);
    }
    let kept = json!({"classes": [{"name": "call", "keep": "90d"}]});
    world.retention.insert("kept".into(), read("RetentionPolicy", None, "kept", kept));
    world
}

/// The policies that would be there: a default deny in every governed namespace, and one of every
/// Channel whose plan is made in full.
pub fn policies(world: &World) -> Vec<NetworkPolicy> {
    let mut policies = Vec::new();
    for (namespace, facts) in &world.namespaces {
        if let Some(domain) = &facts.trust_domain {
            policies.push(network::default_deny(namespace, domain));
        }
    }
    for channel in world.all_channels() {
        match channel::plan(channel, world, None, now()) {
            Ok(plan) if plan.scope == Scope::Full => policies.push(plan.policy),
            Ok(_) | Err(_) => {}
        }
    }
    policies
}
