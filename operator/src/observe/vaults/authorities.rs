//! The mount for the keys of certificate authorities. An installation whose `vault-setup` is of an earlier release has none.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subrosa_records::vault::{MountPath, TransitKeyName, Vault, VaultError, identity, transit::Transit};

/// How long it is believed what was seen: somebody may have run a `vault-setup` since.
const BELIEVED: Duration = Duration::from_secs(60);

/// The transit engine for authorities.
pub struct Authorities {
    vault: Vault,
    mount: MountPath,
    engine: Transit,
    /// Whether it was there, and when that was seen.
    seen: Mutex<Option<(Instant, bool)>>,
}

impl Authorities {
    /// The engine at `mount`.
    pub(super) fn new(vault: Vault, mount: MountPath) -> Self {
        let engine = Transit::new(vault.clone(), mount.clone());
        Self { vault, mount, engine, seen: Mutex::default() }
    }

    /// The engine, whether it is mounted or not.
    pub fn engine(&self) -> &Transit {
        &self.engine
    }

    /// Where it is mounted.
    pub fn mount(&self) -> &MountPath {
        &self.mount
    }

    /// Whether it is set up, from memory where it was looked at lately.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn are_set_up(&self) -> Result<bool, VaultError> {
        let seen = *self.seen();
        if let Some((at, is_there)) = seen
            && at.elapsed() < BELIEVED
        {
            return Ok(is_there);
        }
        let is_there = identity::is_transit(&self.vault, &self.mount).await?;
        *self.seen() = Some((Instant::now(), is_there));
        Ok(is_there)
    }

    /// Notes that Vault refused what is done there: until the next look it is as if it were not set up.
    pub fn refused(&self) {
        *self.seen() = Some((Instant::now(), false));
    }

    /// The names of all keys there; none where it is not set up for this operator, which sees nothing of it then.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn list_keys(&self) -> Result<Option<Vec<TransitKeyName>>, VaultError> {
        match self.are_set_up().await? {
            true => self.engine.list_keys().await.map(Some),
            false => Ok(None),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Option<(Instant, bool)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
