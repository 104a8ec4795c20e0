//! The cluster as the watches have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use subrosa_plan::world::World;

use super::watch::ObjectKey;

/// The world behind a lock, and the namespaces in which the operator may write.
///
/// A decision takes the lock for as long as it thinks, which is microseconds; nobody waits for the
/// network while holding it.
#[derive(Default)]
pub struct Cluster {
    world: RwLock<World>,
    prepared: Mutex<BTreeSet<String>>,
    written: Mutex<BTreeMap<ObjectKey, String>>,
}

impl Cluster {
    /// Looks at the world.
    pub fn read<R>(&self, look: impl FnOnce(&World) -> R) -> R {
        // A panic elsewhere left facts, not half an invariant: they are still the facts.
        look(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the world as a watch saw it change.
    pub fn write<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the operator's RoleBinding is in `namespace`.
    pub fn is_prepared(&self, namespace: &str) -> bool {
        self.prepared().contains(namespace)
    }

    /// Notes that the operator's RoleBinding is in `namespace`; true when that is news.
    pub fn set_prepared(&self, namespace: &str) -> bool {
        self.prepared().insert(namespace.to_owned())
    }

    /// Notes that `namespace` is gone.
    pub fn forget(&self, namespace: &str) {
        self.prepared().remove(namespace);
    }

    /// Notes the version of a Secret that the operator wrote itself.
    pub fn wrote_secret(&self, key: ObjectKey, version: String) {
        self.written().insert(key, version);
    }

    /// Whether that version of a Secret is the operator's own writing, which is no news.
    pub fn is_own_secret(&self, key: &ObjectKey, version: Option<&str>) -> bool {
        version.is_some() && self.written().get(key).map(String::as_str) == version
    }

    /// Notes that a Secret is gone.
    pub fn forget_secret(&self, key: &ObjectKey) {
        self.written().remove(key);
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, String>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepared(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
