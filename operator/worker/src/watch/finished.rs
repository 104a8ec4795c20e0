//! When a recording is finished.

use std::time::{Duration, Instant};

use super::listing::Identity;

/// How that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It has not changed for this long. Where the kernel tells who opens and closes it, it is not held open either.
    Quiet(Duration),
    /// Its writer closed it, or it was renamed into the directory. What was there before we looked, or is written where
    /// the kernel cannot see it, is finished when it has not changed for this long.
    Closed(Duration),
    /// It has its name: the recorder writes elsewhere, or under an unfinished name, and renames.
    Named,
}

/// What the kernel told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Somebody opened it.
    Opened,
    /// Somebody who could write closed it.
    Closed,
    /// Somebody who could only read closed it.
    ClosedUnwritten,
    /// It was renamed to this name.
    Named,
}

/// A file, as it was seen so far.
#[derive(Clone, Debug)]
pub struct Seen {
    identity: Identity,
    /// Since when it is like this.
    since: Instant,
    /// How often it is open, as far as we were told.
    open: u32,
    /// Whether it changed while it was open.
    written: bool,
    /// Whether its writer closed it after the last change.
    closed: bool,
}

impl Seen {
    /// For the first time.
    pub fn new(identity: Identity, now: Instant) -> Self {
        Self { identity, since: now, open: 0, written: false, closed: false }
    }

    /// As it was last seen.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Takes what the kernel told since the last look.
    pub fn told(&mut self, what: Told) {
        match what {
            Told::Opened => self.open += 1,
            Told::Closed => {
                self.open = self.open.saturating_sub(1);
                self.written = false;
                self.closed = true;
            }
            Told::ClosedUnwritten => self.open = self.open.saturating_sub(1),
            Told::Named => {
                self.closed = true;
                self.written = false;
            }
        }
    }

    /// The kernel lost what it had to tell.
    pub fn lost(&mut self) {
        self.open = 0;
        self.written = false;
        self.closed = false;
    }

    /// Takes what it looks like now; to be told first. `just_told` says that it was closed or named since the last look.
    pub fn look(&mut self, identity: Identity, just_told: bool, now: Instant) {
        if identity == self.identity {
            return;
        }
        self.identity = identity;
        self.since = now;
        // A reader or backup that holds it open does not change it.
        self.written |= self.open > 0;
        self.closed &= just_told;
    }

    /// Whether it is finished.
    pub fn is_finished(&self, rule: Rule, now: Instant) -> bool {
        let quiet = |time: Duration| now.saturating_duration_since(self.since) >= time;
        if self.written && self.open > 0 {
            return false;
        }
        match rule {
            Rule::Quiet(time) => quiet(time),
            Rule::Closed(time) => self.closed || quiet(time),
            Rule::Named => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Rule = Rule::Quiet(Duration::from_secs(60));
    const CLOSED: Rule = Rule::Closed(Duration::from_secs(60));

    fn of(size: u64) -> Identity {
        Identity { inode: 1, size, modified: (0, 0) }
    }

    struct Clock(Instant);

    impl Clock {
        fn after(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    #[test]
    fn a_file_that_changes_is_not_quiet() {
        let clock = Clock(Instant::now());
        let mut seen = Seen::new(of(1), clock.after(0));
        assert!(!seen.is_finished(QUIET, clock.after(59)));
        seen.look(of(2), false, clock.after(59));
        assert!(!seen.is_finished(QUIET, clock.after(118)));
        seen.look(of(2), false, clock.after(119));
        assert!(seen.is_finished(QUIET, clock.after(119)));
    }

    #[test]
    fn a_recording_on_hold_is_quiet_and_not_finished() {
        let clock = Clock(Instant::now());
        let mut seen = Seen::new(of(1), clock.after(0));
        seen.told(Told::Opened);
        seen.look(of(2), false, clock.after(1));
        for rule in [QUIET, CLOSED, Rule::Named] {
            assert!(!seen.is_finished(rule, clock.after(5000)), "{rule:?}");
        }
        seen.told(Told::Closed);
        assert!(seen.is_finished(CLOSED, clock.after(2)) && !seen.is_finished(QUIET, clock.after(2)));
        assert!(seen.is_finished(QUIET, clock.after(61)));
    }

    #[test]
    fn who_only_reads_holds_up_nothing() {
        let clock = Clock(Instant::now());
        let mut seen = Seen::new(of(1), clock.after(0));
        seen.told(Told::Opened);
        assert!(seen.is_finished(QUIET, clock.after(60)));
        seen.told(Told::ClosedUnwritten);
        assert!(!seen.is_finished(CLOSED, clock.after(59)), "nobody wrote and closed it");
    }

    #[test]
    fn a_file_that_is_written_again_is_no_longer_closed() {
        let clock = Clock(Instant::now());
        let mut seen = Seen::new(of(1), clock.after(0));
        seen.told(Told::Opened);
        seen.told(Told::Closed);
        seen.look(of(2), true, clock.after(1));
        assert!(seen.is_finished(CLOSED, clock.after(1)));
        // By somebody on another machine, whom the kernel does not see.
        seen.look(of(3), false, clock.after(2));
        assert!(!seen.is_finished(CLOSED, clock.after(61)) && seen.is_finished(CLOSED, clock.after(62)));
    }

    #[test]
    fn where_the_kernel_lost_count_only_quiet_counts() {
        let clock = Clock(Instant::now());
        let mut seen = Seen::new(of(1), clock.after(0));
        seen.told(Told::Opened);
        seen.look(of(2), false, clock.after(1));
        seen.lost();
        assert!(!seen.is_finished(CLOSED, clock.after(60)) && seen.is_finished(CLOSED, clock.after(61)));
    }
}
