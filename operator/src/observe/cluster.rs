//! The cluster as the watches have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use jiff::Timestamp;
use subrosa_crds::names::ChannelRef;
use subrosa_plan::world::World;

use super::watch::ObjectKey;

/// The RoleBinding by which the operator may write in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// There is none that is the operator's.
    Missing,
    /// It is there.
    Given {
        /// The version that was judged; nothing where the whole binding was not.
        version: Option<String>,
    },
}

/// The version of a Secret that the operator wrote.
struct Written {
    version: String,
    /// Whether it was there when what is kept was last looked through: the watch had time to show it.
    old: bool,
}

/// The world behind a lock, and the namespaces in which the operator may write.
///
/// A decision takes the lock for as long as it thinks, which is microseconds; nobody waits for the
/// network while holding it.
#[derive(Default)]
pub struct Cluster {
    world: RwLock<World>,
    bindings: Mutex<BTreeMap<String, Binding>>,
    written: Mutex<BTreeMap<ObjectKey, Written>>,
    secrets: Mutex<BTreeMap<ObjectKey, ChannelRef>>,
    denying: Mutex<BTreeMap<String, Timestamp>>,
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

    /// What is known of the operator's RoleBinding in `namespace`; nothing as long as nobody has looked.
    pub fn binding(&self, namespace: &str) -> Option<Binding> {
        self.bindings().get(namespace).cloned()
    }

    /// Whether the operator's RoleBinding is known to be in `namespace`.
    pub fn is_prepared(&self, namespace: &str) -> bool {
        matches!(self.bindings().get(namespace), Some(Binding::Given { .. }))
    }

    /// Notes what was found of the operator's RoleBinding in `namespace`; true when that is news.
    pub fn set_binding(&self, namespace: &str, binding: Binding) -> bool {
        let given = |one: &Binding| matches!(one, Binding::Given { .. });
        let is_given = given(&binding);
        let before = self.bindings().insert(namespace.to_owned(), binding);
        before.as_ref().map(given) != Some(is_given)
    }

    /// Notes that `namespace` is gone.
    pub fn forget(&self, namespace: &str) {
        self.bindings().remove(namespace);
        self.deny_settled(namespace);
    }

    /// Notes that a default deny is wanted in `namespace` and may not be there yet; says since when.
    pub fn deny_wanted(&self, namespace: &str, now: Timestamp) -> Timestamp {
        *self.denying().entry(namespace.to_owned()).or_insert(now)
    }

    /// Notes that `namespace` has its default deny, or should have none.
    pub fn deny_settled(&self, namespace: &str) {
        self.denying().remove(namespace);
    }

    fn denying(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.denying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the version of a Secret that the operator wrote itself.
    pub fn wrote_secret(&self, key: ObjectKey, version: String) {
        self.written().insert(key, Written { version, old: false });
    }

    /// Whether that version of a Secret is the operator's own writing, which is no news.
    pub fn is_own_secret(&self, key: &ObjectKey, version: Option<&str>) -> bool {
        version.is_some() && self.written().get(key).map(|one| one.version.as_str()) == version
    }

    /// Notes that a Secret of a Channel is there.
    pub fn saw_secret(&self, key: ObjectKey, owner: ChannelRef) {
        self.secrets().insert(key, owner);
    }

    /// Notes that a Secret is gone; returns the Channel that it was of.
    pub fn forget_secret(&self, key: &ObjectKey) -> Option<ChannelRef> {
        self.written().remove(key);
        self.secrets().remove(key)
    }

    /// The names of the Secrets that carry the label of this Channel, as far as they were seen.
    pub fn secrets_of(&self, channel: &ChannelRef) -> Vec<String> {
        let first = ObjectKey { namespace: channel.namespace.clone(), name: String::new() };
        let secrets = self.secrets();
        let here = secrets.range(first..).take_while(|(key, _)| key.namespace == channel.namespace);
        here.filter(|(_, owner)| *owner == channel).map(|(key, _)| key.name.clone()).collect()
    }

    /// Forgets the Secrets of namespaces that are gone, and what was written of Secrets that no watch has shown since.
    pub fn keep(&self) {
        let namespaces: BTreeSet<String> = self.read(|world| world.namespaces.keys().cloned().collect());
        self.bindings().retain(|namespace, _| namespaces.contains(namespace));
        let mut secrets = self.secrets();
        secrets.retain(|key, _| namespaces.contains(&key.namespace));
        self.written().retain(|key, written| {
            let old = std::mem::replace(&mut written.old, true);
            secrets.contains_key(key) || (!old && namespaces.contains(&key.namespace))
        });
    }

    /// How much is kept beside the world.
    #[must_use]
    pub fn kept(&self) -> [(&'static str, usize); 3] {
        let (secrets, written) = (self.secrets().len(), self.written().len());
        [("secrets", secrets), ("secretsWritten", written), ("bindings", self.bindings().len())]
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, ChannelRef>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bindings(&self) -> MutexGuard<'_, BTreeMap<String, Binding>> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
