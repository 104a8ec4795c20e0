//! Connections with an ExternalParty.

use super::*;

/// `cc-front/voice` listens on SIP and RTP and names party `carrier` in one direction.
fn with_party(direction: &str, patch: Value) -> Scene {
    let field = if direction == "Ingress" { "accepts" } else { "connectsTo" };
    let listeners = json!([
        {"name": "sips", "port": 5061},
        {"name": "rtp", "port": 10000, "endPort": 20000, "protocol": "UDP"},
    ]);
    Scene::new()
        .channel(
            "cc-front/voice",
            json!({"listeners": listeners, field: [{"name": "carrier", "kind": "ExternalParty"}]}),
        )
        .party("carrier", patch)
}

fn consent(direction: &str, ports: Value) -> Value {
    json!({"channels": [{"namespace": "cc-front", "name": "voice", "direction": direction, "ports": ports}]})
}

#[test]
fn a_party_that_connects_in_reaches_the_common_ports() {
    let scene = with_party("Ingress", consent("Ingress", json!([5061, "15000-30000/UDP", 443])));
    let one = only(&scene, "cc-front/voice");
    assert_eq!(one.other, Other::Party("carrier".into()));
    assert_eq!(brief(&one), open(&["5061/TCP", "15000-20000/UDP"]));
    assert_eq!(one.listeners, ["sips", "rtp"]);

    let other_protocol = with_party("Ingress", consent("Ingress", json!(["5061/UDP", "10000-20000"])));
    assert_eq!(only(&other_protocol, "cc-front/voice").state, State::ListenerMismatch);
}

#[test]
fn an_entry_for_a_party_may_choose_among_its_listeners() {
    let mut scene = with_party("Ingress", consent("Ingress", json!([5061, "10000-20000/UDP"])));
    let listeners = json!([{"name": "sips", "port": 5061}, {"name": "rtp", "port": 10000, "endPort": 20000, "protocol": "UDP"}]);
    let entry = json!([{"name": "carrier", "kind": "ExternalParty", "listeners": ["rtp"]}]);
    scene = scene.channel("cc-front/voice", json!({"listeners": listeners, "accepts": entry}));
    assert_eq!(brief(&only(&scene, "cc-front/voice")), open(&["10000-20000/UDP"]));
}

#[test]
fn a_channel_reaches_a_partys_own_ports() {
    let scene = with_party("Egress", consent("Egress", json!([443, "5060/UDP"])));
    let one = only(&scene, "cc-front/voice");
    assert_eq!(brief(&one), open(&["443/TCP", "5060/UDP"]));
    assert_eq!(one.listeners, ["443/TCP", "5060/UDP"]);
}

#[test]
fn a_partys_consent_is_for_one_channel_and_direction() {
    for patch in [
        json!({}),
        consent("Egress", json!([5061])),
        json!({"channels": [{"namespace": "cc-data", "name": "voice", "direction": "Ingress", "ports": [5061]}]}),
        json!({"channels": [{"namespace": "cc-front", "name": "ivr", "direction": "Ingress", "ports": [5061]}]}),
    ] {
        let one = only(&with_party("Ingress", patch.clone()), "cc-front/voice");
        assert_eq!(brief(&one), closed(State::AwaitingConsent), "{patch}");
        let step = one.next_step.unwrap();
        assert!(
            step.contains("{namespace: cc-front, name: voice, direction: Ingress, ports: […]}"),
            "{step}"
        );
    }
    let scene = Scene::new()
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "carrier", "kind": "ExternalParty"}]}));
    assert_eq!(only(&scene, "cc-front/voice").state, State::NotFound);
}

#[test]
fn a_party_is_judged_before_anything_opens() {
    let ports = consent("Ingress", json!([5061]));
    let with = |patch: Value| {
        let mut whole = ports.clone();
        crate::testing::merge(&mut whole, patch);
        only(&with_party("Ingress", whole), "cc-front/voice")
    };
    let expired = with(json!({"agreements": [{"type": "SLA", "validUntil": "2026-11-21"}]}));
    assert_eq!(brief(&expired), closed(State::AgreementExpired));
    assert!(expired.reason.unwrap().contains("2026-11-21"));
    let missing = with(json!({"role": "Processor"}));
    assert_eq!(brief(&missing), closed(State::Refused));
    assert!(missing.next_step.unwrap().contains("type: DPA"));
    let inside = with(json!({"addresses": {"cidrs": ["10.1.0.0/16"]}}));
    assert_eq!(brief(&inside), closed(State::Refused));
    assert!(inside.reason.unwrap().contains("spec.addresses.cidrs"));
}

#[test]
fn nothing_is_open_without_a_port() {
    let scene = with_party("Egress", consent("Egress", json!(["no port"])));
    assert_eq!(only(&scene, "cc-front/voice").state, State::ListenerMismatch);
    let service =
        json!({"network": {"services": [{"name": "idp", "namespace": "security", "for": "Named"}]}});
    let scene = Scene::new()
        .domain(DOMAIN, service)
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "idp", "kind": "Service"}]}));
    assert_eq!(only(&scene, "cc-front/voice").state, State::ListenerMismatch);
}
