//! Counters for metrics and readiness.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// The counters of this process.
#[derive(Debug, Default)]
pub struct WatchCounts {
    sealed: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicU64,
    under_way: AtomicU64,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    looked: bool,
    oldest: Option<SystemTime>,
    trouble: Option<String>,
    /// Why the directory cannot be read.
    unreadable: Option<String>,
    /// Why one of the directories is not writable.
    unwritable: Option<String>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSnapshot {
    /// Recordings that were sealed and whose plaintext was removed.
    pub sealed: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Failed tries.
    pub failed: u64,
    /// Recordings that exist as plaintext, including those still being written.
    pub waiting: u64,
    /// Recordings that are being sealed now.
    pub under_way: u64,
    /// Seconds since the oldest waiting recording was last written; 0 without any.
    pub oldest: u64,
    /// Why nothing can be sealed now; `None` where it can or nobody tried yet.
    pub trouble: Option<String>,
    /// Whether the directory was read at least once.
    pub looked: bool,
}

impl WatchCounts {
    /// The counters at `now`.
    pub fn snapshot(&self, now: SystemTime) -> WatchSnapshot {
        let State { looked, oldest, trouble, unreadable, unwritable } = self.state().clone();
        let age = oldest.and_then(|oldest| now.duration_since(oldest).ok());
        WatchSnapshot {
            sealed: self.sealed.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            under_way: self.under_way.load(Ordering::Relaxed),
            oldest: age.map_or(0, |age| age.as_secs()),
            trouble: unreadable.or(unwritable).or(trouble),
            looked,
        }
    }

    /// Notes a read of the directory.
    pub(super) fn looked(&self, waiting: usize, oldest: Option<SystemTime>) {
        self.waiting(waiting);
        let mut state = self.state();
        state.looked = true;
        state.oldest = oldest;
        state.unreadable = None;
    }

    /// Notes that the directory cannot be read.
    pub(super) fn unreadable(&self, problem: String) {
        self.state().unreadable = Some(problem);
    }

    /// Notes that one of the directories is not writable, or `None` when all are again.
    pub(super) fn unwritable(&self, problem: Option<&String>) {
        self.state().unwritable = problem.cloned();
    }

    pub(super) fn waiting(&self, count: usize) {
        self.waiting.store(count as u64, Ordering::Relaxed);
        if count == 0 {
            self.state().oldest = None;
        }
    }

    pub(super) fn under_way(&self, count: usize) {
        self.under_way.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn sealed(&self, bytes: u64) {
        self.sealed.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.state().trouble = None;
    }

    pub(super) fn failed(&self, general: Option<String>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if general.is_some() {
            self.state().trouble = general;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
