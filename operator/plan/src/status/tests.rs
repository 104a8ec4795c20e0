use serde_json::{Value, json};
use subrosa_crds::{condition::find, trust_domain::Direction};

use super::*;
use crate::{
    connection::{Key, Other},
    keys::ObservedKey,
    ledger::{KeyRecord, Withdrawal},
    network as policies,
    testing::{self, DOMAIN, Scene, at, leaf, named, network_policy, now},
    world::PodFacts,
};

mod moving;

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
        "workload": {"serviceAccountName": "sbc"},
        "listeners": [{"name": "sips", "port": 5061}],
        "accepts": [{"name": "ivr"}],
        "dataClasses": ["call-recording"],
    });
    testing::merge(&mut spec, patch);
    spec
}

/// Everything carried out as planned.
fn applied(plan: &Plan, ledger: Ledger) -> Applied {
    let mut ledger = plan.remember(ledger, now());
    let versions = BTreeMap::from([(1, at("2026-11-20T00:00:00Z"))]);
    let mut found = BTreeMap::new();
    for key in &plan.keys {
        *ledger.key_mut(&key.class, key.cohort) = KeyRecord { versions: versions.clone(), closed: false };
        let seen = ObservedKey { versions: versions.clone(), rotate_every: key.rotate_every, alarming: None };
        found.insert(key.name.clone(), seen);
    }
    let trusting = plan
        .open_channels(Direction::Ingress)
        .chain(plan.open_channels(Direction::Egress))
        .cloned()
        .collect();
    Applied {
        ledger: Ok(ledger),
        certificate: Ok(leaf().into()),
        authority: Ok(()),
        keys: Ok(found),
        access: Ok(()),
        network: Ok(true),
        default_deny: true,
        trusting,
        restart: Restart::NotDue,
    }
}

fn in_force(scene: &Scene) -> (Plan, Applied) {
    let plan = scene.plan(VOICE);
    let applied = applied(&plan, scene.first_ledger(VOICE));
    (plan, applied)
}

fn judged(scene: &Scene, plan: &Plan, applied: &Applied) -> ChannelStatus {
    channel(scene.get(VOICE), &named(VOICE), plan, applied, scene, now())
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
    Fault::new("VaultSealed", "Vault is sealed: unseal it")
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
fn ready_needs_every_single_part() {
    let scene = scene();
    type Break = fn(&mut Applied);
    let parts: [(&str, Break); 6] = [
        ("ledger", |one| one.ledger = Err(fault())),
        ("certificate", |one| one.certificate = Err(fault())),
        ("authority", |one| one.authority = Err(fault())),
        ("keys", |one| one.keys = Err(fault())),
        ("access", |one| one.access = Err(fault())),
        ("network", |one| one.network = Err(fault())),
    ];
    for (part, broken) in parts {
        let (plan, mut applied) = in_force(&scene);
        broken(&mut applied);
        let status = judged(&scene, &plan, &applied);
        assert_eq!(said(&status, condition::READY), says("False", "VaultSealed"), "{part}");
        assert_eq!(said(&status, condition::RECONCILING), says("True", "Retrying"), "{part}");
        assert_eq!(said(&status, condition::STALLED), None, "{part}");
    }
    let (plan, mut applied) = in_force(&scene);
    applied.network = Ok(false);
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::READY), says("False", "PolicyMissing"));
    let (plan, mut applied) = in_force(&scene);
    applied.default_deny = false;
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::READY), says("False", "DefaultDenyPending"));
}

#[test]
fn ready_does_not_wait_for_the_consent_of_others() {
    let scene = scene().channel(VOICE, voice(json!({"accepts": [{"name": "ivr"}, {"name": "nobody"}]})));
    let status = status(&scene);
    assert_eq!(said(&status, condition::READY), says("True", "InForceUnproven"));
    assert_eq!(said(&status, condition::CONNECTED), says("False", "NotFound"));
    assert!(find(&status.conditions, condition::CONNECTED).unwrap().message.contains("nobody (NotFound)"));
    assert_eq!(status.connection_summary.as_deref(), Some("1/2"));
}

#[test]
fn audit_is_not_isolation() {
    let scene = scene()
        .domain(DOMAIN, json!({"network": {"mode": "Audit"}}))
        .pod("cc-front/stray-0", [("app", "stray")]);
    let scene =
        scene.policy("cc-front", network_policy("theirs", json!({"podSelector": {}, "ingress": [{}]})));
    let (plan, mut applied) = in_force(&scene);
    applied.network = Ok(false);
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
    let ledger = before.ledger(VOICE);
    let bad = voice(json!({"dataClasses": ["unheard-of"], "tls": {"duration": "300d"}}));
    let scene = before.channel(VOICE, bad);
    let plan = scene.plan_with(VOICE, Some(&ledger));
    let status = judged(&scene, &plan, &applied(&plan, ledger));
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
    applied.keys = Err(fault());
    let status = judged(&scene, &plan, &applied);
    assert_eq!(said(&status, condition::STALLED), says("True", "UnknownDataClass"));
    assert_eq!(said(&status, condition::RECONCILING), None);
}

#[test]
fn a_frozen_namespace_is_reported() {
    let before = scene();
    let ledger = before.ledger(VOICE);
    let scene = before.namespace("cc-front", None);
    let plan = scene.plan_with(VOICE, Some(&ledger));
    let status = judged(&scene, &plan, &applied(&plan, ledger));
    assert_eq!(said(&status, condition::READY), says("False", "NamespaceFrozen"));
    assert_eq!(said(&status, condition::KEYS_READY), says("Unknown", "NotPlanned"));
    assert_eq!(said(&status, condition::STALLED), None);
}

#[test]
fn what_no_domain_governs_keeps_its_identity_only() {
    let scene = scene();
    let mut channel = scene.get(VOICE).clone();
    let mut before = status(&scene);
    before.id = Some("abcdefghijklmnop".into());
    channel.status = Some(before);
    let problem =
        Problem { reason: "NamespaceNotGoverned", field: "metadata.namespace", message: "label it".into() };
    let status = ungoverned(&channel, &problem, now());
    assert_eq!(status.id.as_deref(), Some("abcdefghijklmnop"));
    assert_eq!(said(&status, condition::READY), says("False", "NamespaceNotGoverned"));
    assert_eq!(said(&status, condition::STALLED), says("True", "NamespaceNotGoverned"));
    assert!(status.connections.is_empty() && status.keys.is_empty() && status.certificate.is_none());
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
fn keys_are_ready_when_each_exists_and_rotates() {
    let scene = scene();
    let with = |edit: &dyn Fn(&mut Applied, &Plan)| {
        let (plan, mut applied) = in_force(&scene);
        edit(&mut applied, &plan);
        let status = judged(&scene, &plan, &applied);
        (said(&status, condition::KEYS_READY).unwrap(), said(&status, condition::READY).unwrap())
    };
    let first = |plan: &Plan| plan.keys[0].name.clone();
    let both = |reason: &str| (says("False", reason).unwrap(), says("False", reason).unwrap());
    let gone = with(&|applied, plan| drop(applied.keys.as_mut().unwrap().remove(&first(plan))));
    assert_eq!(gone, both("KeyMissing"));
    let never = with(&|applied, plan| {
        applied.keys.as_mut().unwrap().remove(&first(plan));
        let key = &plan.keys[0];
        *applied.ledger.as_mut().unwrap().key_mut(&key.class, key.cohort) = KeyRecord::default();
    });
    assert_eq!(never, both("KeyPending"));
    let still = with(&|applied, plan| {
        applied.keys.as_mut().unwrap().get_mut(&first(plan)).unwrap().rotate_every = None;
    });
    assert_eq!(still, both("RotationNotSet"));
    let loosened = with(&|applied, plan| {
        applied.keys.as_mut().unwrap().get_mut(&first(plan)).unwrap().alarming = Some("exportable");
    });
    assert_eq!(loosened, both("IrreversibleKey"));
    let unknown = with(&|applied, _| applied.keys = Err(fault()));
    assert_eq!(unknown, both("VaultSealed"));
}

#[test]
fn a_channel_that_seals_nothing_needs_no_key() {
    let status = status(&scene().channel(VOICE, voice(json!({"dataClasses": null}))));
    assert_eq!(said(&status, condition::KEYS_READY), says("True", "NothingSealed"));
    assert_eq!(said(&status, condition::RETAINED), says("True", "NothingKept"));
}

#[test]
fn keys_that_could_not_be_planned_are_not_called_unneeded() {
    let scene = scene();
    let late = at("9999-12-30T12:00:00Z");
    let plan = crate::channel::plan(scene.get(VOICE), &named(VOICE), &scene, None, late).ok().unwrap();
    assert!(plan.keys.is_empty(), "the next cohort would begin beyond the calendar");
    let applied = applied(&plan, scene.first_ledger(VOICE));
    let status = channel(scene.get(VOICE), &named(VOICE), &plan, &applied, &scene, late);
    assert_eq!(said(&status, condition::KEYS_READY), says("False", "NotPlanned"));
    assert_eq!(said(&status, condition::RETAINED), says("False", "NotPlanned"));
    assert_eq!(said(&status, condition::READY), says("False", "NotPlanned"));
}

#[test]
fn retained_needs_a_policy_without_conflict_and_keys_in_the_ledger() {
    let conflict = scene().retention(
        "contactcenter",
        json!({"classes": [{
            "name": "call-recording", "keep": "20d", "cohort": "Week",
            "minimums": [{"jurisdiction": "NL", "period": "30d", "basis": "a law"}],
        }]}),
    );
    assert_eq!(said(&status(&conflict), condition::RETAINED), says("False", "RetentionConflict"));
    assert_eq!(said(&status(&conflict), condition::READY), says("False", "RetentionConflict"));

    let scene = scene();
    let (plan, mut applied) = in_force(&scene);
    applied.ledger = Ok(scene.first_ledger(VOICE));
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::RETAINED), says("False", "KeyPending"));
    applied.ledger = Err(fault());
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::RETAINED), says("False", "VaultSealed"));
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

#[test]
fn a_connection_is_open_only_when_it_is_in_force() {
    let scene = scene();
    let first = |scene: &Scene, edit: &dyn Fn(&mut Applied)| {
        let (plan, mut applied) = in_force(scene);
        edit(&mut applied);
        let one = judged(scene, &plan, &applied).connections.remove(0);
        (one.state, one.reason.unwrap_or_default(), one.next_step.unwrap_or_default())
    };
    assert_eq!(first(&scene, &|_| {}).0, "Open");
    type Break = fn(&mut Applied);
    let mend = "mend what condition Ready of this Channel tells (VaultSealed)";
    let wait = "none: it opens by itself";
    let breaks: [(Break, &str, &str); 4] = [
        (|one| one.network = Err(fault()), "unseal it", mend),
        (|one| one.network = Ok(false), "no network policy yet", wait),
        (|one| one.certificate = Err(fault()), "certificate is not in force", mend),
        (|one| one.trusting.clear(), "no certificate authority yet", wait),
    ];
    for (broken, because, next) in breaks {
        let (state, reason, next_step) = first(&scene, &broken);
        assert_eq!(state, "Closed");
        assert!(reason.contains(because), "{reason}");
        assert!(next_step.contains(next), "{next_step}");
    }
    let mut theirs = scene.clone();
    theirs.world.network_policies.get_mut("cc-front").unwrap().remove("subrosa-channel-ivr");
    let (state, reason, next_step) = first(&theirs, &|_| {});
    assert_eq!(state, "Closed");
    assert!(reason.contains("policy of Channel cc-front/ivr does not have it yet"), "{reason}");
    assert_eq!(next_step, wait);

    let mut held_up = theirs.get("cc-front/ivr").clone();
    held_up.status = Some(testing::read(json!({"conditions": [ready("False", "UnknownDataClass")]})));
    let (_, _, next_step) = first(&theirs.given(held_up), &|_| {});
    assert!(next_step.contains("of Channel cc-front/ivr tells (UnknownDataClass)"), "{next_step}");
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
fn keys_that_nobody_can_reach_are_not_ready() {
    let with_vault = |status: &str, reason: &str| {
        let mut scene = scene();
        let domain = std::sync::Arc::make_mut(scene.world.domains.get_mut(DOMAIN).unwrap());
        let vault = said_by(condition::VAULT_REACHABLE, status, reason);
        domain.status = Some(testing::read(json!({"conditions": [vault]})));
        said(&self::status(&scene), condition::KEYS_READY).unwrap()
    };
    for reason in ["VaultSealed", "VaultUnreachable", "VaultTimeout"] {
        assert_eq!(with_vault("False", reason), says("False", reason).unwrap());
    }
    // The operator's own trouble is not the workload's.
    for (status, reason) in [("False", "VaultLoginRefused"), ("False", "ClockSkew"), ("True", "LoggedIn")] {
        assert_eq!(with_vault(status, reason).0, "True", "{reason}");
    }
}

fn withdrawal(name: &str, other: &str) -> Withdrawal {
    let key = Key { direction: Direction::Ingress, name: name.into(), other: Other::Channel(named(other)) };
    Withdrawal { key, since: now() }
}

#[test]
fn what_was_withdrawn_is_closing_until_it_is_proven_closed() {
    let scene = scene().channel("cc-front/ivr", json!({}));
    let (plan, mut applied) = in_force(&scene);
    assert_eq!(judged(&scene, &plan, &applied).connections[0].state, "AwaitingConsent");
    applied.ledger.as_mut().unwrap().closing = vec![withdrawal("ivr", "cc-front/ivr")];
    let status = judged(&scene, &plan, &applied);
    assert_eq!(status.connections[0].state, "Closing");
    assert_eq!(said(&status, condition::CONNECTED), says("False", "Closing"));
}

#[test]
fn a_removed_entry_is_shown_and_not_counted() {
    let scene = scene();
    let (plan, mut applied) = in_force(&scene);
    applied.ledger.as_mut().unwrap().closing =
        vec![withdrawal("menu", "cc-front/menu"), withdrawal("ivr", "cc-front/other")];
    let status = judged(&scene, &plan, &applied);
    let shown: Vec<_> =
        status.connections.iter().map(|one| (one.name.as_str(), one.state.as_str())).collect();
    assert_eq!(
        shown,
        [("ivr", "Open"), ("menu", "Closing")],
        "a list-map has one entry a name and direction"
    );
    assert!(status.connections[1].reason.as_ref().unwrap().contains("Channel cc-front/menu"));
    // Every connection that is declared is open, and what is not declared is not owed.
    assert_eq!(said(&status, condition::CONNECTED), says("True", "AllOpen"));
    assert_eq!(status.connection_summary.as_deref(), Some("1/1"));
}

#[test]
fn nothing_declared_is_nothing_to_wait_for() {
    let scene = scene().channel(VOICE, voice(json!({"accepts": []})));
    let status = status(&scene);
    assert_eq!(said(&status, condition::CONNECTED), says("True", "NothingDeclared"));
    assert_eq!(status.connection_summary.as_deref(), Some("0/0"));
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
    let mut one = scene.get(VOICE).clone();
    one.status = Some(before);
    let scene = scene.given(one);
    assert!(status(&scene).conditions.iter().all(|one| one.last_transition_time == past));
    let (plan, mut applied) = in_force(&scene);
    applied.network = Ok(false);
    let after = judged(&scene, &plan, &applied);
    assert_eq!(find(&after.conditions, condition::READY).unwrap().last_transition_time.0, now());
    assert_eq!(find(&after.conditions, condition::SERVED).unwrap().last_transition_time, past);
}

#[test]
fn keys_are_shown_as_the_ledger_and_vault_have_them() {
    let scene = scene();
    let (plan, mut applied) = in_force(&scene);
    let states = |applied: &Applied| -> Vec<_> {
        judged(&scene, &plan, applied).keys.into_iter().map(|key| key.state).collect()
    };
    assert_eq!(states(&applied), ["Current", "Next"]);
    applied.keys = Err(fault());
    assert_eq!(states(&applied), ["Unknown", "Unknown"], "Vault did not answer: nothing is known to be gone");
    applied.ledger = Err(fault());
    assert!(states(&applied).is_empty());
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
    ] {
        assert!(needs_attention(&one(kind, "False")), "{kind}");
        assert!(!needs_attention(&one(kind, "True")) && !needs_attention(&one(kind, "Unknown")), "{kind}");
    }
    assert!(needs_attention(&one(condition::STALLED, "True")));
    assert!(!needs_attention(&one(condition::RETAINED, "False")) && !needs_attention(&[]));
}

#[test]
fn the_first_fault_is_the_one_that_holds_up_the_others() {
    let (_, mut applied) = in_force(&scene());
    assert_eq!(applied.fault(), None);
    applied.access = Err(Fault::new("Access", ""));
    applied.certificate = Err(Fault::new("Certificate", ""));
    assert_eq!(applied.fault().unwrap().reason, "Certificate");
    applied.network = Err(Fault::new("Network", ""));
    assert_eq!(applied.fault().unwrap().reason, "Network");
    applied.ledger = Err(Fault::new("Ledger", ""));
    assert_eq!(applied.fault().unwrap().reason, "Ledger");
}

#[test]
fn the_assurance_is_the_weakest_of_what_was_seen() {
    let verdict = |truth, reason: &str| Verdict::new(condition::SERVED, truth, reason, "");
    let seen = verdict(Truth::True, "CurrentEverywhere");
    let nothing_to_see = verdict(Truth::Unknown, "NoTLSListener");
    let blocked = verdict(Truth::True, "ProbesPassed");
    let written = verdict(Truth::Unknown, "PoliciesApplied");
    assert_eq!(assurance(&seen, &blocked).0, "InForce");
    assert_eq!(assurance(&nothing_to_see, &blocked).0, "InForce", "what serves nothing owes nothing");
    for served in [verdict(Truth::Unknown, "NotProbed"), verdict(Truth::False, "StaleCertificate")] {
        assert_eq!(assurance(&served, &blocked).0, "InForceUnproven");
    }
    let (reason, message) = assurance(&seen, &written);
    assert_eq!(reason, "InForceUnproven");
    assert!(message.contains("probes saw the certificate on every ready pod"), "{message}");
}
