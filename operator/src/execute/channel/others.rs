//! The Channel's Secrets under former names. While a pod mounts one, its trust files are kept up to date; after that
//! it is deleted.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, Preconditions},
};
use subrosa_crds::Reason;
use subrosa_plan::{certificate::ObservedSecret, record::channel::ChannelRecord, world::fault::Fault};

use super::{Authorities, Work};
use crate::{
    execute::{
        certificate::{self, Leaf},
        objects,
    },
    observe::convert,
};

impl Work<'_> {
    /// The Channel's Secrets other than the declared one, and why one of them could not be read. Such a one stops no other.
    pub(super) async fn others(
        &mut self,
        record: Option<&ChannelRecord>,
    ) -> (Vec<Secret>, Result<(), Fault>) {
        let (mut others, mut read) = (Vec::new(), Ok(()));
        for name in self.ctx.cluster.secrets.of(self.name()) {
            if name == self.plan.secret_name {
                continue;
            }
            match self.other(&name, record).await {
                Ok(found) => others.extend(found),
                Err(fault) => read = read.and(Err(fault)),
            }
        }
        (others, read)
    }

    async fn other(&mut self, name: &str, record: Option<&ChannelRecord>) -> Result<Option<Secret>, Fault> {
        let found = self.secrets.get_opt(name).await;
        match found.map_err(|error| objects::fault(&format!("reading Secret {name}"), &error))? {
            Some(secret) => self.claim(secret, record).await,
            None => Ok(None),
        }
    }

    /// Withdraws trust from the other Secrets, as from the declared one.
    pub(super) async fn withdraw_elsewhere(
        &mut self,
        record: &ChannelRecord,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let (others, mut outcome) = self.others(Some(record)).await;
        for secret in others {
            outcome = outcome.and(self.withdraw_trust(Some(record), &secret, authorities).await);
        }
        outcome
    }

    /// Keeps the trust files of the other Secrets up to date, and deletes a Secret that no pod mounts once the
    /// declared one is in force.
    pub(super) async fn keep_or_prune(
        &mut self,
        record: Option<&ChannelRecord>,
        authorities: &Authorities,
        may_prune: bool,
    ) {
        let (others, read) = self.others(record).await;
        if let Err(fault) = read {
            self.warn(&fault);
        }
        for secret in others {
            let name = secret.name_any();
            if may_prune {
                match self.is_mounted(&name).await {
                    Ok(true) => {}
                    Ok(false) => {
                        self.remove(&secret).await;
                        continue;
                    }
                    Err(fault) => self.warn(&fault),
                }
            }
            self.tell_of(&name, may_prune);
            let ObservedSecret::Present(found) = certificate::observe(&secret, &[]) else { continue };
            let files = self.trust(&self.plan.connections, &self.plan.extra_trust, authorities);
            if files.differing(&found.trust).is_empty() {
                continue;
            }
            if let Err(fault) = self.write(&name, Leaf::Kept(&secret), &files).await {
                self.warn(&fault);
            }
        }
    }

    /// Whether a pod mounts that Secret. Confirmed with the API server, because the watch may miss a new pod, which
    /// would never start without its Secret.
    async fn is_mounted(&self, secret: &str) -> Result<bool, Fault> {
        let namespace = &self.name().namespace;
        if self.ctx.cluster.read(|world| world.is_mounted(namespace, secret)) {
            return Ok(true);
        }
        let pods = objects::namespaced::<Pod>(&self.ctx.client, namespace).list(&ListParams::default()).await;
        let pods = pods.map_err(|error| objects::fault("reading the pods of the namespace", &error))?;
        let mut facts = pods.items.into_iter().map(convert::pod);
        Ok(facts.any(|pod| !pod.finished && pod.mounts(secret)))
    }

    /// Sends an Event when a Secret stays behind because another one replaces it.
    fn tell_of(&mut self, name: &str, replaced: bool) {
        let before = self.channel.status().and_then(|status| status.into_owned().certificate);
        if replaced && before.is_some_and(|before| before.secret_name.as_deref() == Some(name)) {
            let note = format!(
                "Secret {name} is not used any more and pods mount it: its trust files are kept, its certificate is \
                 not renewed, and it goes when no pod mounts it"
            );
            self.news.push((Reason::SecretKept, note));
        }
    }

    /// Deletes a Secret, but no newer one of its name.
    async fn remove(&self, secret: &Secret) {
        let name = secret.name_any();
        let same = Preconditions { uid: secret.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        if let Err(error) = self.secrets.delete(&name, &params).await {
            tracing::warn!(channel = %self.name(), secret = name, %error, "an unused Secret could not be removed");
        }
    }
}
