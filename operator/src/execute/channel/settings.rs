//! The ConfigMap `<channel>-sealing`, which tells the workload how to seal. Written last, so that a pod that mounts
//! it starts when its keys exist and it may use them.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};
use subrosa_crds::{CHANNEL_LABEL, Reason};
use subrosa_plan::{
    channel::ownership,
    sealing::{self, SettingsFingerprint, SettingsStep, WantedSettings},
    world::{fault::Fault, objects as labels},
};

use super::Work;
use crate::{
    execute::{
        live,
        objects::{self, FoundObject},
    },
    observe::watch::ObjectKey,
};

/// The next step where the operator lacks this right, which came with a later release than others.
const FORBIDDEN: &str =
    "next: upgrade the chart subrosa, or apply deploy/rbac.yaml and deploy/admission.yaml of this release";

impl Work<'_> {
    /// Writes the ConfigMap as planned. `first` is true when the Channel has no record yet. `keys` is the result for
    /// its keys: if that is a fault, workloads are not pointed at them.
    ///
    /// # Errors
    /// When it belongs to somebody else, when the API server refuses, or what prevents writing it.
    pub(super) async fn settings(&mut self, first: bool, keys: Result<(), Fault>) -> Result<(), Fault> {
        let plan = self.plan;
        let done = match &plan.settings {
            WantedSettings::Kept => Ok(()),
            WantedSettings::Unknown(fault) => Err(fault.clone()),
            WantedSettings::None => self.remove_settings().await,
            WantedSettings::Wanted(wanted) => match keys {
                Ok(()) => self.write_settings(wanted, first).await,
                Err(fault) => Err(fault),
            },
        };
        done.map_err(|fault| match fault.reason {
            Reason::KubernetesForbidden => {
                Fault::new(fault.reason, format!("{}; {FORBIDDEN}", fault.message))
            }
            _ => fault,
        })
    }

    async fn write_settings(&mut self, wanted: &ConfigMap, first: bool) -> Result<(), Fault> {
        let (key, known) = (self.settings_key(), &self.ctx.cluster.settings);
        if known.settled(&key, self.uid()) == Some(SettingsFingerprint::of(wanted)) {
            return Ok(());
        }
        // Without a record, or after the watch showed a deletion, the Channel has no ConfigMap. If somebody else took
        // the name, creating it fails.
        let none = known.was_deleted(&key) || first && !known.has(&key);
        let found = if none { None } else { self.own_settings().await? };
        let api = self.config_maps();
        let exists = match found {
            None if first => false,
            None => {
                live::confirm(self.ctx, self.channel).await?;
                false
            }
            Some(found) => match sealing::step(&found, wanted) {
                SettingsStep::None => {
                    self.settle_settings(&found, wanted);
                    return Ok(());
                }
                SettingsStep::Write => true,
                SettingsStep::Replace => {
                    delete(&api, &found).await?;
                    false
                }
            },
        };
        let uid = self.uid().to_owned();
        let ours = |found: &ConfigMap| objects::owned_by(found, &uid);
        let same = |found: &ConfigMap| sealing::same(found, wanted);
        let written = objects::put(&api, wanted, exists, "/data", ours, same).await?;
        self.settle_settings(&written, wanted);
        Ok(())
    }

    /// Deletes the ConfigMap of a Channel that seals nothing any more. The watch shows whether there is one.
    async fn remove_settings(&mut self) -> Result<(), Fault> {
        let key = self.settings_key();
        if !self.ctx.cluster.settings.has(&key) {
            return Ok(());
        }
        match self.own_settings().await {
            Ok(Some(found)) => delete(&self.config_maps(), &found).await,
            Ok(None) => Ok(()),
            // A foreign object of that name may stay.
            Err(fault) if objects::is_foreign(&fault) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Reads the Channel's ConfigMap, and restores its owner reference where that was lost.
    ///
    /// # Errors
    /// When it belongs to somebody else, or the request to the API server fails.
    async fn own_settings(&mut self) -> Result<Option<ConfigMap>, Fault> {
        let (api, name) = (self.config_maps(), self.settings_key().name);
        let uid = self.uid();
        let lost = match objects::find(&api, &name, |found| objects::owned_by(found, uid)).await? {
            FoundObject::None => return Ok(None),
            FoundObject::Ours(found) => return Ok(Some(*found)),
            FoundObject::Foreign(found) => found,
        };
        match labels::owner(self.channel) {
            Some(owner) if ownership::is_lost_config_map(&lost, &self.name().name, Some(uid)) => {
                let taken = objects::take_back(&api, &*lost, owner).await?;
                let note = format!("ConfigMap {name} had lost its owner and is this Channel's again");
                self.news.push((Reason::TakenBack, note));
                Ok(Some(taken))
            }
            _ => Err(objects::foreign("ConfigMap", &self.name().namespace, &name)),
        }
    }

    /// Caches a complete ConfigMap, so that the watch does not wake the Channel for it.
    fn settle_settings(&self, found: &ConfigMap, wanted: &ConfigMap) {
        // The watch shows only ConfigMaps with this label.
        if found.labels().get(CHANNEL_LABEL) == Some(&self.name().name) && sealing::same(found, wanted) {
            let (key, version) = (self.settings_key(), found.metadata.resource_version.as_deref());
            self.ctx.cluster.settings.read(key.clone(), &self.name().name, version);
            self.ctx.cluster.settings.settle(&key, self.uid(), SettingsFingerprint::of(wanted));
        }
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        objects::namespaced(&self.ctx.client, &self.name().namespace)
    }

    fn settings_key(&self) -> ObjectKey {
        let name = sealing::config_map_name(&self.name().name);
        ObjectKey { namespace: self.name().namespace.clone(), name }
    }
}

/// Deletes a ConfigMap, but no newer one of its name.
async fn delete(api: &Api<ConfigMap>, found: &ConfigMap) -> Result<(), Fault> {
    let name = found.name_any();
    let same = Preconditions { uid: found.uid(), resource_version: found.resource_version() };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    match api.delete(&name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(objects::fault(&format!("removing ConfigMap {name}"), &error)),
    }
}
