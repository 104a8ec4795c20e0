//! The mount for the keys of certificate authorities, which installations with an earlier `vault-setup` lack.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subrosa_records::vault::{MountPath, TransitKeyName, Vault, VaultError, identity, transit::Transit};

/// How long the result is cached, because somebody may run `vault-setup`.
const BELIEVED: Duration = Duration::from_secs(60);

/// The transit engine for authorities.
pub struct Authorities {
    vault: Vault,
    mount: MountPath,
    engine: Transit,
    /// Whether it was mounted, and when that was checked.
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

    /// Whether it is set up, from the cache where possible.
    ///
    /// # Errors
    /// When the request to Vault fails.
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

    /// Notes that Vault refused a request there: until the next check it counts as not set up.
    pub fn refused(&self) {
        *self.seen() = Some((Instant::now(), false));
    }

    /// The names of all its keys; `None` where it is not set up for this operator, which then cannot list it.
    ///
    /// # Errors
    /// When the request to Vault fails.
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
