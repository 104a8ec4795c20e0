//! The part of entity aliases that gives workloads access, kept apart from the parts of other writers.
//!
//! Vault has no compare-and-set for aliases, so each change reads and writes under a lock for the alias's name. The
//! locks are local to this process; that suffices because only the leading replica changes aliases.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use subrosa_crds::names::ChannelId;
use subrosa_plan::access::alias::{self, AliasChange, Metadata};

use crate::vault::{
    AliasName, VaultError,
    identity::{Alias, Aliases},
};

/// The workloads' part of the aliases of one auth mount.
#[derive(Debug, Clone)]
pub struct WorkloadAliases {
    aliases: Aliases,
    locks: AliasLocks,
}

impl WorkloadAliases {
    /// The workloads' part of `aliases`. All writers of these aliases in this process must share the same `locks`.
    pub fn new(aliases: Aliases, locks: AliasLocks) -> Self {
        Self { aliases, locks }
    }

    /// Sets the workload's part of an alias to exactly `part`, and keeps the parts of others.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn grant(&self, name: &AliasName, part: &Metadata) -> Result<(), VaultError> {
        self.locks
            .with(name, async {
                let found = self.aliases.find(name).await?.map(|alias| alias.custom_metadata);
                match alias::granted(&found.unwrap_or_default(), part) {
                    Some(wanted) => self.aliases.grant(name, &wanted).await.map(|_| ()),
                    None => Ok(()),
                }
            })
            .await
    }

    /// Removes from an alias what it grants for the Channel `id`; live tokens lose it at once. The parts of others
    /// and newer grants for another Channel stay.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn withdraw(&self, name: &AliasName, id: &ChannelId) -> Result<(), VaultError> {
        self.locks
            .with(name, async {
                let Some(Alias { id: alias, custom_metadata, .. }) = self.aliases.find(name).await? else {
                    return Ok(());
                };
                match alias::withdrawn(&custom_metadata, id) {
                    AliasChange::Nothing => Ok(()),
                    AliasChange::Keep(kept) => self.aliases.grant(name, &kept).await.map(|_| ()),
                    AliasChange::Delete => self.aliases.withdraw(&alias).await,
                }
            })
            .await
    }

    /// Removes from an alias the right of the Channel `id` to open what was sealed for `adopts`; live tokens lose it
    /// at once.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn disown(
        &self,
        name: &AliasName,
        id: &ChannelId,
        adopts: &ChannelId,
    ) -> Result<(), VaultError> {
        self.locks
            .with(name, async {
                let found = self.aliases.find(name).await?.map(|alias| alias.custom_metadata);
                match alias::disowned(&found.unwrap_or_default(), id, adopts) {
                    Some(kept) => self.aliases.grant(name, &kept).await.map(|_| ()),
                    None => Ok(()),
                }
            })
            .await
    }

    /// Whether an alias lets the workload of the Channel `id` open what was sealed for `adopts`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn opens_adopted(
        &self,
        name: &AliasName,
        id: &ChannelId,
        adopts: &ChannelId,
    ) -> Result<bool, VaultError> {
        let found = self.aliases.find(name).await?.map(|alias| alias.custom_metadata);
        Ok(alias::opens_adopted(&found.unwrap_or_default(), id, adopts))
    }

    /// Every Channel for which some alias grants a workload anything.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn named(&self) -> Result<BTreeSet<ChannelId>, VaultError> {
        let all = self.aliases.list().await?;
        Ok(all.iter().flat_map(|alias| alias::named(&alias.custom_metadata)).collect())
    }

    /// The aliases that grant a workload anything for one of these Channels.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn naming(&self, ids: &BTreeSet<ChannelId>) -> Result<Vec<(AliasName, ChannelId)>, VaultError> {
        let mut naming = Vec::new();
        for alias in self.aliases.list().await? {
            let named =
                ids.iter().filter(|id| alias::withdrawn(&alias.custom_metadata, id) != AliasChange::Nothing);
            naming.extend(named.map(|id| (alias.name.clone(), id.clone())));
        }
        Ok(naming)
    }
}

/// One lock for each alias that is being changed.
#[derive(Debug, Clone, Default)]
pub struct AliasLocks(Arc<Mutex<BTreeMap<AliasName, Arc<tokio::sync::Mutex<()>>>>>);

impl AliasLocks {
    /// Runs `work` while holding the lock for `name`.
    async fn with<T>(&self, name: &AliasName, work: impl Future<Output = T>) -> T {
        let lock = Arc::clone(self.names().entry(name.clone()).or_default());
        let held = lock.lock().await;
        let done = work.await;
        drop(held);
        let mut names = self.names();
        // Two references are the map and this one: nobody waits for the lock.
        if Arc::strong_count(&lock) == 2 {
            names.remove(name);
        }
        done
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<AliasName, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let (locks, name) = (AliasLocks::default(), AliasName::new("uid-1").unwrap());
        let inside = Arc::new(Mutex::new(0));
        let work = || {
            let (locks, name, inside) = (locks.clone(), name.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                let working = async {
                    *inside.lock().unwrap() += 1;
                    tokio::task::yield_now().await;
                    assert_eq!(*inside.lock().unwrap(), 1);
                    *inside.lock().unwrap() -= 1;
                };
                locks.with(&name, working).await;
            })
        };
        for task in (0..20).map(|_| work()).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert!(locks.names().is_empty());
    }
}
