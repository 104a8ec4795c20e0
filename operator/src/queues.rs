//! A queue for each kind that is reconciled, and what puts subjects into them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    certificates::v1::PodCertificateRequest,
    core::v1::{Namespace, Secret},
};
use kube::{Api, api::PartialObjectMeta, runtime::reflector::ObjectRef};
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};
use subrosa_plan::world::objects;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    changes::related,
    context::{Context, Subject},
    observe::watch,
};

/// Where the objects to be looked at are named.
pub(crate) struct Queues {
    pub(crate) channels: mpsc::UnboundedSender<ObjectRef<Channel>>,
    pub(crate) namespaces: mpsc::UnboundedSender<ObjectRef<PartialObjectMeta<Namespace>>>,
    pub(crate) domains: mpsc::UnboundedSender<ObjectRef<TrustDomain>>,
    pub(crate) parties: mpsc::UnboundedSender<ObjectRef<ExternalParty>>,
    pub(crate) policies: mpsc::UnboundedSender<ObjectRef<RetentionPolicy>>,
    pub(crate) requests: mpsc::UnboundedSender<ObjectRef<PodCertificateRequest>>,
}

impl Queues {
    /// Puts what is woken into the queue of its kind, and watches the Secrets of each prepared namespace.
    pub(crate) async fn route(
        self,
        mut woken: mpsc::UnboundedReceiver<Subject>,
        ctx: Arc<Context>,
        stop: CancellationToken,
    ) {
        let mut watched = BTreeMap::new();
        while let Some(Some(subject)) = stop.run_until_cancelled(woken.recv()).await {
            match subject {
                Subject::Channel(name) => {
                    if ctx.cluster.read(|world| world.channel(&name).is_none()) {
                        ctx.sweeps.ask();
                    }
                    watch_secrets(&ctx, &mut watched, &name.namespace, &stop);
                    // A queue that is closed belongs to an operator that is stopping.
                    let _ = self.channels.send(ObjectRef::new(&name.name).within(&name.namespace));
                }
                Subject::Namespace(name) => {
                    let _ = self.namespaces.send(ObjectRef::new(&name));
                }
                Subject::Domain(name) => {
                    let _ = self.domains.send(ObjectRef::new(&name));
                }
                Subject::Party(name) => {
                    let _ = self.parties.send(ObjectRef::new(&name));
                }
                Subject::Retention(name) => {
                    let _ = self.policies.send(ObjectRef::new(&name));
                }
                Subject::Request(key) => {
                    let _ = self.requests.send(ObjectRef::new(&key.name).within(&key.namespace));
                }
            }
        }
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
        if let Some(watch) = watched.remove(namespace) {
            watch.cancel();
        }
        return;
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
