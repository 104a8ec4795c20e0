//! A queue that holds each key once.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// A queue with one place per key: a new value replaces the waiting one of the same key. So its size is bounded by
/// the number of keys, however slow the consumer is.
///
/// Many producers, one consumer. Clones share the queue.
#[derive(Debug)]
pub struct Pending<K, V = ()>(Arc<Shared<K, V>>);

#[derive(Debug)]
struct Shared<K, V> {
    waiting: Mutex<Waiting<K, V>>,
    news: Notify,
}

#[derive(Debug)]
struct Waiting<K, V> {
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Clone for Pending<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        let waiting = Waiting { values: HashMap::new(), order: VecDeque::new() };
        Self(Arc::new(Shared { waiting: Mutex::new(waiting), news: Notify::new() }))
    }
}

impl<K: Clone + Eq + Hash, V> Pending<K, V> {
    /// Puts a value in; a key that already waits keeps its place.
    pub fn put(&self, key: K, value: V) {
        let mut waiting = self.lock();
        if waiting.values.insert(key.clone(), value).is_none() {
            waiting.order.push_back(key);
        }
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Takes the first entry, and waits for one if there is none.
    pub async fn next(&self) -> (K, V) {
        loop {
            if let Some(first) = self.take() {
                return first;
            }
            // A `put` between the check and this wait leaves a permit, so it is not missed.
            self.0.news.notified().await;
        }
    }

    /// The number of waiting entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().order.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&self) -> Option<(K, V)> {
        let mut waiting = self.lock();
        let key = waiting.order.pop_front()?;
        let value = waiting.values.remove(&key)?;
        if waiting.order.is_empty() {
            // Give back the memory of a past burst.
            waiting.order.shrink_to(SMALL);
            waiting.values.shrink_to(SMALL);
        }
        Some((key, value))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<K, V>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The capacity that is kept when nothing waits.
const SMALL: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_key_has_one_place_and_its_last_value() {
        let pending = Pending::default();
        for round in 0..10_000 {
            pending.put(round % 3, round);
        }
        assert_eq!(pending.len(), 3);
        assert_eq!([pending.next().await, pending.next().await], [(0, 9999), (1, 9997)]);
        pending.put(0, 7);
        assert_eq!([pending.next().await, pending.next().await], [(2, 9998), (0, 7)]);
        assert!(pending.is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_nothing_is_lost_between() {
        let pending: Pending<u32> = Pending::default();
        let (from, to) = (pending.clone(), pending);
        let taking = tokio::spawn(async move {
            let mut sum = 0;
            while sum < 4950 {
                sum += to.next().await.0;
            }
            sum
        });
        for number in 0..100 {
            from.put(number, ());
            tokio::task::yield_now().await;
        }
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), taking).await.unwrap().unwrap(), 4950);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_nothing_along() {
        let pending = Pending::default();
        let waited = tokio::time::timeout(Duration::from_millis(10), pending.next()).await;
        assert!(waited.is_err());
        pending.put("a", 1);
        assert_eq!(pending.next().await, ("a", 1));
    }
}
