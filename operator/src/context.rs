//! What every reconcile is given.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Client;
use subrosa_crds::{
    names::{ChannelId, ChannelRef},
    trust_domain::Orphans,
};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    grants::Installation,
    observe::{Cluster, Vaults},
    report::{Reporter, metrics::Metrics},
};

/// Something that should be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A Channel.
    Channel(ChannelRef),
    /// A namespace.
    Namespace(String),
    /// A TrustDomain.
    Domain(String),
    /// An ExternalParty.
    Party(String),
    /// A RetentionPolicy.
    Retention(String),
}

/// What every reconcile is given.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace and ServiceAccount, and what was granted with them.
    pub installation: Installation,
    /// What the watches see.
    pub cluster: Cluster,
    /// The Vaults.
    pub vaults: Vaults,
    /// Status and Events.
    pub reporter: Reporter,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to say that something should be looked at again.
    pub wake: UnboundedSender<Subject>,
    /// How often each object failed in a row.
    pub failures: Failures,
    /// When to look for orphans in the ledger.
    pub sweeps: Sweeps,
    /// Which Channels are being worked on.
    pub under_way: UnderWay,
}

impl Context {
    /// The time, as the operator's clock has it.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Has `subject` looked at again.
    pub fn wake(&self, subject: Subject) {
        // The receiver is gone only when the operator is stopping.
        let _ = self.wake.send(subject);
    }
}

/// The shortest and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(120));

/// How often each object failed in a row; the pause doubles each time, is capped and jittered.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<Subject, u32>>);

impl Failures {
    /// Notes a failure of `subject` and says how long to wait before the next try.
    pub fn pause(&self, subject: Subject) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(subject).or_default();
        let pause = PAUSE.0.saturating_mul(1_u32 << (*count).min(12)).min(PAUSE.1);
        *count = count.saturating_add(1);
        pause.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Notes that `subject` is well.
    pub fn clear(&self, subject: &Subject) {
        self.lock().remove(subject);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which Channels are being worked on, by identity.
///
/// A reconcile that began before its Channel was deleted may still be about to give it access: who
/// withdraws waits for it to end, or the access would come after its withdrawal and stay.
#[derive(Default)]
pub struct UnderWay(Mutex<BTreeSet<ChannelId>>);

/// Work on one Channel; it ends with this.
pub struct Working<'a> {
    under_way: &'a UnderWay,
    id: &'a ChannelId,
}

impl UnderWay {
    /// Notes that work on `id` begins. Whether its Channel is still there is to be asked after this.
    #[must_use]
    pub fn begin<'a>(&'a self, id: &'a ChannelId) -> Working<'a> {
        self.lock().insert(id.clone());
        Working { under_way: self, id }
    }

    /// Whether `id` is being worked on. Whether its Channel is gone is to be known before this.
    pub fn contains(&self, id: &ChannelId) -> bool {
        self.lock().contains(id)
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

/// How often the ledger is searched for Channels that are gone, when no deletion was seen.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// When to look for orphans in each trust domain's ledger: at the start, after a deletion, hourly.
#[derive(Default)]
pub struct Sweeps(
    Mutex<HashMap<String, (Instant, Option<Orphans>)>>,
    Mutex<HashMap<String, (Instant, Option<i64>)>>,
);

impl Sweeps {
    /// Whether `domain` is due.
    pub fn due(&self, domain: &str) -> bool {
        self.lock().get(domain).is_none_or(|(done, _)| done.elapsed() > SWEEP_EVERY)
    }

    /// What the last search of `domain` found.
    pub fn last(&self, domain: &str) -> Option<Orphans> {
        self.lock().get(domain).and_then(|(_, orphans)| orphans.clone())
    }

    /// How long to wait until `every` has passed since `domain` was last looked at for nothing but its
    /// counts; not at all for a new generation. Not waiting counts as a look.
    pub fn rest(&self, domain: &str, generation: Option<i64>, every: Duration) -> Duration {
        let mut looks = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = looks.get(domain)
            && *seen == generation
            && at.elapsed() < every
        {
            return every.saturating_sub(at.elapsed());
        }
        looks.insert(domain.to_owned(), (Instant::now(), generation));
        Duration::ZERO
    }

    /// Notes a search of `domain`.
    pub fn done(&self, domain: &str, orphans: Option<Orphans>) {
        self.lock().insert(domain.to_owned(), (Instant::now(), orphans));
    }

    /// Has every domain searched again: something was deleted or came back.
    pub fn ask(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Option<Orphans>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
