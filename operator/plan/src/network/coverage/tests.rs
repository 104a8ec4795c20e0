use serde_json::{Value, json};

use super::*;
use crate::{
    network,
    testing::{Scene, network_policy, spec},
    world::{
        PodFacts,
        objects::{self, is_our_policy},
    },
};

/// A Channel that `cc-front/ivr` reaches on 5061, and that reaches DNS.
fn scene() -> Scene {
    Scene::new()
        .channel("cc-front/voice", json!({"listeners": [{"name": "sips", "port": 5061, "endPort": 5063}], "accepts": [{"name": "ivr"}]}))
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
}

fn found(scene: &Scene) -> Vec<String> {
    let wanted = spec(&scene.plan("cc-front/voice"));
    widenings(scene.get("cc-front/voice"), &wanted, scene)
        .into_iter()
        .map(|one| format!("{} {}", one.policy, one.rule))
        .collect()
}

fn with(spec: Value) -> Vec<String> {
    found(&scene().policy("cc-front", network_policy("theirs", spec)))
}

fn from_ivr() -> Value {
    json!([{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cc-front"}},
        "podSelector": {"matchLabels": {"app": "ivr"}},
    }])
}

#[test]
fn what_opens_more_is_named_by_policy_and_rule() {
    let everybody = json!({"podSelector": {}, "ingress": [{}], "egress": [{}]});
    assert_eq!(with(everybody), ["theirs ingress[0]", "theirs egress[0]"]);
    let second = json!({
        "podSelector": {"matchLabels": {"app": "voice"}},
        "ingress": [{"from": from_ivr(), "ports": [{"port": 5061}]}, {"from": from_ivr(), "ports": [{"port": 22}]}],
    });
    assert_eq!(with(second), ["theirs ingress[1]"]);
}

#[test]
fn what_is_open_anyway_is_harmless() {
    for ports in [
        json!([{"port": 5061}]),
        json!([{"port": 5061, "protocol": "TCP"}]),
        json!([{"port": 5061, "endPort": 5063}]),
        json!([{"port": 5062}, {"port": 5063}]),
    ] {
        let rule = json!({"podSelector": {}, "ingress": [{"from": from_ivr(), "ports": ports}]});
        assert_eq!(with(rule.clone()), [""; 0], "{rule}");
    }
    assert_eq!(with(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})), [""; 0], "a deny");
}

#[test]
fn anything_beyond_is_not() {
    for (from, ports) in [
        (from_ivr(), json!(null)),
        (from_ivr(), json!([])),
        (from_ivr(), json!([{"protocol": "TCP"}])),
        (from_ivr(), json!([{"port": "sips"}])),
        (from_ivr(), json!([{"port": 5061, "endPort": 5064}])),
        (from_ivr(), json!([{"port": 5061, "protocol": "UDP"}])),
        (from_ivr(), json!([{"port": 5061, "protocol": "SCTP"}])),
        (json!([]), json!([{"port": 5061}])),
        (json!([{"podSelector": {}}]), json!([{"port": 5061}])),
        (json!([{"namespaceSelector": {}}]), json!([{"port": 5061}])),
        (json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]), json!([{"port": 5061}])),
    ] {
        let rule = json!({"podSelector": {}, "ingress": [{"from": from, "ports": ports}]});
        assert_eq!(with(rule.clone()), ["theirs ingress[0]"], "{rule}");
    }
}

#[test]
fn rules_of_a_direction_that_the_policy_does_not_govern_open_nothing() {
    let rules = json!({"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Egress"]});
    assert_eq!(with(rules), ["theirs egress[0]"]);
    let rules = json!({"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress"]});
    assert_eq!(with(rules), ["theirs ingress[0]"]);
}

#[test]
fn a_policy_counts_when_it_reaches_a_pod_of_the_channel() {
    let elsewhere = json!({"podSelector": {"matchLabels": {"tier": "edge"}}, "ingress": [{}]});
    assert_eq!(with(elsewhere.clone()), [""; 0], "no pod of this Channel is known to have that label");
    let scene = scene().policy("cc-front", network_policy("theirs", elsewhere));
    let both = [("app", "voice"), ("tier", "edge")];
    assert_eq!(found(&scene.clone().pod("cc-front/p", both)), ["theirs ingress[0]"]);
    assert_eq!(found(&scene.clone().pod("cc-front/p", [("tier", "edge")])), [""; 0], "not its pod");
    assert_eq!(found(&scene.clone().pod("cc-data/p", both)), [""; 0], "not its namespace");
    let ended = PodFacts { labels: crate::testing::labels(both), finished: true, ..PodFacts::default() };
    assert_eq!(found(&scene.pod_with("cc-front/p", ended)), [""; 0]);
}

#[test]
fn our_own_policies_are_not_foreign() {
    let scene = scene().in_force(&["cc-front/voice", "cc-front/ivr"]);
    let scene = scene.policy("cc-front", network::default_deny("cc-front", "oosterlinde"));
    assert_eq!(found(&scene), [""; 0]);
    assert!(scene.network_policies["cc-front"].values().all(PolicyFacts::is_ours));
    assert!(!is_our_policy(&network_policy("theirs", json!({}))));
    assert!(
        !is_our_policy(&network_policy("subrosa-channel-voice", json!({}))),
        "the name alone proves nothing"
    );
}

#[test]
fn a_policy_that_only_calls_itself_ours_is_reported() {
    let open = json!({"podSelector": {}, "ingress": [{}]});
    for name in ["subrosa-channel-gone", "subrosa-evil", "subrosa-default-deny", "subrosa-channel-ivr"] {
        let mut forged = network_policy(name, open.clone());
        forged.metadata.labels = Some(objects::channel_labels("voice"));
        let scene = scene().policy("cc-front", forged);
        assert_eq!(found(&scene), [format!("{name} ingress[0]")]);
    }
}
