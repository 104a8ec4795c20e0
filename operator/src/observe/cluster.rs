//! The cluster as seen by the watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use jiff::Timestamp;
use subrosa_plan::{certificate::Settled, sealing::SettingsFingerprint, world::World};

use super::children::Children;

/// The RoleBinding by which the operator may write in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// There is none of the operator's.
    Missing,
    /// It exists.
    Given {
        /// The version that was checked; `None` where the whole binding was not.
        version: Option<String>,
    },
}

/// The world behind a lock, and the namespaces in which the operator may write.
///
/// Decisions hold the lock for microseconds; no request is made while it is held.
#[derive(Default)]
pub struct Cluster {
    /// The Secrets of Channels.
    pub secrets: Children<Settled>,
    /// The ConfigMaps that tell workloads how to seal.
    pub settings: Children<SettingsFingerprint>,
    world: RwLock<World>,
    bindings: Mutex<BTreeMap<String, Binding>>,
    denying: Mutex<BTreeMap<String, Timestamp>>,
}

impl Cluster {
    /// Reads the world.
    pub fn read<R>(&self, look: impl FnOnce(&World) -> R) -> R {
        // Facts have no invariant that a panic could break, so ignore poisoning.
        look(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the world.
    pub fn write<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state of the operator's RoleBinding in `namespace`; `None` before it was first read.
    pub fn binding(&self, namespace: &str) -> Option<Binding> {
        self.bindings().get(namespace).cloned()
    }

    /// Whether the operator's RoleBinding exists in `namespace`.
    pub fn is_prepared(&self, namespace: &str) -> bool {
        matches!(self.bindings().get(namespace), Some(Binding::Given { .. }))
    }

    /// Notes the state of the operator's RoleBinding in `namespace`; returns whether that is news.
    pub fn set_binding(&self, namespace: &str, binding: Binding) -> bool {
        let given = |one: &Binding| matches!(one, Binding::Given { .. });
        let is_given = given(&binding);
        let before = self.bindings().insert(namespace.to_owned(), binding);
        before.as_ref().map(given) != Some(is_given)
    }

    /// Drops the deleted `namespace`.
    pub fn forget(&self, namespace: &str) {
        self.bindings().remove(namespace);
        self.deny_settled(namespace);
    }

    /// Notes that a default deny is wanted in `namespace` and may be missing; returns since when.
    pub fn deny_wanted(&self, namespace: &str, now: Timestamp) -> Timestamp {
        *self.denying().entry(namespace.to_owned()).or_insert(now)
    }

    /// Notes that `namespace` has its default deny, or needs none.
    pub fn deny_settled(&self, namespace: &str) {
        self.denying().remove(namespace);
    }

    fn denying(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.denying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops Secrets and ConfigMaps of deleted namespaces, and written ones that no watch has shown since.
    pub fn keep(&self) {
        let namespaces: BTreeSet<String> = self.read(|world| world.namespaces.keys().cloned().collect());
        self.bindings().retain(|namespace, _| namespaces.contains(namespace));
        self.secrets.keep(&namespaces);
        self.settings.keep(&namespaces);
    }

    /// The sizes of the caches beside the world.
    #[must_use]
    pub fn kept(&self) -> [(&'static str, usize); 3] {
        [
            ("secrets", self.secrets.kept()),
            ("settings", self.settings.kept()),
            ("bindings", self.bindings().len()),
        ]
    }

    fn bindings(&self) -> MutexGuard<'_, BTreeMap<String, Binding>> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
