//! Working on the objects of a kind.

use std::{future::ready, sync::Arc};

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    Kind,
    turns::{self, Again},
};
use crate::{context::Context, pending::Pending, subject::Subject};

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
