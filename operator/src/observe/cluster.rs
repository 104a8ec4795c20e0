//! The cluster as the watches have it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use subrosa_plan::world::World;

/// The world behind a lock, and the namespaces in which the operator may write.
///
/// A decision takes the lock for as long as it thinks, which is microseconds; nobody waits for the
/// network while holding it.
#[derive(Default)]
pub struct Cluster {
    world: RwLock<World>,
    prepared: Mutex<BTreeSet<String>>,
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

    fn prepared(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
