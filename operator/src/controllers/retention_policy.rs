//! RetentionPolicies.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use kube::{ResourceExt as _, runtime::controller::Action};
use subrosa_crds::RetentionPolicy;
use subrosa_plan::{status::retention_policy, world::World};

use super::again;
use crate::{
    context::Context,
    kinds::{Kind, Subject},
    observe::watch::ObjectKey,
};

impl Kind for RetentionPolicy {
    const KIND: &'static str = "RetentionPolicy";

    // A policy is only judged.
    fn reconcile(policy: Arc<Self>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
        async move {
            let now = ctx.now();
            let status = ctx.cluster.read(|world| retention_policy::status(&policy, world, now));
            let written = ctx.reporter.status(policy.as_ref(), policy.status.as_ref(), &status).await;
            ctx.metrics.reconciled("RetentionPolicy", written.is_err());
            again(&ctx, Subject::of::<RetentionPolicy>(policy.name_any()), written.is_err(), None)
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.retention.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.retention.contains_key(&key.name)
    }

    fn uid(world: &World, key: &ObjectKey) -> Option<String> {
        world.retention.get(&key.name)?.uid()
    }
}
