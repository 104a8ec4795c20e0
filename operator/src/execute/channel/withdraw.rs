//! Withdraws trust and access, closes connections, and prunes objects under former names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use subrosa_crds::Reason;
use subrosa_plan::{
    certificate::{ObservedSecret, trust_sources},
    channel::{
        closing,
        intent::{AccessChange, WithdrawalProgress},
    },
    consent::{connection::Connection, extra_trust::JudgedExtraTrust},
    record::channel::ChannelRecord,
    world::{PodFacts, World, fault::Fault},
};
use subrosa_records::channels::ChannelEntry;

use super::{Authorities, Work, look::Look, peers};
use crate::{
    execute::{
        access,
        certificate::{self, Leaf, Slot},
        objects,
    },
    observe::asked,
};

/// The reason of the Event.
const TRUST_WITHDRAWN: Reason = Reason::TrustWithdrawn;
/// The Event's note.
const LEFT: &str = "a certificate authority left the trust files";

/// The result of withdrawing trust and access.
pub(super) struct Withdrawn {
    /// Whether withdrawn authorities are out of the trust files.
    pub trust: Result<(), Fault>,
    /// Whether withdrawn ServiceAccounts have no access.
    pub access: Result<(), Fault>,
}

impl Work<'_> {
    /// Withdraws trust and access. Tries both, even if one fails.
    pub(super) async fn withdraw(
        &mut self,
        entry: &ChannelEntry,
        slot: &Result<Look, Fault>,
        authorities: &Authorities,
    ) -> Withdrawn {
        let Some(record) = &entry.record else { return Withdrawn { trust: Ok(()), access: Ok(()) } };
        let trust = match slot {
            Ok(Look::Read(Slot::Ours(secret))) => {
                self.withdraw_trust(Some(record), secret, authorities).await
            }
            // The trust files are right, or the mounted Secret has another name and is handled with the others.
            Ok(Look::Settled(_) | Look::Read(Slot::Observed(_) | Slot::Empty)) => Ok(()),
            // Somebody else's Secret of the declared name is not the Channel's.
            Err(fault) if objects::is_foreign(fault) => Ok(()),
            Err(fault) => Err(fault.clone()),
        };
        let elsewhere = self.withdraw_elsewhere(record, authorities).await;
        let access = self.withdraw_access(record).await;
        let worker = self.withdraw_worker(record).await;
        Withdrawn { trust: trust.and(elsewhere), access: access.and(worker) }
    }

    /// Withdraws trust as far as known while Vault does not answer.
    pub(super) async fn withdraw_known_trust(&mut self, record: Option<&ChannelRecord>) {
        let mut held = Vec::new();
        match self.slot(record).await {
            Ok(Slot::Ours(secret)) => held.push(*secret),
            Ok(Slot::Empty | Slot::Observed(_)) => {}
            Err(fault) => self.warn(&fault),
        }
        let (others, read) = self.others(record).await;
        held.extend(others);
        if let Err(fault) = read {
            self.warn(&fault);
        }
        for secret in held {
            if let Err(fault) = self.narrow_trust(record, &secret).await {
                self.warn(&fault);
            }
        }
    }

    pub(super) fn warn(&self, fault: &Fault) {
        tracing::warn!(channel = %self.name(), reason = fault.reason.as_str(), "{}", fault.message);
    }

    async fn narrow_trust(&mut self, record: Option<&ChannelRecord>, secret: &Secret) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let authorities = peers::last_known_authorities(self.ctx, self.vault, self.plan, &found.trust);
        self.withdraw_trust(record, secret, &authorities).await
    }

    /// Removes surplus authorities from the trust files. Adds nothing: new trust waits until the record has it as
    /// open.
    pub(super) async fn withdraw_trust(
        &mut self,
        record: Option<&ChannelRecord>,
        secret: &Secret,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let wanted = self.trust(&self.plan.connections, &self.plan.extra_trust, authorities);
        if !trust_sources::exceeds(&found.trust, wanted.files()) {
            return Ok(());
        }
        let noted =
            |connection: &Connection| record.is_none_or(|record| record.open.contains(&connection.key()));
        let extra =
            |one: &JudgedExtraTrust| record.is_none_or(|record| record.extra_trust.contains(&one.key));
        let kept = self.trust(
            self.plan.connections.iter().filter(|one| noted(one)),
            self.plan.extra_trust.iter().filter(|one| extra(one)),
            authorities,
        );
        let name = secret.name_any();
        certificate::write(&self.secrets, self.channel, &name, Leaf::Kept(secret), &kept).await?;
        self.news.push((TRUST_WITHDRAWN, LEFT.into()));
        Ok(())
    }

    async fn withdraw_access(&mut self, record: &ChannelRecord) -> Result<(), Fault> {
        match self.plan.access_change(record) {
            AccessChange::None => {}
            AccessChange::Narrow(wanted) => {
                access::grant(self.vault, &self.plan.id, &wanted, []).await?;
                let note = "the workload may not open what it sealed any more";
                self.news.push((Reason::OpeningWithdrawn, note.into()));
            }
            AccessChange::Withdraw(had) => {
                access::withdraw(self.vault, &self.plan.id, &had).await?;
                let uid = &had.service_account_uid;
                let note = format!("the ServiceAccount with UID {uid} has no access any more");
                self.news.push((Reason::AccessWithdrawn, note));
            }
        }
        Ok(())
    }

    /// The progress of withdrawals, for the record. For `closed` see [`WithdrawalProgress`].
    pub(super) async fn done(
        &self,
        record: &ChannelRecord,
        withdrawn: bool,
        closed: bool,
    ) -> WithdrawalProgress {
        WithdrawalProgress {
            withdrawn,
            closed,
            presented_until: self.presented_until(record).await,
            oldest_pod: self.oldest_pod(record).await,
        }
    }

    /// When the oldest pod started that may have a connection of the Channel. Where that would have one told closed, the
    /// API server is asked: the watch may not have shown a pod yet. While it does not say, there may be one of any age.
    async fn oldest_pod(&self, record: &ChannelRecord) -> Option<Timestamp> {
        let (cluster, namespace) = (&self.ctx.cluster, &self.name().namespace);
        let secrets = cluster.secrets.of(self.name());
        let oldest = |world: &World, pods: &BTreeMap<String, PodFacts>| {
            closing::oldest_pod(self.channel, self.plan, &secrets, world, pods.values())
        };
        let watched = cluster.read(|world| world.pods.get(namespace).and_then(|pods| oldest(world, pods)));
        if !closing::rests_on_pods(self.plan, record, watched, self.now) {
            return watched;
        }
        match asked::pods(&self.ctx.client, namespace).await {
            Ok(pods) => cluster.read(|world| oldest(world, &pods)),
            Err(error) => {
                self.warn(&objects::fault(&format!("listing the pods of namespace {namespace}"), &error));
                Some(Timestamp::MIN)
            }
        }
    }

    /// Queues Events about withdrawn and closed connections. The trust files are written before the record, so after
    /// a crash in between the files are right and the record shows that no Event was sent.
    pub(super) fn tell_closed(&mut self, settled: closing::SettledWithdrawals) {
        if settled.withdrawn {
            self.news.retain(|(reason, _)| *reason != TRUST_WITHDRAWN);
            self.news.push((TRUST_WITHDRAWN, format!("{LEFT}: a connection was withdrawn")));
        }
        for (one, proof) in settled.closed {
            let key = one.key;
            let note = format!("{} {} with {}: {proof}", key.direction.as_str(), key.name, key.other);
            self.news.push((Reason::ConnectionClosed, note));
        }
        self.wake.extend(settled.wake_at);
    }
}
