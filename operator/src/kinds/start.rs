//! Starts watches and controllers.

use std::{any::type_name, collections::BTreeSet, fmt::Debug, sync::Arc};

use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use kube::{Api, Client, Resource, runtime::watcher};
use serde::de::DeserializeOwned;
use subrosa_plan::world::World;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{ALL, Kind, queues::Queues, work};
use crate::{
    context::Context,
    observe::{
        pod_certificates,
        watch::{self, Announced, Change},
    },
    pending::Pending,
    settings::Settings,
    subject::Subject,
};

/// Starts watches and controllers, and collects the first lists to wait for.
pub struct Start<'a> {
    ctx: &'a Arc<Context>,
    stop: &'a CancellationToken,
    tasks: &'a mut JoinSet<()>,
    /// The first lists that must be complete before any decision, by type name.
    pub(crate) synced: Vec<(&'static str, Announced)>,
}

type Seen<T> = fn(&mut World, Change<T>) -> BTreeSet<Subject>;

impl<'a> Start<'a> {
    /// Controllers run in `tasks` until `stop`.
    pub(crate) fn new(
        ctx: &'a Arc<Context>,
        stop: &'a CancellationToken,
        tasks: &'a mut JoinSet<()>,
    ) -> Self {
        Self { ctx, stop, tasks, synced: Vec::new() }
    }

    /// The connection to the API server.
    pub(super) fn client(&self) -> &Client {
        &self.ctx.client
    }

    /// Starts every reconciled kind.
    pub(super) fn every_kind(&mut self, settings: &Settings) -> Queues {
        Queues(ALL.iter().map(|one| (one.kind, (one.start)(self, settings))).collect())
    }

    /// Watches all objects of a reconciled kind.
    pub fn watch_all<K: Kind>(&mut self) {
        let (done, synced) = self.ctx.refresh.announcer(type_name::<K>());
        self.synced.push((type_name::<K>(), synced));
        let (api, apply) = (Api::<K>::all(self.ctx.client.clone()), self.entering());
        tokio::spawn(watch::follow(api, watch::config(), done, self.stop.clone(), apply));
    }

    /// Watches certificate requests of pods where the cluster serves them; their first list is not waited for.
    pub fn watch_requests(&mut self) {
        let apply = self.entering::<PodCertificateRequest>();
        tokio::spawn(pod_certificates::follow(Arc::clone(self.ctx), self.stop.clone(), apply));
    }

    /// Watches a kind on behalf of others.
    pub(crate) fn related<K>(&mut self, api: Api<K>, seen: Seen<K>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.selected(api, watch::config(), seen);
    }

    /// The same for selected objects of a kind.
    pub(crate) fn selected<K>(&mut self, api: Api<K>, which: watcher::Config, seen: Seen<K>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (done, synced) = self.ctx.refresh.announcer(type_name::<K>());
        self.synced.push((type_name::<K>(), synced));
        let apply = self.applying(seen);
        tokio::spawn(watch::follow(api, which, done, self.stop.clone(), apply));
    }

    /// The handler for the watch of a reconciled kind.
    fn entering<K: Kind>(&self) -> impl FnMut(Change<K>) + Send + 'static {
        let mut apply = self.applying(K::seen);
        move |change| {
            apply(change.map(|mut object| {
                K::enter(&mut object);
                Arc::new(object)
            }));
        }
    }

    fn applying<T: 'static>(&self, seen: Seen<T>) -> impl FnMut(Change<T>) + Send + 'static {
        let ctx = Arc::clone(self.ctx);
        move |change| {
            let woken = ctx.cluster.write(|world| seen(world, change));
            woken.into_iter().for_each(|subject| ctx.wake(subject));
        }
    }
}

/// Starts watch and controller of a kind; returns its queue.
pub(super) fn reconciled<K: Kind>(start: &mut Start<'_>, settings: &Settings) -> Pending<Subject> {
    K::watch(start);
    let (queue, ctx) = (Pending::default(), Arc::clone(start.ctx));
    let at_once = K::concurrency(settings).into();
    start.tasks.spawn(work::run::<K>(queue.clone(), ctx, at_once, start.stop.clone()));
    queue
}
