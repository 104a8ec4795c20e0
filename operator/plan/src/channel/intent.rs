//! What is recorded before anything is made or opened, and how the workload's access changes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelRef};

use super::{Plan, Scope, closing, delivery};
use crate::{
    consent::extra_trust,
    record::channel::{Access, ChannelRecord},
    world::{World, declaration::Declaration, domain, fault::Fault},
};

/// The progress of withdrawals when the record is written before anything is made or opened.
#[derive(Clone, Copy, Debug)]
pub struct WithdrawalProgress {
    /// Whether policy, trust files and access have nothing withdrawn any more.
    pub withdrawn: bool,
    /// Whether policy and trust files have nothing withdrawn any more, and no other writer can reopen the policy.
    pub closed: bool,
    /// When the last certificate expires that pods may present now; `None` where unknown.
    pub presented_until: Option<Timestamp>,
    /// When the oldest pod started that may still use a connection; `None` where no pod runs.
    pub oldest_pod: Option<Timestamp>,
}

/// How the access that a workload had changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// It stays as it is.
    None,
    /// It may not open any more, but still seal.
    Narrow(Access),
    /// It is withdrawn, because the ServiceAccount is another one now, or none.
    Withdraw(Access),
}

impl Plan {
    /// The record of a Channel that has none yet.
    pub fn first_record(&self, name: &ChannelRef, world: &World) -> ChannelRecord {
        let namespace = world.namespaces.get(&name.namespace);
        let uid = namespace.map(|facts| facts.uid.as_str()).unwrap_or_default();
        let domain = self.domain.metadata.name.as_deref().unwrap_or_default();
        ChannelRecord::new(name.clone(), uid, domain)
    }

    /// The record to write before anything is made or opened, and the result for withdrawn connections.
    pub fn intent(
        &self,
        before: ChannelRecord,
        done: WithdrawalProgress,
        now: Timestamp,
    ) -> (ChannelRecord, closing::SettledWithdrawals) {
        let open = before.open.clone();
        let mut record = self.remember(before, done.closed, done.presented_until, now);
        let mut settled = closing::settle(&mut record, done.closed, done.oldest_pod, now);
        settled.withdrawn = !open.is_subset(&record.open);
        if self.validated.is_some() {
            for key in &self.keys {
                record.key_mut(&key.class, key.cohort).closed = false;
            }
        }
        self.note_access(&mut record, done.withdrawn);
        if done.withdrawn {
            record.backup = self.backed_up.clone().map(Box::new);
        }
        (record, settled)
    }

    /// Records connections, certificates of pods, further trust, and the declarations they follow. For `withdrawn`
    /// and `presented` see `note_connections`.
    pub fn remember(
        &self,
        mut record: ChannelRecord,
        withdrawn: bool,
        presented: Option<Timestamp>,
        now: Timestamp,
    ) -> ChannelRecord {
        self.note_connections(&mut record, withdrawn, presented, now);
        record.pods = delivery::remember(record.pods, self);
        let in_force = extra_trust::in_force(&self.extra_trust);
        // Trust that could not be withdrawn must stay recorded.
        let before = if withdrawn { BTreeSet::new() } else { record.extra_trust };
        record.extra_trust = in_force.into_iter().chain(before).collect();
        self.note_views(&mut record);
        record
    }

    /// Access that could not be withdrawn must stay recorded, and a Stalled Channel keeps its access.
    fn note_access(&self, record: &mut ChannelRecord, withdrawn: bool) {
        if !withdrawn && record.access.is_some() {
            return;
        }
        match self.scope {
            Scope::Full | Scope::Audit => record.access.clone_from(&self.access),
            Scope::Frozen => {
                record.access = record.access.take().filter(|had| self.access.as_ref() == Some(had));
            }
            Scope::Stalled(_) => {}
        }
    }

    /// How the recorded access must change.
    pub fn access_change(&self, record: &ChannelRecord) -> AccessChange {
        // A Stalled Channel may be a bad edit, so its workload keeps access.
        let Some(had) = record.access.as_ref().filter(|_| !matches!(self.scope, Scope::Stalled(_))) else {
            return AccessChange::None;
        };
        match &self.access {
            Some(wanted) if wanted.service_account_uid == had.service_account_uid => {
                match had.may_open && !wanted.may_open {
                    true => AccessChange::Narrow(wanted.clone()),
                    false => AccessChange::None,
                }
            }
            _ => AccessChange::Withdraw(had.clone()),
        }
    }

    /// The access to give to the workload now; `None` where none is given.
    ///
    /// # Errors
    /// Why it cannot be given yet.
    pub fn access_to_give(&self, channel: &Declaration) -> Result<Option<&Access>, Fault> {
        if !matches!(self.scope, Scope::Full | Scope::Audit) {
            return Ok(None);
        }
        let Some(wanted) = &self.access else {
            if !channel.seals() {
                return Ok(None);
            }
            let account = channel.service_account().unwrap_or_default();
            return Err(Fault::new(
                Reason::ServiceAccountNotFound,
                format!(
                    "spec.workload.serviceAccountName: there is no ServiceAccount {account} in namespace {}: create it",
                    channel.name().namespace
                ),
            ));
        };
        // Without the finalizer, nobody would withdraw the access when the domain is deleted.
        if !domain::withdraws_access(&self.domain) {
            let domain = self.domain.metadata.name.as_deref().unwrap_or_default();
            return Err(Fault::new(
                Reason::TrustDomainPending,
                format!("TrustDomain {domain} is being prepared: its access is given after that"),
            ));
        }
        Ok(Some(wanted))
    }
}

#[cfg(test)]
mod tests;
