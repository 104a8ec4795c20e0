//! The cache of Vaults, and when its entries are dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
};

use subrosa_crds::names::{ChannelId, ChannelRef};
use subrosa_records::vault::TransitKeyName;

use super::{COUNTED, DomainVault, MEMORY};

impl DomainVault {
    /// Notes that the Channel of this identity is deleted and has nothing left to withdraw, and drops its record and
    /// keys from the cache.
    pub fn settle(&self, id: &ChannelId, name: &ChannelRef) {
        self.channel_records.forget(id);
        self.keys().retain(|key, _| !is_of(key, id));
        self.gone().insert(id.clone(), name.clone());
    }

    /// The name of the Channel of that identity, where it is [settled](Self::settle).
    pub fn settled(&self, id: &ChannelId) -> Option<ChannelRef> {
        self.gone().get(id).cloned()
    }

    /// Notes that the Channel of this identity is being reconciled, so that it may have something to withdraw again.
    pub fn unsettle(&self, id: &ChannelId) {
        self.gone().remove(id);
    }

    /// Notes that the record of this Channel is gone, so that its access can only be found in Vault itself.
    pub fn lose(&self, id: &ChannelId) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    /// Notes that this Channel has nothing left to withdraw, or has a record again.
    pub fn find(&self, id: &ChannelId) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The Channels without a record.
    pub fn lost(&self) -> BTreeSet<ChannelId> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this restore of Vault differs from that of the last call.
    pub fn was_restored(&self, digest: &str) -> bool {
        let mut last = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(digest.to_owned()).as_deref() != Some(digest)
    }

    /// Clears the cache, because another store may be there now.
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

    /// Drops what was read of other Channels than these, and what is outdated.
    pub(crate) fn keep(&self, ids: &BTreeSet<ChannelId>) {
        let of = |name: &TransitKeyName| name.as_str().split('.').next().and_then(|id| id.parse().ok());
        self.keys().retain(|name, _| of(name).is_some_and(|id: ChannelId| ids.contains(&id)));
        self.granted().retain(|_, (seen, _)| seen.elapsed() < MEMORY);
        self.unsigned().retain(|_, at| at.elapsed() < COUNTED);
        self.key_records.keep(|id| id.parse().is_ok_and(|id: ChannelId| ids.contains(&id)));
        // The check of all keys also caches records of deleted Channels.
        self.gone().keys().for_each(|id| self.channel_records.forget(id));
    }

    /// The sizes of the caches of this Vault.
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

/// Whether the key belongs to the Channel of this identity.
fn is_of(key: &TransitKeyName, id: &ChannelId) -> bool {
    key.as_str().strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
