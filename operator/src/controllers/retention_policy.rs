//! RetentionPolicies.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use kube::{ResourceExt as _, runtime::controller::Action};
use subrosa_crds::RetentionPolicy;
use subrosa_plan::{retention_status, world::World};

use super::again;
use crate::{
    context::{Context, Subject},
    observe::watch::Change,
};

/// Takes a change into the world and says who must be looked at because of it.
pub fn seen(world: &mut World, change: Change<Arc<RetentionPolicy>>) -> BTreeSet<Subject> {
    let (name, new) = match change {
        Change::Applied(key, policy) => (key.name, Some(policy)),
        Change::Gone(key) => (key.name, None),
    };
    let old = match &new {
        Some(policy) => world.retention.insert(name.clone(), Arc::clone(policy)),
        None => world.retention.remove(&name),
    };
    if old.as_ref().map(|policy| &policy.spec) == new.as_ref().map(|policy| &policy.spec) {
        return BTreeSet::new();
    }
    let sealing = world.all_channels().filter(|(_, channel)| !channel.spec.data_classes.is_empty());
    let mut woken: BTreeSet<_> = sealing.map(|(name, _)| Subject::Channel(name)).collect();
    woken.insert(Subject::Retention(name));
    woken
}

/// Reconciles one RetentionPolicy: it is only judged.
pub fn reconcile(policy: Arc<RetentionPolicy>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
    async move {
        let now = ctx.now();
        let status = ctx.cluster.read(|world| retention_status::status(&policy, world, now));
        let written = ctx.reporter.status(policy.as_ref(), policy.status.as_ref(), &status).await;
        ctx.metrics.reconciled("RetentionPolicy", written.is_err());
        again(&ctx, Subject::Retention(policy.name_any()), written.is_err(), None)
    }
    .boxed()
}
