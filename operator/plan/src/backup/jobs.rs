//! Jobs beside the schedule: what a person asked for, and the first drill. Each has the pod of its CronJob.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::batch::v1::{CronJob, Job, JobSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use subrosa_crds::{BACKUP_NOW_ANNOTATION, DRILL_NOW_ANNOTATION};

use super::{drill, name};
use crate::{record::backup::BackupRecord, world::declaration::Declaration};

/// How long what was asked for may wait for the operator, as a run that was missed; and how far ahead the clock of who
/// asks may be.
const WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// How long a Job stays that has ended, for its log.
const STAYS: i32 = 24 * 3600;

/// The Jobs that are to be there now. Each is named after the time for which it is, so it is made once.
pub(super) fn wanted(
    channel: &Declaration,
    known: Option<&BackupRecord>,
    (runs, drills): (&CronJob, Option<&CronJob>),
    now: Timestamp,
) -> Vec<Job> {
    let own = &channel.name().name;
    let run = asked(channel, BACKUP_NOW_ANNOTATION, now).and_then(|at| job(&name(own), at, runs));
    let drill = |at| job(&drill::name(own), at, drills?);
    let asked = asked(channel, DRILL_NOW_ANNOTATION, now).and_then(drill);
    let first = known.and_then(first_drill).and_then(drill);
    [run, asked, first].into_iter().flatten().collect()
}

/// For when a run or drill was asked for.
fn asked(channel: &Declaration, annotation: &str, now: Timestamp) -> Option<Timestamp> {
    let at: Timestamp = channel.annotation(annotation)?.trim().parse().ok()?;
    (now.duration_since(at).abs() <= WITHIN).then_some(at)
}

/// The first drill follows the first backup.
fn first_drill(known: &BackupRecord) -> Option<Timestamp> {
    let drills = known.drill.as_ref()?;
    let seen = drills.success.is_some() || drills.failure.is_some();
    (known.success.is_some() && !seen).then_some(drills.since)
}

/// A Job of a CronJob's template. Its seconds have ten digits, until the year 2286.
fn job(of: &str, at: Timestamp, cron_job: &CronJob) -> Option<Job> {
    let template = cron_job.spec.job_template.clone();
    Some(Job {
        metadata: ObjectMeta {
            name: Some(format!("{of}-{:010}", at.as_second())),
            namespace: cron_job.metadata.namespace.clone(),
            owner_references: cron_job.metadata.owner_references.clone(),
            labels: cron_job.metadata.labels.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec { ttl_seconds_after_finished: Some(STAYS), ..template.spec? }),
        ..Job::default()
    })
}
