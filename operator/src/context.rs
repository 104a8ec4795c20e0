//! The shared state of all reconciles.

#[cfg(test)]
pub mod testing;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Client;
use subrosa_crds::names::ChannelId;
use subrosa_plan::status::trust_domain::Swept;

use crate::{
    grants::Installation,
    observe::{Cluster, Surroundings, definitions::Definitions, probe::Prober, watch::Refresh},
    pending::Pending,
    report::{Reporter, metrics::Metrics},
    session::Vaults,
    subject::Subject,
};

/// The shared state of all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's namespace and ServiceAccount, and what they were granted.
    pub installation: Installation,
    /// What the watches see.
    pub cluster: Cluster,
    /// Requests new lists from the watches.
    pub refresh: Refresh,
    /// The admission policies and policy engines of the cluster, as last checked.
    pub surroundings: Surroundings,
    /// The state of the served CRDs.
    pub definitions: Definitions,
    /// The Vaults.
    pub vaults: Vaults,
    /// Status and Events.
    pub reporter: Reporter,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The objects to reconcile.
    pub woken: Pending<Subject>,
    /// The number of consecutive failures of each object.
    pub failures: Failures,
    /// When to search the records for orphans.
    pub sweeps: Sweeps,
    /// The Channels being reconciled.
    pub under_way: UnderWay,
    /// Receives the targets of probes.
    pub prober: Prober,
    /// How often all keys in Vault are listed.
    pub keys_listed_every: Duration,
}

impl Context {
    /// The operator's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Queues `subject` for a reconcile.
    pub fn wake(&self, subject: Subject) {
        self.woken.put(subject, ());
    }
}

/// The shortest and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(120));

/// How often each object failed in a row; the pause doubles each time, is capped and jittered.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<Subject, u32>>);

impl Failures {
    /// Notes a failure of `subject` and returns the pause before the next try.
    pub fn pause(&self, subject: Subject) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(subject).or_default();
        let pause = PAUSE.0.saturating_mul(1_u32 << (*count).min(12)).min(PAUSE.1);
        *count = count.saturating_add(1);
        pause.mul_f64(rand::random_range(0.8..1.2))
    }

    /// The objects whose last reconcile failed.
    pub fn subjects(&self) -> Vec<Subject> {
        self.lock().keys().cloned().collect()
    }

    /// Notes a success of `subject`.
    pub fn clear(&self, subject: &Subject) {
        self.lock().remove(subject);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Channels being reconciled, by identity.
///
/// A reconcile that began before its Channel was deleted may still grant access, and one that begins while an
/// orphan's access is withdrawn would lose what it grants. So the second to come tries again later.
#[derive(Default)]
pub struct UnderWay(Mutex<BTreeSet<ChannelId>>);

/// A guard for the reconcile of one Channel.
pub struct Working<'a> {
    under_way: &'a UnderWay,
    id: &'a ChannelId,
}

impl UnderWay {
    /// Marks `id` as in progress, unless it is already. Check only after this whether its Channel exists.
    #[must_use]
    pub fn begin<'a>(&'a self, id: &'a ChannelId) -> Option<Working<'a>> {
        self.lock().insert(id.clone()).then(|| Working { under_way: self, id })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ChannelId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.under_way.lock().remove(self.id);
    }
}

/// How often records are searched for deleted Channels without a deletion being seen.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How often aliases are searched for Channels without a record. Rarely, because Vault lists everybody's aliases.
const ALIASES_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often to search while a record cannot be read or a right is missing, because somebody may repair that.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// When to search each trust domain for orphans: at the start, after a deletion, and hourly.
#[derive(Default)]
pub struct Sweeps {
    asked: AtomicU64,
    searches: Mutex<HashMap<String, Search>>,
    looks: Mutex<HashMap<String, (Instant, Option<i64>)>>,
    aliases: Mutex<HashMap<String, Instant>>,
}

/// The last search of a domain.
struct Search {
    done: Instant,
    /// The counters of requests and of namespace moves when it began.
    began: (u64, u64),
    found: Swept,
}

impl Sweeps {
    /// Whether a search of `domain` is due, where namespaces have moved `moves` times.
    pub fn due(&self, domain: &str, moves: u64) -> bool {
        let now = (self.asked(), moves);
        self.searches().get(domain).is_none_or(|search| {
            let is_whole = search.found.unreadable.is_empty() && search.found.setup.is_none();
            let every = if is_whole { SWEEP_EVERY } else { LOOK_AGAIN };
            search.began != now || search.done.elapsed() > every
        })
    }

    /// Whether a search of the aliases of `domain` is due: after the start, and daily.
    pub fn aliases_due(&self, domain: &str) -> bool {
        self.aliases().get(domain).is_none_or(|searched| searched.elapsed() > ALIASES_EVERY)
    }

    /// Makes searches of `domain` and its aliases due, because its Vault was restored.
    pub fn restored(&self, domain: &str) {
        self.aliases().remove(domain);
        self.ask();
    }

    /// Notes a search of the aliases of `domain`.
    pub fn aliases_done(&self, domain: &str) {
        self.aliases().insert(domain.to_owned(), Instant::now());
    }

    /// What the last search of `domain` found.
    pub fn last(&self, domain: &str) -> Swept {
        self.searches().get(domain).map(|search| search.found.clone()).unwrap_or_default()
    }

    /// How long to wait until `every` has passed since `domain` was last reconciled only for its counts; zero for a
    /// new generation. Zero counts as a reconcile.
    pub fn rest(&self, domain: &str, generation: Option<i64>, every: Duration) -> Duration {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = looks.get(domain)
            && *seen == generation
            && at.elapsed() < every
        {
            return every.saturating_sub(at.elapsed());
        }
        looks.insert(domain.to_owned(), (Instant::now(), generation));
        Duration::ZERO
    }

    /// The counter of requests. A search reads it before it starts.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Notes a search of `domain` that began at these counters; later requests are still due.
    pub fn done(&self, domain: &str, began: (u64, u64), found: Swept) {
        self.searches().insert(domain.to_owned(), Search { done: Instant::now(), began, found });
    }

    /// Drops a deleted domain.
    pub fn forget(&self, domain: &str) {
        self.searches().remove(domain);
        self.aliases().remove(domain);
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(domain);
    }

    /// Requests a search of every domain, because something was deleted or came back.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    fn aliases(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn searches(&self) -> MutexGuard<'_, HashMap<String, Search>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_during_a_search_is_searched_for_again() {
        let sweeps = Sweeps::default();
        assert!(sweeps.due("oosterlinde", 0), "at the start");
        let asked = sweeps.asked();
        sweeps.ask();
        sweeps.done("oosterlinde", (asked, 0), Swept::default());
        assert!(sweeps.due("oosterlinde", 0), "it may have come too late for that search");
        sweeps.done("oosterlinde", (sweeps.asked(), 0), Swept::default());
        assert!(!sweeps.due("oosterlinde", 0));
        assert!(sweeps.due("oosterlinde", 1), "a namespace has moved");
    }

    #[test]
    fn one_at_a_time_works_on_a_channel() {
        let (under_way, id) = (UnderWay::default(), ChannelId::mint("uid", "voice"));
        let working = under_way.begin(&id);
        assert!(working.is_some());
        assert!(under_way.begin(&id).is_none());
        assert!(under_way.begin(&ChannelId::mint("uid", "chat")).is_some());
        // Who came second ends nothing.
        assert!(under_way.begin(&id).is_none());
        drop(working);
        assert!(under_way.begin(&id).is_some());
    }
}
