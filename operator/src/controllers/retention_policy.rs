//! RetentionPolicies.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use kube::{ResourceExt as _, runtime::controller::Action};
use subrosa_crds::RetentionPolicy;
use subrosa_plan::status::retention_policy;

use super::again;
use crate::context::{Context, Subject};

/// Reconciles one RetentionPolicy: it is only judged.
pub fn reconcile(policy: Arc<RetentionPolicy>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
    async move {
        let now = ctx.now();
        let status = ctx.cluster.read(|world| retention_policy::status(&policy, world, now));
        let written = ctx.reporter.status(policy.as_ref(), policy.status.as_ref(), &status).await;
        ctx.metrics.reconciled("RetentionPolicy", written.is_err());
        again(&ctx, Subject::Retention(policy.name_any()), written.is_err(), None)
    }
    .boxed()
}
