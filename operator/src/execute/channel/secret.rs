//! The authority and the leaf: recorded, then signed, then written.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use subrosa_crds::{Channel, Reason};
use subrosa_plan::{
    certificate::{
        CurrentCertificate, Drift, LeafSpec, Observation, ObservedSecret, TrustFiles, Wanted,
        authority::PendingName,
        drift_of, reissue,
        secrets::Holds,
        trust_files::{TrustProblem, WhyLeftOut},
        trust_room,
    },
    channel::Scope,
    record::{channel::ChannelRecord, issuances::IssuedLeaf},
    world::{certificate::Validity, fault::Fault},
};
use subrosa_records::channels::ChannelEntry;

use super::{
    Authorities, Work,
    look::{Look, permitted, signing},
    observe,
};
use crate::{
    execute::{
        authority::{self, Authority},
        certificate::{self, Leaf, Slot, random_serial},
    },
    observe::watch::ObjectKey,
    pki::{AuthorityCertificate, Serial},
    subject::Subject,
};

/// The result for the authority and the leaf.
pub(super) struct Certified {
    /// What blocks the authority.
    pub authority: Result<(), Fault>,
    /// Names that wait for the next generation of the authority; `None` where unknown.
    pub pending: Option<Vec<PendingName>>,
    /// The certificate that pods mount.
    pub observed: Observation,
    /// The size of the trust files in bytes; `None` where they were not compared.
    pub trust_bytes: Option<usize>,
    /// The peers whose authorities are left out of the trust files.
    pub left_out: BTreeSet<String>,
    /// What keeps the wanted certificate from being there.
    pub certificate: Result<(), Fault>,
    /// The current record.
    pub record: Result<ChannelRecord, Fault>,
}

/// The wanted trust files, and the peers' authorities that they come from.
struct Trust<'a> {
    files: TrustFiles,
    problems: Vec<TrustProblem>,
    authorities: &'a mut Authorities,
}

impl Trust<'_> {
    /// The peers whose authorities are left out.
    fn left_out(&self) -> BTreeSet<String> {
        self.problems.iter().map(|problem| problem.source_name.clone()).collect()
    }
}

/// A leaf that is recorded and about to be signed.
struct SignedSoon<'a> {
    serial: Serial,
    validity: Validity,
    issuer: &'a AuthorityCertificate,
}

impl Work<'_> {
    /// Advances the authority and brings the Secret to its wanted content.
    pub(super) async fn certify(
        &mut self,
        record: ChannelRecord,
        version: u64,
        look: Result<Look, Fault>,
        authorities: &mut Authorities,
    ) -> Certified {
        let (blocked, authority) = self.authority(&record).await;
        self.wake.extend(authority.wake_at);
        self.news.extend(authority.news.iter().map(|news| (Reason::AuthorityChanged, news.clone())));
        let replaced = record.authority.is_replaced_in(&authority.generations);
        let record = ChannelRecord { authority: authority.generations.clone(), ..record };
        // A certificate by another issuer does not depend on this authority.
        let mut pending = match self.plan.external {
            Some(_) => Some(Vec::new()),
            None => authority.pending.clone(),
        };
        let (files, problems) =
            self.trust_and_problems(&self.plan.connections, &self.plan.extra_trust, authorities);
        let mut trust = Trust { files, problems, authorities };
        let slot = match look {
            Ok(look) => self.looked(look, &record, &authority, &trust.files).await,
            Err(fault) => Err(fault),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(fault) => {
                let record = self.commit(record, version).await;
                let observed = Observation::Unknown;
                let certificate = Err(fault);
                return Certified {
                    authority: blocked,
                    pending,
                    observed,
                    trust_bytes: None,
                    left_out: trust.left_out(),
                    certificate,
                    record,
                };
            }
        };
        let (observed, certificate, record) = match self.plan.holds {
            Holds::Everything => {
                self.leaf(record, version, slot, &authority, &mut trust, blocked.is_ok()).await
            }
            Holds::Trust => self.trust_alone(record, version, slot, &trust.files).await,
        };
        if let (Some(pending), Some(CurrentCertificate::Issued(leaf))) = (&mut pending, observed.held()) {
            pending.extend(reissue::awaits_renewal(leaf, &self.plan.leaf));
        }
        if replaced && record.is_ok() {
            self.wake_peers();
        }
        if certificate.is_ok() {
            self.settle(&observed, &record, &authority, &trust.files);
        }
        // The leaf is issued all the same, but a Channel that leaves out a peer's authority is not Ready.
        let too_large = trust.problems.iter().find(|one| one.problem == WhyLeftOut::TooLarge);
        let certificate = certificate.and_then(|()| match too_large {
            Some(problem) => Err(Fault::new(trust_room::REASON, problem.to_string())),
            None => Ok(()),
        });
        let (trust_bytes, left_out) = (Some(trust.files.bytes()), trust.left_out());
        self.pods(
            Certified { authority: blocked, pending, observed, trust_bytes, left_out, certificate, record },
            &authority,
        )
        .await
    }

    /// Advances the authority; a blocked one keeps its generations.
    async fn authority(&self, record: &ChannelRecord) -> (Result<(), Fault>, Authority) {
        let (plan, generations) = (self.plan, record.authority.clone());
        let stepped = match self.peers(record).await {
            Ok(peers) => {
                authority::carry_out(
                    self.vault,
                    &plan.id,
                    &plan.authority,
                    &plan.leaf,
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
                (
                    Err(fault),
                    Authority { generations, usable, wake_at: None, news: Vec::new(), pending: None },
                )
            }
        }
    }

    /// Issues a leaf or rewrites the trust files where there is a reason to. The result is the parsed content of the
    /// Secret afterwards.
    async fn leaf(
        &mut self,
        mut record: ChannelRecord,
        version: u64,
        slot: Slot,
        authority: &Authority,
        trust: &mut Trust<'_>,
        may_issue: bool,
    ) -> (Observation, Result<(), Fault>, Result<ChannelRecord, Fault>) {
        let observed = slot.observe(&authority.usable);
        let issuer = signing(&record, authority);
        let declared = match observed.leaf() {
            // A Stalled Channel keeps its names, which only a leaf of ours tells.
            Some(leaf) if leaf.issuer.is_some() && matches!(self.plan.scope, Scope::Stalled(_)) => {
                self.plan.leaf.named_as(leaf)
            }
            _ => self.plan.leaf.clone(),
        };
        let spec = permitted(declared, issuer);
        let wanted = Wanted { spec: &spec, generations: &record.authority, trust: &trust.files };
        let reason = drift_of(&observed, wanted, self.now);
        let spec = match &reason {
            Some(reason) => permitted(reissue::to_issue(&spec, reason, &observed), issuer),
            None => spec,
        };
        let noted = match (&reason, issuer) {
            (Some(reason), Some(issuer)) if may_issue && reason.needs_new_leaf() => {
                Some(self.admit(&mut record, reason, &observed, &spec, issuer))
            }
            _ => None,
        };
        let record = match self.commit(record, version).await {
            Ok(record) => record,
            Err(fault) => return (self.seen(&observed), Err(fault.clone()), Err(fault)),
        };
        let (noted, limited) = match noted {
            Some(Ok(noted)) => (Some(noted), None),
            Some(Err(fault)) => (None, Some(fault)),
            None => (None, None),
        };
        let written = match noted {
            Some(noted) => self.issue(&slot, &spec, noted, trust, reason.as_ref()).await.map(Some),
            None => self.rewrite_trust(&slot, &observed, &trust.files).await,
        };
        let after = match written {
            Ok(Some(slot)) => slot.observe(&authority.usable),
            Ok(None) => observed,
            Err(fault) => return (self.seen(&observed), Err(fault), Ok(record)),
        };
        let seen = self.seen(&after);
        if let Some(fault) = limited {
            return (seen, Err(fault), Ok(record));
        }
        let wanted = Wanted { spec: &spec, generations: &record.authority, trust: &trust.files };
        let certificate = match (drift_of(&after, wanted, self.now), after.leaf()) {
            (None, Some(leaf)) => {
                self.wake.push(reissue::renewal(leaf, &spec));
                Ok(())
            }
            (Some(reason), _) => {
                Err(Fault::new(Reason::CertificateNotReady, format!("{}: {reason}", reason.reason())))
            }
            (None, None) => {
                Err(Fault::new(Reason::CertificateNotReady, "the Secret holds no readable certificate"))
            }
        };
        (seen, certificate, Ok(record))
    }

    fn seen(&self, found: &ObservedSecret) -> Observation {
        observe::in_secret(self.ctx, self.channel, self.plan, found)
    }

    /// Records an issuance, if the limit allows one more now.
    fn admit<'a>(
        &mut self,
        record: &mut ChannelRecord,
        reason: &Drift,
        observed: &ObservedSecret,
        spec: &LeafSpec,
        issuer: &'a AuthorityCertificate,
    ) -> Result<SignedSoon<'a>, Fault> {
        record.issuances =
            std::mem::take(&mut record.issuances).without(|serial| self.vault.is_unsigned(serial));
        if let Err(limited) = record.issuances.admit(reason, observed.serial(), self.now) {
            self.wake.push(limited.until);
            return Err(Fault::new(Reason::IssuanceLimited, limited.to_string()));
        }
        spec.validate().map_err(|problem| Fault::new(Reason::CertificateRefused, problem.to_string()))?;
        let validity = spec
            .validity(self.now, issuer.validity())
            .map_err(|problem| Fault::new(Reason::AuthorityNotValid, problem.to_string()))?;
        let serial = random_serial();
        let issuance = IssuedLeaf {
            serial: serial.hex(),
            at: self.now,
            reason: reason.reason().as_str().to_owned(),
            not_after: Some(validity.not_after),
        };
        record.issuances = std::mem::take(&mut record.issuances).noted(issuance);
        record.authority =
            std::mem::take(&mut record.authority).with_leaf(issuer.version(), validity.not_after);
        Ok(SignedSoon { serial, validity, issuer })
    }

    /// Signs the recorded leaf and writes the whole Secret.
    async fn issue(
        &mut self,
        slot: &Slot,
        spec: &LeafSpec,
        noted: SignedSoon<'_>,
        trust: &mut Trust<'_>,
        reason: Option<&Drift>,
    ) -> Result<Slot, Fault> {
        let SignedSoon { serial, validity, issuer } = noted;
        let issued =
            certificate::issue(self.vault, &self.plan.id, spec, validity, &serial, issuer, self.now).await?;
        // If a peer got its authority meanwhile, include it now and save a second write.
        if self.learn(trust.authorities).await {
            (trust.files, trust.problems) =
                self.trust_and_problems(&self.plan.connections, &self.plan.extra_trust, trust.authorities);
        }
        let leaf = Leaf::New(&issued, slot);
        let written = self.write(&self.plan.secret_name, leaf, &trust.files).await?;
        if let Some(reason) = reason {
            self.ctx.metrics.issued(reason.reason().as_str());
            if !matches!(reason, Drift::Missing) {
                self.news.push((Reason::CertificateIssued, format!("{}: {reason}", reason.reason())));
            }
        }
        Ok(written)
    }

    /// Writes a Secret of this Channel.
    pub(super) async fn write(&self, name: &str, leaf: Leaf<'_>, files: &TrustFiles) -> Result<Slot, Fault> {
        let written = certificate::write(&self.secrets, self.channel, name, leaf, files).await?;
        Ok(self.own(written))
    }

    /// Notes the version just written, so that the watch does not wake this Channel for it. Wakes the peers that wait
    /// for this Channel to trust their next generation.
    fn own(&self, secret: Secret) -> Slot {
        for peer in &self.rotating {
            self.ctx.wake(Subject::of::<Channel>(peer.clone()));
        }
        let key = ObjectKey { namespace: self.name().namespace.clone(), name: secret.name_any() };
        self.ctx.cluster.secrets.read(key, &self.name().name, secret.metadata.resource_version.as_deref());
        Slot::Ours(Box::new(secret))
    }

    /// Rewrites the trust files where they differ, and keeps leaf and private key.
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

    /// Writes the record after the authority's steps and before the leaf is signed.
    pub(super) async fn commit(
        &mut self,
        mut record: ChannelRecord,
        version: u64,
    ) -> Result<ChannelRecord, Fault> {
        let known = self.vault.channel_records.get(&self.plan.id).await;
        let known = known.map_err(|error| crate::observe::vaults::fault(&error))?;
        let known = if known.version == version { known } else { ChannelEntry { record: None, version } };
        self.keep_news(known.record.as_ref(), &mut record);
        self.note(known, record.clone()).await?;
        Ok(record)
    }
}
