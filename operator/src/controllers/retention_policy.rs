//! The controller of RetentionPolicies.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subrosa_crds::RetentionPolicy;
use subrosa_plan::{status::retention_policy, world::World};

use super::again;
use crate::{
    context::Context,
    kinds::{Kind, turns::Again},
    observe::watch::ObjectKey,
    subject::Subject,
};

impl Kind for RetentionPolicy {
    // Only writes the policy's status.
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move {
            let (name, now) = (key.name, ctx.now());
            let Some(policy) = ctx.cluster.read(|world| world.retention.get(&name).cloned()) else {
                return Again::when_named();
            };
            let status = ctx.cluster.read(|world| retention_policy::status(&policy, world, now));
            let written = ctx.reporter.status(policy.as_ref(), policy.status.as_ref(), &status).await;
            ctx.metrics.reconciled("RetentionPolicy", written.is_err());
            again(&ctx, Subject::of::<RetentionPolicy>(name), written.is_err(), None)
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.retention.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.retention.contains_key(&key.name)
    }

    fn meta_of<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a ObjectMeta> {
        Some(&world.retention.get(&key.name)?.metadata)
    }
}
