use serde_json::{Value, json};

use super::*;
use crate::testing::{DOMAIN, Scene, edited, network_policy, read, spec};

/// A hospital's front: peers, a party, services, DNS, replicas of itself.
fn hospital() -> Scene {
    Scene::new()
        .domain(
            DOMAIN,
            json!({"network": {
                "dns": [
                    {"namespace": "kube-system", "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}},
                    {"cidrs": ["169.254.20.10/32"], "ports": [53, 5353]},
                ],
                "services": [
                    {"name": "vault", "namespace": "security", "podSelector": {"matchLabels": {"app": "openbao"}}, "ports": [8200], "for": "Sealing"},
                    {"name": "prometheus", "namespace": "monitoring", "direction": "Ingress", "for": "All"},
                    {"name": "kube-api", "cidrs": ["10.0.0.1/32"], "ports": [6443], "for": "Named"},
                    {"name": "smtp", "namespace": "mail", "ports": ["25/TCP"], "for": "Named"},
                ],
            }}),
        )
        .party(
            "carrier",
            json!({
                "addresses": {"cidrs": ["203.0.113.0/28", "2001:db8:5::/48"]},
                "channels": [
                    {"namespace": "cc-front", "name": "voice", "direction": "Ingress", "ports": [5061]},
                    {"namespace": "cc-front", "name": "voice", "direction": "Egress", "ports": ["10000-20000/UDP"]},
                ],
            }),
        )
        .channel(
            "cc-front/voice",
            json!({
                "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
                "listeners": [
                    {"name": "sips", "port": 5061},
                    {"name": "rtp", "port": 16384, "endPort": 16484, "protocol": "UDP"},
                ],
                "accepts": [
                    {"name": "ivr", "listeners": ["sips"]},
                    {"name": "portal", "namespace": "cc-web"},
                    {"name": "carrier", "kind": "ExternalParty"},
                    {"name": "stranger"},
                ],
                "connectsTo": [
                    {"name": "recorder", "namespace": "cc-data"},
                    {"name": "carrier", "kind": "ExternalParty"},
                    {"name": "kube-api", "kind": "Service"},
                    {"name": "voice", "listeners": ["rtp"]},
                ],
                "dataClasses": ["call-recording"],
            }),
        )
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .channel("cc-web/portal", json!({
            "workload": {"selector": {"matchLabels": null, "matchExpressions": [{"key": "app", "operator": "In", "values": ["portal", "chat"]}]}},
            "connectsTo": [{"name": "voice", "namespace": "cc-front", "listeners": ["rtp"]}],
        }))
        .channel("cc-data/recorder", json!({
            "listeners": [{"name": "https", "port": 8443}, {"name": "admin", "port": 9000}],
            "accepts": [{"name": "voice", "namespace": "cc-front", "listeners": ["https"]}],
        }))
}

#[test]
fn a_rich_channel() {
    insta::assert_yaml_snapshot!(hospital().plan("cc-front/voice").policy);
}

#[test]
fn a_channel_that_only_listens() {
    insta::assert_yaml_snapshot!(hospital().plan("cc-data/recorder").policy);
}

#[test]
fn a_default_deny() {
    let policy = default_deny("cc-front", DOMAIN);
    assert!(policy.metadata.owner_references.is_none(), "deleting something must not open the namespace");
    insta::assert_yaml_snapshot!(policy);
}

#[test]
fn no_rule_is_without_peers_or_ports_and_no_peer_without_both_selectors() {
    let scene = hospital();
    for name in scene.all_channels().map(Declaration::name) {
        let spec = spec(&scene.plan(&name.to_string()));
        let ingress = spec.ingress.iter().flatten().map(|rule| (&rule.from, &rule.ports));
        let egress = spec.egress.iter().flatten().map(|rule| (&rule.to, &rule.ports));
        for (peers, ports) in ingress.chain(egress) {
            assert!(ports.as_ref().is_some_and(|ports| !ports.is_empty()), "{name}");
            assert!(peers.as_ref().is_some_and(|peers| !peers.is_empty()), "{name}");
            for peer in peers.iter().flatten() {
                let selected = peer.namespace_selector.is_some() && peer.pod_selector.is_some();
                assert_ne!(selected, peer.ip_block.is_some(), "{name}: {peer:?}");
            }
        }
        assert_eq!(spec.policy_types, Some(vec!["Ingress".to_owned(), "Egress".to_owned()]));
    }
}

#[test]
fn dns_without_a_word_is_that_of_the_cluster() {
    let scene = Scene::new().channel("cc-front/voice", json!({}));
    let spec = spec(&scene.plan("cc-front/voice"));
    assert_eq!(spec.ingress, Some(Vec::new()));
    let dns: Vec<NetworkPolicyEgressRule> = read(json!([{
        "to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }]));
    assert_eq!(spec.egress, Some(dns));
}

#[test]
fn a_port_that_is_none_opens_nothing() {
    let dns = json!({"network": {"dns": [{"namespace": "dns", "ports": [0, -1, 70000]}]}});
    let scene = Scene::new().domain(DOMAIN, dns).channel("cc-front/voice", json!({}));
    assert_eq!(spec(&scene.plan("cc-front/voice")).egress, Some(Vec::new()));
}

#[test]
fn ownership_needs_a_uid() {
    let scene = hospital();
    let plan = scene.plan("cc-front/voice");
    let [owner] = plan.policy.metadata.owner_references.unwrap().try_into().unwrap();
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Channel", "voice"));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(false)));
    let new = edited(scene.get("cc-front/voice"), |one| one.metadata.uid = None);
    assert!(scene.given(new).plan("cc-front/voice").policy.metadata.owner_references.is_none());
}

/// As the API server gives back what was written: no empty map, no empty list but those of rules.
fn returned(spec: &NetworkPolicySpec) -> NetworkPolicySpec {
    fn prune(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (key, prune(value)))
                .filter(|(key, value)| {
                    let kept = ["podSelector", "namespaceSelector"].contains(&key.as_str());
                    kept || (value != &json!({}) && value != &json!([]))
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(prune).collect(),
            value => value,
        }
    }
    read(prune(serde_json::to_value(spec).unwrap()))
}

#[test]
fn what_is_read_back_is_the_same_however_the_selector_was_written() {
    let wordy = json!({"workload": {"selector": {
        "matchLabels": {}, "matchExpressions": [{"key": "app", "operator": "Exists", "values": []}],
    }}});
    let mut patch = json!({"listeners": [{"name": "a", "port": 1}], "accepts": [{"name": "client"}], "connectsTo": [{"name": "server"}]});
    crate::testing::merge(&mut patch, wordy.clone());
    patch["workload"]["selector"]["matchLabels"] = json!({});
    let mut scene = Scene::new();
    let server = crate::testing::channel("cc-front/server", patch);
    let selector = read(wordy["workload"]["selector"].clone());
    scene = scene.given(edited(&server, |one| one.spec.workload.selector = selector));
    let wanted = spec(&scene.plan("cc-front/server"));
    assert!(same(&returned(&wanted), &wanted), "it would be written again and again");

    let rich = spec(&hospital().plan("cc-front/voice"));
    assert!(same(&returned(&rich), &rich));
}

#[test]
fn same_takes_an_absent_list_for_an_empty_one_and_sees_every_change() {
    let full = spec(&hospital().plan("cc-front/voice"));
    let empty = NetworkPolicySpec { ingress: Some(Vec::new()), egress: None, ..full.clone() };
    let absent = NetworkPolicySpec { ingress: None, egress: Some(Vec::new()), ..full.clone() };
    assert!(same(&empty, &absent));
    assert!(same(&full, &full));
    let mut changes = Vec::new();
    let mut change = |edit: &dyn Fn(&mut NetworkPolicySpec)| {
        let mut other = full.clone();
        edit(&mut other);
        changes.push(other);
    };
    change(&|spec| spec.pod_selector = None);
    change(&|spec| spec.policy_types = Some(vec!["Ingress".into()]));
    change(&|spec| drop(spec.ingress.as_mut().unwrap().pop()));
    change(&|spec| drop(spec.egress.as_mut().unwrap().remove(0)));
    change(&|spec| spec.ingress.as_mut().unwrap()[0].ports = None);
    change(&|spec| spec.egress.as_mut().unwrap()[0].to = None);
    for other in changes {
        assert!(!same(&full, &other) && !same(&other, &full));
    }
}

fn rule(app: &str, ports: Value) -> Value {
    json!({"from": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": ports})
}

fn rules(ingress: Value) -> NetworkPolicySpec {
    read(
        json!({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": []}),
    )
}

#[test]
fn narrowing_keeps_what_is_still_wanted_and_adds_nothing() {
    let port = |port: u16| json!({"protocol": "TCP", "port": port});
    let (a, b, c) = (rule("a", json!([port(1)])), rule("b", json!([port(2)])), rule("c", json!([port(3)])));
    for (existing, wanted, kept) in [
        (json!([a, b]), json!([a, b]), json!([a, b])),
        (json!([a, b]), json!([b, c]), json!([b])),
        (json!([a, b]), json!([b, a]), json!([a, b])),
        (json!([a]), json!([]), json!([])),
        (json!([]), json!([a]), json!([])),
        // Another peer with the same ports is another peer.
        (json!([a]), json!([rule("b", json!([port(1)]))]), json!([])),
    ] {
        let narrow = narrowed(&rules(existing.clone()), &rules(wanted.clone()));
        assert_eq!(narrow, rules(kept), "{existing} and {wanted}");
    }
}

#[test]
fn narrowing_follows_ports_within_a_rule() {
    let port = |port: u16| json!({"protocol": "TCP", "port": port});
    let range = |start: u16, end: u16| json!({"protocol": "UDP", "port": start, "endPort": end});
    for (existing, wanted, kept) in [
        // More is wanted: what was open stays open, nothing is added.
        (json!([port(1)]), json!([port(1), port(2)]), Some(json!([port(1)]))),
        // Less is wanted: only that is taken away.
        (json!([port(1), port(2)]), json!([port(2)]), Some(json!([port(2)]))),
        (json!([range(10, 30)]), json!([range(20, 40)]), Some(json!([range(20, 30)]))),
        (json!([range(10, 30)]), json!([range(30, 40)]), Some(json!([{"protocol": "UDP", "port": 30}]))),
        (json!([range(10, 30)]), json!([{"protocol": "TCP", "port": 10, "endPort": 30}]), None),
        (json!([port(1)]), json!([port(2)]), None),
    ] {
        let narrow = narrowed(
            &rules(json!([rule("a", existing.clone())])),
            &rules(json!([rule("a", wanted.clone())])),
        );
        let kept = kept.map_or(json!([]), |ports| json!([rule("a", ports)]));
        assert_eq!(narrow, rules(kept), "{existing} and {wanted}");
    }
}

#[test]
fn narrowing_takes_back_what_somebody_added_to_our_own_policy() {
    let wanted = rules(json!([rule("a", json!([{"protocol": "TCP", "port": 1}]))]));
    let everybody: NetworkPolicySpec = rules(json!([{}, {"from": []}, {"ports": [{"port": 1}]}]));
    assert_eq!(narrowed(&everybody, &wanted), wanted, "what it added goes, what was meant stays");
    let every_port = rules(json!([{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}]));
    assert_eq!(narrowed(&every_port, &wanted), wanted);
    let all_of_tcp = rules(json!([rule("a", json!([{"protocol": "TCP"}]))]));
    assert_eq!(narrowed(&all_of_tcp, &wanted), wanted);
    let by_name = rules(json!([rule("a", json!([{"protocol": "TCP", "port": "http"}]))]));
    assert_eq!(narrowed(&by_name, &wanted), rules(json!([])));
    let two_peers = rules(json!([{
        "from": [{"podSelector": {"matchLabels": {"app": "a"}}}, {"podSelector": {}}],
        "ports": [{"protocol": "TCP", "port": 1}],
    }]));
    assert_eq!(narrowed(&two_peers, &wanted), wanted);
}

#[test]
fn narrowing_works_on_both_directions_and_keeps_the_pods() {
    let scene = hospital();
    let full = spec(&scene.plan("cc-front/voice"));
    assert_eq!(narrowed(&full, &full), full);
    let alone = NetworkPolicySpec { ingress: None, egress: None, pod_selector: None, policy_types: None };
    let nothing = narrowed(&full, &alone);
    assert_eq!(nothing.pod_selector, full.pod_selector, "the pods stay protected");
    assert_eq!((nothing.ingress, nothing.egress), (Some(vec![]), Some(vec![])));
    assert_eq!(nothing.policy_types, full.policy_types);
    let mut fewer = full.clone();
    let gone = fewer.egress.as_mut().unwrap().remove(0);
    assert_eq!(narrowed(&full, &fewer), fewer);
    assert!(!narrowed(&full, &fewer).egress.unwrap().contains(&gone));
}

#[test]
fn peers_of_a_stalled_channel_are_the_pods_that_its_policy_still_protects() {
    let scene = Scene::new()
        .channel("cc-data/old", json!({"workload": {"selector": {"matchLabels": {"app": "db"}}}}))
        .channel(
            "cc-data/recorder",
            json!({
                "listeners": [{"name": "https", "port": 8443}],
                "accepts": [{"name": "voice", "namespace": "cc-front"}],
            }),
        )
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "recorder", "namespace": "cc-data"}]}))
        .in_force(&["cc-data/old", "cc-data/recorder", "cc-front/voice"]);
    let record = scene.record("cc-front/voice");
    let before = spec(&scene.plan_with("cc-front/voice", Some(&record)));

    // A bad edit takes the pods of an older Channel.
    let younger = crate::testing::channel(
        "cc-data/recorder",
        json!({
            "workload": {"selector": {"matchLabels": {"app": "db"}}},
            "listeners": [{"name": "https", "port": 8443}],
            "accepts": [{"name": "voice", "namespace": "cc-front"}],
        }),
    );
    let later = || Some(read(json!("2026-11-02T00:00:00Z")));
    let edited = scene.clone().given(edited(&younger, |one| one.metadata.creation_timestamp = later()));
    assert!(matches!(edited.plan("cc-data/recorder").scope, crate::channel::Scope::Stalled(_)));
    let after = spec(&edited.plan_with("cc-front/voice", Some(&record)));
    assert_eq!(after, before, "the other end keeps reaching the pods it reached, and no others");

    // Somebody else's policy under that name says nothing about the pods.
    let forged =
        network_policy("subrosa-channel-recorder", json!({"podSelector": {"matchLabels": {"app": "any"}}}));
    let after = spec(&edited.policy("cc-data", forged).plan_with("cc-front/voice", Some(&record)));
    assert!(!format!("{after:?}").contains("\"any\""), "{after:?}");
}

#[test]
fn replicas_of_a_stalled_channel_keep_each_other() {
    let db = |selector: &str| {
        let db = crate::testing::channel(
            "cc-data/db",
            json!({
                "workload": {"selector": {"matchLabels": {"app": selector}}},
                "listeners": [{"name": "raft", "port": 8300}],
                "accepts": [{"name": "db"}],
            }),
        );
        edited(&db, |db| db.metadata.creation_timestamp = Some(read(json!("2026-11-02T00:00:00Z"))))
    };
    let scene = Scene::new().channel("cc-data/old", json!({})).given(db("db")).in_force(&["cc-data/db"]);
    let record = scene.record("cc-data/db");
    let in_force = spec(&scene.plan("cc-data/db"));
    let wanted = spec(&scene.given(db("old")).plan_with("cc-data/db", Some(&record)));
    assert_eq!(narrowed(&in_force, &wanted), in_force);
}

#[test]
fn names_are_those_of_the_contract() {
    assert_eq!(policy_name("voice"), "subrosa-channel-voice");
    assert_eq!(DEFAULT_DENY, "subrosa-default-deny");
    let policy = hospital().plan("cc-front/voice").policy;
    assert_eq!(policy.metadata.name.as_deref(), Some("subrosa-channel-voice"));
    assert_eq!(policy.metadata.namespace.as_deref(), Some("cc-front"));
    let labels = policy.metadata.labels.unwrap();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "subrosa");
    assert_eq!(labels["subrosa.dev/channel"], "voice");
    assert!(!labels.contains_key("app.kubernetes.io/instance"));
}

#[test]
fn the_other_ends_policy_has_a_connection_when_it_has_every_port_of_it() {
    let listeners =
        json!([{"name": "a", "port": 1000}, {"name": "b", "port": 2000, "endPort": 2009, "protocol": "UDP"}]);
    let scene = Scene::new()
        .channel("cc-front/client", json!({"connectsTo": [{"name": "server", "namespace": "cc-data"}]}))
        .channel(
            "cc-data/server",
            json!({
                "listeners": listeners,
                "accepts": [
                    {"name": "one", "channel": "client", "namespace": "cc-front", "listeners": ["a"]},
                    {"name": "two", "channel": "client", "namespace": "cc-front", "listeners": ["b"]},
                ],
            }),
        );
    let (client, server) = (scene.plan("cc-front/client"), scene.plan("cc-data/server"));
    let seen = |theirs: &NetworkPolicySpec, by: &str, plan: &crate::channel::Plan| -> Vec<bool> {
        let (namespace, _) = by.split_once('/').unwrap();
        let judge = |one| lets_through(theirs, namespace, scene.get(by).selector(), one);
        plan.connections.iter().map(judge).collect()
    };
    assert_eq!(
        seen(&spec(&server), "cc-front/client", &client),
        [true],
        "two rules of theirs make up one of ours"
    );
    assert_eq!(seen(&spec(&client), "cc-data/server", &server), [true, true]);
    let mut half = spec(&server);
    half.ingress.as_mut().unwrap().pop();
    assert_eq!(seen(&half, "cc-front/client", &client), [false]);
    assert_eq!(seen(&spec(&server), "cc-data/server", &server), [false, false], "not its own");
    assert_eq!(seen(&spec(&client), "cc-front/client", &client), [false]);
}
