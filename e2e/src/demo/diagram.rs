//! Who may talk to whom, drawn from what both ends' status says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kube::ResourceExt as _;
use subrosa_crds::{
    Channel, TrustDomain, channel::PeerKind, names::ChannelRef, trust_domain::ServiceAudience,
};

/// An end of a connection; the outside is drawn first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Party(String),
    Service(String),
    Channel(ChannelRef),
}

impl End {
    fn is_channel(&self) -> bool {
        matches!(self, Self::Channel(_))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(name) => write!(f, "{name}"),
            Self::Party(name) => write!(f, "({name}, outside)"),
            Self::Service(name) => write!(f, "[{name}, a service]"),
        }
    }
}

/// Who connects where, on what. An edge between two Channels needs both to say that it is open.
type Edges = BTreeMap<End, BTreeMap<End, String>>;

/// Draws the open connections as trees, from the outside and from Channels to which nobody connects;
/// a Channel's own connections are drawn where it first appears.
pub fn draw(channels: &[Channel], domain: &TrustDomain) -> String {
    let edges = edges(channels);
    let targets: BTreeSet<&End> =
        edges.values().flat_map(BTreeMap::keys).filter(|end| end.is_channel()).collect();
    let mut text = String::new();
    let mut drawn = BTreeSet::new();
    let roots = edges.keys().filter(|end| !targets.contains(end));
    // A ring has no beginning: whatever is left begins somewhere.
    for root in roots.chain(edges.keys()) {
        if !drawn.contains(root) {
            text.push_str(&format!("{root}\n"));
            branches(&edges, root, "", &mut drawn, &mut text);
        }
    }
    let count: usize = edges.values().map(BTreeMap::len).sum();
    text.push_str(&format!("{count} declared connections are open. {}\n", besides(domain)));
    text
}

/// What the network policies allow to Channels that declare nothing.
fn besides(domain: &TrustDomain) -> String {
    let named = |audience| {
        let services = domain.spec.network.services.iter().filter(|service| service.for_ == audience);
        services.map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (all, sealing) = (named(ServiceAudience::All), named(ServiceAudience::Sealing));
    let mut text = "Besides them every Channel reaches DNS".to_owned();
    if !all.is_empty() {
        text.push_str(&format!(", {all}"));
    }
    if !sealing.is_empty() {
        text.push_str(&format!("; those that seal data reach {sealing}"));
    }
    text + "."
}

fn branches(edges: &Edges, end: &End, indent: &str, drawn: &mut BTreeSet<End>, text: &mut String) {
    drawn.insert(end.clone());
    let Some(targets) = edges.get(end) else { return };
    let width = targets.values().map(|on| on.chars().count()).max().unwrap_or_default();
    for (index, (target, on)) in targets.iter().enumerate() {
        let last = index + 1 == targets.len();
        let line = "─".repeat(width.saturating_sub(on.chars().count()));
        let above = drawn.contains(target) && target.is_channel() && edges.contains_key(target);
        let note = match (target == end, above) {
            (true, _) => " (its replicas)",
            (false, true) => " (see above)",
            (false, false) => "",
        };
        text.push_str(&format!("{indent}{} {on} {line}─▶ {target}{note}\n", if last { "└─" } else { "├─" }));
        if !above && target != end && target.is_channel() {
            let bar = if last { " " } else { "│" };
            branches(edges, target, &format!("{indent}{bar}{}", " ".repeat(width + 6)), drawn, text);
        }
    }
}

fn edges(channels: &[Channel]) -> Edges {
    let mut outgoing: BTreeMap<(End, End), String> = BTreeMap::new();
    let mut incoming = outgoing.clone();
    for channel in channels {
        let (spec, status) = (&channel.spec, channel.status.clone().unwrap_or_default());
        let own = ChannelRef::new(channel.namespace().unwrap_or_default(), channel.name_any());
        for connection in status.connections.iter().filter(|connection| connection.state == "Open") {
            let ingress = connection.direction == "Ingress";
            let entries = if ingress { &spec.accepts } else { &spec.connects_to };
            let Some(entry) = entries.iter().find(|entry| entry.name == connection.name) else { continue };
            let other = match entry.kind() {
                PeerKind::Channel => {
                    End::Channel(ChannelRef::new(entry.namespace_or(&own.namespace), entry.channel_name()))
                }
                PeerKind::ExternalParty => End::Party(entry.name.clone()),
                PeerKind::Service => End::Service(entry.name.clone()),
            };
            let on = connection.listeners.join(", ");
            let own = End::Channel(own.clone());
            match ingress {
                true => incoming.insert((other, own), on),
                false => outgoing.insert((own, other), on),
            };
        }
    }
    let mut edges = Edges::new();
    for ((from, to), on) in &outgoing {
        let agreed = match to {
            // To oneself one declaration is the consent of both.
            End::Channel(_) => from == to || incoming.contains_key(&(from.clone(), to.clone())),
            End::Party(_) | End::Service(_) => true,
        };
        if agreed {
            edges.entry(from.clone()).or_default().insert(to.clone(), on.clone());
        }
    }
    for ((from, to), on) in &incoming {
        if !matches!(from, End::Channel(_)) || from == to {
            edges.entry(from.clone()).or_default().insert(to.clone(), on.clone());
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn channel(name: &str, spec: Value, connections: Value) -> Channel {
        let mut spec = spec;
        spec["workload"] = json!({"selector": {"matchLabels": {"app": name}}});
        serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": {"connections": connections},
        }))
        .unwrap()
    }

    fn domain(services: Value) -> TrustDomain {
        serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": "t"},
            "spec": {
                "organisation": {"name": "T", "country": "NL"}, "jurisdictions": ["NL"], "retentionPolicies": ["r"],
                "vault": {"address": "https://v", "auth": {"kubernetes": {}}},
                "network": {"clusterCIDRs": ["10.0.0.0/8"], "services": services},
            },
        }))
        .unwrap()
    }

    fn quiet() -> TrustDomain {
        domain(json!([]))
    }

    fn open(name: &str, direction: &str, on: &str) -> Value {
        json!({"name": name, "direction": direction, "state": "Open", "listeners": [on]})
    }

    #[test]
    fn trees_begin_outside_and_end_with_a_count() {
        let channels = [
            channel(
                "sbc",
                json!({"accepts": [{"name": "carrier", "kind": "ExternalParty"}],
                       "connectsTo": [{"name": "db"}, {"name": "ivr"}]}),
                json!([
                    open("carrier", "Ingress", "sips"),
                    open("db", "Egress", "sql"),
                    open("ivr", "Egress", "sips")
                ]),
            ),
            channel(
                "ivr",
                json!({"accepts": [{"name": "sbc"}], "connectsTo": [{"name": "db"}]}),
                json!([open("sbc", "Ingress", "sips"), open("db", "Egress", "sql")]),
            ),
            channel(
                "db",
                json!({"accepts": [{"name": "db"}, {"name": "ivr"}, {"name": "sbc"}],
                       "connectsTo": [{"name": "archive", "kind": "Service"}]}),
                json!([
                    open("db", "Ingress", "sql"),
                    open("ivr", "Ingress", "sql"),
                    open("sbc", "Ingress", "sql"),
                    open("archive", "Egress", "443/TCP")
                ]),
            ),
        ];
        let wanted = "\
(carrier, outside)
└─ sips ─▶ n/sbc
           ├─ sql ──▶ n/db
           │          ├─ 443/TCP ─▶ [archive, a service]
           │          └─ sql ─────▶ n/db (its replicas)
           └─ sips ─▶ n/ivr
                      └─ sql ─▶ n/db (see above)
6 declared connections are open. Besides them every Channel reaches DNS.
";
        assert_eq!(draw(&channels, &quiet()), wanted);
    }

    #[test]
    fn one_end_alone_opens_nothing() {
        let closed = json!([{"name": "a", "direction": "Ingress", "state": "AwaitingConsent"}]);
        let channels = [
            channel("a", json!({"connectsTo": [{"name": "b"}]}), json!([open("b", "Egress", "x")])),
            channel("b", json!({"accepts": [{"name": "a"}]}), closed),
        ];
        assert!(draw(&channels, &quiet()).starts_with("0 declared connections"));
    }

    #[test]
    fn a_ring_is_drawn_once() {
        let both = |name: &str, other: &str| {
            channel(
                name,
                json!({"accepts": [{"name": other}], "connectsTo": [{"name": other}]}),
                json!([open(other, "Ingress", "x"), open(other, "Egress", "x")]),
            )
        };
        let text = draw(&[both("a", "b"), both("b", "a")], &quiet());
        let wanted = "n/a\n└─ x ─▶ n/b\n        └─ x ─▶ n/a (see above)\n2 declared";
        assert!(text.starts_with(wanted), "{text}");
    }

    /// What flows out to a party and what it sends in are two things.
    #[test]
    fn the_outside_does_not_pass_on() {
        let channels = [
            channel(
                "in",
                json!({"accepts": [{"name": "carrier", "kind": "ExternalParty"}]}),
                json!([open("carrier", "Ingress", "sips")]),
            ),
            channel(
                "out",
                json!({"connectsTo": [{"name": "carrier", "kind": "ExternalParty"}]}),
                json!([open("carrier", "Egress", "443/TCP")]),
            ),
        ];
        let wanted = "\
(carrier, outside)
└─ sips ─▶ n/in
n/out
└─ 443/TCP ─▶ (carrier, outside)
2 declared connections are open. Besides them every Channel reaches DNS.
";
        assert_eq!(draw(&channels, &quiet()), wanted);
    }

    #[test]
    fn what_nobody_declares_and_is_open_is_said() {
        let service = |name: &str, audience: &str| json!({"name": name, "namespace": name, "ports": [1], "for": audience});
        let services =
            json!([service("vault", "Sealing"), service("metrics", "All"), service("ingress", "Named")]);
        let text = draw(&[], &domain(services));
        assert!(text.ends_with("reaches DNS, metrics; those that seal data reach vault.\n"), "{text}");
    }
}
