//! Schedules reconciles: in the order of waking, with bounded concurrency, and each object at most once at a time.
//!
//! ```text
//!   queue, each once ──▶ in progress, a bounded number ──▶ resting until a time, or until woken
//!         ▲                        │ woken meanwhile                   │ the time has come
//!         └────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! kube's `applier` does the same, but keeps more than a KiB for each object, takes them in the order of a hash, and
//! aborts running work when it ends.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pending::Pending;

/// When to reconcile an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Again(Option<Duration>);

impl Again {
    /// After that time, unless it is woken before.
    pub const fn after(rest: Duration) -> Self {
        Self(Some(rest))
    }

    /// When it is woken.
    pub const fn when_named() -> Self {
        Self(None)
    }
}

/// Runs `work` for the objects in `queue`, at most `at_once` at a time, until `stop`; then finishes what is in
/// progress.
///
/// An object that is woken while in progress runs again afterwards.
pub async fn take<K, W>(queue: Pending<K>, at_once: usize, stop: CancellationToken, work: impl Fn(K) -> W)
where
    K: Clone + Eq + Hash + Ord,
    W: Future<Output = Again>,
{
    let mut under_way = FuturesUnordered::new();
    // What is in progress, and whether it was woken since it began.
    let mut named: HashMap<K, bool> = HashMap::new();
    let mut resting = Resting::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some((key, Again(rest))) = under_way.next() => match (named.remove(&key), rest) {
                (Some(true), _) => queue.put(key, ()),
                (_, Some(rest)) => resting.put(key, rest),
                (_, None) => {}
            },
            (key, ()) = queue.next(), if named.len() < at_once => {
                resting.remove(&key);
                if let Some(named) = named.get_mut(&key) {
                    *named = true;
                } else {
                    named.insert(key.clone(), false);
                    let worked = work(key.clone());
                    under_way.push(async move { (key, worked.await) });
                }
            }
            () = until(resting.first()) => {
                resting.over(Instant::now()).into_iter().for_each(|key| queue.put(key, ()));
            }
        }
    }
    while under_way.next().await.is_some() {}
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The resting objects and when their rest ends. Both collections share the key, because every object has an entry.
struct Resting<K> {
    until: HashMap<Arc<K>, Instant>,
    order: BTreeSet<(Instant, Arc<K>)>,
}

impl<K> Default for Resting<K> {
    fn default() -> Self {
        Self { until: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Resting<K> {
    fn put(&mut self, key: K, rest: Duration) {
        self.remove(&key);
        let (key, now) = (Arc::new(key), Instant::now());
        // A time beyond the range of the clock never comes.
        let Some(until) = now.checked_add(rest) else { return };
        self.until.insert(Arc::clone(&key), until);
        self.order.insert((until, key));
    }

    fn remove(&mut self, key: &K) {
        if let Some((key, until)) = self.until.remove_entry(key) {
            self.order.remove(&(until, key));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.order.first().map(|(until, _)| *until)
    }

    /// The objects whose rest is over, in the order in which it ended.
    fn over(&mut self, now: Instant) -> Vec<K> {
        let mut over = Vec::new();
        while self.first().is_some_and(|until| until <= now)
            && let Some((_, key)) = self.order.pop_first()
        {
            self.until.remove(&key);
            over.push(Arc::unwrap_or_clone(key));
        }
        over
    }
}

#[cfg(test)]
mod tests;
