//! The ledgers of a trust domain, read once and then remembered: the operator is their only writer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use subrosa_crds::names::ChannelId;
use subrosa_plan::ledger::Ledger;

use crate::vault::{self, LedgerPath, VaultError, kv::Kv};

/// A ledger and its version in Vault's KV; version 0 where there is none yet.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The record.
    pub ledger: Option<Ledger>,
    /// The version a write must name.
    pub version: u64,
}

/// The ledgers of a trust domain.
pub struct Ledgers {
    kv: Kv,
    cache: Mutex<HashMap<ChannelId, Entry>>,
}

impl Ledgers {
    /// Ledgers below `kv`.
    pub fn new(kv: Kv) -> Self {
        Self { kv, cache: Mutex::default() }
    }

    /// The ledger of `id`, from memory where it was read before.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn get(&self, id: &ChannelId) -> Result<Entry, VaultError> {
        if let Some(entry) = self.cache().get(id) {
            return Ok(entry.clone());
        }
        let entry = match self.kv.read::<Ledger>(&path(id)?).await? {
            Some(found) => Entry { ledger: Some(found.value), version: found.version },
            None => Entry::default(),
        };
        self.cache().insert(id.clone(), entry.clone());
        Ok(entry)
    }

    /// Writes the ledger of `id` if nobody wrote it since `entry` was read.
    ///
    /// # Errors
    /// When Vault refuses, or somebody did; what was remembered is forgotten then.
    pub async fn put(&self, id: &ChannelId, ledger: Ledger, expected: u64) -> Result<Entry, VaultError> {
        match self.kv.write(&path(id)?, &ledger, expected).await {
            Ok(version) => {
                let entry = Entry { ledger: Some(ledger), version };
                self.cache().insert(id.clone(), entry.clone());
                Ok(entry)
            }
            Err(error) => {
                self.cache().remove(id);
                Err(error)
            }
        }
    }

    /// The identities of every ledger there is.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn list(&self) -> Result<Vec<ChannelId>, VaultError> {
        let paths = self.kv.list(vault::Ledger::Channels).await?;
        Ok(paths.iter().filter_map(|path| path.entry().parse().ok()).collect())
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<ChannelId, Entry>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(id: &ChannelId) -> Result<LedgerPath, VaultError> {
    Ok(LedgerPath::new(vault::Ledger::Channels, id.as_str())?)
}
