//! The worker that makes a Channel's backups: its identity in Vault, then its ServiceAccount, NetworkPolicy, settings and
//! CronJobs. These are written last, so that a run finds everything that it needs; then Jobs beside their schedules.

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, ServiceAccount},
        networking::v1::NetworkPolicy,
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
    core::NamespaceResourceScope,
};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Debug;
use subrosa_crds::FIELD_MANAGER;
use subrosa_plan::{
    backup::{self, WantedBackup, WorkerObjects},
    network,
    record::channel::ChannelRecord,
    sealing,
    world::fault::Fault,
};

use super::Work;
use crate::execute::{
    access,
    objects::{self, FoundObject},
};

impl Work<'_> {
    /// Withdraws the access of a worker that is none any more.
    pub(super) async fn withdraw_worker(&mut self, record: &ChannelRecord) -> Result<(), Fault> {
        match backup::withdrawn(record, self.plan.backed_up.as_ref()) {
            Some(uid) => access::withdraw_worker(self.vault, &self.plan.id, uid).await,
            None => Ok(()),
        }
    }

    /// Brings the worker to the plan. `withdrawn` is the result of withdrawing access, and `keys` that for the keys:
    /// without its key a run would fail.
    ///
    /// # Errors
    /// When an object belongs to somebody else, when the API server or Vault refuses, or what prevents writing it.
    pub(super) async fn backup(
        &self,
        withdrawn: &Result<(), Fault>,
        record: &Result<ChannelRecord, Fault>,
        keys: Result<(), Fault>,
    ) -> Result<(), Fault> {
        match &self.plan.backup {
            WantedBackup::Kept => Ok(()),
            WantedBackup::Unknown(fault) => Err(fault.clone()),
            WantedBackup::None if self.has_worker() => {
                self.remove_worker(&self.worker_name()).await?;
                self.remove_worker(&backup::drill::name(&self.name().name)).await
            }
            WantedBackup::None => Ok(()),
            WantedBackup::Wanted(wanted) => {
                withdrawn.clone()?;
                keys?;
                let record = record.as_ref().map_err(Clone::clone)?;
                self.write_worker(wanted, record).await
            }
        }
    }

    /// Whether the Channel had a worker: its NetworkPolicy stays as long as the Channel.
    fn has_worker(&self) -> bool {
        self.ctx.cluster.read(|world| {
            let accounts = world.service_accounts.get(&self.name().namespace);
            accounts.is_some_and(|accounts| accounts.contains_key(&self.worker_name()))
        })
    }

    fn worker_name(&self) -> String {
        backup::name(&self.name().name)
    }

    async fn write_worker(&self, wanted: &WorkerObjects, record: &ChannelRecord) -> Result<(), Fault> {
        let WorkerObjects { account, policy, settings, cron_job, drill, jobs } = wanted;
        self.keep_object(account, "/metadata/labels", |found: &ServiceAccount| {
            found.automount_service_account_token == Some(false)
        })
        .await?;
        // Also in a namespace that is only audited: it isolates no pods but those that are made here.
        let same = |found: &NetworkPolicy| match (&found.spec, &policy.spec) {
            (Some(found), Some(wanted)) => network::same(found, wanted),
            (found, wanted) => found == wanted,
        };
        self.keep_object(policy, "/spec", same).await?;
        self.keep_object(settings, "/data", |found: &ConfigMap| sealing::same(found, settings)).await?;
        let worker = record.backup.as_deref().and_then(|backup| backup.worker.as_deref());
        // The watch shows the ServiceAccount in a moment, and wakes the Channel.
        let Some(uid) = worker else { return Ok(()) };
        access::grant_worker(self.vault, &self.plan.id, uid).await?;
        self.keep_object(cron_job, "/spec", |found: &CronJob| contains(&found.spec, &cron_job.spec)).await?;
        match drill {
            Some(drill) => {
                self.keep_object(drill, "/spec", |found: &CronJob| contains(&found.spec, &drill.spec))
                    .await?;
            }
            None => self.remove_worker(&backup::drill::name(&self.name().name)).await?,
        }
        for job in jobs {
            self.start(job).await?;
        }
        Ok(())
    }

    /// Makes a Job, once: it has the name of the time for which it is, and stays as it was made.
    async fn start(&self, job: &Job) -> Result<(), Fault> {
        let api: Api<Job> = objects::namespaced(&self.ctx.client, &self.name().namespace);
        let (name, uid) = (job.name_any(), self.uid());
        match objects::find(&api, &name, |found| objects::owned_by(found, uid)).await? {
            FoundObject::Ours(_) => return Ok(()),
            FoundObject::Foreign(_) => return Err(objects::foreign("Job", &self.name().namespace, &name)),
            FoundObject::None => {}
        }
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api.create(&params, job).await {
            Ok(_) => Ok(()),
            // Another replica was first.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(objects::fault(&format!("creating Job {name}"), &error)),
        }
    }

    /// Writes `wanted` unless it is there and `same`.
    async fn keep_object<K>(
        &self,
        wanted: &K,
        whole: &'static str,
        same: impl Fn(&K) -> bool,
    ) -> Result<(), Fault>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = objects::namespaced(&self.ctx.client, &self.name().namespace);
        let (name, uid) = (wanted.name_any(), self.uid());
        let ours = |found: &K| objects::owned_by(found, uid);
        let exists = match objects::find(&api, &name, ours).await? {
            FoundObject::None => false,
            FoundObject::Ours(found) if same(&found) && labelled(&*found, wanted) => return Ok(()),
            FoundObject::Ours(_) => true,
            FoundObject::Foreign(_) => {
                return Err(objects::foreign(&K::kind(&()), &self.name().namespace, &name));
            }
        };
        objects::put(&api, wanted, exists, whole, ours, same).await.map(|_| ())
    }

    /// Deletes the CronJob of a Channel that has no backups any more. Its other objects give nobody anything then, and go
    /// with the Channel. What was backed up stays.
    async fn remove_worker(&self, name: &str) -> Result<(), Fault> {
        let api: Api<CronJob> = objects::namespaced(&self.ctx.client, &self.name().namespace);
        let uid = self.uid();
        let FoundObject::Ours(found) =
            objects::find(&api, name, |found| objects::owned_by(found, uid)).await?
        else {
            return Ok(());
        };
        let same = Preconditions { uid: found.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::background() };
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(objects::fault(&format!("removing CronJob {name}"), &error)),
        }
    }
}

fn labelled<K: Resource>(found: &K, wanted: &K) -> bool {
    let labels = found.labels();
    wanted.labels().iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether `found` has everything that `wanted` has; the API server fills in defaults.
fn contains(found: &impl Serialize, wanted: &impl Serialize) -> bool {
    fn within(found: &Value, wanted: &Value) -> bool {
        match (found, wanted) {
            (Value::Object(found), Value::Object(wanted)) => {
                wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| within(found, value)))
            }
            (Value::Array(found), Value::Array(wanted)) => {
                found.len() == wanted.len()
                    && found.iter().zip(wanted).all(|(found, wanted)| within(found, wanted))
            }
            (found, wanted) => found == wanted,
        }
    }
    match (serde_json::to_value(found), serde_json::to_value(wanted)) {
        (Ok(found), Ok(wanted)) => within(&found, &wanted),
        _ => false,
    }
}
