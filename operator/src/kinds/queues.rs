//! The queue of each reconciled kind, and the routing of woken objects to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use kube::{Api, Resource, api::PartialObjectMeta, core::NamespaceResourceScope};
use subrosa_crds::{ChannelStatus, names::ChannelRef};
use subrosa_plan::world::{World, objects};
use tokio_util::sync::CancellationToken;

use super::kept::Deletions;
use crate::{
    changes::related,
    context::Context,
    observe::{
        Cluster,
        watch::{self, Change},
    },
    pending::Pending,
    subject::Subject,
};

/// The queue of each kind, by its name in manifests.
pub(crate) struct Queues(pub(crate) BTreeMap<&'static str, Pending<Subject>>);

impl Queues {
    /// Routes woken objects to the queue of their kind, and starts or ends watches that depend on them.
    pub(crate) async fn route(self, ctx: Arc<Context>, stop: CancellationToken) {
        let (mut watches, mut deletions) = (ChildWatches::new(stop.clone()), Deletions::default());
        while let Some((subject, ())) = stop.run_until_cancelled(ctx.woken.next()).await {
            deletions.look(&ctx, &subject);
            if let Some(kind) = subject.registered() {
                (kind.woken)(&ctx, &mut watches, &subject.key);
            }
            if let Some(queue) = self.0.get(subject.kind) {
                queue.put(subject, ());
            }
        }
    }
}

/// The watches of Channels' objects in each prepared namespace: of our Secrets, and where a Channel seals or has
/// sealed, of our ConfigMaps.
pub struct ChildWatches {
    secrets: BTreeMap<String, CancellationToken>,
    settings: BTreeMap<String, CancellationToken>,
    stop: CancellationToken,
}

impl ChildWatches {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { secrets: BTreeMap::new(), settings: BTreeMap::new(), stop }
    }

    /// Starts the watches for `channel`'s namespace once the operator has the right, and ends them when it loses it.
    pub(crate) fn look(&mut self, ctx: &Arc<Context>, channel: &ChannelRef) {
        let namespace = &channel.namespace;
        if !ctx.cluster.is_prepared(namespace) {
            return self.end(namespace);
        }
        if !self.secrets.contains_key(namespace) {
            let ended = self.stop.child_token();
            self.secrets.insert(namespace.clone(), ended.clone());
            follow(ctx, namespace, ended, related::secret);
        }
        if !self.settings.contains_key(namespace) && ctx.cluster.read(|world| has_settings(world, channel)) {
            let ended = self.stop.child_token();
            self.settings.insert(namespace.clone(), ended.clone());
            follow(ctx, namespace, ended, related::settings);
        }
    }

    /// Ends the watches of `namespace` if the operator may not read there any more.
    pub(crate) fn end_unless_prepared(&mut self, ctx: &Context, namespace: &str) {
        if !ctx.cluster.is_prepared(namespace) {
            self.end(namespace);
        }
    }

    fn end(&mut self, namespace: &str) {
        let ended = [self.secrets.remove(namespace), self.settings.remove(namespace)];
        ended.into_iter().flatten().for_each(|watch| watch.cancel());
    }
}

/// Whether `channel` seals or has keys from when it did, so that it may have a ConfigMap.
fn has_settings(world: &World, channel: &ChannelRef) -> bool {
    world.channel(channel).is_some_and(|channel| {
        let sealed = |status: &ChannelStatus| !status.keys.is_empty() || !status.other_keys.is_empty();
        channel.seals() || channel.status().is_some_and(|status| sealed(&status))
    })
}

/// Watches the objects of a kind in `namespace` that are ours.
fn follow<K>(
    ctx: &Arc<Context>,
    namespace: &str,
    ended: CancellationToken,
    seen: fn(&Cluster, Change<PartialObjectMeta<K>>) -> BTreeSet<Subject>,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let api = Api::<PartialObjectMeta<K>>::namespaced(ctx.client.clone(), namespace);
    let config = watch::config().labels(&format!("{}={}", objects::MANAGED_BY, objects::MANAGER));
    let ctx = Arc::clone(ctx);
    let (done, _) = watch::announcer();
    tokio::spawn(watch::follow(api, config, done, ended, move |change| {
        seen(&ctx.cluster, change).into_iter().for_each(|subject| ctx.wake(subject));
    }));
}
