//! One short file a kind that calls observe, plan, execute and report in turn. Nothing here decides and nothing here
//! writes.

pub mod channel;
pub mod external_party;
pub mod namespace;
pub mod pod_certificate_request;
pub mod retention_policy;
pub mod trust_domain;

use std::{convert::Infallible, fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use jiff::Timestamp;
use kube::{
    Resource,
    runtime::{
        applier,
        controller::{Action, Config, ReconcileRequest},
        reflector::{ObjectRef, Store},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, Subject},
    pending::Pending,
};

/// However quiet it is, an object is looked at again after this long.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// However much falls due, an object rests this long between two looks that time alone caused.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// How one kind is reconciled: when to look again is all that comes back.
pub type Reconcile<K> = fn(Arc<K>, Arc<Context>) -> BoxFuture<'static, Action>;

/// Reconciles objects of a kind as they are named in `queue`, until `stop`.
pub async fn run<K>(
    store: Store<K>,
    queue: Pending<ObjectRef<K>>,
    reconcile: Reconcile<K>,
    ctx: Arc<Context>,
    config: Config,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Debug + Eq + Hash + Clone,
{
    let queue = queue.stream().map(|(object, ())| Ok::<_, Infallible>(ReconcileRequest::from(object)));
    let reconcile = move |object: Arc<K>, ctx: Arc<Context>| {
        let work = match ctx.reporter.lags(object.as_ref()) {
            Some(pause) => std::future::ready(Action::requeue(pause)).boxed(),
            None => reconcile(object, ctx),
        };
        Box::pin(async move { Ok::<_, Infallible>(work.await) })
    };
    let rounds = applier(reconcile, |_, error, _| match *error {}, ctx, store, queue.boxed(), config);
    // What was started is finished: a half-done reconcile is repeatable, but need not be repeated.
    rounds.take_until(stop.cancelled_owned()).for_each(|_| std::future::ready(())).await;
}

/// When to look at `subject` again: after a growing pause if something failed, else when something
/// falls due, at the latest within the hour, spread out so that not everything falls due together.
pub fn again(ctx: &Context, subject: Subject, failed: bool, wake_at: Option<Timestamp>) -> Action {
    let due = wake_at
        .map(|at| Duration::try_from(at.duration_since(ctx.now())).unwrap_or_default().max(SHORTEST_REST));
    let rest = LONGEST_REST.mul_f64(rand::random_range(0.8..1.0));
    let calm = due.map_or(rest, |due| due.min(rest));
    if failed {
        return Action::requeue(ctx.failures.pause(subject).min(calm.max(SHORTEST_REST)));
    }
    ctx.failures.clear(&subject);
    Action::requeue(calm)
}
