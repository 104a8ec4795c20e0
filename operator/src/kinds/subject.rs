use super::{ALL, Kind, Registered};
use crate::{context::Context, observe::watch::ObjectKey};
use subrosa_plan::world::World;

/// An object to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind, as in manifests.
    pub kind: &'static str,
    /// Where it is.
    pub key: ObjectKey,
}

impl Subject {
    /// The object of kind `K` with this key.
    pub fn of<K: Kind>(key: impl Into<ObjectKey>) -> Self {
        Self { kind: K::KIND, key: key.into() }
    }

    /// Whether it is of kind `K`.
    pub fn is<K: Kind>(&self) -> bool {
        self.kind == K::KIND
    }

    /// Whether the watches show the object.
    pub fn is_there(&self, world: &World) -> bool {
        self.registered().is_some_and(|kind| (kind.is_there)(world, &self.key))
    }

    /// Drops everything that is kept for a deleted object.
    pub fn forget(&self, ctx: &Context) {
        ctx.failures.clear(self);
        if let Some(kind) = self.registered() {
            (kind.forget)(ctx, &self.key);
        }
    }

    pub(super) fn registered(&self) -> Option<&'static Registered> {
        ALL.iter().find(|one| one.kind == self.kind)
    }
}
