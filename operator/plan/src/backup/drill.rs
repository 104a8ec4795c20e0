//! Drills: restores that prove a backup, by a schedule, in a pod that mounts none of the Channel's volumes.

use std::collections::BTreeMap;

use cronexpr::Crontab;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::CronJob,
        core::v1::{
            EmptyDirVolumeSource, EphemeralVolumeSource, PersistentVolumeClaimSpec,
            PersistentVolumeClaimTemplate, PodTemplateSpec, Volume, VolumeMount, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::api::resource::Quantity,
};
use subrosa_crds::{
    TrustDomain,
    channel::{Backup, BackupDrill},
    period,
};

use super::{schedule, template};
use crate::{
    record::backup::{BackupRecord, DrillRecord},
    world::declaration::Declaration,
};

/// What the names of a drill's CronJob, Jobs and pods begin with.
pub const PREFIX: &str = "subrosa-drill-";
/// The label that tells a drill's pods from those of runs.
pub const LABEL: &str = "subrosa.dev/backup-drill";
/// The volume into which is restored.
pub const VOLUME: &str = "drill";
/// Where it is mounted.
const PLACE: &str = "/drill";
/// Its size unless said otherwise.
const SIZE: &str = "10Gi";
/// How long a verified restore proves a backup, at least, unless said otherwise: a month, and some days.
const PROVEN: SignedDuration = SignedDuration::from_hours(35 * 24);

/// The name of a drill's CronJob. With a Channel's at most 36 characters it fits the 52 of a CronJob; and no Channel's
/// worker has it, as one of a Channel `<channel>-drill` could.
pub fn name(channel: &str) -> String {
    format!("{PREFIX}{channel}")
}

/// The arguments of its container.
pub fn arguments() -> Vec<String> {
    let own = [("--to", PLACE), ("--report", template::REPORT)];
    let own = own.into_iter().flat_map(|(option, value)| [option.to_owned(), value.to_owned()]);
    ["backup", "drill"].map(str::to_owned).into_iter().chain(template::login()).chain(own).collect()
}

/// When and how it runs.
pub(super) fn cron_job(
    channel: &Declaration,
    (backup, drill): (&Backup, &BackupDrill),
    domain: &TrustDomain,
    runs: &CronJob,
) -> CronJob {
    let mut made = runs.clone();
    made.metadata.name = Some(name(&channel.name().name));
    made.spec.schedule.clone_from(&drill.schedule);
    made.spec.time_zone = drill.time_zone.clone().or_else(|| schedule::zone(backup, domain));
    if let Some(job) = &mut made.spec.job_template.spec {
        pod(&mut job.template, drill);
    }
    let labels = made.metadata.labels.get_or_insert_default();
    labels.insert(LABEL.to_owned(), channel.name().name.clone());
    if let Some(metadata) = &mut made.spec.job_template.metadata {
        metadata.labels.clone_from(&made.metadata.labels);
    }
    made
}

/// The pod of a run that has no data makes a drill's: it restores into a place of its own.
fn pod(template: &mut PodTemplateSpec, drill: &BackupDrill) {
    let labels: &mut BTreeMap<_, _> =
        template.metadata.get_or_insert_default().labels.get_or_insert_default();
    if let Some(channel) = labels.get(super::WORKER_LABEL).cloned() {
        labels.insert(LABEL.to_owned(), channel);
    }
    let Some(spec) = &mut template.spec else { return };
    // No volume of the Channel has to be near.
    spec.affinity = None;
    if let Some(context) = spec.security_context.as_mut().filter(|_| drill.storage_class.is_some()) {
        // The root of a new volume belongs to root.
        context.fs_group = context.run_as_group;
    }
    spec.volumes.get_or_insert_default().push(place(drill));
    for container in &mut spec.containers {
        container.args = Some(arguments());
        container.volume_mounts.get_or_insert_default().push(VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: PLACE.to_owned(),
            ..VolumeMount::default()
        });
    }
}

fn place(drill: &BackupDrill) -> Volume {
    let size = Quantity(drill.size.clone().unwrap_or_else(|| SIZE.to_owned()));
    let named = Volume { name: VOLUME.to_owned(), ..Volume::default() };
    let Some(class) = &drill.storage_class else {
        let empty = EmptyDirVolumeSource { size_limit: Some(size), ..EmptyDirVolumeSource::default() };
        return Volume { empty_dir: Some(empty), ..named };
    };
    let claim = PersistentVolumeClaimTemplate {
        spec: PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: Some(class.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        },
        ..PersistentVolumeClaimTemplate::default()
    };
    Volume { ephemeral: Some(EphemeralVolumeSource { volume_claim_template: Some(claim) }), ..named }
}

/// The schedule of drills; `None` where there are none.
///
/// # Errors
/// What is wrong with it.
pub fn schedule(channel: &Declaration, domain: &TrustDomain) -> Result<Option<Crontab>, String> {
    let Some(backup) = channel.backup() else { return Ok(None) };
    let Some(drill) = &backup.drill else { return Ok(None) };
    let zone = drill.time_zone.as_deref().or(backup.time_zone.as_deref());
    schedule::parsed(&schedule::text(&drill.schedule, zone, domain)).map(Some)
}

/// Until when a restore that was verified at `last`, or the declaration of drills, speaks for the backups: as long as is
/// declared, otherwise 35 days, or until the drill after it is late.
pub fn proven_until(channel: &Declaration, domain: &TrustDomain, last: Timestamp) -> Option<Timestamp> {
    let drill = channel.backup()?.drill.as_ref()?;
    if let Some(within) = drill.within.as_deref().and_then(|text| period::duration(text).ok()) {
        return last.checked_add(within).ok();
    }
    let next = schedule(channel, domain).ok().flatten().and_then(|next| schedule::late_at(&next, last));
    next.max(last.checked_add(PROVEN).ok())
}

/// The record of drills, since they are declared.
pub(super) fn noted(mut known: BackupRecord, channel: &Declaration, now: Timestamp) -> BackupRecord {
    let declared = channel.backup().is_some_and(|backup| backup.drill.is_some());
    known.drill = declared.then(|| {
        known.drill.take().unwrap_or(Box::new(DrillRecord { since: now, success: None, failure: None }))
    });
    known
}
