//! Ends grants: notes it, takes everybody out of their slots, and removes the policies of those. What Vault refuses of one slot
//! holds up no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{AccessGrant, Reason};
use subrosa_plan::{
    record::grants::{GrantEnd, OpenGrant},
    roles::grants::{decision, slots::GrantSlot, status::GrantOutcome},
    world::fault::Fault,
};
use subrosa_records::vault::VaultError;

use super::{
    Round, ended, role_of, uid as uid_of,
    vault::{Places, outdated},
};

impl Round<'_> {
    /// Keeps the first fault where Vault may take other requests.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn goes_on<T>(&mut self, result: Result<T, VaultError>) -> Result<Option<T>, Fault> {
        match result {
            Ok(done) => Ok(Some(done)),
            // The record was written by somebody else meanwhile: the next round reads it.
            Err(error) if error.is_of_one_request() || matches!(error, VaultError::CasConflict { .. }) => {
                self.failed.get_or_insert_with(|| outdated(&error));
                Ok(None)
            }
            Err(error) => Err(outdated(&error)),
        }
    }

    /// Notes the end of grants that are deleted, refused, or not what was approved. Where it cannot be noted, they are closed all
    /// the same.
    pub(super) async fn end_what_may_not_go_on(&mut self) -> Result<(), Fault> {
        let mut record = self.kept.record.clone();
        let mut ending = BTreeSet::new();
        for (uid, open) in record.open.iter_mut().filter(|(_, open)| open.ended.is_none()) {
            let is_there =
                |one: &&Arc<AccessGrant>| uid_of(one) == *uid && one.meta().deletion_timestamp.is_none();
            let judged = self.judged.get(uid).filter(|_| self.grants.iter().any(|one| is_there(&one)));
            let reason = match judged {
                None => Some(Reason::NotFound),
                Some(judged) if judged.refusal.is_some() => judged.refusal.as_ref().map(|fault| fault.reason),
                Some(judged) if judged.digest.as_ref() != Some(&open.digest) => Some(Reason::NotGrantable),
                Some(_) => {
                    let role = self.grants.iter().find(is_there).and_then(|one| role_of(self.scope, one));
                    role.and_then(|role| self.seen.excludes(self.scope, role, &open.entity))
                        .map(|fault| fault.reason)
                }
            };
            open.ended = reason.map(|reason| ended(open, reason, self.scope.now));
            ending.extend(open.ended.is_some().then(|| uid.clone()));
        }
        let saved = self.kept.save(record).await;
        if self.goes_on(saved)?.is_none() {
            self.unnoted.extend(ending);
        }
        Ok(())
    }

    /// Takes everybody out of slots that no grant uses now, and removes the policies of those that are over. What is empty is
    /// forgotten.
    pub(super) async fn close(&mut self, places: &mut Places, all: bool) -> Result<(), Fault> {
        let (mut used, mut over) = (BTreeSet::new(), BTreeSet::new());
        for (uid, open) in &self.kept.record.open {
            let is_over = open.ended.is_some() || self.unnoted.contains(uid);
            let slots = open.slots.iter().map(|used| used.slot.clone());
            if is_over { over.extend(slots) } else { used.extend(slots) }
        }
        let mut left: BTreeMap<String, Fault> = BTreeMap::new();
        for slot in places.all.keys().cloned().collect::<Vec<_>>() {
            if used.contains(&slot) {
                continue;
            }
            // Either of the two is enough to end it, so neither waits for the other.
            let emptied = places.admit(&slot, &BTreeSet::new()).await;
            let shut = match all || over.contains(&slot) {
                true => places.shut(&[slot.as_str()]).await,
                false => Ok(()),
            };
            let mut refused = places.unread(&[slot.as_str()]);
            for error in [emptied, shut].into_iter().filter_map(Result::err) {
                tracing::warn!(
                    domain = self.scope.domain.name_any(),
                    slot,
                    "a grant slot is not closed: {error}"
                );
                refused.get_or_insert_with(|| outdated(&error));
                self.goes_on::<()>(Err(error))?;
            }
            left.extend(refused.map(|fault| (slot, fault)));
        }
        self.forget(places, &left).await
    }

    /// Notes that grants are over whose slots are empty, and tells of the others what is `left`, by slot.
    async fn forget(&mut self, places: &Places, left: &BTreeMap<String, Fault>) -> Result<(), Fault> {
        let is_free = |open: &OpenGrant| {
            open.slots.iter().all(|used| {
                let slot = places.all.get(&used.slot).and_then(|place| place.slot.as_ref());
                let is_empty = |slot: &GrantSlot| slot.is_empty() && slot.opens().is_none();
                !left.contains_key(&used.slot) && slot.is_none_or(is_empty)
            })
        };
        let mut record = self.kept.record.clone();
        for (uid, open) in std::mem::take(&mut record.open) {
            let refused = open.slots.iter().find_map(|used| left.get(&used.slot).cloned());
            let unnoted = self.failed.clone().filter(|_| self.unnoted.contains(&uid));
            let end: Option<GrantEnd> = open.ended.clone();
            if let Some(fault) = refused.or(unnoted) {
                self.outcomes.insert(uid.clone(), GrantOutcome::Unknown(fault));
            } else if let Some(end) = &end {
                self.outcomes.insert(uid.clone(), GrantOutcome::Over(end.clone()));
            }
            match end.filter(|_| is_free(&open)) {
                Some(end) => drop(record.over.insert(uid, end)),
                None => drop(record.open.insert(uid, open)),
            }
        }
        let there = self.there();
        decision::forget(&mut record, &there, self.scope.now);
        let saved = self.kept.save(record).await;
        self.goes_on(saved).map(drop)
    }

    /// The AccessGrants that there are, by UID, with when they were made.
    fn there(&self) -> BTreeMap<String, Timestamp> {
        let made =
            |grant: &Arc<AccessGrant>| grant.creation_timestamp().map_or(self.scope.now, |time| time.0);
        self.grants.iter().map(|grant| (uid_of(grant), made(grant))).collect()
    }

    /// How many more grants can be over before none begins any more.
    pub(super) fn left(&self) -> usize {
        decision::left(&self.kept.record, &self.there(), self.scope.now)
    }
}
