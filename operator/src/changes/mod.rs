//! What a change does to the world, and which objects are looked at because of it: one short file a kind. The watches bring
//! changes; the operator's own writes are taken in at once, so that they count before the watch tells of them.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_plan::world::World;

use crate::{kinds::Subject, observe::watch::Change};

pub mod channel;
pub mod external_party;
pub mod key;
pub mod namespace;
pub mod pod_certificate_request;
pub mod related;
pub mod retention_policy;
pub mod trust_domain;

/// A kind whose changes are taken into the world.
pub trait Watched: Sized {
    /// Takes a change into the world, and says what is to be looked at for it.
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject>;
}
