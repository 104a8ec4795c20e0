//! The records of Channels, by identity.

use std::collections::BTreeSet;

use subrosa_crds::names::ChannelId;
use subrosa_plan::record::channel::ChannelRecord;

use crate::{
    store::{self, Store},
    vault::{Folder, RecordPath, VaultError, kv::Kv},
};

/// A Channel's record and its version; version 0 where there is none yet.
pub type ChannelEntry = store::Entry<ChannelRecord>;

/// The records of Channels.
pub struct ChannelRecords {
    store: Store<ChannelRecord>,
    kv: Kv,
}

impl ChannelRecords {
    /// The records below `kv`.
    pub fn new(kv: Kv) -> Self {
        Self { store: Store::new(kv.clone()), kv }
    }

    /// The record of `id`, from the cache where possible.
    ///
    /// # Errors
    /// When Vault cannot be read, or the entry is no valid record.
    pub async fn get(&self, id: &ChannelId) -> Result<ChannelEntry, VaultError> {
        self.store.get(&RecordPath::channel(id)).await
    }

    /// The record of `id`, always from Vault.
    ///
    /// # Errors
    /// When Vault cannot be read, or the entry is no valid record.
    pub async fn read(&self, id: &ChannelId) -> Result<ChannelEntry, VaultError> {
        self.store.read(&RecordPath::channel(id)).await
    }

    /// The record of `id` from Vault, and whether it differs from the cached one.
    pub async fn read_again(&self, id: &ChannelId) -> (Result<ChannelEntry, VaultError>, bool) {
        self.store.read_again(&RecordPath::channel(id)).await
    }

    /// The identities for which a list of all records contradicts the cache. Their cached records are marked as
    /// uncertain.
    pub fn compare(&self, listed: &[ChannelId]) -> BTreeSet<ChannelId> {
        let listed: BTreeSet<_> = listed.iter().map(ChannelId::as_str).collect();
        let differ = self.store.compare(|id| listed.contains(id));
        differ.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// The record of `id` from the cache, without asking Vault. Only good enough for withdrawing access while Vault
    /// does not answer.
    pub fn last_known(&self, id: &ChannelId) -> Option<ChannelRecord> {
        self.store.last_known(&RecordPath::channel(id))
    }

    /// Writes the record of `id` if its version is still `expected`.
    ///
    /// # Errors
    /// When Vault refuses, when somebody else wrote the record, or when a later release did.
    pub async fn put(
        &self,
        id: &ChannelId,
        record: ChannelRecord,
        expected: u64,
    ) -> Result<ChannelEntry, VaultError> {
        self.store.put(&RecordPath::channel(id), record, expected).await
    }

    /// Reads the record of `id`, applies `decide`, and writes it where it changed. Repeats all of it after a
    /// conflict.
    ///
    /// # Errors
    /// When Vault cannot be read or refuses.
    pub async fn transaction(
        &self,
        id: &ChannelId,
        decide: impl FnMut(Option<ChannelRecord>) -> Option<ChannelRecord>,
    ) -> Result<ChannelEntry, VaultError> {
        self.store.transaction(&RecordPath::channel(id), decide).await
    }

    /// The identities of all records, including deleted ones.
    ///
    /// # Errors
    /// When Vault cannot be read.
    pub async fn list(&self) -> Result<Vec<ChannelId>, VaultError> {
        let names = self.kv.list(&Folder::Channels).await?;
        let ids: Vec<ChannelId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        ids.iter().for_each(|id| self.store.is_there(&RecordPath::channel(id)));
        Ok(ids)
    }

    /// Drops `id`, whose Channel is gone, from the cache.
    pub fn forget(&self, id: &ChannelId) {
        self.store.forget(&RecordPath::channel(id));
    }

    /// Clears the cache, because Vault has another store now.
    pub fn forget_all(&self) {
        self.store.forget_all();
    }

    /// How many records are cached.
    pub fn remembered(&self) -> usize {
        self.store.remembered()
    }
}
