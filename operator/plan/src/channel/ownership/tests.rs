use serde_json::{Value, json};

use super::*;
use crate::{
    certificate::{LeafFacts, SecretFacts},
    testing::{Scene, leaf, merge, named, network_policy, read},
};

const UID: &str = "uid-cc-front-voice";
const ID: &str = "spiffe://oosterlinde/ns/cc-front/channel/voice";

fn policy(patch: Value) -> NetworkPolicy {
    let scene = Scene::new().channel("cc-front/voice", json!({}));
    let mut policy = serde_json::to_value(scene.plan("cc-front/voice").policy).unwrap();
    merge(&mut policy, patch);
    read(policy)
}

fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
    let owner = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true,
    });
    json!({"metadata": {"ownerReferences": [owner]}})
}

#[test]
fn a_policy_that_lost_its_owner_is_told_from_somebody_elses() {
    let lost = |patch| is_lost_policy(&policy(patch), "voice", Some(UID));
    assert!(!lost(json!({})), "it has its owner");
    assert!(lost(json!({"metadata": {"ownerReferences": null}})));
    assert!(lost(owned_by("Channel", "voice", "an-earlier-uid")));
    assert!(!lost(owned_by("Channel", "chat", "uid-cc-front-chat")));
    assert!(!lost(owned_by("Deployment", "voice", "uid")));
    let without = |more| {
        let mut patch = json!({"metadata": {"ownerReferences": null}});
        merge(&mut patch, more);
        lost(patch)
    };
    assert!(!without(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}})));
    assert!(!without(json!({"metadata": {"labels": {"subrosa.dev/channel": null}}})));
    assert!(!without(json!({"metadata": {"name": "subrosa-channel-chat"}})));
    assert!(is_lost_policy(&policy(json!({})), "voice", None), "its Channel is gone");
}

#[test]
fn settings_that_lost_their_owner_are_told_from_somebody_elses() {
    let voice = json!({"dataClasses": ["call-recording"]});
    let plan = Scene::new().channel("cc-front/voice", voice).plan("cc-front/voice");
    let sealing::WantedSettings::Wanted(wanted) = plan.settings else { panic!("{:?}", plan.settings) };
    let lost = |patch: Value| {
        let mut found = serde_json::to_value(&wanted).unwrap();
        merge(&mut found, patch);
        is_lost_config_map(&read(found), "voice", Some(UID))
    };
    assert!(!lost(json!({})), "it has its owner");
    assert!(lost(owned_by("Channel", "voice", "an-earlier-uid")));
    assert!(!lost(owned_by("Deployment", "voice", "uid")));
    let without = |patch: Value| {
        let mut whole = json!({"metadata": {"ownerReferences": null}});
        merge(&mut whole, patch);
        lost(whole)
    };
    assert!(without(json!({})) && without(json!({"data": {"another": "text"}})));
    assert!(!without(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}})));
    assert!(!without(json!({"metadata": {"name": "voice-settings"}})));
}

#[test]
fn what_a_channel_that_is_gone_left_open_is_closed_and_keeps_its_pods() {
    let voice = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]});
    let scene = Scene::new()
        .channel("cc-front/voice", voice)
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .in_force(&["cc-front/voice", "cc-front/ivr"]);
    assert_eq!(left_open("cc-front", &scene).len(), 0, "they are there");
    let scene = scene.without("cc-front/voice");
    let found = left_open("cc-front", &scene);
    let [(name, policy)] = found.as_slice() else { panic!("{}", found.len()) };
    assert_eq!(*name, named("cc-front/voice"));
    let before = policy.spec.as_ref().unwrap();
    let after = closed(before);
    assert_eq!(after.pod_selector, before.pod_selector);
    assert_eq!(after.policy_types, before.policy_types);
    assert!(after.ingress.is_none() && after.egress.is_none());
    let mut policy = NetworkPolicy::clone(policy);
    policy.spec = Some(after.clone());
    let scene = scene.policy("cc-front", policy);
    assert_eq!(left_open("cc-front", &scene).len(), 0, "once is enough");
    let theirs = network_policy("subrosa-channel-theirs", json!({"podSelector": {}, "ingress": [{}]}));
    assert_eq!(left_open("cc-front", &scene.policy("cc-front", theirs)).len(), 0, "it is not ours");
}

fn secret(name: &str, patch: Value) -> Secret {
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "labels": objects::channel_labels("voice")},
    });
    merge(&mut secret, patch);
    read(secret)
}

fn holding(change: impl Fn(&mut LeafFacts)) -> ObservedSecret {
    let mut leaf = LeafFacts { uris: [ID.to_owned()].into(), ..leaf() };
    change(&mut leaf);
    ObservedSecret::Present(Box::new(SecretFacts { leaf: Ok(leaf), trust: Default::default() }))
}

#[test]
fn a_secret_is_taken_back_for_a_leaf_of_its_own_authority_with_its_identity() {
    let lost =
        |patch, observed| is_lost_secret(&secret("voice-mtls", patch), &observed, ID, "voice", Some(UID));
    assert!(lost(json!({}), holding(|_| ())));
    assert!(lost(owned_by("Channel", "voice", "an-earlier-uid"), holding(|_| ())));
    assert!(!lost(owned_by("Channel", "voice", UID), holding(|_| ())), "it has its owner");
    assert!(!lost(owned_by("Certificate", "voice", "uid"), holding(|_| ())));
    assert!(!lost(json!({"metadata": {"labels": null}}), holding(|_| ())));
    assert!(!lost(json!({}), holding(|leaf| leaf.issuer = None)), "anybody can write that name");
    assert!(!lost(json!({}), holding(|leaf| leaf.key_matches = false)));
    assert!(!lost(
        json!({}),
        holding(|leaf| leaf.uris = ["spiffe://oosterlinde/ns/cc-front/channel/chat".to_owned()].into())
    ));
    assert!(!lost(json!({}), ObservedSecret::Missing));
}

#[test]
fn a_secret_with_trust_files_alone_has_nothing_else_in_it() {
    let lost = |name: &str, patch| {
        let whole = json!({"type": "Opaque", "data": {"ca.crt": "", "clients-ca.crt": ""}});
        let mut secret = serde_json::to_value(secret(name, whole)).unwrap();
        merge(&mut secret, patch);
        is_lost_secret(&read(secret), &ObservedSecret::Missing, ID, "voice", Some(UID))
    };
    assert!(lost("voice-trust", json!({})));
    assert!(!lost("voice-files", json!({})), "another name is anybody's");
    assert!(!lost("voice-trust", json!({"data": {"password": ""}})));
    assert!(!lost("voice-trust", json!({"type": "kubernetes.io/tls"})));
}
