use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{sync::Semaphore, task::JoinHandle};

use super::*;

/// Work that is noted, and that goes on as far as it is let.
struct Bench {
    queue: Pending<u32>,
    stop: CancellationToken,
    seen: Arc<Seen>,
    turns: JoinHandle<()>,
}

struct Seen {
    /// A permit for each piece of work that may end.
    may_end: Semaphore,
    begun: Mutex<Vec<u32>>,
    ended: Mutex<Vec<u32>>,
    under_way: Mutex<HashSet<u32>>,
    most: AtomicUsize,
}

impl Bench {
    /// Each piece of work ends as `again` says of its key and of how often that was worked on.
    fn start(at_once: usize, again: fn(u32, usize) -> Again) -> Self {
        let (queue, stop) = (Pending::default(), CancellationToken::new());
        let seen = Arc::new(Seen {
            may_end: Semaphore::new(0),
            begun: Mutex::default(),
            ended: Mutex::default(),
            under_way: Mutex::default(),
            most: AtomicUsize::default(),
        });
        let working = Arc::clone(&seen);
        let work = move |key| {
            let seen = Arc::clone(&working);
            async move {
                assert!(seen.under_way.lock().unwrap().insert(key), "{key} is under way twice");
                seen.most.fetch_max(seen.under_way.lock().unwrap().len(), SeqCst);
                seen.begun.lock().unwrap().push(key);
                seen.may_end.acquire().await.unwrap().forget();
                seen.under_way.lock().unwrap().remove(&key);
                let mut ended = seen.ended.lock().unwrap();
                ended.push(key);
                again(key, ended.iter().filter(|one| **one == key).count())
            }
        };
        let turns = tokio::spawn(take(queue.clone(), at_once, stop.clone(), work));
        Self { queue, stop, seen, turns }
    }

    fn name(&self, keys: impl IntoIterator<Item = u32>) {
        keys.into_iter().for_each(|key| self.queue.put(key, ()));
    }

    fn let_end(&self, count: usize) {
        self.seen.may_end.add_permits(count);
    }

    fn begun(&self) -> Vec<u32> {
        self.seen.begun.lock().unwrap().clone()
    }

    /// Waits until so many pieces of work have begun, and a moment for one more.
    async fn has_begun(&self, count: usize) -> Vec<u32> {
        let reached = async {
            while self.begun().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), reached).await.is_ok(), "{:?}", self.begun());
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.begun()
    }
}

#[tokio::test]
async fn they_have_their_turns_in_the_order_in_which_they_were_named() {
    let bench = Bench::start(1, |_, _| Again::when_named());
    bench.let_end(1000);
    let order: Vec<u32> = (0..200).map(|number| number * 7919 % 200).collect();
    bench.name(order.clone());
    assert_eq!(bench.has_begun(200).await, order);
}

#[tokio::test]
async fn no_more_are_under_way_than_may_be() {
    let bench = Bench::start(3, |_, _| Again::when_named());
    bench.name(0..10);
    assert_eq!(bench.has_begun(3).await, [0, 1, 2]);
    bench.let_end(1);
    assert_eq!(bench.has_begun(4).await, [0, 1, 2, 3]);
    bench.let_end(9);
    assert_eq!(bench.has_begun(10).await.len(), 10);
    assert_eq!(bench.seen.most.load(SeqCst), 3);
}

#[tokio::test]
async fn what_is_named_while_it_is_under_way_has_one_more_turn_afterwards() {
    let bench = Bench::start(2, |_, _| Again::when_named());
    bench.name([1]);
    bench.has_begun(1).await;
    for _ in 0..5 {
        bench.name([1]);
        assert_eq!(bench.has_begun(1).await, [1], "not at the same time");
    }
    bench.let_end(1);
    assert_eq!(bench.has_begun(2).await, [1, 1]);
    bench.let_end(5);
    assert_eq!(bench.has_begun(2).await, [1, 1], "once, however often it was named");
}

/// Also when it would have rested.
#[tokio::test]
async fn what_was_named_meanwhile_does_not_rest() {
    let bench = Bench::start(1, |_, count| Again::after(Duration::from_secs(1000 * count as u64)));
    bench.name([1]);
    bench.has_begun(1).await;
    bench.name([1]);
    assert_eq!(bench.has_begun(1).await, [1]);
    bench.let_end(2);
    assert_eq!(bench.has_begun(2).await, [1, 1]);
}

#[tokio::test]
async fn a_rest_ends_by_itself_or_when_it_is_named() {
    let again = |key, count| match (key, count) {
        (1, 1) => Again::after(Duration::from_millis(50)),
        (2, 1) => Again::after(Duration::from_secs(1000)),
        _ => Again::when_named(),
    };
    let bench = Bench::start(4, again);
    bench.let_end(100);
    bench.name([2, 1, 3]);
    assert_eq!(bench.has_begun(4).await, [2, 1, 3, 1]);
    bench.name([2]);
    assert_eq!(bench.has_begun(5).await, [2, 1, 3, 1, 2]);
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_nothing_is_begun_any_more() {
    let bench = Bench::start(2, |_, _| Again::after(Duration::ZERO));
    bench.name(0..5);
    assert_eq!(bench.has_begun(2).await, [0, 1]);
    bench.stop.cancel();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!bench.turns.is_finished() && bench.seen.ended.lock().unwrap().is_empty());
    bench.let_end(100);
    tokio::time::timeout(Duration::from_secs(10), bench.turns).await.unwrap().unwrap();
    let mut ended = bench.seen.ended.lock().unwrap().clone();
    ended.sort_unstable();
    assert_eq!((ended, bench.seen.begun.lock().unwrap().len()), (vec![0, 1], 2));
}

#[test]
fn the_rest_of_what_is_named_leaves_nothing_behind() {
    let mut resting = Resting::default();
    for round in 1..4 {
        (0..100).for_each(|key| resting.put(key, Duration::from_secs(round * 100 + key)));
        assert_eq!((resting.until.len(), resting.order.len()), (100, 100), "each has one");
    }
    (0..50).for_each(|key| resting.remove(&key));
    let now = Instant::now() + Duration::from_secs(380);
    assert_eq!(resting.over(now), (50..=80).collect::<Vec<_>>(), "in the order of their times");
    assert_eq!(resting.over(now + Duration::from_secs(100)).len(), 19);
    assert_eq!((resting.until.len(), resting.order.len(), resting.first()), (0, 0, None));
}
