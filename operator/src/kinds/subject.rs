//! What the kind of a subject knows of it.

use subrosa_plan::world::World;

use super::{ALL, Registered};
use crate::{context::Context, subject::Subject};

impl Subject {
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
