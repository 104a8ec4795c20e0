use serde_json::{Value, json};

use super::*;
use crate::{
    certificate::{TrustSources, trust_files, trust_sources},
    channel::{Plan, Scope},
    record::channel::ChannelRecord,
    testing::{DOMAIN, Scene, at, certificate, named, now, read},
};

const VOICE: &str = "cc-front/voice";

fn entry(name: &str, expires: &str, more: Value) -> Value {
    let mut entry =
        json!({"name": name, "expires": expires, "caBundle": {"configMap": name, "key": "ca.crt"}});
    crate::testing::merge(&mut entry, more);
    entry
}

fn scene(entries: &[Value]) -> Scene {
    Scene::new()
        .channel(
            VOICE,
            json!({
                "listeners": [{"name": "sips", "port": 5061}],
                "accepts": [{"name": "ivr"}],
                "tls": {"extraTrust": entries},
            }),
        )
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .bundle("old", &certificate(7))
        .bundle("older", &(certificate(8) + &certificate(9)))
}

fn sources_of(scene: &Scene, plan: &Plan, name: &str) -> TrustSources {
    let authorities = [("cc-front/ivr", 1), (VOICE, 2)]
        .map(|(name, number)| (named(name), vec![certificate(number)]))
        .into();
    trust_sources::sources(scene.get(name), &plan.connections, &plan.extra_trust, &authorities, scene, now())
}

fn file(scene: &Scene, name: &str) -> String {
    let (files, problems) = trust_files(&sources_of(scene, &scene.plan(VOICE), VOICE));
    assert_eq!(problems, []);
    files.files().get(name).cloned().unwrap_or_default()
}

fn standings(scene: &Scene, now: Timestamp) -> Vec<TrustState> {
    let judged = judge(scene.get(VOICE), &scene.domains[DOMAIN], scene, now);
    judged.into_iter().map(|one| one.state).collect()
}

#[test]
fn a_direction_is_one_file_and_none_is_both() {
    let ingress = entry("old", "2027-01-31", json!({"direction": "Ingress"}));
    let egress = entry("older", "2027-01-31", json!({"direction": "Egress"}));
    let both = entry("old", "2027-01-31", json!({}));
    let one = scene(&[ingress]);
    assert_eq!(file(&one, "clients-ca.crt"), certificate(1) + &certificate(7));
    assert!(!file(&one, "servers-ca.crt").contains(certificate(7).trim()));
    let other = scene(&[egress]);
    assert_eq!(file(&other, "clients-ca.crt"), certificate(1));
    assert_eq!(file(&other, "servers-ca.crt"), certificate(8) + &certificate(9));
    let both = scene(&[both]);
    assert_eq!(file(&both, "servers-ca.crt"), certificate(7));
    assert_eq!(file(&both, "ca.crt"), file(&both, "clients-ca.crt"), "it listens");
}

#[test]
fn nothing_of_it_is_trusted_by_a_peer() {
    let scene = scene(&[entry("old", "2027-01-31", json!({}))]);
    let peer = sources_of(&scene, &scene.plan("cc-front/ivr"), "cc-front/ivr");
    assert_eq!(peer.servers, [(VOICE.to_owned(), vec![certificate(2)])].into());
    assert!(peer.clients.is_empty());
}

#[test]
fn the_last_day_is_the_domains_and_counts() {
    let scene = scene(&[entry("old", "2026-11-22", json!({}))]);
    // Midnight in Amsterdam is 23:00 in UTC in November.
    let last = at("2026-11-22T22:59:59Z");
    assert_eq!(standings(&scene, last), [TrustState::InForce(certificate(7))]);
    assert_eq!(standings(&scene, at("2026-11-22T23:00:00Z")), [TrustState::Ended]);
    let judged = judge(scene.get(VOICE), &scene.domains[DOMAIN], &scene, last);
    assert_eq!(wake_at(&judged, &scene.domains[DOMAIN], last), Some(at("2026-11-22T23:00:00Z")));
    let after = judge(scene.get(VOICE), &scene.domains[DOMAIN], &scene, at("2026-11-22T23:00:00Z"));
    assert_eq!(wake_at(&after, &scene.domains[DOMAIN], now()), None, "nothing is left to end");
}

#[test]
fn what_is_written_wrongly_is_left_out_alone() {
    let scene = scene(&[
        entry("old", "2027-01-31", json!({})),
        entry("missing", "2027-01-31", json!({})),
        entry("empty", "2027-01-31", json!({})),
        entry("torn", "2027-01-31", json!({})),
        entry("older", "2027-02-31", json!({})),
    ])
    .bundle("empty", "# to be filled\n")
    .bundle("torn", "-----BEGIN CERTIFICATE-----\n");
    assert_eq!(file(&scene, "clients-ca.crt"), certificate(1) + &certificate(7));
    let reasons: Vec<_> = standings(&scene, now())
        .into_iter()
        .map(|state| match state {
            TrustState::Refused(fault) => {
                assert!(fault.message.starts_with("spec.tls.extraTrust["), "{}", fault.message);
                fault.reason.to_string()
            }
            other => format!("{other:?}").split('(').next().unwrap().to_owned(),
        })
        .collect();
    let malformed = "CABundleMalformed";
    assert_eq!(reasons, ["InForce", "CABundleNotFound", malformed, malformed, "InvalidDate"]);
}

#[test]
fn where_nothing_new_opens_only_what_was_noted_stays() {
    let entries = [entry("old", "2027-01-31", json!({})), entry("older", "2027-01-31", json!({}))];
    let before = scene(&entries[..1]);
    let record = before.record(VOICE);
    assert_eq!(record.extra_trust.len(), 1);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<ChannelRecord>(&text).unwrap(), record, "it is remembered");

    let frozen = scene(&entries).namespace("cc-front", None);
    let plan = frozen.plan_with(VOICE, Some(&record));
    assert_eq!(plan.scope, Scope::Frozen);
    let standings: Vec<_> = plan.extra_trust.iter().map(|one| &one.state).collect();
    assert_eq!(standings, [&TrustState::InForce(certificate(7)), &TrustState::HeldBack]);
    // Another bundle under the same name is another consent.
    let moved = entry("old", "2027-01-31", json!({"caBundle": {"configMap": "older"}}));
    let frozen = scene(&[moved]).namespace("cc-front", None);
    assert_eq!(frozen.plan_with(VOICE, Some(&record)).extra_trust[0].state, TrustState::HeldBack);
    // While the record cannot be read, an outage takes away nothing that is still declared.
    let channel = scene(&entries);
    let blind = crate::channel::plan_withdrawals(channel.get(VOICE), &channel, now());
    assert_eq!(in_force(&blind.unwrap_or_else(|problem| panic!("{problem:?}")).extra_trust).len(), 2);
}

#[test]
fn a_record_from_before_knows_of_none() {
    let mut value = serde_json::to_value(scene(&[]).record(VOICE)).unwrap();
    assert!(
        value.as_object().unwrap().get("extraTrust").is_none(),
        "nothing is written where there is nothing"
    );
    value.as_object_mut().unwrap().remove("extraTrust");
    assert!(read::<ChannelRecord>(value).extra_trust.is_empty());
}
