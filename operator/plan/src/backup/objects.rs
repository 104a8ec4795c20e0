//! The objects of a backup worker.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec},
        core::v1::{ConfigMap, ServiceAccount},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use subrosa_crds::{
    Reason, TrustDomain,
    backup::{BackupSettings, BackupStore, FILE, ObjectLock},
    channel::Backup,
    names::{BACKUP_CLASS, ChannelId},
    trust_domain::StoreSpec,
};

use super::{WORKER_LABEL, config_map_name, dumps, name, schedule, template};
use crate::{
    network,
    record::channel::ChannelRecord,
    sealing,
    world::{World, declaration::Declaration, domain, fault::Fault, objects},
};

/// How late a run may begin: one that was missed while the controller was down is made up for once.
const START_WITHIN: i64 = 3600;
/// How long all tries of a run may take together.
pub(super) const RUN_WITHIN: i64 = 6 * 3600;
/// How often a run is tried again.
const TRIES_AGAIN: i32 = 2;
/// How many finished Jobs stay, for their logs.
const HISTORY: i32 = 1;

/// The labels of what is made for a worker, and of its pods.
fn labels(channel: &str) -> BTreeMap<String, String> {
    objects::backup_labels(channel, WORKER_LABEL)
}

fn metadata(channel: &Declaration, name: String) -> ObjectMeta {
    let owned = channel.name();
    ObjectMeta {
        name: Some(name),
        namespace: Some(owned.namespace.clone()),
        labels: Some(labels(&owned.name)),
        owner_references: objects::owner(channel).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// The worker's ServiceAccount. Its pods get a token for Vault alone.
pub(super) fn account(channel: &Declaration) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(channel, name(&channel.name().name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// What its pods may reach: DNS, Vault, the store, and the databases that are dumped; nobody reaches them.
pub(super) fn policy(channel: &Declaration, backup: &Backup, domain: &TrustDomain) -> NetworkPolicy {
    let pods = BTreeMap::from([(WORKER_LABEL.to_owned(), channel.name().name.clone())]);
    let selector = LabelSelector { match_labels: Some(pods), ..LabelSelector::default() };
    let mut spec = network::of_workers(selector, domain);
    spec.egress.get_or_insert_default().extend(dumps::egress(channel, backup));
    NetworkPolicy { metadata: metadata(channel, name(&channel.name().name)), spec: Some(spec) }
}

/// What tells the worker what to do.
pub(super) fn settings(
    channel: &Declaration,
    backup: &Backup,
    id: &ChannelId,
    domain: &TrustDomain,
    (store, at_least, record): (&StoreSpec, u64, Option<&ChannelRecord>),
    world: &World,
) -> Result<ConfigMap, Fault> {
    let told = BackupSettings {
        channel: channel.name().clone(),
        id: id.clone(),
        vault: sealing::vault(domain, world)?,
        time_zone: domain.spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        store: BackupStore {
            endpoint: store.endpoint.trim_end_matches('/').to_owned(),
            allow_insecure: store.allow_insecure,
            ca_bundle: match &store.ca_bundle {
                Some(at) => Some(sealing::authorities(at, "spec.backup.store.caBundle", domain, world)?),
                None => None,
            },
            region: store.region.clone(),
            bucket: store.bucket.clone(),
            id: Some(super::store::word(store)),
            lock: store.lock.map(|lock| ObjectLock {
                mode: lock.mode,
                days: u32::try_from(lock.days).unwrap_or_default(),
            }),
        },
        volumes: backup.volumes.clone(),
        databases: dumps::sources(backup),
        at_least,
        destroyed: destroyed(record),
    };
    let text = told.to_yaml().map_err(|error| Fault::new(Reason::Internal, format!("{FILE}: {error}")))?;
    Ok(ConfigMap {
        metadata: ObjectMeta {
            // As the ConfigMap for sealing, so that the watch for those shows it too.
            labels: Some(objects::channel_labels(&channel.name().name)),
            ..metadata(channel, config_map_name(&channel.name().name))
        },
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    })
}

/// The windows whose keys were destroyed.
fn destroyed(record: Option<&ChannelRecord>) -> Vec<String> {
    let destroyed = record.into_iter().flat_map(|record| record.destroyed.iter());
    destroyed.filter(|(class, _)| *class == BACKUP_CLASS).map(|(_, window)| window.to_string()).collect()
}

/// When and how the worker runs.
pub(super) fn cron_job(
    channel: &Declaration,
    backup: &Backup,
    id: &ChannelId,
    domain: &TrustDomain,
    image: &str,
) -> CronJob {
    CronJob {
        metadata: metadata(channel, name(&channel.name().name)),
        spec: CronJobSpec {
            schedule: backup.schedule.clone(),
            time_zone: schedule::zone(backup, domain),
            suspend: Some(backup.suspend),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(START_WITHIN),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(&channel.name().name)),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    backoff_limit: Some(TRIES_AGAIN),
                    active_deadline_seconds: Some(RUN_WITHIN),
                    template: template::pod(
                        channel,
                        (backup, id),
                        domain::audience(domain),
                        image,
                        labels(&channel.name().name),
                    ),
                    ..JobSpec::default()
                }),
            },
        },
        ..CronJob::default()
    }
}
