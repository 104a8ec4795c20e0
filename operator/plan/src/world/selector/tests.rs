use serde_json::{Value, json};

use super::*;
use crate::testing::{labels, read};

fn selector(value: Value) -> LabelSelector {
    read(value)
}

fn expression(key: &str, operator: &str, values: Value) -> Value {
    json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
}

#[test]
fn matches_as_the_api_server_does() {
    let pod = labels([("app", "sbc"), ("tier", "edge"), ("empty", "")]);
    for (value, expected) in [
        (json!({}), true),
        (json!({"matchLabels": {"app": "sbc"}}), true),
        (json!({"matchLabels": {"app": "sbc", "tier": "edge"}}), true),
        (json!({"matchLabels": {"app": "sbc", "tier": "core"}}), false),
        (json!({"matchLabels": {"absent": ""}}), false),
        (json!({"matchLabels": {"empty": ""}}), true),
        (expression("app", "In", json!(["a", "sbc"])), true),
        (expression("app", "In", json!(["a"])), false),
        (expression("absent", "In", json!(["a"])), false),
        (expression("app", "NotIn", json!(["sbc"])), false),
        (expression("app", "NotIn", json!(["a"])), true),
        (expression("absent", "NotIn", json!(["a"])), true),
        (expression("empty", "Exists", json!(null)), true),
        (expression("absent", "Exists", json!(null)), false),
        (expression("app", "DoesNotExist", json!(null)), false),
        (expression("absent", "DoesNotExist", json!(null)), true),
        (expression("app", "In", json!(null)), false),
        (expression("absent", "NotIn", json!(null)), false),
        (expression("app", "Unheard", json!(["sbc"])), false),
    ] {
        assert_eq!(matches(&selector(value.clone()), &pod), expected, "{value}");
    }
    let mut both = json!({"matchLabels": {"app": "sbc"}});
    crate::testing::merge(&mut both, expression("tier", "In", json!(["core"])));
    assert!(!matches(&selector(both), &pod), "every requirement must hold");
}

#[test]
fn implication_is_seen_in_equal_requirements() {
    let narrow = selector(json!({
        "matchLabels": {"app": "sbc", "tier": "edge"},
        "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}],
    }));
    for (wide, expected) in [
        (json!({}), true),
        (json!({"matchLabels": {"app": "sbc"}}), true),
        (expression("canary", "DoesNotExist", json!(null)), true),
        (json!({"matchLabels": {"app": "ivr"}}), false),
        (json!({"matchLabels": {"zone": "a"}}), false),
        (expression("canary", "Exists", json!(null)), false),
    ] {
        assert_eq!(implies(&narrow, &selector(wide.clone())), expected, "{wide}");
    }
    assert!(!implies(&selector(json!({"matchLabels": {"app": "sbc"}})), &narrow));
}

#[test]
fn a_service_serves_a_workload_when_all_its_pods_are_the_workloads() {
    let service = labels([("app", "sbc"), ("tier", "edge")]);
    for (workload, expected) in [
        (json!({"matchLabels": {"app": "sbc"}}), true),
        (json!({"matchLabels": {"app": "sbc", "tier": "edge"}}), true),
        (json!({"matchLabels": {"app": "ivr"}}), false),
        (json!({"matchLabels": {"app": "sbc", "zone": "a"}}), false),
        (expression("app", "In", json!(["sbc", "ivr"])), true),
        (expression("app", "Exists", json!(null)), true),
        (expression("app", "NotIn", json!(["ivr"])), true),
        (expression("app", "NotIn", json!(["sbc"])), false),
        // Pods of the Service may carry any label that its selector leaves open.
        (expression("canary", "NotIn", json!(["yes"])), false),
        (expression("canary", "DoesNotExist", json!(null)), false),
    ] {
        assert_eq!(serves(&service, &selector(workload.clone())), expected, "{workload}");
    }
    assert!(!serves(&labels([]), &selector(json!({}))), "a Service without a selector has other endpoints");
}

#[test]
fn reads_as_people_write_it() {
    let one = selector(json!({
        "matchLabels": {"app": "sbc"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "zone", "operator": "Exists"},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }));
    assert_eq!(text(&one), "app=sbc,tier in (a, b),zone,!old");
}

#[test]
fn tidy_says_nothing_in_one_way() {
    let wordy = selector(json!({
        "matchLabels": {},
        "matchExpressions": [{"key": "zone", "operator": "Exists", "values": []}],
    }));
    let terse = selector(json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}));
    assert_ne!(wordy, terse);
    assert_eq!(tidy(&wordy), terse);
    assert_eq!(tidy(&terse), terse);
    assert_eq!(tidy(&selector(json!({"matchLabels": {}, "matchExpressions": []}))), LabelSelector::default());
    let plain = selector(json!({"matchLabels": {"app": "sbc"}}));
    assert_eq!(tidy(&plain), plain);
}
