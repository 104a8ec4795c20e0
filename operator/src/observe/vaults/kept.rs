//! What is remembered of Vaults, and its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
};

use subrosa_crds::names::{ChannelId, ChannelRef};
use subrosa_records::vault::TransitKeyName;

use super::{COUNTED, DomainVault, MEMORY};

impl DomainVault {
    /// Notes that the Channel of this identity is gone and has nothing left that could be withdrawn: its record and its
    /// keys need not be remembered.
    pub fn settle(&self, id: &ChannelId, name: &ChannelRef) {
        self.channel_records.forget(id);
        self.keys().retain(|key, _| !is_of(key, id));
        self.gone().insert(id.clone(), name.clone());
    }

    /// The Channel of that identity, where it is [settled](Self::settle).
    pub fn settled(&self, id: &ChannelId) -> Option<ChannelRef> {
        self.gone().get(id).cloned()
    }

    /// Notes that the Channel of this identity is worked on: it may have something to withdraw again.
    pub fn unsettle(&self, id: &ChannelId) {
        self.gone().remove(id);
    }

    /// Notes that the record of this Channel is gone: what it has can only be found by its effect.
    pub fn lose(&self, id: &ChannelId) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    /// Notes that nothing is left to be withdrawn of this Channel, or that its record is there again.
    pub fn find(&self, id: &ChannelId) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The Channels whose records were found to be gone.
    pub fn lost(&self) -> BTreeSet<ChannelId> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this restore of Vault is another one than the last that this was asked of.
    pub fn was_restored(&self, digest: &str) -> bool {
        let mut last = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(digest.to_owned()).as_deref() != Some(digest)
    }

    /// Forgets all that was read or written in the engines: another store may be in their place.
    pub fn forget_all(&self) {
        self.channel_records.forget_all();
        self.key_records.forget_all();
        self.key_findings.forget_all();
        self.keys().clear();
        self.granted().clear();
        self.gone().clear();
    }

    fn gone(&self) -> MutexGuard<'_, BTreeMap<ChannelId, ChannelRef>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was read of Channels but these, and what is too old to be believed.
    pub(crate) fn keep(&self, ids: &BTreeSet<ChannelId>) {
        let of = |name: &TransitKeyName| name.as_str().split('.').next().and_then(|id| id.parse().ok());
        self.keys().retain(|name, _| of(name).is_some_and(|id: ChannelId| ids.contains(&id)));
        self.granted().retain(|_, (seen, _)| seen.elapsed() < MEMORY);
        self.unsigned().retain(|_, at| at.elapsed() < COUNTED);
        self.key_records.keep(|id| id.parse().is_ok_and(|id: ChannelId| ids.contains(&id)));
        // The look at all keys reads records of what is gone too.
        self.gone().keys().for_each(|id| self.channel_records.forget(id));
    }

    /// How much is kept of what this Vault said.
    pub(crate) fn kept(&self) -> [(&'static str, usize); 5] {
        let (keys, grants) = (self.keys().len(), self.granted().len());
        let (records, settled) = (self.channel_records.remembered(), self.gone().len());
        let key_records = self.key_records.remembered();
        [
            ("keys", keys),
            ("keyRecords", key_records),
            ("grants", grants),
            ("records", records),
            ("settledOrphans", settled),
        ]
    }
}

/// Whether a key is of the Channel of this identity.
fn is_of(key: &TransitKeyName, id: &ChannelId) -> bool {
    key.as_str().strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
