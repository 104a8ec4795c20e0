//! BackedUp: what a drill proved, and for how long.

use jiff::SignedDuration;

use super::*;
use crate::record::backup::{BackupRecord, DrillRecord, FailedRun, SuccessfulRun, VerifiedRestore};

fn days(count: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * count)
}

fn proof(began: Timestamp) -> VerifiedRestore {
    let time = began - SignedDuration::from_mins(10);
    VerifiedRestore { started: began, run: 3, time, recovery_seconds: 35, recovery_point_seconds: 600 }
}

fn failed(began: Timestamp, reason: &str) -> FailedRun {
    FailedRun { started: began, reason: Some(reason.into()), message: "look there".into() }
}

/// What BackedUp says, with these drills since a month ago and a backup of today.
fn backed_up(
    drill: Value,
    success: Option<VerifiedRestore>,
    failure: Option<FailedRun>,
    since: i64,
) -> (String, String, String) {
    let domain = json!({"backup": {"store": {"endpoint": "https://s3.example.org", "region": "eu-1", "bucket": "cc-backups"}}});
    let backup = json!({"schedule": "15 2 * * *", "volumes": ["a"], "writeSecret": "s", "drill": drill});
    let mut scene = scene().domain(DOMAIN, domain).channel(VOICE, voice(json!({"backup": backup})));
    scene.world.worker_image = Some("example.org/subrosa@sha256:aa".into());
    let mut record = scene.first_record(VOICE);
    let drills = DrillRecord { since: days(since), success, failure };
    record.backup = Some(Box::new(BackupRecord {
        success: Some(SuccessfulRun { started: now(), run: 4, files: 1, bytes: 1 }),
        drill: Some(Box::new(drills)),
        ..BackupRecord::default()
    }));
    let plan = scene.plan_with(VOICE, Some(&record));
    let applied = applied(&plan, record);
    let status = judged(&scene, &plan, &applied);
    let found = find(&status.conditions, condition::BACKED_UP).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn only_a_verified_restore_within_its_window_proves_a_backup() {
    let monthly = || json!({"schedule": "0 4 1 * *"});
    let says = |found: (String, String, String), truth: &str, reason: &str, part: &str| {
        assert_eq!((found.0.as_str(), found.1.as_str()), (truth, reason), "{}", found.2);
        assert!(found.2.contains(part), "{}", found.2);
    };
    let first = backed_up(monthly(), None, None, -1);
    says(first, "Unknown", "RestoreUnproven", "the first drill follows the first backup");
    let never = backed_up(monthly(), None, None, -40);
    says(never, "False", "Unproven", "look at the Jobs of CronJob subrosa-drill-voice");
    let good = backed_up(monthly(), Some(proof(days(-34))), None, -90);
    says(good, "True", "RestoreVerified", "verified at 2026-10-19T12:00:00Z, in 35 s");
    let old = backed_up(monthly(), Some(proof(days(-36))), None, -90);
    says(old, "False", "Unproven", "run 3 of");
    let declared =
        backed_up(json!({"schedule": "0 4 1 * *", "within": "7d"}), Some(proof(days(-8))), None, -90);
    says(declared, "False", "Unproven", "proves nothing any more");
    // A failed drill is told at once, and its reason stays beside a proof that is too old.
    let damaged = failed(days(-1), "RepositoryDamaged");
    let broke = backed_up(monthly(), Some(proof(days(-20))), Some(damaged.clone()), -90);
    says(broke, "False", "RepositoryDamaged", "look there; before, run 3");
    says(backed_up(monthly(), None, Some(damaged.clone()), -2), "False", "RepositoryDamaged", "no restore");
    says(backed_up(monthly(), Some(proof(days(-50))), Some(damaged), -90), "False", "Unproven", "look there");
    let unknown = backed_up(monthly(), None, Some(failed(days(-1), "Invented")), -2);
    says(unknown, "False", "BackupFailed", "Invented (a reason that this release does not know)");
}
