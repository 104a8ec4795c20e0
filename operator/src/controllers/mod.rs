//! One short file per kind, which calls observe, plan, execute and report in turn. Nothing here decides or writes.

pub mod channel;
pub mod external_party;
pub mod namespace;
pub mod pod_certificate_request;
pub mod retention_policy;
pub mod trust_domain;

use std::{future::ready, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    kinds::{
        Kind, Subject,
        turns::{self, Again},
    },
    pending::Pending,
};

/// The longest time between two reconciles of an object.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// The shortest time between two reconciles caused by time alone.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// Reconciles the objects in `queue`, with the kind's concurrency, until `stop`. Reconciles in progress are then
/// finished: aborting would be safe, but is not needed.
pub async fn run<K: Kind>(
    queue: Pending<Subject>,
    ctx: Arc<Context>,
    at_once: usize,
    stop: CancellationToken,
) {
    let work = |subject: Subject| match ctx
        .cluster
        .read(|world| ctx.reporter.lags(K::meta_of(world, &subject.key)?))
    {
        Some(pause) => ready(Again::after(pause)).boxed(),
        None => K::reconcile(subject.key, Arc::clone(&ctx)),
    };
    turns::take(queue, at_once, stop, work).await;
}

/// When to reconcile `subject` again: after a growing pause if it failed, else at `wake_at`, and at least hourly,
/// with jitter.
pub fn again(ctx: &Context, subject: Subject, failed: bool, wake_at: Option<Timestamp>) -> Again {
    let due = wake_at
        .map(|at| Duration::try_from(at.duration_since(ctx.now())).unwrap_or_default().max(SHORTEST_REST));
    let rest = LONGEST_REST.mul_f64(rand::random_range(0.8..1.0));
    let calm = due.map_or(rest, |due| due.min(rest));
    if failed {
        return Again::after(ctx.failures.pause(subject).min(calm.max(SHORTEST_REST)));
    }
    ctx.failures.clear(&subject);
    Again::after(calm)
}
