//! What is said of keys and of what they retain.

use super::*;
use crate::record::ended::Ended;
use crate::world::{key_fault::KeyFault, key_findings::KeyLook};

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
    let gone = with(&|applied, plan| drop(applied.keys.remove(&first(plan))));
    assert_eq!(gone, both("KeyMissing"));
    let never = with(&|applied, plan| {
        applied.keys.remove(&first(plan));
        let key = &plan.keys[0];
        *applied.record.as_mut().unwrap().key_mut(&key.class, key.cohort) = ActiveKey::default();
    });
    assert_eq!(never, both("KeyPending"));
    let still = with(&|applied, plan| {
        applied.keys.get_mut(&first(plan)).unwrap().rotate_every = None;
    });
    assert_eq!(still, both("RotationNotSet"));
    let loosened = with(&|applied, plan| {
        applied.keys.get_mut(&first(plan)).unwrap().fault = Some(KeyFault::Exportable);
    });
    assert_eq!(loosened, both("IrreversibleKey"));
    let unknown = with(&|applied, _| break_control(applied, Control::Keys));
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
    let plan = crate::channel::plan(scene.get(VOICE), &scene, None, late).ok().unwrap();
    assert!(plan.keys.is_empty(), "the next cohort would begin beyond the calendar");
    let applied = applied(&plan, scene.first_record(VOICE));
    let status = channel(scene.get(VOICE), &plan, &applied, &scene, late);
    assert_eq!(said(&status, condition::KEYS_READY), says("False", "NotPlanned"));
    assert_eq!(said(&status, condition::RETAINED), says("False", "NotPlanned"));
    assert_eq!(said(&status, condition::READY), says("False", "NotPlanned"));
}

#[test]
fn retained_needs_a_policy_without_conflict_and_keys_in_the_record() {
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
    applied.record = Ok(scene.first_record(VOICE));
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::RETAINED), says("False", "KeyPending"));
    applied.record = Err(fault());
    assert_eq!(said(&judged(&scene, &plan, &applied), condition::RETAINED), says("False", "VaultSealed"));
}

#[test]
fn data_that_is_late_is_told_and_its_channel_is_ready() {
    let late = |class: Value, cohorts: &[&str]| {
        let scene = scene().retention("contactcenter", json!({"classes": [class]}));
        let (plan, mut applied) = in_force(&scene);
        let record = applied.record.as_mut().unwrap();
        let ended = cohorts.iter().map(|cohort| cohort.parse().unwrap());
        record.ended = Some(ended.fold(Ended::default(), |all, one| all.with("call-recording", one)));
        let status = judged(&scene, &plan, &applied);
        let retained = status.conditions.iter().find(|one| one.type_ == condition::RETAINED).unwrap();
        assert_eq!(said(&status, condition::READY).unwrap().0, "True", "{retained:?}");
        (retained.reason.clone(), retained.message.clone())
    };
    let calls = json!({"name": "call-recording", "keep": "90d", "max": "130d", "cohort": "Week"});
    // Of week 28 the first day was 6 July: 130 days later is 13 November. Week 30 may be there until 27 November.
    assert_eq!(late(calls.clone(), &["2026w30", "2026w40"]).0, "Scheduled");
    let (reason, message) = late(calls, &["2026w27", "2026w28", "2026w40"]);
    assert_eq!(reason, "KeptTooLong");
    assert!(message.contains("cohort 2026w27 had to be gone after 2026-11-06"), "{message}");
    assert!(message.ends_with("1 more cohort is late, see status.keys"), "{message}");

    let open = json!({"name": "call-recording", "keep": "20y", "cohort": "Day", "anchor": "LastChange", "openFor": "1y"});
    assert_eq!(late(open.clone(), &["open-20251122"]).0, "Scheduled", "until the evening of 22 November");
    let (reason, message) = late(open, &["open-20251121"]);
    assert_eq!(reason, "AnchorOverdue");
    assert!(message.contains("since before 2026-11-22") && message.contains("next: reseal it"), "{message}");
}

#[test]
fn backups_that_are_kept_without_end_are_told_and_their_channel_is_ready() {
    let kept = |classes: Value| {
        let store = json!({"endpoint": "https://s3.example.org", "region": "eu-1", "bucket": "cc-backups"});
        let backup = json!({"schedule": "15 2 * * *", "volumes": ["recordings"], "writeSecret": "store"});
        let mut scene = scene()
            .domain(DOMAIN, json!({"backup": {"store": store}}))
            .retention("contactcenter", json!({"classes": classes}))
            .channel(VOICE, voice(json!({"backup": backup})));
        scene.world.worker_image = Some("example.org/subrosa@sha256:aa".into());
        let status = status(&scene);
        assert_eq!(said(&status, condition::READY).unwrap().0, "True", "{:?}", status.conditions);
        said(&status, condition::RETAINED)
    };
    let calls = json!({"name": "call-recording", "keep": "90d", "cohort": "Week"});
    assert_eq!(kept(json!([calls])), says("False", "BackupRetentionMissing"));
    assert_eq!(kept(json!([calls, {"name": "subrosa-backup", "keep": "90d"}])), says("True", "Scheduled"));
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

#[test]
fn keys_are_shown_as_the_record_and_vault_have_them() {
    let scene = scene();
    let (plan, mut applied) = in_force(&scene);
    let states = |applied: &Applied| -> Vec<_> {
        judged(&scene, &plan, applied).keys.into_iter().map(|key| key.state).collect()
    };
    assert_eq!(states(&applied), ["Current", "Next"]);
    break_control(&mut applied, Control::Keys);
    assert_eq!(states(&applied), ["Unknown", "Unknown"], "Vault did not answer: nothing is known to be gone");
    applied.record = Err(fault());
    assert!(states(&applied).is_empty());
}

#[test]
fn keys_that_were_not_looked_at_are_not_called_in_place() {
    let verdicts = |scene: &Scene, spec: Value| {
        let scene = scene.clone().channel(VOICE, voice(spec));
        let (plan, mut applied) = in_force(&scene);
        let old = subrosa_crds::cohort::Cohort::of("2026-01-05".parse().unwrap(), Default::default());
        let record = applied.record.as_mut().unwrap();
        record.ended = Some(record.ended.take().unwrap_or_default().with("call-recording", old));
        let status = judged(&scene, &plan, &applied);
        [condition::KEYS_READY, condition::RETAINED, condition::READY]
            .map(|kind| said(&status, kind).unwrap())
    };
    let mut scene = scene();
    assert!(verdicts(&scene, json!({})).iter().all(|(truth, _)| truth == "True"));
    let days_ago = now().checked_sub(jiff::SignedDuration::from_hours(25)).unwrap();
    for (seen, spec) in [None, Some(days_ago)]
        .into_iter()
        .flat_map(|seen| [(seen, json!({})), (seen, json!({"dataClasses": null}))])
    {
        scene.world.key_findings.get_mut(DOMAIN).unwrap().all_seen = seen;
        let [keys, retained, ready] = verdicts(&scene, spec);
        assert_eq!(keys, says("Unknown", "KeysUnseen").unwrap());
        assert_eq!(retained, says("Unknown", "KeysUnseen").unwrap());
        assert_eq!(ready.0, "True", "what is in force is in force");
    }
    let id = scene.plan(VOICE).id;
    let look = |fault| {
        vec![KeyLook {
            id: id.clone(),
            name: id.data_key("call-recording", "2026w02"),
            fault,
            destroyed: false,
        }]
    };
    let findings = scene.world.key_findings.get_mut(DOMAIN).unwrap();
    findings.take(look(Some(KeyFault::Exportable)), now());
    let told = verdicts(&scene, json!({}));
    assert!(told.iter().all(|found| *found == says("False", "IrreversibleKey").unwrap()), "{told:?}");
    let other = scene.world.key_findings.remove(DOMAIN).unwrap();
    scene.world.key_findings.insert("elsewhere".into(), other);
    assert_eq!(
        verdicts(&scene, json!({}))[0],
        says("Unknown", "KeysUnseen").unwrap(),
        "of another domain's Vault"
    );
}
