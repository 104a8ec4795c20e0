//! The reconcile of one Channel, from observation to report. The order is fixed:
//!
//! 1. observe: the record, the peers' authorities, the Secret;
//! 2. plan;
//! 3. **withdraw**: network policy, trust files, access; whatever else may fail later;
//! 4. record what is about to be made and opened (a first record is written before the first leaf is signed, together with
//!    its keys and its authority);
//! 5. data keys, then the authority, then the leaf (recorded before it is signed);
//! 6. **grant**: access, then the network policy;
//! 7. tell the workload how to seal, and let the backup worker make backups;
//! 8. prune the Channel's objects under former names;
//! 9. restart the workload where it asks for that and its certificate changed since it started.
//!
//! A fault in one part is kept and the other parts continue; a part waits only for what it needs.
//!
//! The record is read first and written by compare-and-set against that version, but not in one
//! [transaction](subrosa_records::channels::ChannelRecords::transaction): withdrawals happen between reading and
//! writing and must not wait, and the decisions hold only for the version that was read. A reconcile that loses the
//! race starts again with a fresh read. Transactions are for changes that depend on the record alone, such as those
//! of keys.

mod backup;
mod claimed;
mod degraded;
mod external;
mod keys;
mod look;
mod observe;
mod others;
mod peers;
mod pods;
mod restart;
mod secret;
mod settings;
mod slow;
mod withdraw;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_crds::{
    Reason,
    names::{ChannelId, ChannelRef},
};
use subrosa_plan::{
    access::store,
    certificate::secrets,
    channel as plan,
    channel::{
        Plan, Scope,
        applied::{Applied, Control, Controls, Restart},
    },
    consent::extra_trust,
    record::{channel::ChannelRecord, news},
    status,
    world::{declaration::Declaration, fault::Fault},
};
use subrosa_records::channels::ChannelEntry;

use self::withdraw::Withdrawn;
use super::{access, certificate, live, network, objects};
use crate::{context::Context, observe::DomainVault};

pub use self::slow::meanwhile;

/// The CA certificates in the record of each peer.
type Authorities = BTreeMap<ChannelRef, Vec<String>>;

/// The result of a plan.
pub struct PlanOutcome {
    /// The plan that was carried out.
    pub plan: Plan,
    /// How far it was carried out.
    pub applied: Applied,
    /// When the next reconcile is due.
    pub wake_at: Option<Timestamp>,
    /// The Events to send: reason and sentence.
    pub news: Vec<(Reason, String)>,
    /// Whether nothing is retried before somebody changes something.
    pub waits: bool,
}

/// A Channel during its reconcile.
struct Work<'a> {
    ctx: &'a Context,
    channel: &'a Declaration,
    vault: &'a DomainVault,
    plan: &'a Plan,
    now: Timestamp,
    secrets: Api<Secret>,
    news: Vec<(Reason, String)>,
    wake: Vec<Timestamp>,
    /// Peers with two generations of their authority: they wait until this Channel trusts both.
    rotating: Vec<ChannelRef>,
}

/// Plans `channel` and carries the plan out as far as it goes.
///
/// # Errors
/// When no trust domain governs the Channel.
pub async fn carry_out(
    ctx: &Context,
    channel: &Declaration,
    id: &ChannelId,
    vault: Result<&DomainVault, Fault>,
    known: Result<(), Fault>,
    now: Timestamp,
) -> Result<PlanOutcome, plan::Ungoverned> {
    let name = channel.name();
    let entry = match (&vault, known) {
        // A condition for using the record is not met: withdraw without it.
        (Ok(_), Err(fault)) => Err(fault),
        (Ok(vault), Ok(())) => {
            vault.unsettle(id);
            match meanwhile(ctx, name, vault.channel_records.get(id)).await {
                Ok(entry) => match lost(ctx, name, id, &entry) {
                    Some(fault) => {
                        vault.lose(id);
                        // The next reconcile reads again, because somebody may have restored the record.
                        vault.channel_records.forget(id);
                        Err(fault)
                    }
                    None => {
                        vault.find(id);
                        is_this_one(ctx, channel, &entry).await.map(|()| entry)
                    }
                },
                Err(error) => Err(vault.fault(&error)),
            }
        }
        (Err(fault), _) => Err(fault.clone()),
    };
    let last_known = match (&entry, &vault) {
        (Err(_), Ok(vault)) => vault.channel_records.last_known(id),
        _ => None,
    };
    let mut plan = ctx.cluster.read(|world| match (&entry, &last_known) {
        (Ok(entry), _) => plan::plan(channel, world, entry.record.as_ref(), now),
        (Err(_), Some(record)) => plan::plan(channel, world, Some(record), now),
        (Err(_), None) => plan::plan_withdrawals(channel, world, now),
    })?;
    let api = objects::namespaced(&ctx.client, &name.namespace);
    // A declaration that is not in force cannot change the Secret's name: keep the existing one.
    if matches!(plan.scope, Scope::Stalled(_)) && ctx.cluster.is_prepared(&name.namespace) {
        let held = certificate::held(&api, channel, plan.secret_name.clone()).await;
        if held != plan.secret_name {
            plan.holds = secrets::holds(&held, &name.name);
            plan.secret_name = held;
        }
    }
    let outcome =
        |applied| PlanOutcome { plan: plan.clone(), applied, wake_at: None, news: Vec::new(), waits: false };
    if !ctx.cluster.is_prepared(&name.namespace) {
        return Ok(outcome(degraded::unprepared(entry)));
    }
    // A Channel that was never valid has nothing to protect, and nothing is made for it.
    if let (Scope::Stalled(problems), Ok(ChannelEntry { record: None, .. })) = (&plan.scope, &entry) {
        let applied = degraded::nothing(problems);
        return Ok(PlanOutcome { waits: true, ..outcome(applied) });
    }
    let narrowed = network::narrow(ctx, channel, &plan).await;
    let vault = match vault {
        Ok(vault) => vault,
        Err(fault) => {
            return Ok(outcome(degraded::without_record(ctx, channel, &plan, fault, narrowed, now).await));
        }
    };
    let mut work = Work {
        ctx,
        channel,
        vault,
        plan: &plan,
        now,
        secrets: api,
        news: Vec::new(),
        wake: extra_trust::wake_at(&plan.extra_trust, &plan.domain, now).into_iter().collect(),
        rotating: Vec::new(),
    };
    let known = match entry {
        Ok(entry) => match peers::authorities(ctx, vault, &plan).await {
            Ok(authorities) => Ok((entry, authorities)),
            Err(fault) => Err((fault, entry.record)),
        },
        Err(fault) => Err((fault, last_known)),
    };
    let applied = match known {
        Ok((entry, authorities)) => work.all(entry, authorities, narrowed).await,
        Err((fault, record)) => {
            work.withdraw_known_trust(record.as_ref()).await;
            degraded::without_record(ctx, channel, &plan, fault, narrowed, now).await
        }
    };
    work.wake.extend(applied.record.as_ref().ok().and_then(|record| news::wake_at(&record.tell)));
    work.wake.extend(status::late_from(channel, &plan, &applied, now));
    let (wake_at, news) = (work.wake.into_iter().min(), work.news);
    Ok(PlanOutcome { plan, applied, wake_at, news, waits: false })
}

/// Checks with the API server that this Channel exists if the record follows another one of the same name: the watch
/// may still show the deleted one.
async fn is_this_one(ctx: &Context, channel: &Declaration, entry: &ChannelEntry) -> Result<(), Fault> {
    let recorded = entry.record.as_ref().and_then(|record| record.follows.as_ref());
    let uid = channel.uid().unwrap_or_default();
    if recorded.is_none_or(|recorded| recorded.uid == uid) {
        return Ok(());
    }
    live::confirm(ctx, channel).await
}

/// The fault of a Channel whose record is missing although it had one.
fn lost(ctx: &Context, name: &ChannelRef, id: &ChannelId, entry: &ChannelEntry) -> Option<Fault> {
    if entry.record.is_some() {
        return None;
    }
    ctx.cluster.read(|world| store::lost(name, id, world))
}

impl Work<'_> {
    /// The Channel's namespace and name.
    fn name(&self) -> &ChannelRef {
        self.channel.name()
    }

    /// The Channel's UID.
    fn uid(&self) -> &str {
        self.channel.uid().unwrap_or_default()
    }

    async fn all(
        &mut self,
        entry: ChannelEntry,
        mut authorities: Authorities,
        narrowed: Result<(), Fault>,
    ) -> Applied {
        let plan = self.plan;
        let rotating = authorities.iter().filter(|(_, generations)| generations.len() > 1);
        self.rotating = rotating.map(|(peer, _)| peer.clone()).collect();
        let slot = self.look(&entry, &authorities).await;
        let Withdrawn { trust, access } = self.withdraw(&entry, &slot, &authorities).await;
        let closes = narrowed.is_ok() && trust.is_ok() && !network::is_foreign(self.ctx, self.channel);
        let withdrawn = trust.and(access);
        let new = || self.ctx.cluster.read(|world| plan.first_record(self.name(), world));
        let before = entry.record.clone().unwrap_or_else(new);
        let done = self.done(&before, withdrawn.is_ok(), closes).await;
        let (mut intent, settled) = plan.intent(before.clone(), done, self.now);
        if entry.record.is_some() {
            self.intend_imports(&mut intent);
        }
        self.tell_closed(settled);
        self.keep_news(entry.record.as_ref(), &mut intent);
        let (ctx, channel, now) = (self.ctx, self.channel, self.now);
        // A first record is written only once, together with the authority. Until then only keys exist, which nobody
        // may use and which making them again would find.
        let first = entry.record.is_none();
        let noted = match first {
            true => Ok(ChannelEntry { record: Some(intent), ..entry }),
            false => self.note(entry, intent).await,
        };
        let entry = match noted {
            Ok(entry) => entry,
            Err(fault) => {
                return degraded::without_record(ctx, channel, plan, fault, narrowed, now).await;
            }
        };
        let version = entry.version;
        let mut record = entry.record.unwrap_or(before);
        let keys = self.keys(&mut record).await;
        let certified = self.certify(record, version, slot, &mut authorities).await;
        // Nothing is granted or opened before it is recorded.
        if first && let Err(fault) = certified.record {
            return degraded::without_record(ctx, channel, plan, fault, narrowed, now).await;
        }
        let access = self.access(&withdrawn, &certified.record).await;
        let network = match narrowed {
            Err(fault) => Err(fault),
            Ok(()) => network::open(self.ctx, self.channel, plan, first).await,
        };
        let settings = self.settings(first, keys.as_ref().map(|_| ()).map_err(Clone::clone)).await;
        let made = keys.as_ref().map(|_| ()).map_err(Clone::clone);
        let backup = self.backup(&withdrawn, &certified.record, made).await;
        let may_prune = network.is_ok() && certified.certificate.is_ok();
        self.keep_or_prune(certified.record.as_ref().ok(), &authorities, may_prune).await;
        let mut applied = Applied {
            record: certified.record,
            observed: certified.observed,
            has_policy: network.as_ref().is_ok_and(|there| *there),
            controls: Controls::each(|control| match control {
                Control::Network => network.clone().map(|_| ()),
                Control::Authority => certified.authority.clone(),
                Control::Certificate => certified.certificate.clone(),
                Control::Keys => keys.clone().map(|_| ()),
                Control::Access => access.clone(),
                Control::Settings => settings.clone(),
                Control::Backup => backup.clone(),
            }),
            keys: keys.unwrap_or_default(),
            default_deny: self.ctx.cluster.read(|world| degraded::denies(world, &self.name().namespace)),
            trusting: authorities
                .into_iter()
                .filter(|(name, known)| !known.is_empty() && !certified.left_out.contains(&name.to_string()))
                .map(|(name, _)| name)
                .collect(),
            restart: Restart::NotDue,
            trust_bytes: certified.trust_bytes,
            pending: certified.pending,
        };
        applied.restart = self.restart(&applied).await;
        applied
    }

    /// Moves the Events about this change into `record`, which is about to replace `before`.
    fn keep_news(&mut self, before: Option<&ChannelRecord>, record: &mut ChannelRecord) {
        let told = self.ctx.reporter.told(&self.channel.object());
        record.keep_news(before, &mut self.news, &told, self.now);
    }

    /// Writes the record where it changed.
    async fn note(&self, known: ChannelEntry, record: ChannelRecord) -> Result<ChannelEntry, Fault> {
        if known.record.as_ref() == Some(&record) {
            return Ok(known);
        }
        let written = self.vault.channel_records.put(&self.plan.id, record, known.version).await;
        written.map_err(|error| self.vault.fault(&error))
    }

    /// Grants the workload's access, once the withdrawals are done.
    async fn access(
        &self,
        withdrawn: &Result<(), Fault>,
        record: &Result<ChannelRecord, Fault>,
    ) -> Result<(), Fault> {
        withdrawn.clone()?;
        let Some(wanted) = self.plan.access_to_give(self.channel)? else { return Ok(()) };
        let record = record.as_ref().map_err(Clone::clone)?;
        access::grant(self.vault, &self.plan.id, wanted, record.adopted()).await
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
