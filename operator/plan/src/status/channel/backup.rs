//! The condition BackedUp and what status says of backups.

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    channel::BackupStatus,
    condition::{self, Truth, Verdict},
};

use crate::{
    backup::{drill, reasons, schedule},
    channel::{
        Plan, Scope,
        applied::{Applied, Control},
    },
    record::backup::{BackupRecord, DrillRecord, FailedRun},
    world::declaration::Declaration,
};

/// What the record knows; `None` where it has no backups and never had.
fn known(applied: &Applied) -> Option<&BackupRecord> {
    applied.record.as_ref().ok()?.backup.as_deref()
}

/// What status says of runs. While the record cannot be read, the last status stays.
pub(super) fn status(channel: &Declaration, applied: &Applied) -> Option<BackupStatus> {
    if applied.record.is_err() {
        return channel.status().and_then(|status| status.into_owned().backup);
    }
    let known = known(applied)?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let success = known.success.as_ref();
    let drills = known.drill.as_ref();
    let proof = drills.and_then(|drills| drills.success.as_ref());
    let status = BackupStatus {
        last_success: success.map(|run| run.started.to_string()),
        run: success.map(|run| number(run.run)),
        files: success.map(|run| number(run.files)),
        bytes: success.map(|run| number(run.bytes)),
        last_failure: known.failure.as_ref().map(|run| run.started.to_string()),
        last_drill: proof.map(|proof| proof.started.to_string()),
        drill_run: proof.map(|proof| number(proof.run)),
        recovery_seconds: proof.map(|proof| number(proof.recovery_seconds)),
        recovery_point_seconds: proof.map(|proof| number(proof.recovery_point_seconds)),
        last_drill_failure: drills
            .and_then(|drills| drills.failure.as_ref())
            .map(|failed| failed.started.to_string()),
    };
    (status != BackupStatus::default()).then_some(status)
}

/// Whether it is backed up; `None` where it declares no backups.
pub(super) fn backed_up(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> Option<Verdict> {
    let backup = channel.backup()?;
    let verdict =
        |truth, reason, message: String| Some(Verdict::new(condition::BACKED_UP, truth, reason, message));
    let known = match &applied.record {
        Ok(_) => known(applied),
        Err(fault) => return verdict(Truth::Unknown, fault.reason, fault.message.clone()),
    };
    let last = match known.and_then(|known| known.success.as_ref()) {
        Some(run) => format!("the last backup of every volume began at {}", run.started),
        None => "no backup was made yet".to_owned(),
    };
    if let Some(late) = late_at(channel, plan, known).filter(|late| *late < now && !backup.suspend) {
        let failed = known.and_then(|known| known.failure.as_ref());
        let why = failed.map_or_else(
            || format!("look at the Jobs of CronJob {}", crate::backup::name(&channel.name().name)),
            |failed| format!("the last run, of {}, failed: {}", failed.started, told(failed).1),
        );
        return verdict(
            Truth::False,
            Reason::BackupOverdue,
            format!("{last}, and another was due before {late}: {why}"),
        );
    }
    if let Some(failed) = known.and_then(|known| known.failure.as_ref()) {
        let (reason, why) = told(failed);
        let message = format!("the run of {} failed: {why}; {last}", failed.started);
        return verdict(Truth::False, reason, message);
    }
    if let Some(fault) = applied.controls.fault(Control::Backup) {
        return verdict(Truth::False, fault.reason, format!("{}; {last}", fault.message));
    }
    if backup.suspend {
        let message = format!("spec.backup.suspend: no backup is started; {last}");
        return verdict(Truth::Unknown, Reason::BackupSuspended, message);
    }
    if let Scope::Stalled(_) | Scope::Frozen = plan.scope {
        let message = format!("backups go on as they were while this Channel is Stalled or frozen; {last}");
        return verdict(Truth::Unknown, Reason::NotPlanned, message);
    }
    if known.is_none_or(|known| known.success.is_none()) {
        return verdict(Truth::Unknown, Reason::BackupPending, format!("{last}: the schedule starts it"));
    }
    let drills = known.and_then(|known| known.drill.as_deref()).filter(|_| backup.drill.is_some());
    let (truth, reason, message) = match drills {
        Some(drills) => proven(channel, plan, drills, now),
        None => {
            let message = "nobody has shown that it can be restored: spec.backup.drill does, by a schedule";
            (Truth::Unknown, Reason::RestoreUnproven, message.to_owned())
        }
    };
    verdict(truth, reason, format!("{last}; {message}"))
}

/// Whether a restore was verified, and not too long ago.
fn proven(
    channel: &Declaration,
    plan: &Plan,
    drills: &DrillRecord,
    now: Timestamp,
) -> (Truth, Reason, String) {
    let until = drill::proven_until(channel, &plan.domain, proof_since(drills));
    let is_over = until.is_some_and(|until| until < now);
    let last = match &drills.success {
        Some(proof) => format!(
            "run {} of {} was restored and verified at {}, in {} s",
            proof.run, proof.time, proof.started, proof.recovery_seconds
        ),
        None => "no restore was verified yet".to_owned(),
    };
    let failed = drills.failure.as_ref().map(|failed| (failed.started, told(failed)));
    match failed {
        _ if is_over => {
            let why = failed.map_or_else(
                || format!("look at the Jobs of CronJob {}", drill::name(&channel.name().name)),
                |(at, (_, why))| format!("the drill of {at} failed: {why}"),
            );
            (Truth::False, Reason::Unproven, format!("{last}, which proves nothing any more: {why}"))
        }
        Some((at, (reason, why))) => {
            (Truth::False, reason, format!("the drill of {at} failed: {why}; before, {last}"))
        }
        None if drills.success.is_some() => (Truth::True, Reason::RestoreVerified, last),
        None => {
            let message = format!("{last}: the first drill follows the first backup");
            (Truth::Unknown, Reason::RestoreUnproven, message)
        }
    }
}

/// From when it is counted how long a proof holds: the last one, or the declaration.
fn proof_since(drills: &DrillRecord) -> Timestamp {
    drills.success.as_ref().map_or(drills.since, |proof| proof.started)
}

/// Why a run failed. A word that this release does not know is told as it is.
fn told(failed: &FailedRun) -> (Reason, String) {
    match failed.reason.as_deref().map(|word| (word, reasons::read(word))) {
        Some((_, Some(reason))) => (reason, failed.message.clone()),
        Some((word, None)) => {
            let message = format!("{word} (a reason that this release does not know): {}", failed.message);
            (Reason::BackupFailed, message)
        }
        None => (Reason::BackupFailed, failed.message.clone()),
    }
}

/// When the next run is late; `None` where no schedule says so.
fn late_at(channel: &Declaration, plan: &Plan, known: Option<&BackupRecord>) -> Option<Timestamp> {
    let known = known?;
    let since = known.success.as_ref().map(|run| run.started).max(known.since)?;
    schedule::late_at(&schedule::of(channel, &plan.domain).ok()??, since)
}

/// When to look again whether a run is late, or nothing is proven any more.
pub fn late_from(channel: &Declaration, plan: &Plan, applied: &Applied, now: Timestamp) -> Option<Timestamp> {
    let known = known(applied);
    let drills = known.and_then(|known| known.drill.as_deref());
    let unproven = drills.and_then(|drills| drill::proven_until(channel, &plan.domain, proof_since(drills)));
    [late_at(channel, plan, known), unproven].into_iter().flatten().filter(|late| *late >= now).min()
}
