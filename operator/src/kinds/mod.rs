//! The reconciled kinds. A new kind implements [`Kind`] beside its controller and gets a line in [`ALL`]; its watch,
//! queue and controller follow from that.

pub mod kept;
pub(crate) mod queues;
pub(crate) mod start;
mod subject;
pub mod turns;
mod watches;
mod work;

use std::{fmt::Debug, sync::Arc};

use futures::future::BoxFuture;
use k8s_openapi::{
    api::certificates::v1::PodCertificateRequest, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::de::DeserializeOwned;
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};
use subrosa_plan::world::World;

use self::{queues::ChildWatches, start::Start, turns::Again};
use crate::{
    changes::Watched,
    context::Context,
    observe::watch::{self, ObjectKey},
    pending::Pending,
    settings::Settings,
    subject::{NamedKind, NamespaceMeta, Subject},
};

/// A kind whose objects are reconciled.
pub trait Kind:
    NamedKind + Watched + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// How many of its objects are reconciled at once.
    fn concurrency(_settings: &Settings) -> u16 {
        4
    }

    /// Watches its objects.
    fn watch(start: &mut Start<'_>) {
        start.watch_all::<Self>();
    }

    /// Prepares an object before it is stored: removes unused fields and fills in defaults.
    fn enter(object: &mut Self) {
        watch::strip(object);
    }

    /// Reconciles the object of that key from the watches' view; returns when to do so again.
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again>;

    /// Every object of the kind.
    fn all(world: &World) -> Vec<ObjectKey>;

    /// Whether the watches show the object.
    fn is_there(world: &World, key: &ObjectKey) -> bool;

    /// The metadata of an object that has a status of ours.
    fn meta_of<'a>(_world: &'a World, _key: &ObjectKey) -> Option<&'a ObjectMeta> {
        None
    }

    /// Runs when the object is woken, for additional effects.
    fn woken(_ctx: &Arc<Context>, _watches: &mut ChildWatches, _key: &ObjectKey) {}

    /// Drops everything that is kept for a deleted object.
    fn forget(_ctx: &Context, _key: &ObjectKey) {}
}

/// A [`Kind`] without its type.
pub struct Registered {
    /// Its name in manifests.
    pub kind: &'static str,
    /// Starts its watch and its controller; returns its queue.
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

/// Every reconciled kind, in the order of a full pass.
pub static ALL: [Registered; 6] = [
    Registered::of::<NamespaceMeta>(),
    Registered::of::<TrustDomain>(),
    Registered::of::<ExternalParty>(),
    Registered::of::<RetentionPolicy>(),
    Registered::of::<Channel>(),
    Registered::of::<PodCertificateRequest>(),
];

/// Every object to reconcile.
pub fn everything(world: &World) -> Vec<Subject> {
    let each = ALL.iter().flat_map(|one| {
        let keys = (one.all)(world).into_iter();
        keys.map(|key| Subject { kind: one.kind, key })
    });
    each.collect()
}
