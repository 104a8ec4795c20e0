//! The records of Channels: what must be remembered of each, by its identity.

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

    /// The record of `id`, from memory where it was read before.
    ///
    /// # Errors
    /// When Vault does not say, or has something that is no such record.
    pub async fn get(&self, id: &ChannelId) -> Result<ChannelEntry, VaultError> {
        self.store.get(&RecordPath::channel(id)).await
    }

    /// The record of `id` as Vault has it now.
    ///
    /// # Errors
    /// When Vault does not say, or has something that is no such record.
    pub async fn read(&self, id: &ChannelId) -> Result<ChannelEntry, VaultError> {
        self.store.read(&RecordPath::channel(id)).await
    }

    /// The record of `id` as Vault has it now, and whether that is something else than what was remembered.
    pub async fn read_again(&self, id: &ChannelId) -> (Result<ChannelEntry, VaultError>, bool) {
        self.store.read_again(&RecordPath::channel(id)).await
    }

    /// The identities of which the list of all records says something else than what is remembered; that is doubted.
    pub fn compare(&self, listed: &[ChannelId]) -> BTreeSet<ChannelId> {
        let listed: BTreeSet<_> = listed.iter().map(ChannelId::as_str).collect();
        let differ = self.store.compare(|id| listed.contains(id));
        differ.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// The record of `id` as far as it is known without asking: good for taking away, while Vault does not answer.
    pub fn last_known(&self, id: &ChannelId) -> Option<ChannelRecord> {
        self.store.last_known(&RecordPath::channel(id))
    }

    /// Writes the record of `id` if nobody wrote it since version `expected` was read.
    ///
    /// # Errors
    /// When Vault refuses, when somebody wrote it, and when a later release did.
    pub async fn put(
        &self,
        id: &ChannelId,
        record: ChannelRecord,
        expected: u64,
    ) -> Result<ChannelEntry, VaultError> {
        self.store.put(&RecordPath::channel(id), record, expected).await
    }

    /// Reads the record of `id`, has `decide` change it, and writes it where it says something new; all of it again when
    /// somebody else was quicker.
    ///
    /// # Errors
    /// When Vault does not say or refuses.
    pub async fn transaction(
        &self,
        id: &ChannelId,
        decide: impl FnMut(Option<ChannelRecord>) -> Option<ChannelRecord>,
    ) -> Result<ChannelEntry, VaultError> {
        self.store.transaction(&RecordPath::channel(id), decide).await
    }

    /// The identities of every record there is, also of those that somebody deleted.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn list(&self) -> Result<Vec<ChannelId>, VaultError> {
        let names = self.kv.list(&Folder::Channels).await?;
        let ids: Vec<ChannelId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        ids.iter().for_each(|id| self.store.is_there(&RecordPath::channel(id)));
        Ok(ids)
    }

    /// Forgets what is remembered of `id`, whose Channel is gone.
    pub fn forget(&self, id: &ChannelId) {
        self.store.forget(&RecordPath::channel(id));
    }

    /// Forgets everything: Vault has another store in the place of the one that was read.
    pub fn forget_all(&self) {
        self.store.forget_all();
    }

    /// How many records are remembered.
    pub fn remembered(&self) -> usize {
        self.store.remembered()
    }
}
