use serde_json::{Value, json};

use super::*;
use crate::{
    channel::validate::validate,
    testing::{Scene, channel, now},
};

/// The problems of a Channel that entered as the watch lets it in.
fn problems(spec: Value) -> Vec<Problem> {
    let scene = Scene::new().given(channel("cc-front/sbc", spec));
    validate(scene.get("cc-front/sbc"), &scene, now()).err().unwrap_or_default()
}

fn only(spec: Value) -> (&'static str, &'static str, String) {
    let [one] = <[Problem; 1]>::try_from(problems(spec)).unwrap();
    (one.reason.as_str(), one.field, one.message)
}

#[test]
fn listeners_of_a_preset_are_known_by_name_and_others_are_not() {
    let accepts =
        |listener: &str| json!({"preset": "Kamailio", "accepts": [{"name": "ivr", "listeners": [listener]}]});
    assert_eq!(problems(accepts("sips")), []);
    let (reason, field, message) = only(accepts("sip"));
    assert_eq!((reason, field), ("UnknownListener", "spec.accepts"));
    assert!(message.contains("preset Kamailio") && message.contains("has sips:"), "{message}");
}

#[test]
fn a_plaintext_port_needs_an_exception_that_has_not_ended() {
    let plain = |exception: Value| {
        json!({
            "preset": "Kamailio", "exception": exception,
            "listeners": [{"name": "sip", "port": 5060, "protocol": "UDP"}],
        })
    };
    let (reason, field, message) = only(plain(json!([])));
    assert_eq!((reason, field), ("PlaintextListener", "spec.listeners"));
    assert!(message.contains("5060/UDP") && message.contains("SR-TLS-02"), "{message}");
    let excepted = |control: &str, expires: &str| {
        problems(plain(json!([{"control": control, "reason": "old phones", "expires": expires}]))).len()
    };
    assert_eq!(excepted("SR-TLS-02", "2026-11-22"), 0, "its last day is today");
    assert_eq!(excepted("SR-TLS-02", "2026-11-21"), 1);
    assert_eq!(excepted("SR-NET-01", "2027-11-21"), 1, "that loosens something else");
}

#[test]
fn a_port_with_a_way_to_tls_says_which() {
    let smtp =
        |tls: Value| json!({"preset": "Postfix", "listeners": [{"name": "smtp", "port": 25, "tls": tls}]});
    assert_eq!(problems(smtp(json!("SMTP"))), []);
    let (reason, _, message) = only(smtp(json!("None")));
    assert_eq!(reason, "PlaintextListener");
    assert!(message.contains("say tls: SMTP"), "{message}");
}
