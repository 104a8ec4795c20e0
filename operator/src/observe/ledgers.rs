//! The ledgers of a trust domain, read once and then remembered: the operator is their only writer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use subrosa_crds::names::ChannelId;
use subrosa_plan::record::ledger::Ledger;

use subrosa_records::vault::{self, LedgerPath, VaultError, kv::Kv};

/// A ledger and its version in Vault's KV; version 0 where there is none yet.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The record.
    pub ledger: Option<Ledger>,
    /// The version a write must name.
    pub version: u64,
}

/// A ledger as it was last read or written, as text: with thousands of Channels its maps and certificates
/// would be the most of what the operator keeps in memory.
struct Known {
    text: Option<Box<str>>,
    version: u64,
    /// Whether nothing can have changed since: a write that failed may have taken effect.
    certain: bool,
}

impl Known {
    /// Nothing where the ledger cannot be written as text, which then is read anew each time.
    fn of(entry: &Entry) -> Option<Self> {
        let text = entry.ledger.as_ref().map(serde_json::to_string).transpose().ok()?;
        Some(Self { text: text.map(String::into_boxed_str), version: entry.version, certain: true })
    }

    fn entry(&self) -> Option<Entry> {
        let ledger = self.text.as_deref().map(serde_json::from_str).transpose().ok()?;
        Some(Entry { ledger, version: self.version })
    }
}

/// The ledgers of a trust domain.
pub struct Ledgers {
    kv: Kv,
    cache: Mutex<HashMap<ChannelId, Known>>,
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
        let known = self.cache().get(id).filter(|known| known.certain).and_then(Known::entry);
        if let Some(entry) = known {
            return Ok(entry);
        }
        let entry = match self.kv.read::<Ledger>(&path(id)?).await? {
            Some(found) => Entry { ledger: Some(found.value), version: found.version },
            None => Entry::default(),
        };
        self.remember(id, &entry);
        Ok(entry)
    }

    /// The ledger of `id` as far as it is known without asking: good for taking away, while Vault does
    /// not answer.
    pub fn last_known(&self, id: &ChannelId) -> Option<Ledger> {
        self.cache().get(id)?.entry()?.ledger
    }

    /// Writes the ledger of `id` if nobody wrote it since `entry` was read.
    ///
    /// # Errors
    /// When Vault refuses, or somebody did; it is read again before it is believed then.
    pub async fn put(&self, id: &ChannelId, ledger: Ledger, expected: u64) -> Result<Entry, VaultError> {
        match self.kv.write(&path(id)?, &ledger, expected).await {
            Ok(version) => {
                let entry = Entry { ledger: Some(ledger), version };
                self.remember(id, &entry);
                Ok(entry)
            }
            Err(error) => {
                if let Some(known) = self.cache().get_mut(id) {
                    known.certain = false;
                }
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

    fn remember(&self, id: &ChannelId, entry: &Entry) {
        match Known::of(entry) {
            Some(known) => self.cache().insert(id.clone(), known),
            None => self.cache().remove(id),
        };
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<ChannelId, Known>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(id: &ChannelId) -> Result<LedgerPath, VaultError> {
    Ok(LedgerPath::new(vault::Ledger::Channels, id.as_str())?)
}
