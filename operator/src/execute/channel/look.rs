//! Looking at the Channel's Secret, and reading it only where something may be to be done in it.

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

/// The Channel's Secret as far as it was looked at.
pub(super) enum Look {
    /// It was read, or its contents are known without that.
    Read(Slot),
    /// It has not changed since nothing was to be done in it, and its trust files are those wanted now.
    Settled(Box<Settled>),
}

impl Work<'_> {
    /// Looks at the Secret.
    ///
    /// # Errors
    /// When it is someone else's or the API server does not say.
    pub(super) async fn look(
        &mut self,
        entry: &ChannelEntry,
        authorities: &Authorities,
    ) -> Result<Look, Fault> {
        let key = self.secret_key();
        let secrets = &self.ctx.cluster.secrets;
        // For a Channel that was never noted there is none of ours. Whether someone else's has the name, the API
        // server says when it is created: then the record is there, and the next look reads it.
        // So it is for one that the watch told to be gone: who put another there meanwhile is found by then.
        if secrets.was_deleted(&key) {
            self.confirm().await?;
            return Ok(Look::Read(Slot::Empty));
        }
        if entry.record.is_none() && !secrets.has(&key) {
            return Ok(Look::Read(Slot::Empty));
        }
        // What is Stalled keeps the names that stand in the leaf: that has to be read.
        if !matches!(self.plan.scope, Scope::Stalled(_))
            && let Some(settled) = secrets.settled(&key)
            && settled.trusts(&self.trust(&self.plan.connections, &self.plan.extra_trust, authorities))
        {
            return Ok(Look::Settled(Box::new(settled)));
        }
        self.read(entry.record.as_ref()).await.map(Look::Read)
    }

    /// The Secret as it was looked at; read now where the leaf or its authority may not be what they were.
    ///
    /// # Errors
    /// When it is someone else's or the API server does not say.
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
            // Whatever is written is written on what is there now.
            None => self.read(Some(record)).await,
        }
    }

    /// Confirms that the Channel is there, before what is missing is made again for it.
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
            // The watch tells of no others.
            && secret.labels().get(CHANNEL_LABEL) == Some(&self.name().name)
        {
            let version = secret.metadata.resource_version.as_deref();
            self.ctx.cluster.secrets.read(self.secret_key(), &self.name().name, version);
        }
        Ok(slot)
    }

    /// Remembers the Secret, in which nothing is left to be done.
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
            self.ctx.cluster.secrets.settle(&self.secret_key(), settled);
        }
    }

    fn secret_key(&self) -> ObjectKey {
        ObjectKey { namespace: self.name().namespace.clone(), name: self.plan.secret_name.clone() }
    }
}

/// The generation that signs, where its certificate fits the transit key.
pub(super) fn signing<'a>(
    record: &ChannelRecord,
    authority: &'a Authority,
) -> Option<&'a AuthorityCertificate> {
    let signing = record.authority.signing().map(|signing| signing.version);
    authority.usable.iter().find(|one| Some(one.version()) == signing)
}

/// The leaf with the names alone that `issuer` may sign.
pub(super) fn permitted(declared: LeafSpec, issuer: Option<&AuthorityCertificate>) -> LeafSpec {
    match issuer {
        Some(issuer) => declared.permitted_by(issuer.permitted_dns()).0,
        None => declared,
    }
}
