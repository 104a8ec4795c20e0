//! Applies changes to the world and returns the objects to reconcile because of them: one short file per kind.
//! Changes come from watches, and at once from the operator's own writes, so that these count before the watch shows
//! them.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_plan::world::World;

use crate::{observe::watch::Change, subject::Subject};

pub mod channel;
pub mod external_party;
pub mod key;
pub mod namespace;
pub mod pod_certificate_request;
pub mod related;
pub mod retention_policy;
pub mod trust_domain;

/// A kind whose changes are applied to the world.
pub trait Watched: Sized {
    /// Applies a change to the world, and returns the objects to reconcile.
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject>;
}
