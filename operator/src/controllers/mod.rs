//! One short file a kind that calls observe, plan, execute and report in turn. Nothing here decides and nothing here
//! writes.

pub mod channel;
pub mod external_party;
pub mod namespace;
pub mod pod_certificate_request;
pub mod retention_policy;
pub mod trust_domain;

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::{
    applier,
    controller::{Action, Config, ReconcileRequest},
    reflector::{ObjectRef, Store},
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    kinds::{Kind, Subject},
    pending::Pending,
};

/// The longest time until an object is looked at again.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// The shortest time between two looks at an object that time alone caused.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// Reconciles objects of a kind as they are named in `queue`, until `stop`.
pub async fn run<K: Kind>(
    store: Store<K>,
    queue: Pending<Subject>,
    ctx: Arc<Context>,
    config: Config,
    stop: CancellationToken,
) {
    let named = |subject: Subject| {
        let object = ObjectRef::<K>::new(&subject.key.name);
        match subject.key.namespace.as_str() {
            "" => object,
            namespace => object.within(namespace),
        }
    };
    let queue =
        queue.stream().map(move |(subject, ())| Ok::<_, Infallible>(ReconcileRequest::from(named(subject))));
    let reconcile = move |object: Arc<K>, ctx: Arc<Context>| {
        let work = match ctx.reporter.lags(object.as_ref()) {
            Some(pause) => std::future::ready(Action::requeue(pause)).boxed(),
            None => K::reconcile(object, ctx),
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
