//! A queue for each kind that is reconciled, and what puts subjects into them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    certificates::v1::PodCertificateRequest,
    core::v1::{Namespace, Secret},
};
use kube::{Api, api::PartialObjectMeta, runtime::reflector::ObjectRef};
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};
use subrosa_plan::world::objects;
use tokio_util::sync::CancellationToken;

use crate::{
    changes::related,
    context::{Context, Subject},
    kept::Deletions,
    observe::watch,
    pending::Pending,
};

/// Where the objects to be looked at are named.
pub(crate) struct Queues {
    pub(crate) channels: Pending<ObjectRef<Channel>>,
    pub(crate) namespaces: Pending<ObjectRef<PartialObjectMeta<Namespace>>>,
    pub(crate) domains: Pending<ObjectRef<TrustDomain>>,
    pub(crate) parties: Pending<ObjectRef<ExternalParty>>,
    pub(crate) policies: Pending<ObjectRef<RetentionPolicy>>,
    pub(crate) requests: Pending<ObjectRef<PodCertificateRequest>>,
}

impl Queues {
    /// Puts what is woken into the queue of its kind, and watches the Secrets of each prepared namespace.
    pub(crate) async fn route(self, ctx: Arc<Context>, stop: CancellationToken) {
        let (mut watched, mut deletions) = (BTreeMap::new(), Deletions::default());
        while let Some((subject, ())) = stop.run_until_cancelled(ctx.woken.next()).await {
            deletions.look(&ctx, &subject);
            match subject {
                Subject::Channel(name) => {
                    if ctx.cluster.read(|world| world.channel(&name).is_none()) {
                        ctx.sweeps.ask();
                    }
                    watch_secrets(&ctx, &mut watched, &name.namespace, &stop);
                    self.channels.put(ObjectRef::new(&name.name).within(&name.namespace), ());
                }
                Subject::Namespace(name) => {
                    if !ctx.cluster.is_prepared(&name) {
                        stop_watching(&mut watched, &name);
                    }
                    self.namespaces.put(ObjectRef::new(&name), ());
                }
                Subject::Domain(name) => {
                    self.domains.put(ObjectRef::new(&name), ());
                }
                Subject::Party(name) => {
                    self.parties.put(ObjectRef::new(&name), ());
                }
                Subject::Retention(name) => {
                    self.policies.put(ObjectRef::new(&name), ());
                }
                Subject::Request(key) => {
                    self.requests.put(ObjectRef::new(&key.name).within(&key.namespace), ());
                }
            }
        }
    }
}

fn stop_watching(watched: &mut BTreeMap<String, CancellationToken>, namespace: &str) {
    if let Some(watch) = watched.remove(namespace) {
        watch.cancel();
    }
}

/// Watches our Secrets of a namespace from when the operator may, until it is gone.
fn watch_secrets(
    ctx: &Arc<Context>,
    watched: &mut BTreeMap<String, CancellationToken>,
    namespace: &str,
    stop: &CancellationToken,
) {
    let prepared = ctx.cluster.is_prepared(namespace);
    if prepared == watched.contains_key(namespace) {
        return;
    }
    if !prepared {
        return stop_watching(watched, namespace);
    }
    let ended = stop.child_token();
    watched.insert(namespace.to_owned(), ended.clone());
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(ctx.client.clone(), namespace);
    let config = watch::config().labels(&format!("{}={}", objects::MANAGED_BY, objects::MANAGER));
    let ctx = Arc::clone(ctx);
    let (done, _) = watch::announcer();
    tokio::spawn(watch::follow(api, config, done, ended, move |change| {
        related::secret(&ctx.cluster, change).into_iter().for_each(|subject| ctx.wake(subject));
    }));
}
