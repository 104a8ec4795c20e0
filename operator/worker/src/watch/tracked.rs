//! The progress of each file, and the pauses after failures.

use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::{
    finished::{FinishedRule, SeenFile},
    listing::Found,
};

/// A file with its progress.
pub(super) struct Tracked {
    pub found: Found,
    pub first_seen: SystemTime,
    pub seen: SeenFile,
    pub under_way: bool,
    /// Set after a failure.
    pub retry: Option<Retry>,
}

impl Tracked {
    pub fn new(found: &Found, now: Instant, quiet_at_start: Option<Duration>) -> Self {
        let seen = SeenFile::new(found.state, now);
        let seen = match quiet_at_start {
            Some(quiet) => {
                // A time in the future says nothing.
                let silent = SystemTime::now().duration_since(found.modified).unwrap_or_default();
                seen.of_unknown_writer(now + quiet.saturating_sub(silent))
            }
            None => seen,
        };
        Self { found: found.clone(), first_seen: SystemTime::now(), seen, under_way: false, retry: None }
    }

    pub fn is_ready(&self, rule: FinishedRule, now: Instant) -> bool {
        !self.under_way
            && self.retry.as_ref().is_none_or(|retry| now >= retry.at)
            && self.seen.is_finished(rule, now)
    }
}

/// When a failed attempt is repeated.
pub(super) struct Retry {
    pub at: Instant,
    pauses: ExponentialBackoff,
    pub told: String,
}

impl Retry {
    pub fn new(now: Instant, longest: Duration) -> Self {
        Self { at: now, pauses: pauses(longest), told: String::new() }
    }

    /// Waits longer. Simultaneous failures with one cause count once.
    pub fn wait(&mut self, now: Instant, longest: Duration) {
        if now >= self.at {
            self.at = now + self.pauses.next().unwrap_or(longest);
        }
    }
}

/// When the next look begins, counted from the start of one that took this long: at most a tenth of the time goes
/// into looking.
pub(super) fn until_next_look(every: Duration, took: Duration) -> Duration {
    every.max(took.saturating_mul(10))
}

/// The pauses after failures: growing, capped, with jitter.
fn pauses(longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The longest pause after a failure of one file.
pub(super) const LONGEST_FOR_ONE: Duration = Duration::from_secs(300);
/// The longest pause after a failure of Vault or of the disk.
pub(super) const LONGEST_FOR_ALL: Duration = Duration::from_secs(30);
