//! Whether this process may act, checked right before each write.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use subrosa_records::gate::{self, Closed, Gate};
use tokio::sync::watch;

use super::clock;

/// Whether this process may act. Clones share the state.
#[derive(Clone, Debug)]
pub struct Leadership(Option<Arc<Term>>);

#[derive(Debug)]
struct Term {
    /// The end of the term, in nanoseconds of [`clock`]; 0 before the first election.
    until: AtomicU64,
    /// Set once and never reset.
    over: AtomicBool,
    /// The epoch, once elected.
    elected: watch::Sender<Option<i32>>,
}

impl Default for Leadership {
    /// See [`alone`](Self::alone).
    fn default() -> Self {
        Self::alone()
    }
}

impl Gate for Leadership {
    fn remaining(&self) -> Option<Duration> {
        Self::remaining(self)
    }
}

impl Leadership {
    /// For a process without an election, such as a command: it always leads.
    pub fn alone() -> Self {
        Self(None)
    }

    /// For a process that must win an election.
    pub fn contested() -> Self {
        let term = Term {
            until: AtomicU64::new(0),
            over: AtomicBool::new(false),
            elected: watch::Sender::new(None),
        };
        Self(Some(Arc::new(term)))
    }

    /// Whether there is an election.
    pub fn is_contested(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this process may act now.
    pub fn is_valid(&self) -> bool {
        self.remaining().is_some()
    }

    /// For how long it may still act; `None` when it may not.
    pub fn remaining(&self) -> Option<Duration> {
        let Some(term) = &self.0 else { return Some(Duration::MAX) };
        if term.over.load(Ordering::SeqCst) {
            return None;
        }
        let until = Duration::from_nanos(term.until.load(Ordering::SeqCst));
        until.checked_sub(clock::now()).filter(|left| !left.is_zero())
    }

    /// Waits until this process leads; returns the epoch, `None` where there is no election.
    pub async fn elected(&self) -> Option<i32> {
        let Some(term) = &self.0 else { return None };
        // This object owns the sender, so waiting cannot fail.
        term.elected.subscribe().wait_for(Option::is_some).await.ok().and_then(|epoch| *epoch)
    }

    /// Polls `work` only while this process leads: it does not start without leadership and does not continue after
    /// the term. A process that was suspended checks before anything else.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, Closed> {
        gate::guard(self, work).await
    }

    /// Leads in `epoch` until then.
    pub(super) fn hold(&self, epoch: i32, until: Duration) {
        if let Some(term) = &self.0 {
            term.until.store(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
            term.elected.send_if_modified(|elected| elected.replace(epoch) != Some(epoch));
        }
    }

    /// Ends leadership for good.
    pub(super) fn end(&self) {
        if let Some(term) = &self.0 {
            term.over.store(true, Ordering::SeqCst);
        }
    }

    /// As [`end`](Self::end), but voluntarily, so nothing is overdue.
    pub(super) fn give_up(&self) {
        self.end();
        if let Some(term) = &self.0 {
            term.until.store(0, Ordering::SeqCst);
        }
    }

    /// How long ago the term ended, unless it was released.
    pub(super) fn overdue(&self) -> Option<Duration> {
        let term = self.0.as_ref()?;
        let until = term.until.load(Ordering::SeqCst);
        (until > 0).then(|| clock::now().checked_sub(Duration::from_nanos(until))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::atomic::AtomicUsize};

    use super::*;

    fn for_(left: Duration) -> Leadership {
        let leadership = Leadership::contested();
        leadership.hold(1, clock::now() + left);
        leadership
    }

    #[tokio::test]
    async fn nothing_is_begun_without_leadership() {
        let touched = AtomicUsize::new(0);
        let work = || async { touched.fetch_add(1, Ordering::SeqCst) };
        assert_eq!(Leadership::contested().guard(work()).await, Err(Closed));
        let ended = for_(Duration::from_secs(9));
        ended.end();
        assert_eq!(ended.guard(work()).await, Err(Closed));
        ended.hold(2, clock::now() + Duration::from_secs(9));
        assert_eq!(ended.guard(work()).await, Err(Closed), "what is over stays over");
        assert_eq!(touched.load(Ordering::SeqCst), 0);
        assert_eq!(for_(Duration::from_secs(9)).guard(work()).await, Ok(0));
        assert_eq!(Leadership::alone().guard(work()).await, Ok(1));
    }

    #[tokio::test]
    async fn work_ends_with_the_term_and_lasts_with_a_renewal() {
        let leadership = for_(Duration::from_millis(150));
        let forever = std::future::pending::<()>();
        let ended = tokio::time::timeout(Duration::from_secs(5), leadership.guard(forever)).await;
        assert_eq!(ended.expect("it ends by itself"), Err(Closed));

        let renewed = for_(Duration::from_secs(1));
        let mut work = pin!(renewed.guard(tokio::time::sleep(Duration::from_millis(1500))));
        assert!(futures::poll!(work.as_mut()).is_pending(), "it was begun in the first term");
        renewed.hold(1, clock::now() + Duration::from_secs(9));
        assert_eq!(work.await, Ok(()));
    }

    #[tokio::test]
    async fn a_process_that_stood_still_does_nothing_more() {
        let leadership = for_(Duration::from_millis(100));
        let steps = AtomicUsize::new(0);
        let work = async {
            // The thread stands still, as after SIGSTOP: both timers are due when it goes on.
            std::thread::sleep(Duration::from_millis(200));
            tokio::time::sleep(Duration::from_millis(1)).await;
            steps.fetch_add(1, Ordering::SeqCst);
        };
        assert_eq!(leadership.guard(work).await, Err(Closed));
        assert_eq!(steps.load(Ordering::SeqCst), 0);
    }
}
