//! A queue for each kind that is reconciled, and what puts subjects into them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PartialObjectMeta};
use subrosa_plan::world::objects;
use tokio_util::sync::CancellationToken;

use super::Subject;
use crate::{changes::related, context::Context, kept::Deletions, observe::watch, pending::Pending};

/// The queue of each kind, by its name in manifests.
pub(crate) struct Queues(pub(crate) BTreeMap<&'static str, Pending<Subject>>);

impl Queues {
    /// Puts what is woken into the queue of its kind, and does what follows from its being woken.
    pub(crate) async fn route(self, ctx: Arc<Context>, stop: CancellationToken) {
        let (mut secrets, mut deletions) = (SecretWatches::new(stop.clone()), Deletions::default());
        while let Some((subject, ())) = stop.run_until_cancelled(ctx.woken.next()).await {
            deletions.look(&ctx, &subject);
            if let Some(kind) = subject.registered() {
                (kind.woken)(&ctx, &mut secrets, &subject.key);
            }
            if let Some(queue) = self.0.get(subject.kind) {
                queue.put(subject, ());
            }
        }
    }
}

/// The watches of our Secrets, one for each namespace that is prepared.
pub struct SecretWatches {
    watched: BTreeMap<String, CancellationToken>,
    stop: CancellationToken,
}

impl SecretWatches {
    fn new(stop: CancellationToken) -> Self {
        Self { watched: BTreeMap::new(), stop }
    }

    /// Watches our Secrets of `namespace` from when the operator may, and no longer than it may.
    pub(crate) fn look(&mut self, ctx: &Arc<Context>, namespace: &str) {
        let prepared = ctx.cluster.is_prepared(namespace);
        if prepared == self.watched.contains_key(namespace) {
            return;
        }
        if !prepared {
            return self.end(namespace);
        }
        let ended = self.stop.child_token();
        self.watched.insert(namespace.to_owned(), ended.clone());
        let api = Api::<PartialObjectMeta<Secret>>::namespaced(ctx.client.clone(), namespace);
        let config = watch::config().labels(&format!("{}={}", objects::MANAGED_BY, objects::MANAGER));
        let ctx = Arc::clone(ctx);
        let (done, _) = watch::announcer();
        tokio::spawn(watch::follow(api, config, done, ended, move |change| {
            related::secret(&ctx.cluster, change).into_iter().for_each(|subject| ctx.wake(subject));
        }));
    }

    /// Ends the watch of `namespace`, where the operator may not read there any more.
    pub(crate) fn end_unless_prepared(&mut self, ctx: &Context, namespace: &str) {
        if !ctx.cluster.is_prepared(namespace) {
            self.end(namespace);
        }
    }

    fn end(&mut self, namespace: &str) {
        if let Some(watch) = self.watched.remove(namespace) {
            watch.cancel();
        }
    }
}
