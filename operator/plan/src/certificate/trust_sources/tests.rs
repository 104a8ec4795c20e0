use serde_json::{Value, json};

use super::*;
use crate::{
    certificate::trust_files,
    testing::{Scene, certificate, named, now},
};

fn scene() -> Scene {
    Scene::new()
        .channel(
            "cc-front/voice",
            json!({
                "listeners": [{"name": "sips", "port": 5061}],
                "accepts": [{"name": "ivr"}, {"name": "carrier", "kind": "ExternalParty"}, {"name": "web", "kind": "Service"}],
                "connectsTo": [{"name": "recorder", "namespace": "cc-data"}, {"name": "silent"}],
            }),
        )
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .channel("cc-front/silent", json!({}))
        .channel(
            "cc-data/recorder",
            json!({"listeners": [{"name": "https", "port": 8443}], "accepts": [{"name": "voice", "namespace": "cc-front"}]}),
        )
        .party("carrier", party(json!({"mode": "Mutual", "caBundle": {"configMap": "carrier-ca", "key": "ca.crt"}})))
        .bundle("carrier-ca", &certificate(9))
}

fn party(tls: Value) -> Value {
    json!({
        "tls": tls,
        "channels": [{"namespace": "cc-front", "name": "voice", "direction": "Ingress", "ports": [5061]}],
    })
}

fn authorities() -> BTreeMap<ChannelRef, Vec<String>> {
    [("cc-front/ivr", 1), ("cc-data/recorder", 2), ("cc-front/silent", 3), ("cc-front/voice", 4)]
        .map(|(name, number)| (named(name), vec![certificate(number)]))
        .into()
}

fn sources_of(scene: &Scene, name: &str) -> TrustSources {
    sources(scene.get(name), &scene.plan(name).connections, [], &authorities(), scene, now())
}

#[test]
fn directions_stay_apart_and_only_open_connections_count() {
    let sources = sources_of(&scene(), "cc-front/voice");
    assert!(sources.listens);
    assert_eq!(sources.clients, [("cc-front/ivr".to_owned(), vec![certificate(1)])].into());
    assert_eq!(sources.servers, [("cc-data/recorder".to_owned(), vec![certificate(2)])].into());
    assert_eq!(sources.external, [("carrier".to_owned(), certificate(9))].into());
    let ivr = sources_of(&scene(), "cc-front/ivr");
    assert!(!ivr.listens && ivr.clients.is_empty());
    assert_eq!(ivr.servers, [("cc-front/voice".to_owned(), vec![certificate(4)])].into());
}

#[test]
fn replicas_trust_each_other_both_ways() {
    for field in ["accepts", "connectsTo"] {
        let spec = json!({"listeners": [{"name": "raft", "port": 8300}], field: [{"name": "voice"}]});
        let sources = sources_of(&Scene::new().channel("cc-front/voice", spec), "cc-front/voice");
        let own = BTreeMap::from([("cc-front/voice".to_owned(), vec![certificate(4)])]);
        assert_eq!((sources.clients, sources.servers), (own.clone(), own), "{field}");
    }
}

#[test]
fn a_namesake_in_another_namespace_is_not_itself() {
    let scene = Scene::new()
        .channel("cc-front/voice", json!({"connectsTo": [{"name": "voice", "namespace": "cc-data"}]}))
        .channel("cc-data/voice", json!({"listeners": [{"name": "a", "port": 1}], "accepts": [{"name": "voice", "namespace": "cc-front"}]}));
    let authorities = BTreeMap::from([(named("cc-data/voice"), vec![certificate(7)])]);
    let plan = scene.plan("cc-front/voice");
    let sources = sources(scene.get("cc-front/voice"), &plan.connections, [], &authorities, &scene, now());
    assert!(sources.clients.is_empty());
    assert_eq!(sources.servers.len(), 1);
}

#[test]
fn a_peer_without_an_authority_waits() {
    let scene = scene();
    let plan = scene.plan("cc-front/voice");
    for none in [BTreeMap::new(), BTreeMap::from([(named("cc-front/ivr"), Vec::new())])] {
        let sources = sources(scene.get("cc-front/voice"), &plan.connections, [], &none, &scene, now());
        assert!(sources.clients.is_empty() && sources.servers.is_empty());
    }
}

#[test]
fn a_party_without_a_bundle_makes_no_file() {
    let one_way = scene().party("carrier", party(json!({"mode": "OneWay"})));
    assert!(sources_of(&one_way, "cc-front/voice").external.is_empty());
}

fn file(name: &str, certificates: &[u8]) -> BTreeMap<String, String> {
    let text = certificates.iter().map(|number| certificate(*number)).collect();
    [(name.to_owned(), text)].into()
}

#[test]
fn exceeding_is_trusting_more_in_the_same_file() {
    let wanted = file("clients-ca.crt", &[1, 2]);
    for (found, expected) in [
        (file("clients-ca.crt", &[1, 2]), false),
        (file("clients-ca.crt", &[2]), false),
        (file("clients-ca.crt", &[]), false),
        (BTreeMap::new(), false),
        (file("clients-ca.crt", &[1, 2, 3]), true),
        (file("servers-ca.crt", &[1]), true),
        (file("external-gone-ca.crt", &[1]), true),
        (file("ca.crt", &[1]), true),
        // What is no trust file is none of this.
        (file("tls.crt", &[3]), false),
    ] {
        assert_eq!(exceeds(&found, &wanted), expected, "{found:?}");
    }
    let mut layout = wanted.clone();
    layout.insert("clients-ca.crt".into(), format!("# sorted\n{}{}", certificate(2), certificate(1)));
    assert!(!exceeds(&layout, &wanted));
}

#[test]
fn nobody_vouches_for_nobody() {
    let nobody = BTreeMap::from([("clients-ca.crt".to_owned(), NOBODY.to_owned())]);
    assert!(!exceeds(&nobody, &BTreeMap::new()));
    assert!(!exceeds(&nobody, &file("clients-ca.crt", &[1])));
    let (files, _) = trust_files(&TrustSources::default());
    assert!(!exceeds(files.files(), &BTreeMap::new()));
    assert!(exceeds(&file("clients-ca.crt", &[1]), files.files()));
}

#[test]
fn a_file_that_cannot_be_read_may_trust_anybody() {
    let wanted = file("clients-ca.crt", &[1]);
    let tampered = format!("{}{}-----BEGIN CERTIFICATE-----\n", certificate(1), certificate(3));
    assert!(exceeds(&[("clients-ca.crt".to_owned(), tampered)].into(), &wanted));
}
