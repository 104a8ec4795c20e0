//! The authority and the leaf: noted in the ledger, then signed, then written.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use subrosa_plan::{
    certificate::{
        LeafSpec, Observation, ObservedSecret, Reason, TrustFiles, Wanted, reissue, reissue_reason,
        secrets::Holds,
    },
    channel::Scope,
    record::{issuances::Issuance, ledger::Ledger},
    world::{certificate::Validity, fault::Fault},
};
use subrosa_records::channels::Entry;

use super::{
    Authorities, Work,
    look::{Look, permitted, signing},
    observe,
};
use crate::{
    context::Subject,
    execute::{
        authority::{self, Authority},
        certificate::{self, Leaf, Slot, random_serial},
    },
    observe::watch::ObjectKey,
    pki::{AuthorityCertificate, Serial},
};

/// What became of the authority and the leaf.
pub(super) struct Certified {
    /// What holds the authority up.
    pub authority: Result<(), Fault>,
    /// The certificate that pods mount, as it was seen.
    pub observed: Observation,
    /// What keeps the certificate that should be there from being there.
    pub certificate: Result<(), Fault>,
    /// The ledger as it stands.
    pub ledger: Result<Ledger, Fault>,
}

/// A leaf that the ledger says will be signed.
struct Noted<'a> {
    serial: Serial,
    validity: Validity,
    issuer: &'a AuthorityCertificate,
}

impl Work<'_> {
    /// Takes the authority as far as it goes, and the Secret to what it should hold.
    pub(super) async fn certify(
        &mut self,
        ledger: Ledger,
        version: u64,
        look: Result<Look, Fault>,
        authorities: &Authorities,
    ) -> Certified {
        let (blocked, authority) = self.authority(&ledger).await;
        self.wake.extend(authority.wake_at);
        self.news.extend(authority.news.iter().map(|news| ("AuthorityChanged", news.clone())));
        let ledger = Ledger { authority: authority.generations.clone(), ..ledger };
        let files = self.trust(&self.plan.connections, &self.plan.extra_trust, authorities);
        let slot = match look {
            Ok(look) => self.looked(look, &ledger, &authority, &files).await,
            Err(fault) => Err(fault),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(fault) => {
                let ledger = self.commit(ledger, version).await;
                let observed = Observation::Unknown;
                return Certified { authority: blocked, observed, certificate: Err(fault), ledger };
            }
        };
        let (observed, certificate, ledger) = match self.plan.holds {
            Holds::Everything => self.leaf(ledger, version, slot, &authority, &files, blocked.is_ok()).await,
            Holds::Trust => self.trust_alone(ledger, version, slot, &files).await,
        };
        if certificate.is_ok() {
            self.settle(&observed, &ledger, &authority, &files);
        }
        self.pods(Certified { authority: blocked, observed, certificate, ledger }, &authority).await
    }

    /// The authority after its steps; a blocked one still has what it had.
    async fn authority(&self, ledger: &Ledger) -> (Result<(), Fault>, Authority) {
        let (plan, generations) = (self.plan, ledger.authority.clone());
        let stepped = match self.peers(ledger).await {
            Ok(peers) => {
                authority::carry_out(
                    self.vault,
                    &plan.id,
                    &plan.authority,
                    generations.clone(),
                    peers,
                    self.now,
                )
                .await
            }
            Err(fault) => Err(fault),
        };
        match stepped {
            Ok(authority) => (Ok(()), authority),
            Err(fault) => {
                let usable = authority::usable(self.vault, &plan.id, &plan.authority, &generations).await;
                let usable = usable.unwrap_or_default();
                (Err(fault), Authority { generations, usable, wake_at: None, news: Vec::new() })
            }
        }
    }

    /// Issues a leaf or rewrites the trust files, where there is a reason to; what counts is what is in
    /// the Secret after that, judged as if it had been found.
    async fn leaf(
        &mut self,
        mut ledger: Ledger,
        version: u64,
        slot: Slot,
        authority: &Authority,
        files: &TrustFiles,
        may_issue: bool,
    ) -> (Observation, Result<(), Fault>, Result<Ledger, Fault>) {
        let observed = slot.observe(&authority.usable);
        let issuer = signing(&ledger, authority);
        let declared = match observed.leaf() {
            // What is Stalled keeps the names it has; only a leaf of ours can say which.
            Some(leaf) if leaf.issuer.is_some() && matches!(self.plan.scope, Scope::Stalled(_)) => {
                self.plan.leaf.named_as(leaf)
            }
            _ => self.plan.leaf.clone(),
        };
        let spec = permitted(declared, issuer);
        let wanted = Wanted { spec: &spec, generations: &ledger.authority, trust: files };
        let reason = reissue_reason(&observed, wanted, self.now);
        let noted = match (&reason, issuer) {
            (Some(reason), Some(issuer)) if may_issue && reason.needs_new_leaf() => {
                Some(self.admit(&mut ledger, reason, &observed, &spec, issuer))
            }
            _ => None,
        };
        let ledger = match self.commit(ledger, version).await {
            Ok(ledger) => ledger,
            Err(fault) => return (self.seen(&observed), Err(fault.clone()), Err(fault)),
        };
        let (noted, limited) = match noted {
            Some(Ok(noted)) => (Some(noted), None),
            Some(Err(fault)) => (None, Some(fault)),
            None => (None, None),
        };
        let written = match noted {
            Some(noted) => self.issue(&slot, &spec, noted, files, reason.as_ref()).await.map(Some),
            None => self.rewrite_trust(&slot, &observed, files).await,
        };
        let after = match written {
            Ok(Some(slot)) => slot.observe(&authority.usable),
            Ok(None) => observed,
            Err(fault) => return (self.seen(&observed), Err(fault), Ok(ledger)),
        };
        let seen = self.seen(&after);
        if let Some(fault) = limited {
            return (seen, Err(fault), Ok(ledger));
        }
        let wanted = Wanted { spec: &spec, generations: &ledger.authority, trust: files };
        let certificate = match (reissue_reason(&after, wanted, self.now), after.leaf()) {
            (None, Some(leaf)) => {
                self.wake.push(reissue::renewal(leaf, &spec));
                Ok(())
            }
            (Some(reason), _) => {
                Err(Fault::new("CertificateNotReady", format!("{}: {reason}", reason.name())))
            }
            (None, None) => {
                Err(Fault::new("CertificateNotReady", "the Secret holds no readable certificate"))
            }
        };
        (seen, certificate, Ok(ledger))
    }

    fn seen(&self, found: &ObservedSecret) -> Observation {
        observe::in_secret(self.ctx, self.channel, self.name, self.plan, found)
    }

    /// Notes an issuance, if one more is allowed now.
    fn admit<'a>(
        &self,
        ledger: &mut Ledger,
        reason: &Reason,
        observed: &ObservedSecret,
        spec: &LeafSpec,
        issuer: &'a AuthorityCertificate,
    ) -> Result<Noted<'a>, Fault> {
        ledger.issuances =
            std::mem::take(&mut ledger.issuances).without(|serial| self.vault.is_unsigned(serial));
        ledger
            .issuances
            .admit(reason, observed.serial(), self.now)
            .map_err(|limited| Fault::new("IssuanceLimited", limited.to_string()))?;
        spec.validate().map_err(|problem| Fault::new("CertificateRefused", problem.to_string()))?;
        let validity = spec
            .validity(self.now, issuer.validity())
            .map_err(|problem| Fault::new("AuthorityNotValid", problem.to_string()))?;
        let serial = random_serial();
        let issuance = Issuance {
            serial: serial.hex(),
            at: self.now,
            reason: reason.name().to_owned(),
            not_after: Some(validity.not_after),
        };
        ledger.issuances = std::mem::take(&mut ledger.issuances).noted(issuance);
        ledger.authority =
            std::mem::take(&mut ledger.authority).with_leaf(issuer.version(), validity.not_after);
        Ok(Noted { serial, validity, issuer })
    }

    /// Signs the noted leaf and writes the Secret whole.
    async fn issue(
        &mut self,
        slot: &Slot,
        spec: &LeafSpec,
        noted: Noted<'_>,
        files: &TrustFiles,
        reason: Option<&Reason>,
    ) -> Result<Slot, Fault> {
        let Noted { serial, validity, issuer } = noted;
        let issued =
            certificate::issue(self.vault, &self.plan.id, spec, validity, &serial, issuer, self.now).await?;
        let leaf = Leaf::New(&issued, slot);
        let written = self.write(&self.plan.secret_name, leaf, files).await?;
        if let Some(reason) = reason {
            self.ctx.metrics.issued(reason.name());
            if !matches!(reason, Reason::Missing) {
                self.news.push(("CertificateIssued", format!("{}: {reason}", reason.name())));
            }
        }
        Ok(written)
    }

    /// Writes a Secret of this Channel.
    pub(super) async fn write(&self, name: &str, leaf: Leaf<'_>, files: &TrustFiles) -> Result<Slot, Fault> {
        let written = certificate::write(&self.secrets, self.channel, self.name, name, leaf, files).await?;
        Ok(self.own(written))
    }

    /// The Secret just written: its version is no news when the watch brings it, but to a peer that
    /// counts who trusts its next generation.
    fn own(&self, secret: Secret) -> Slot {
        for peer in &self.rotating {
            self.ctx.wake(Subject::Channel(peer.clone()));
        }
        let key = ObjectKey { namespace: self.name.namespace.clone(), name: secret.name_any() };
        self.ctx.cluster.secrets.read(key, &self.name.name, secret.metadata.resource_version.as_deref());
        Slot::Ours(Box::new(secret))
    }

    /// Rewrites the trust files where they differ; leaf and key stay.
    pub(super) async fn rewrite_trust(
        &self,
        slot: &Slot,
        observed: &ObservedSecret,
        files: &TrustFiles,
    ) -> Result<Option<Slot>, Fault> {
        let Slot::Ours(secret) = slot else { return Ok(None) };
        if reissue::trust_changed(observed, files).is_none() {
            return Ok(None);
        }
        self.write(&secret.name_any(), Leaf::Kept(secret), files).await.map(Some)
    }

    /// Writes the ledger as it is after the authority's steps and before the leaf is signed.
    pub(super) async fn commit(&self, ledger: Ledger, version: u64) -> Result<Ledger, Fault> {
        let known = self.vault.ledgers.get(&self.plan.id).await;
        let known = known.map_err(|error| crate::observe::vaults::fault(&error))?;
        let known = if known.version == version { known } else { Entry { record: None, version } };
        self.note(known, ledger.clone()).await?;
        Ok(ledger)
    }
}
