//! The kinds that are reconciled. A new one implements [`Kind`] beside its controller and gets a line in [`ALL`]; its
//! watch, its queue and its controller follow from that.

pub(crate) mod queues;
pub(crate) mod start;
mod subject;
pub mod turns;

use std::{fmt::Debug, sync::Arc};

use futures::future::BoxFuture;
use k8s_openapi::{
    api::{certificates::v1::PodCertificateRequest, core::v1::Namespace},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, api::PartialObjectMeta};
use serde::de::DeserializeOwned;
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};
use subrosa_plan::world::World;

use self::{queues::ChildWatches, start::Start, turns::Again};
use crate::{
    changes::Watched,
    context::Context,
    observe::watch::{self, ObjectKey},
    pending::Pending,
    run::Settings,
};

pub use self::subject::Subject;

/// Namespaces, of which the metadata is enough.
pub type NamespaceMeta = PartialObjectMeta<Namespace>;

/// A kind whose objects are reconciled.
pub trait Kind:
    Watched + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its name in manifests.
    const KIND: &'static str;

    /// How many of its objects are worked on at once.
    fn concurrency(_settings: &Settings) -> u16 {
        4
    }

    /// Watches its objects.
    fn watch(start: &mut Start<'_>) {
        start.watch_all::<Self>();
    }

    /// Changes an object before it is kept: what nobody reads goes, and what is left out is filled in.
    fn enter(object: &mut Self) {
        watch::strip(object);
    }

    /// Reconciles the object of that key, as the watches have told of it; says when to look again.
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again>;

    /// Every object that there is.
    fn all(world: &World) -> Vec<ObjectKey>;

    /// Whether the object is there, as far as the watches have told.
    fn is_there(world: &World, key: &ObjectKey) -> bool;

    /// The metadata of an object that has a status of ours.
    fn meta_of<'a>(_world: &'a World, _key: &ObjectKey) -> Option<&'a ObjectMeta> {
        None
    }

    /// What else follows when the object is to be looked at.
    fn woken(_ctx: &Arc<Context>, _watches: &mut ChildWatches, _key: &ObjectKey) {}

    /// Drops what is kept of an object that is gone.
    fn forget(_ctx: &Context, _key: &ObjectKey) {}
}

/// A [`Kind`] whose type need not be known.
pub struct Registered {
    /// Its name in manifests.
    pub kind: &'static str,
    /// Starts its watch and its controller; returns the queue of what is to be looked at.
    pub(crate) start: fn(&mut Start<'_>, &Settings) -> Pending<Subject>,
    /// As [`Kind::all`].
    pub all: fn(&World) -> Vec<ObjectKey>,
    /// As [`Kind::is_there`].
    pub is_there: fn(&World, &ObjectKey) -> bool,
    /// As [`Kind::meta_of`].
    pub meta_of: for<'a> fn(&'a World, &ObjectKey) -> Option<&'a ObjectMeta>,
    /// As [`Kind::woken`].
    pub(crate) woken: fn(&Arc<Context>, &mut ChildWatches, &ObjectKey),
    /// As [`Kind::forget`].
    pub forget: fn(&Context, &ObjectKey),
}

impl Registered {
    const fn of<K: Kind>() -> Self {
        Self {
            kind: K::KIND,
            start: start::reconciled::<K>,
            all: K::all,
            is_there: K::is_there,
            meta_of: K::meta_of,
            woken: K::woken,
            forget: K::forget,
        }
    }
}

/// Every kind that is reconciled, in the order in which everything is looked at.
pub static ALL: [Registered; 6] = [
    Registered::of::<NamespaceMeta>(),
    Registered::of::<TrustDomain>(),
    Registered::of::<ExternalParty>(),
    Registered::of::<RetentionPolicy>(),
    Registered::of::<Channel>(),
    Registered::of::<PodCertificateRequest>(),
];

/// Everything there is to look at.
pub fn everything(world: &World) -> Vec<Subject> {
    let each = ALL.iter().flat_map(|one| {
        let keys = (one.all)(world).into_iter();
        keys.map(|key| Subject { kind: one.kind, key })
    });
    each.collect()
}
