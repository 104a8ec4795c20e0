//! Network policies as a person would tell them.

use std::collections::BTreeSet;

use k8s_openapi::{api::networking::v1::NetworkPolicySpec, apimachinery::pkg::util::intstr::IntOrString};
use serde_json::{Value, json};

/// What a policy opens beside DNS, one text a rule, such as `from cc-front:app=portal TCP/5432`.
pub fn opened(spec: &NetworkPolicySpec) -> BTreeSet<String> {
    let value = serde_json::to_value(spec).unwrap();
    let mut found = BTreeSet::new();
    for (rules, peers, word) in [("ingress", "from", "from"), ("egress", "to", "to")] {
        for rule in value[rules].as_array().into_iter().flatten() {
            let ports: Vec<_> = rule["ports"].as_array().into_iter().flatten().map(port).collect();
            if ports == ["UDP/53", "TCP/53"] {
                continue;
            }
            let peers: Vec<_> = rule[peers].as_array().into_iter().flatten().map(peer).collect();
            found.insert(format!("{word} {} {}", text(&peers), text(&ports)));
        }
    }
    found
}

fn text(parts: &[String]) -> String {
    if parts.is_empty() { "anything".to_owned() } else { parts.join(",") }
}

fn port(port: &Value) -> String {
    let end = port["endPort"].as_i64().map(|end| format!("-{end}")).unwrap_or_default();
    format!("{}/{}{end}", port["protocol"].as_str().unwrap_or("TCP"), port["port"])
}

fn peer(peer: &Value) -> String {
    if let Some(cidr) = peer["ipBlock"]["cidr"].as_str() {
        return cidr.to_owned();
    }
    let namespace = &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
    let labels = peer["podSelector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let labels: Vec<_> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
    format!("{}:{}", namespace.as_str().unwrap_or("*"), labels.join("&"))
}

/// An address range for [`NetworkPolicySpec`] rules written by others.
pub fn tcp(port: u16) -> Value {
    json!({"protocol": "TCP", "port": IntOrString::Int(port.into())})
}
