use std::collections::BTreeMap;

use serde_json::{Value, json};
use subrosa_crds::{
    Reason,
    condition::{Condition, find, needs_attention},
    trust_domain::Direction,
};

use super::*;
use crate::{
    channel::applied::{Control, Controls, Restart},
    keys::ObservedKey,
    network as policies,
    record::{
        channel::{ActiveKey, Withdrawal},
        connection::{ConnectionKey, Other},
    },
    testing::{self, DOMAIN, Scene, at, leaf, named, network_policy, now},
    world::PodFacts,
};

mod connections;
mod keys;
mod moving;
mod proven;

const VOICE: &str = "cc-front/voice";

/// `cc-front/voice` seals recordings, is reached by ivr, and waits for nobody. All of it in force.
fn scene() -> Scene {
    let mut scene = Scene::new()
        .account("cc-front/sbc", "sa-uid")
        .channel(VOICE, voice(json!({})))
        .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
        .in_force(&[VOICE, "cc-front/ivr"]);
    scene = scene.policy("cc-front", policies::default_deny("cc-front", DOMAIN));
    scene
}

fn voice(patch: Value) -> Value {
    let mut spec = json!({
        "type": "Voice",
        "workload": {"serviceAccountName": "sbc"},
        "listeners": [{"name": "sips", "port": 5061}],
        "accepts": [{"name": "ivr"}],
        "dataClasses": ["call-recording"],
    });
    testing::merge(&mut spec, patch);
    spec
}

/// Everything carried out as planned.
fn applied(plan: &Plan, record: ChannelRecord) -> Applied {
    let mut record = plan.remember(record, true, None, now());
    let versions = BTreeMap::from([(1, at("2026-11-20T00:00:00Z"))]);
    let mut found = BTreeMap::new();
    for key in &plan.keys {
        *record.key_mut(&key.class, key.cohort) =
            ActiveKey { versions: versions.clone(), closed: false, kept: false };
        let seen = ObservedKey { versions: versions.clone(), rotate_every: key.rotate_every, fault: None };
        found.insert(key.name.clone(), seen);
    }
    let trusting = plan
        .open_channels(Direction::Ingress)
        .chain(plan.open_channels(Direction::Egress))
        .cloned()
        .collect();
    Applied {
        record: Ok(record),
        observed: LeafFacts {
            uris: [plan.leaf.spiffe_id()].into(),
            issuer_name: Some(plan.authority.subject(1)),
            ..leaf()
        }
        .into(),
        controls: Controls::each(|_| Ok(())),
        keys: found,
        has_policy: true,
        default_deny: true,
        trusting,
        restart: Restart::NotDue,
        trust_bytes: Some(4096),
        pending: Some(Vec::new()),
    }
}

/// `control` could not be put in force.
fn break_control(applied: &mut Applied, control: Control) {
    applied.controls = applied.controls.clone().with(control, Err(fault()));
}

fn in_force(scene: &Scene) -> (Plan, Applied) {
    let plan = scene.plan(VOICE);
    let applied = applied(&plan, scene.first_record(VOICE));
    (plan, applied)
}

fn judged(scene: &Scene, plan: &Plan, applied: &Applied) -> ChannelStatus {
    channel(scene.get(VOICE), plan, applied, scene, now())
}

fn status(scene: &Scene) -> ChannelStatus {
    let (plan, applied) = in_force(scene);
    judged(scene, &plan, &applied)
}

/// Status and reason of a condition; none where it is absent.
fn said(status: &ChannelStatus, kind: &str) -> Option<(String, String)> {
    find(&status.conditions, kind).map(|one| (one.status.clone(), one.reason.clone()))
}

fn says(truth: &str, reason: &str) -> Option<(String, String)> {
    Some((truth.to_owned(), reason.to_owned()))
}

fn fault() -> Fault {
    Fault::new(Reason::VaultSealed, "Vault is sealed: unseal it")
}

#[test]
fn when_everything_is_in_force_it_is_ready_with_the_weakest_assurance() {
    let status = status(&scene());
    for (kind, expected) in [
        (condition::READY, says("True", "InForceUnproven")),
        (condition::CONNECTED, says("True", "AllOpen")),
        (condition::SERVED, says("Unknown", "NotProbed")),
        (condition::ISOLATED, says("Unknown", "PoliciesApplied")),
        (condition::KEYS_READY, says("True", "KeysInPlace")),
        (condition::RETAINED, says("True", "Scheduled")),
        (condition::RECONCILING, None),
        (condition::STALLED, None),
    ] {
        assert_eq!(said(&status, kind), expected, "{kind}");
    }
    assert_eq!(status.observed_generation, Some(3));
    assert!(
        status.conditions.iter().all(|one| one.observed_generation == Some(3) && !one.message.is_empty())
    );
    assert_eq!(status.connection_summary.as_deref(), Some("1/1"));
    assert_eq!(status.trust_domain.as_deref(), Some(DOMAIN));
}

#[test]
fn what_an_auditor_reads() {
    insta::assert_yaml_snapshot!(status(&scene()));
}

#[test]
fn the_certificate_that_is_there_is_told_whatever_becomes_of_issuing() {
    let scene = scene();
    let (plan, good) = in_force(&scene);
    let before = judged(&scene, &plan, &good);
    let given = testing::edited(scene.get(VOICE), |one| one.status = Some(before));
    let told = |applied: &Applied| {
        let status = channel(&given, &plan, applied, &scene, now());
        assert_eq!(said(&status, condition::READY), says("False", "VaultSealed"));
        status.certificate.map(|one| one.serial)
    };
    let mut sealed = Applied { record: Err(fault()), ..good.clone() };
    break_control(&mut sealed, Control::Certificate);
    let serial = |serial: &str| LeafFacts { serial: serial.into(), key_matches: false, ..leaf() }.into();
    for (observed, expected) in [
        (serial("0b"), Some("0b")),
        (Observation::Unknown, Some("0badcafe")),
        (CurrentCertificate::OfEach.into(), Some("0badcafe")),
        (Observation::Nothing, None),
    ] {
        let applied = Applied { observed: observed.clone(), ..sealed.clone() };
        assert_eq!(told(&applied).as_deref(), expected, "{observed:?}");
    }
    let mut limited = Applied { observed: serial("0c"), ..good };
    break_control(&mut limited, Control::Certificate);
    assert_eq!(told(&limited).as_deref(), Some("0c"));
}

#[test]
fn ready_needs_every_single_part() {
    let scene = scene();
    for part in Control::ALL.into_iter().map(Some).chain([None]) {
        let (plan, mut applied) = in_force(&scene);
        match part {
            Some(control) => break_control(&mut applied, control),
            None => applied.record = Err(fault()),
        }
        let status = judged(&scene, &plan, &applied);
        assert_eq!(said(&status, condition::READY), says("False", "VaultSealed"), "{part:?}");
        assert_eq!(said(&status, condition::RECONCILING), says("True", "Retrying"), "{part:?}");
        assert_eq!(said(&status, condition::STALLED), None, "{part:?}");
    }
    let (plan, mut applied) = in_force(&scene);
    applied.has_policy = false;
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::READY), says("False", "PolicyMissing"));
    let (plan, mut applied) = in_force(&scene);
    applied.default_deny = false;
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::READY), says("False", "DefaultDenyPending"));
}

#[test]
fn audit_is_not_isolation() {
    let scene = scene()
        .domain(DOMAIN, json!({"network": {"mode": "Audit"}}))
        .pod("cc-front/stray-0", [("app", "stray")])
        .pod("cc-front/subrosa-backup-voice-1", [("subrosa.dev/backup", "voice")]);
    let scene =
        scene.policy("cc-front", network_policy("theirs", json!({"podSelector": {}, "ingress": [{}]})));
    let (plan, mut applied) = in_force(&scene);
    applied.has_policy = false;
    applied.default_deny = false;
    let status = judged(&scene, &plan, &applied);
    assert_eq!(said(&status, condition::READY), says("False", "AuditMode"));
    assert_eq!(said(&status, condition::ISOLATED), says("False", "AuditMode"));
    let message = &find(&status.conditions, condition::ISOLATED).unwrap().message;
    assert!(message.contains("1 pods belong to no Channel (stray-0)"), "{message}");
    assert!(message.contains("theirs ingress[0]"), "{message}");
    assert!(message.contains("cannot be seen"), "{message}");
}

#[test]
fn a_stalled_channel_says_everything_that_is_wrong() {
    let before = scene();
    let record = before.record(VOICE);
    let bad = voice(json!({"dataClasses": ["unheard-of"], "tls": {"duration": "300d"}}));
    let scene = before.channel(VOICE, bad);
    let plan = scene.plan_with(VOICE, Some(&record));
    let status = judged(&scene, &plan, &applied(&plan, record));
    assert_eq!(said(&status, condition::STALLED), says("True", "UnknownDataClass"));
    assert_eq!(said(&status, condition::READY), says("False", "UnknownDataClass"));
    assert_eq!(said(&status, condition::KEYS_READY), says("Unknown", "NotPlanned"));
    assert_eq!(said(&status, condition::RETAINED), says("Unknown", "NotPlanned"));
    assert_eq!(
        said(&status, condition::RECONCILING),
        None,
        "nothing happens until someone changes something"
    );
    let message = &find(&status.conditions, condition::STALLED).unwrap().message;
    assert!(message.contains("spec.dataClasses: ") && message.contains("spec.tls.duration: "), "{message}");
    assert_eq!(status.connections[0].state, "Open", "what is in force stays");
}

#[test]
fn a_stalled_channel_with_a_fault_is_still_stalled() {
    let scene = scene().channel(VOICE, voice(json!({"dataClasses": ["unheard-of"]})));
    let (plan, mut applied) = in_force(&scene);
    break_control(&mut applied, Control::Keys);
    let status = judged(&scene, &plan, &applied);
    assert_eq!(said(&status, condition::STALLED), says("True", "UnknownDataClass"));
    assert_eq!(said(&status, condition::RECONCILING), None);
}

#[test]
fn a_frozen_namespace_is_reported() {
    let before = scene();
    let record = before.record(VOICE);
    let scene = before.namespace("cc-front", None);
    let plan = scene.plan_with(VOICE, Some(&record));
    let status = judged(&scene, &plan, &applied(&plan, record));
    assert_eq!(said(&status, condition::READY), says("False", "NamespaceFrozen"));
    assert_eq!(said(&status, condition::KEYS_READY), says("Unknown", "NotPlanned"));
    assert_eq!(said(&status, condition::STALLED), None);
}

#[test]
fn what_no_domain_governs_keeps_its_identity_only() {
    let scene = scene();
    let mut before = status(&scene);
    before.id = Some("abcdefghijklmnop".into());
    let channel = testing::edited(scene.get(VOICE), |one| one.status = Some(before));
    let problem = Problem {
        reason: Reason::NamespaceNotGoverned,
        field: "metadata.namespace",
        message: "label it".into(),
    };
    let status = ungoverned(&channel, &problem, now());
    assert_eq!(status.id.as_deref(), Some("abcdefghijklmnop"));
    assert_eq!(said(&status, condition::READY), says("False", "NamespaceNotGoverned"));
    assert_eq!(said(&status, condition::STALLED), says("True", "NamespaceNotGoverned"));
    assert!(status.connections.is_empty() && status.keys.is_empty());
    assert!(status.certificate.is_some(), "pods have it, and nobody renews it");
    assert_eq!(status.conditions.len(), 2);
}

#[test]
fn isolation_is_claimed_in_order_of_what_breaks_it() {
    let base = scene();
    let isolated = |scene: &Scene| said(&status(scene), condition::ISOLATED);
    assert_eq!(isolated(&base), says("Unknown", "PoliciesApplied"));

    let mut engines = base.clone();
    engines.world.other_engines.insert("cilium.io".into());
    assert_eq!(isolated(&engines), says("Unknown", "OtherPolicyEngine"));
    assert_eq!(said(&status(&engines), condition::READY), says("True", "InForceUnproven"));

    let open = base.clone().domain(DOMAIN, json!({"network": {"defaultDeny": false}}));
    assert_eq!(isolated(&open), says("False", "NoDefaultDeny"));

    let foreign =
        engines.policy("cc-front", network_policy("theirs", json!({"podSelector": {}, "ingress": [{}]})));
    assert_eq!(isolated(&foreign), says("False", "ForeignPolicy"));
    assert_eq!(said(&status(&foreign), condition::READY), says("False", "ForeignPolicy"));

    let pod = |host_network, finished| PodFacts {
        labels: testing::labels([("app", "voice")]),
        host_network,
        finished,
        ..PodFacts::default()
    };
    let host = foreign.clone().pod_with("cc-front/voice-0", pod(true, false));
    assert_eq!(isolated(&host), says("False", "HostNetworkPods"));
    let message = find(&status(&host).conditions, condition::ISOLATED).unwrap().message.clone();
    assert!(message.contains("voice-0"), "{message}");
    for harmless in [pod(true, true), pod(false, false)] {
        let scene = base.clone().pod_with("cc-front/voice-0", harmless);
        assert_eq!(isolated(&scene), says("Unknown", "PoliciesApplied"));
    }
    let others = PodFacts { labels: testing::labels([("app", "node-exporter")]), ..pod(true, false) };
    assert_eq!(
        isolated(&base.pod_with("cc-front/node-exporter-0", others)),
        says("Unknown", "PoliciesApplied")
    );
}

#[test]
fn served_is_never_claimed_without_a_probe() {
    let served = |listeners: Value| {
        said(&status(&scene().channel(VOICE, voice(json!({"listeners": listeners})))), condition::SERVED)
    };
    assert_eq!(served(json!([{"name": "sips", "port": 5061}])), says("Unknown", "NotProbed"));
    assert_eq!(
        served(json!([{"name": "rtp", "port": 10000, "protocol": "UDP"}])),
        says("Unknown", "NoTLSListener")
    );
}

fn ready(status: &str, reason: &str) -> Value {
    said_by(condition::READY, status, reason)
}

fn said_by(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "see there",
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    })
}

#[test]
fn exceptions_are_overdue_the_day_after() {
    let exception =
        |control: &str, expires: &str| json!({"control": control, "reason": "why", "expires": expires});
    let exceptions =
        json!({"exception": [exception("SR-NET-01", "2026-11-22"), exception("SR-NET-02", "2026-11-21")]});
    let shown = status(&scene().channel(VOICE, voice(exceptions))).exceptions;
    let overdue: Vec<_> = shown.iter().map(|one| (one.control.as_str(), one.overdue)).collect();
    assert_eq!(overdue, [("SR-NET-01", false), ("SR-NET-02", true)]);
}

#[test]
fn a_condition_keeps_its_time_while_its_status_does() {
    let scene = scene();
    let mut before = status(&scene);
    let past = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("2026-01-01T00:00:00Z"));
    before.conditions.iter_mut().for_each(|one| one.last_transition_time = past.clone());
    let one = testing::edited(scene.get(VOICE), |one| one.status = Some(before));
    let scene = scene.given(one);
    assert!(status(&scene).conditions.iter().all(|one| one.last_transition_time == past));
    let (plan, mut applied) = in_force(&scene);
    applied.has_policy = false;
    let after = judged(&scene, &plan, &applied);
    assert_eq!(find(&after.conditions, condition::READY).unwrap().last_transition_time.0, now());
    assert_eq!(find(&after.conditions, condition::SERVED).unwrap().last_transition_time, past);
}

#[test]
fn attention_is_for_what_someone_must_do() {
    let one = |kind: &str, status: &str| -> Vec<Condition> {
        vec![testing::read(
            json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-11-22T12:00:00Z"}),
        )]
    };
    for kind in [
        condition::READY,
        condition::CONNECTED,
        condition::SERVED,
        condition::ISOLATED,
        condition::KEYS_READY,
        condition::RETAINED,
    ] {
        assert!(needs_attention(&one(kind, "False")), "{kind}");
        assert!(!needs_attention(&one(kind, "True")) && !needs_attention(&one(kind, "Unknown")), "{kind}");
    }
    assert!(needs_attention(&one(condition::STALLED, "True")));
    assert!(!needs_attention(&one(condition::RECONCILING, "True")) && !needs_attention(&[]));
}

#[test]
fn the_first_fault_is_the_one_that_holds_up_the_others() {
    let (_, mut applied) = in_force(&scene());
    assert_eq!(applied.fault(), None);
    let of = |control: Control| Fault::new(Reason::Internal, format!("{control:?}"));
    for control in Control::ALL.into_iter().rev() {
        applied.controls = applied.controls.with(control, Err(of(control)));
        assert_eq!(applied.fault(), Some(&of(control)), "it holds up those that come after it");
    }
    applied.record = Err(Fault::new(Reason::Internal, "ChannelRecord"));
    assert_eq!(applied.fault().unwrap().message, "ChannelRecord");
}

#[test]
fn the_assurance_is_the_weakest_of_what_was_seen() {
    let verdict = |truth, reason| Verdict::new(condition::ISOLATED, truth, reason, "");
    let blocked = verdict(Truth::True, Reason::PoliciesApplied);
    let written = verdict(Truth::Unknown, Reason::PoliciesApplied);
    assert_eq!(assurance(Witness::EveryPod, &blocked).0, Reason::InForce);
    assert_eq!(
        assurance(Witness::NothingToSee, &blocked).0,
        Reason::InForce,
        "what serves nothing owes nothing"
    );
    assert_eq!(assurance(Witness::Missing, &blocked).0, Reason::InForceUnproven);
    let (reason, message) = assurance(Witness::EveryPod, &written);
    assert_eq!(reason, Reason::InForceUnproven);
    assert!(message.contains("probes saw the certificate on every ready pod"), "{message}");
}
