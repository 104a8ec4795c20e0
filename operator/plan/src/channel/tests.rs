mod fence;

use serde_json::{Value, json};
use subrosa_crds::Reason;

use super::*;
use crate::record::channel::Withdrawal;
use crate::testing::{self, DOMAIN, Scene, at, named, now, spec};

/// A Channel with two peers and a sealed class.
fn scene() -> Scene {
    Scene::new()
        .account("cc-front/sbc", "sa-uid")
        .channel("cc-front/voice", voice(json!({})))
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .channel(
            "cc-data/recorder",
            json!({"listeners": [{"name": "https", "port": 8443}], "accepts": [{"name": "voice", "namespace": "cc-front"}]}),
        )
}

fn voice(patch: Value) -> Value {
    let mut spec = json!({
        "workload": {"serviceAccountName": "sbc"},
        "listeners": [{"name": "sips", "port": 5061}],
        "accepts": [{"name": "ivr"}],
        "connectsTo": [{"name": "recorder", "namespace": "cc-data"}],
        "dataClasses": ["call-recording"],
    });
    testing::merge(&mut spec, patch);
    spec
}

fn key(direction: Direction, name: &str, other: &str) -> ConnectionKey {
    ConnectionKey { direction, name: name.into(), other: Other::Channel(named(other)) }
}

fn both() -> BTreeSet<ConnectionKey> {
    [key(Direction::Ingress, "ivr", "cc-front/ivr"), key(Direction::Egress, "recorder", "cc-data/recorder")]
        .into()
}

#[test]
fn in_full_everything_declared_is_planned() {
    let plan = scene().plan("cc-front/voice");
    assert_eq!(plan.scope, Scope::Full);
    assert!(plan.validated.is_some());
    assert_eq!(plan.open(), both());
    assert_eq!(plan.keys.len(), 2);
    assert_eq!(plan.access, Some(Access { service_account_uid: "sa-uid".into(), may_open: false }));
    assert_eq!(plan.secret_name, "voice-mtls");
    assert_eq!(plan.id, ChannelId::mint("uid-cc-front", "voice"));
    assert_eq!(plan.leaf.spiffe_id(), "spiffe://oosterlinde/ns/cc-front/channel/voice");
    assert_eq!(plan.authority.id, plan.id.to_string());
    assert_eq!(plan.open_channels(Direction::Ingress).collect::<Vec<_>>(), [&named("cc-front/ivr")]);
    assert_eq!(plan.open_channels(Direction::Egress).collect::<Vec<_>>(), [&named("cc-data/recorder")]);
}

/// How often Channels are checked while this one is planned.
fn checks(scene: &Scene, record: Option<&ChannelRecord>) -> usize {
    let before = validate::VALIDATED.get();
    scene.plan_with("cc-front/hub", record);
    validate::VALIDATED.get() - before
}

#[test]
fn peers_are_checked_where_something_opens_or_other_pods_are_protected_and_once() {
    const PEERS: usize = 40;
    let name = |number: usize| format!("peer-{number}");
    let entries: Vec<_> = (0..PEERS).map(|number| json!({"name": name(number)})).collect();
    let listeners = json!([{"name": "sips", "port": 5061}]);
    let hub = json!({"listeners": listeners, "accepts": entries, "connectsTo": entries});
    let peer = json!({"listeners": listeners, "accepts": [{"name": "hub"}], "connectsTo": [{"name": "hub"}]});
    let mut scene = Scene::new().channel("cc-front/hub", hub);
    for number in 0..PEERS {
        scene = scene.channel(&format!("cc-front/{}", name(number)), peer.clone());
    }
    assert_eq!(checks(&scene, None), 1 + PEERS, "each opens, in both directions");
    let record = scene.record("cc-front/hub");
    let every: Vec<_> = (0..PEERS).map(|number| format!("cc-front/{}", name(number))).collect();
    let scene = scene.in_force(&every.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(checks(&scene, Some(&record)), 1, "everything is open, and protected as declared");
    let moved = json!({
        "workload": {"selector": {"matchLabels": {"app": "other"}}},
        "listeners": listeners, "accepts": [{"name": "hub"}], "connectsTo": [{"name": "hub"}],
    });
    assert_eq!(checks(&scene.channel("cc-front/peer-7", moved), Some(&record)), 2, "this may be a bad edit");
}

#[test]
fn access_is_for_a_service_account_that_exists_and_seals() {
    let gone = Scene::new().channel("cc-front/voice", voice(json!({})));
    assert_eq!(gone.plan("cc-front/voice").access, None);
    let elsewhere = gone.account("cc-data/sbc", "other");
    assert_eq!(elsewhere.plan("cc-front/voice").access, None);
    let nothing = scene().channel("cc-front/voice", voice(json!({"dataClasses": null})));
    assert_eq!(nothing.plan("cc-front/voice").access, None);
    let opens =
        scene().channel("cc-front/voice", voice(json!({"encryption": {"workloadMay": ["Seal", "Open"]}})));
    assert!(opens.plan("cc-front/voice").access.unwrap().may_open);
}

#[test]
fn an_audited_namespace_is_planned_in_full_and_marked() {
    let audited = json!({"network": {"mode": "Audit"}});
    let staged =
        json!({"network": {"staged": [{"namespace": "cc-front", "mode": "Audit", "until": "2027-02-01"}]}});
    for patch in [audited, staged] {
        let scene = scene().domain(DOMAIN, patch);
        let plan = scene.plan("cc-front/voice");
        assert_eq!(plan.scope, Scope::Audit);
        assert_eq!(plan.open(), both());
        assert_eq!(plan.keys.len(), 2);
    }
    let enforced_here = json!({"network": {"mode": "Audit", "staged": [{"namespace": "cc-front", "mode": "Enforce", "until": "2027-02-01"}]}});
    let scene = scene().domain(DOMAIN, enforced_here);
    assert_eq!(scene.plan("cc-front/voice").scope, Scope::Full);
    assert_eq!(scene.plan("cc-data/recorder").scope, Scope::Audit);
}

#[test]
fn while_stalled_what_was_open_stays_and_nothing_new_opens() {
    let before = scene();
    let record = before.record("cc-front/voice");
    let bad = json!({
        "dataClasses": ["unheard-of"],
        "accepts": [{"name": "ivr"}, {"name": "ivr-too", "channel": "ivr"}],
    });
    let scene = before.channel("cc-front/voice", voice(bad));
    let plan = scene.plan_with("cc-front/voice", Some(&record));
    let Scope::Stalled(problems) = &plan.scope else { panic!("{:?}", plan.scope) };
    assert_eq!(problems[0].reason, Reason::UnknownDataClass);
    assert!(plan.validated.is_none() && plan.keys.is_empty());
    assert_eq!(plan.open(), both());
    let held = plan.connections.iter().find(|one| one.name == "ivr-too").unwrap();
    assert_eq!(held.state, State::AwaitingConsent);
    assert!(held.ports.is_empty() && held.listeners.is_empty());
    assert!(held.reason.as_ref().unwrap().contains("Stalled"));

    let fresh = scene.plan("cc-front/voice");
    assert_eq!(fresh.open(), BTreeSet::new(), "without a record nothing was open");
}

#[test]
fn while_stalled_a_withdrawal_counts() {
    let before = scene();
    let record = before.record("cc-front/voice");
    let bad = voice(json!({"dataClasses": ["unheard-of"], "accepts": []}));
    let plan = before.channel("cc-front/voice", bad).plan_with("cc-front/voice", Some(&record));
    assert_eq!(plan.open(), [key(Direction::Egress, "recorder", "cc-data/recorder")].into());
    assert_eq!(spec(&plan).ingress, Some(Vec::new()));
}

#[test]
fn while_stalled_an_edit_of_listeners_takes_away_nothing_that_is_still_declared() {
    let before = scene();
    let record = before.record("cc-front/voice");
    let in_force = spec(&before.plan("cc-front/voice"));
    let bad = voice(json!({
        "dataClasses": ["unheard-of"],
        "listeners": [{"name": "sips", "port": 5061}, {"name": "more", "port": 5062}],
    }));
    let plan = before.channel("cc-front/voice", bad).plan_with("cc-front/voice", Some(&record));
    let after = network::narrowed(&in_force, &spec(&plan));
    assert_eq!(after, in_force, "protection and openings that exist are not lost by a bad edit");
}

#[test]
fn a_peer_that_stalls_keeps_what_was_open_with_it_and_gets_nothing_new() {
    let before = scene();
    let record = before.record("cc-front/voice");
    let stalled = before.channel(
        "cc-data/recorder",
        json!({
            "listeners": [{"name": "https", "port": 8443}], "accepts": [{"name": "voice", "namespace": "cc-front"}],
            "dataClasses": ["unheard-of"],
        }),
    );
    assert_eq!(stalled.plan_with("cc-front/voice", Some(&record)).open(), both());
    let fresh = stalled.plan("cc-front/voice");
    assert_eq!(fresh.open(), [key(Direction::Ingress, "ivr", "cc-front/ivr")].into());
}

#[test]
fn a_namespace_that_lost_its_label_is_frozen_under_the_domain_it_had() {
    let before = scene();
    let record = before.record("cc-front/voice");
    for label in [None, Some("gone")] {
        let scene = before.clone().namespace("cc-front", label).channel(
            "cc-front/voice",
            voice(json!({"accepts": [{"name": "ivr"}, {"name": "new", "channel": "ivr"}]})),
        );
        let plan = scene.plan_with("cc-front/voice", Some(&record));
        assert_eq!(plan.scope, Scope::Frozen);
        assert_eq!(plan.domain.metadata.name.as_deref(), Some(DOMAIN));
        assert!(plan.validated.is_none() && plan.keys.is_empty(), "no key is made and none is closed");
        assert!(plan.open().is_subset(&both()), "{:?}", plan.open());
        assert!(plan.open().contains(&key(Direction::Egress, "recorder", "cc-data/recorder")));
        assert_eq!(plan.leaf.trust_domain, DOMAIN, "the certificate renews with its names");

        let problem = plan_error(&scene, None);
        assert_eq!(
            problem.reason,
            if label.is_some() { Reason::TrustDomainNotFound } else { Reason::NamespaceNotGoverned }
        );
        let mut lost = record.clone();
        lost.trust_domain = "also-gone".into();
        assert_eq!(plan_error(&scene, Some(&lost)).reason, problem.reason);
    }
}

fn plan_error(scene: &Scene, record: Option<&ChannelRecord>) -> Ungoverned {
    match plan(scene.get("cc-front/voice"), scene, record, now()) {
        Err(problem) => problem,
        Ok(_) => panic!("planned"),
    }
}

#[test]
fn the_record_remembers_openings_and_withdrawals() {
    let before = scene();
    let (first, later) = (now(), at("2026-11-23T12:00:00Z"));
    let opened =
        before.plan("cc-front/voice").remember(before.first_record("cc-front/voice"), true, None, first);
    assert_eq!((opened.open.clone(), opened.closing.len()), (both(), 0));

    let withdrawn = before.clone().channel("cc-front/voice", voice(json!({"accepts": []})));
    let closing =
        withdrawn.plan_with("cc-front/voice", Some(&opened)).remember(opened.clone(), true, None, first);
    let ivr = key(Direction::Ingress, "ivr", "cc-front/ivr");
    assert_eq!(closing.closing, [Withdrawal { key: ivr.clone(), since: first, until: None }]);
    assert!(!closing.open.contains(&ivr));

    let again =
        withdrawn.plan_with("cc-front/voice", Some(&closing)).remember(closing.clone(), true, None, later);
    assert_eq!(again, closing, "it closes since it was withdrawn, not since it was looked at");

    let reopened = before.plan_with("cc-front/voice", Some(&closing)).remember(closing, true, None, later);
    assert_eq!((reopened.open, reopened.closing), (both(), Vec::new()));
}

#[test]
fn an_entry_that_names_another_peer_is_another_connection() {
    let before = scene().channel("cc-front/menu", json!({"connectsTo": [{"name": "voice"}]}));
    let opened = before.record("cc-front/voice");
    let changed =
        before.channel("cc-front/voice", voice(json!({"accepts": [{"name": "ivr", "channel": "menu"}]})));
    let record = changed.plan_with("cc-front/voice", Some(&opened)).remember(opened, true, None, now());
    assert!(record.open.contains(&key(Direction::Ingress, "ivr", "cc-front/menu")));
    assert_eq!(record.closing[0].key, key(Direction::Ingress, "ivr", "cc-front/ivr"));
}

#[test]
fn peers_are_channels_of_both_lists() {
    let spec = voice(json!({
        "accepts": [{"name": "ivr"}, {"name": "carrier", "kind": "ExternalParty"}, {"name": "i", "channel": "ivr", "namespace": "cc-web"}],
        "connectsTo": [{"name": "vault", "kind": "Service"}, {"name": "recorder", "namespace": "cc-data"}],
    }));
    let scene = scene().channel("cc-front/voice", spec);
    let peers: Vec<_> = scene.get("cc-front/voice").peers().map(|peer| peer.to_string()).collect();
    assert_eq!(peers, ["cc-front/ivr", "cc-web/ivr", "cc-data/recorder"]);
}

#[test]
fn an_identity_belongs_to_a_namespace_that_lives() {
    let plan = scene().plan("cc-front/voice");
    let mut recreated = scene();
    recreated.world.namespaces.get_mut("cc-front").unwrap().uid = "another".into();
    assert_ne!(recreated.plan("cc-front/voice").id, plan.id);
    assert_eq!(scene().without("cc-front/ivr").plan("cc-front/voice").id, plan.id);
}

#[test]
fn what_a_domain_leaves_out_has_a_default() {
    let bare = testing::domain(DOMAIN, json!({}));
    assert_eq!(domain::transit_mount(&bare), "transit");
    assert_eq!(domain::kv_mount(&bare), "subrosa");
    assert_eq!(domain::auth_mount(&bare), "kubernetes");
    assert_eq!(domain::cluster_domain(&bare), "cluster.local");
    assert_eq!(domain::authority_duration(&bare), "1y");
    assert!(domain::default_deny(&bare) && domain::allowed_suffixes(&bare).is_empty());
    let said = testing::domain(
        DOMAIN,
        json!({
            "clusterDomain": "hospital.local",
            "vault": {"auth": {"kubernetes": {"mount": "k8s"}}, "mounts": {"transit": "t", "kv": "k"}},
            "certificateAuthority": {"duration": "2y", "allowedDNSSuffixes": ["a.example"]},
            "network": {"defaultDeny": false},
        }),
    );
    assert_eq!(domain::transit_mount(&said), "t");
    assert_eq!(domain::kv_mount(&said), "k");
    assert_eq!(domain::auth_mount(&said), "k8s");
    assert_eq!(domain::cluster_domain(&said), "hospital.local");
    assert_eq!(domain::authority_duration(&said), "2y");
    assert!(!domain::default_deny(&said) && domain::allowed_suffixes(&said) == ["a.example"]);
    let nowhere = testing::domain(DOMAIN, json!({"timeZone": "Nowhere/At-All"}));
    assert!(domain::time_zone(&nowhere).is_err());
    assert_eq!(
        domain::today(&nowhere, at("2026-11-22T23:30:00Z")).to_string(),
        "2026-11-22",
        "UTC meanwhile"
    );
    assert_eq!(domain::today(&bare, at("2026-11-22T23:30:00Z")).to_string(), "2026-11-23");
}
