//! Backups of a Channel: the objects of its worker, which makes them, and what is known of its runs.
//!
//! ```text
//!  spec.backup ──▶ objects   ServiceAccount, NetworkPolicy, ConfigMap, CronJob
//!        │    ├──▶ drill     another CronJob, which restores
//!        │    ├──▶ jobs      what a person asked for, and the first drill
//!        │    └──▶ schedule  when a run is late
//!        ├───────▶ dumps     the containers that dump databases
//!        └───────▶ keys      one for each window, as for data (keys::wanted)
//!  pods ──▶ runs ──▶ record
//! ```
//!
//! The worker has an identity of its own in Vault, which uses the keys of this Channel's backups and nothing else. Its
//! pods are made by Kubernetes from a CronJob that only the operator writes.

pub mod drill;
pub mod dumps;
mod jobs;
pub mod keys;
mod objects;
pub mod reasons;
pub mod runs;
pub mod schedule;
mod store;
mod template;

pub use template::arguments;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, ServiceAccount},
    networking::v1::NetworkPolicy,
};
use subrosa_crds::{Reason, TrustDomain, channel::Backup, names::ChannelId};

use crate::{
    record::{backup::BackupRecord, channel::ChannelRecord},
    world::{World, declaration::Declaration, fault::Fault},
};

/// The label of a worker's pods and of what is made for it, with the Channel's name.
pub const WORKER_LABEL: &str = "subrosa.dev/backup";
/// What the names of a worker's ServiceAccount, CronJob, Jobs, pods and NetworkPolicy begin with. Admission policies
/// let nobody else use them.
pub const PREFIX: &str = "subrosa-backup-";
/// The worker's container.
pub const CONTAINER: &str = "backup";

/// The name of a worker's ServiceAccount, CronJob and NetworkPolicy. With a Channel's at most 36 characters it fits the
/// 52 of a CronJob.
pub fn name(channel: &str) -> String {
    format!("{PREFIX}{channel}")
}

/// The name of the ConfigMap that tells a worker what to do.
pub fn config_map_name(channel: &str) -> String {
    format!("{channel}-backup")
}

/// What is wanted of a Channel's backups.
#[derive(Clone, Debug, PartialEq)]
pub enum WantedBackup {
    /// None: an existing CronJob is removed.
    None,
    /// What exists stays, because the declaration is not in force.
    Kept,
    /// These objects.
    Wanted(Box<WorkerObjects>),
    /// The wanted objects are unknown; existing ones stay.
    Unknown(Fault),
}

/// The objects of a worker, in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerObjects {
    /// Whom it logs in to Vault as.
    pub account: ServiceAccount,
    /// What its pods may reach.
    pub policy: NetworkPolicy,
    /// What tells it what to do.
    pub settings: ConfigMap,
    /// When it runs.
    pub cron_job: CronJob,
    /// When a restore is tried, if it is to be.
    pub drill: Option<CronJob>,
    /// What runs now beside the schedules.
    pub jobs: Vec<Job>,
}

/// What is wanted of the backups of `channel`, and what is known of them. Where the declaration is not `in_force`, what
/// exists stays.
pub fn planned(
    channel: &Declaration,
    id: &ChannelId,
    domain: &TrustDomain,
    (record, in_force): (Option<&ChannelRecord>, bool),
    world: &World,
    now: Timestamp,
) -> (WantedBackup, Option<BackupRecord>) {
    let wanted = |known: Option<&BackupRecord>| match in_force {
        true => wanted(channel, id, domain, (known, record), (world, now)),
        false => WantedBackup::Kept,
    };
    let before = record.and_then(|record| record.backup.as_deref());
    let noted = noted(channel, &wanted(before), domain, before, world, now);
    // The next run is told at once of what the last one did.
    (wanted(noted.as_ref()), noted)
}

fn wanted(
    channel: &Declaration,
    id: &ChannelId,
    domain: &TrustDomain,
    (known, record): (Option<&BackupRecord>, Option<&ChannelRecord>),
    (world, now): (&World, Timestamp),
) -> WantedBackup {
    let Some(backup) = channel.backup() else { return WantedBackup::None };
    let Some(store) = &domain.spec.backup else {
        // Validation tells of it.
        return WantedBackup::Kept;
    };
    let Some(image) = world.worker_image.as_deref() else {
        return WantedBackup::Unknown(Fault::new(
            Reason::WorkerImageUnknown,
            "spec.backup: the operator does not know the image of its own release: set --worker-image, as the chart \
             subrosa does",
        ));
    };
    let newest = known.map_or(0, |known| store::newest(known, &store::word(&store.store)));
    match objects::settings(channel, backup, id, domain, (&store.store, newest, record), world) {
        Ok(settings) => {
            let cron_job = objects::cron_job(channel, backup, id, domain, image);
            let drill = backup.drill.as_ref().map(|drill| {
                // It mounts none of the Channel's data.
                let bare = Backup { volumes: Vec::new(), databases: Vec::new(), ..backup.clone() };
                let runs = objects::cron_job(channel, &bare, id, domain, image);
                drill::cron_job(channel, (backup, drill), domain, &runs)
            });
            WantedBackup::Wanted(Box::new(WorkerObjects {
                account: objects::account(channel),
                policy: objects::policy(channel, backup, domain),
                jobs: jobs::wanted(channel, known, (&cron_job, drill.as_ref()), now),
                cron_job,
                drill,
                settings,
            }))
        }
        Err(fault) => WantedBackup::Unknown(fault),
    }
}

/// What is known of the backups of `channel`, which were known as `before`: the worker's ServiceAccount, its store and
/// schedule, and its runs.
fn noted(
    channel: &Declaration,
    wanted: &WantedBackup,
    domain: &TrustDomain,
    before: Option<&BackupRecord>,
    world: &World,
    now: Timestamp,
) -> Option<BackupRecord> {
    let before = before.cloned().or_else(|| channel.backup().map(|_| BackupRecord::default()))?;
    let owner = channel.name();
    let known = match wanted {
        // Whoever has access keeps it while the declaration is not in force.
        WantedBackup::Kept | WantedBackup::Unknown(_) => before,
        WantedBackup::None => {
            let BackupRecord { store, left, success, failure, .. } = before;
            // Nothing went there.
            let store = store.filter(|_| success.is_some() || !left.is_empty());
            BackupRecord { store, left, success, failure, ..BackupRecord::default() }
        }
        WantedBackup::Wanted(_) => {
            let accounts = world.service_accounts.get(&owner.namespace);
            let uid = accounts.and_then(|accounts| accounts.get(&name(&owner.name)));
            let known = BackupRecord { worker: uid.cloned(), ..before };
            let known = schedule::noted(store::noted(known, domain), channel, domain, now);
            drill::noted(known, channel, now)
        }
    };
    let noted = runs::noted(known, &owner.namespace, &owner.name, world);
    (noted != BackupRecord::default()).then_some(noted)
}

/// The worker whose access is withdrawn: the one that `record` knows, where `noted` has another or none.
pub fn withdrawn<'a>(record: &'a ChannelRecord, noted: Option<&BackupRecord>) -> Option<&'a str> {
    let had = record.backup.as_deref()?.worker.as_deref()?;
    (noted.and_then(|noted| noted.worker.as_deref()) != Some(had)).then_some(had)
}

#[cfg(test)]
mod tests;
