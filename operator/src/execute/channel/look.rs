//! Looks at the Channel's Secret, and reads it only where it may need a change.

use kube::ResourceExt as _;
use subrosa_crds::CHANNEL_LABEL;
use subrosa_plan::{
    certificate::{
        CurrentCertificate, LeafSpec, Observation, ObservedSecret, Settled, TrustFiles, Wanted, drift_of,
        secrets::Holds,
    },
    channel::Scope,
    record::channel::ChannelRecord,
    world::fault::Fault,
};
use subrosa_records::channels::ChannelEntry;

use super::{Authorities, Work};
use crate::{
    execute::{authority::Authority, certificate::Slot, live},
    observe::watch::ObjectKey,
    pki::AuthorityCertificate,
};

/// What is known of the Channel's Secret.
pub(super) enum Look {
    /// It was read, or its content is known without reading.
    Read(Slot),
    /// It is unchanged since it was last complete, and it has the wanted trust files.
    Settled(Box<Settled>),
}

impl Work<'_> {
    /// Looks at the Secret.
    ///
    /// # Errors
    /// When it belongs to somebody else, or the request to the API server fails.
    pub(super) async fn look(
        &mut self,
        entry: &ChannelEntry,
        authorities: &Authorities,
    ) -> Result<Look, Fault> {
        let key = self.secret_key();
        let secrets = &self.ctx.cluster.secrets;
        // Without a record, or after the watch showed a deletion, the Channel has no Secret. If somebody else took
        // the name, creating the Secret fails, and the next look reads it.
        if secrets.was_deleted(&key) {
            self.confirm().await?;
            return Ok(Look::Read(Slot::Empty));
        }
        if entry.record.is_none() && !secrets.has(&key) {
            return Ok(Look::Read(Slot::Empty));
        }
        // A Stalled Channel keeps the names in its leaf, so the leaf must be read.
        if !matches!(self.plan.scope, Scope::Stalled(_))
            && let Some(settled) = secrets.settled(&key, self.uid())
            && settled.trusts(&self.trust(&self.plan.connections, &self.plan.extra_trust, authorities))
        {
            return Ok(Look::Settled(Box::new(settled)));
        }
        self.read(entry.record.as_ref()).await.map(Look::Read)
    }

    /// The Secret of an earlier look; read now where the leaf or its authority may have changed.
    ///
    /// # Errors
    /// When it belongs to somebody else, or the request to the API server fails.
    pub(super) async fn looked(
        &mut self,
        look: Look,
        record: &ChannelRecord,
        authority: &Authority,
        files: &TrustFiles,
    ) -> Result<Slot, Fault> {
        let settled = match look {
            Look::Read(slot) => return Ok(slot),
            Look::Settled(settled) => settled,
        };
        let issuer = authority.usable.iter().find(|one| Some(one.version()) == settled.issuer());
        let spec = permitted(self.plan.leaf.clone(), signing(record, authority));
        let wanted = Wanted { spec: &spec, generations: &record.authority, trust: files };
        let observed = settled.observed(&spec, issuer.map(AuthorityCertificate::der), files);
        let nothing = |observed: &ObservedSecret| match self.plan.holds {
            Holds::Everything => drift_of(observed, wanted, self.now).is_none(),
            Holds::Trust => observed.leaf().is_none(),
        };
        match observed.filter(nothing) {
            Some(observed) => Ok(Slot::Observed(Box::new(observed))),
            // A write must start from the current content.
            None => self.read(Some(record)).await,
        }
    }

    /// Confirms that the Channel still exists before a missing object is made again.
    async fn confirm(&self) -> Result<(), Fault> {
        live::confirm(self.ctx, self.channel).await
    }

    /// Reads the Secret.
    async fn read(&mut self, record: Option<&ChannelRecord>) -> Result<Slot, Fault> {
        let slot = self.slot(record).await?;
        if matches!(slot, Slot::Empty) && record.is_some() {
            self.confirm().await?;
        }
        if let Slot::Ours(secret) = &slot
            // The watch shows only Secrets with this label.
            && secret.labels().get(CHANNEL_LABEL) == Some(&self.name().name)
        {
            let version = secret.metadata.resource_version.as_deref();
            self.ctx.cluster.secrets.read(self.secret_key(), &self.name().name, version);
        }
        Ok(slot)
    }

    /// Caches the Secret as complete.
    pub(super) fn settle(
        &self,
        observed: &Observation,
        record: &Result<ChannelRecord, Fault>,
        authority: &Authority,
        files: &TrustFiles,
    ) {
        let (Some(held), Ok(record)) = (observed.held(), record) else { return };
        let settled = match held {
            CurrentCertificate::Issued(leaf) => {
                let issuer = authority.usable.iter().find(|one| Some(one.version()) == leaf.issuer);
                let spec = permitted(self.plan.leaf.clone(), signing(record, authority));
                issuer.and_then(|issuer| Settled::of(leaf, &spec, issuer.der(), files))
            }
            CurrentCertificate::External(_) | CurrentCertificate::OfEach => Some(Settled::trust_alone(files)),
        };
        if let Some(settled) = settled {
            self.ctx.cluster.secrets.settle(&self.secret_key(), self.uid(), settled);
        }
    }

    fn secret_key(&self) -> ObjectKey {
        ObjectKey { namespace: self.name().namespace.clone(), name: self.plan.secret_name.clone() }
    }
}

/// The signing generation, if its certificate matches the transit key.
pub(super) fn signing<'a>(
    record: &ChannelRecord,
    authority: &'a Authority,
) -> Option<&'a AuthorityCertificate> {
    let signing = record.authority.signing().map(|signing| signing.version);
    authority.usable.iter().find(|one| Some(one.version()) == signing)
}

/// The leaf with only those names that `issuer` may sign.
pub(super) fn permitted(declared: LeafSpec, issuer: Option<&AuthorityCertificate>) -> LeafSpec {
    match issuer {
        Some(issuer) => declared.permitted_by(issuer.permitted_dns()).0,
        None => declared,
    }
}
