//! Decides when a recording is finished.

use std::time::{Duration, Instant};

use crate::file_state::FileState;

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishedRule {
    /// It has not changed for this long. With kernel events, also nobody holds it open.
    Quiet(Duration),
    /// Its writer closed it, or it was renamed into the directory. A file that existed at the start, or whose writer
    /// the kernel cannot see, must not have changed for this long.
    Closed(Duration),
    /// It has a finished name: the recorder writes elsewhere or under an unfinished name, and renames.
    Named,
}

/// A kernel event for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The file or a hard link to it was created.
    Created,
    /// It was opened.
    Opened,
    /// It was written.
    Written,
    /// A descriptor opened for writing was closed.
    Closed,
    /// A read-only descriptor was closed.
    ClosedUnwritten,
    /// It was renamed to this name.
    Named,
}

/// After this long without change a file counts as finished although nobody was seen to close it. Longer than any
/// call on hold; it matters where events were lost.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Who holds it open for writing, by the events. Opens and closes cannot be counted, because the kernel merges equal
/// consecutive events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Nobody known.
    None,
    /// Perhaps its creator.
    Presumed,
    /// A known writer.
    Known,
}

/// A file and its history.
#[derive(Clone, Debug)]
pub struct SeenFile {
    state: FileState,
    /// Since when it has this state.
    since: Instant,
    /// Whether it was created and not opened since.
    created: bool,
    writer: Writer,
    /// Whether its writer closed it after the last change.
    closed: bool,
    /// Until when a writer from before the start may hold it open.
    unknown_until: Option<Instant>,
}

impl SeenFile {
    /// A file seen for the first time.
    pub fn new(state: FileState, now: Instant) -> Self {
        Self { state, since: now, created: false, writer: Writer::None, closed: false, unknown_until: None }
    }

    /// The file existed before the start: being quiet means nothing before `until`, unless its writer is seen.
    #[must_use]
    pub fn of_unknown_writer(self, until: Instant) -> Self {
        Self { unknown_until: Some(until), ..self }
    }

    /// Its last state.
    pub fn state(&self) -> FileState {
        self.state
    }

    /// Takes in an event since the last look.
    pub fn told(&mut self, what: FileEvent) {
        if matches!(what, FileEvent::Written | FileEvent::Closed | FileEvent::Named) {
            // The writer is known now.
            self.unknown_until = None;
        }
        match what {
            FileEvent::Created => self.created = true,
            // Creating a hard link does not open the file.
            FileEvent::Opened if self.created => {
                self.created = false;
                self.writer = Writer::Presumed;
            }
            FileEvent::Opened => {}
            FileEvent::Written => {
                self.writer = Writer::Known;
                self.closed = false;
            }
            FileEvent::Closed | FileEvent::Named => {
                self.writer = Writer::None;
                self.closed = true;
            }
            FileEvent::ClosedUnwritten if self.writer == Writer::Presumed => self.writer = Writer::None,
            FileEvent::ClosedUnwritten => {}
        }
    }

    /// Events were lost.
    pub fn lost(&mut self) {
        self.closed = false;
    }

    /// Takes in the current state, after the events. `just_told` says whether it was closed or renamed since the last
    /// look.
    pub fn look(&mut self, state: FileState, just_told: bool, now: Instant) {
        if state == self.state {
            return;
        }
        self.state = state;
        self.since = now;
        self.closed &= just_told;
    }

    /// Whether it is finished.
    pub fn is_finished(&self, rule: FinishedRule, now: Instant) -> bool {
        let quiet = |time: Duration| {
            now.saturating_duration_since(self.since) >= time
                && self.unknown_until.is_none_or(|until| now >= until)
        };
        if self.writer != Writer::None && !quiet(LONGEST_HOLD) {
            return false;
        }
        match rule {
            FinishedRule::Quiet(time) => quiet(time),
            FinishedRule::Closed(time) => self.closed || quiet(time),
            FinishedRule::Named => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: FinishedRule = FinishedRule::Quiet(Duration::from_secs(60));
    const CLOSED: FinishedRule = FinishedRule::Closed(Duration::from_secs(60));

    fn of(size: u64) -> FileState {
        FileState { inode: 1, size, modified: (0, 0), changed: (0, 0) }
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
        let mut seen = SeenFile::new(of(1), clock.after(0));
        assert!(!seen.is_finished(QUIET, clock.after(59)));
        seen.look(of(2), false, clock.after(59));
        assert!(!seen.is_finished(QUIET, clock.after(118)));
        seen.look(of(2), false, clock.after(119));
        assert!(seen.is_finished(QUIET, clock.after(119)));
    }

    fn told(seen: &mut SeenFile, all: &[FileEvent]) {
        all.iter().for_each(|one| seen.told(*one));
    }

    #[test]
    fn a_recording_on_hold_is_quiet_and_not_finished() {
        let clock = Clock(Instant::now());
        let mut seen = SeenFile::new(of(1), clock.after(0));
        told(&mut seen, &[FileEvent::Opened, FileEvent::Written]);
        seen.look(of(2), false, clock.after(1));
        for rule in [QUIET, CLOSED, FinishedRule::Named] {
            assert!(!seen.is_finished(rule, clock.after(5000)), "{rule:?}");
        }
        seen.told(FileEvent::Closed);
        assert!(seen.is_finished(CLOSED, clock.after(2)) && !seen.is_finished(QUIET, clock.after(2)));
        assert!(seen.is_finished(QUIET, clock.after(61)));
    }

    #[test]
    fn a_recording_that_was_begun_and_is_silent_since_is_not_finished() {
        let clock = Clock(Instant::now());
        let begun: [&[FileEvent]; 2] = [
            &[FileEvent::Created, FileEvent::Opened],
            &[FileEvent::Created, FileEvent::Opened, FileEvent::Written],
        ];
        for all in begun {
            let mut seen = SeenFile::new(of(44), clock.after(0));
            told(&mut seen, all);
            assert!(!seen.is_finished(QUIET, clock.after(5000)), "{all:?}");
        }
    }

    #[test]
    fn a_reader_beside_the_writer_changes_nothing() {
        let clock = Clock(Instant::now());
        let mut seen = SeenFile::new(of(0), clock.after(0));
        // Two opens that follow each other are one.
        told(
            &mut seen,
            &[FileEvent::Created, FileEvent::Opened, FileEvent::ClosedUnwritten, FileEvent::Written],
        );
        seen.look(of(4000), false, clock.after(1));
        seen.told(FileEvent::ClosedUnwritten);
        assert!(!seen.is_finished(QUIET, clock.after(5000)));
        seen.told(FileEvent::Closed);
        assert!(seen.is_finished(CLOSED, clock.after(5000)));
    }

    #[test]
    fn who_only_reads_holds_up_nothing() {
        let clock = Clock(Instant::now());
        let mut seen = SeenFile::new(of(1), clock.after(0));
        seen.told(FileEvent::Opened);
        assert!(seen.is_finished(QUIET, clock.after(60)));
        seen.told(FileEvent::ClosedUnwritten);
        assert!(!seen.is_finished(CLOSED, clock.after(59)), "nobody wrote and closed it");
        // Another name for a file is no writer, whoever reads it then.
        let mut linked = SeenFile::new(of(1), clock.after(0));
        linked.told(FileEvent::Created);
        assert!(linked.is_finished(QUIET, clock.after(60)));
        told(&mut linked, &[FileEvent::Opened, FileEvent::ClosedUnwritten]);
        assert!(linked.is_finished(QUIET, clock.after(60)));
    }

    #[test]
    fn a_file_that_is_written_again_is_no_longer_closed() {
        let clock = Clock(Instant::now());
        let mut seen = SeenFile::new(of(1), clock.after(0));
        told(&mut seen, &[FileEvent::Opened, FileEvent::Written, FileEvent::Closed]);
        seen.look(of(2), true, clock.after(1));
        assert!(seen.is_finished(CLOSED, clock.after(1)));
        // By somebody on another machine, whom the kernel does not see.
        seen.look(of(3), false, clock.after(2));
        assert!(!seen.is_finished(CLOSED, clock.after(61)) && seen.is_finished(CLOSED, clock.after(62)));
    }

    #[test]
    fn a_recording_from_before_the_start_is_quiet_later_unless_its_writer_is_seen() {
        let clock = Clock(Instant::now());
        let seen = || SeenFile::new(of(1), clock.after(0)).of_unknown_writer(clock.after(900));
        for rule in [QUIET, CLOSED] {
            assert!(
                !seen().is_finished(rule, clock.after(899)) && seen().is_finished(rule, clock.after(900))
            );
            let mut closed = seen();
            closed.told(FileEvent::Closed);
            assert!(closed.is_finished(rule, clock.after(60)), "{rule:?}");
            // On hold, and then it goes on.
            let mut written = seen();
            written.told(FileEvent::Written);
            assert!(!written.is_finished(rule, clock.after(901)), "{rule:?}");
        }
        assert!(seen().is_finished(FinishedRule::Named, clock.after(0)));
    }

    #[test]
    fn where_the_kernel_lost_a_close_the_file_is_sealed_a_day_later() {
        let clock = Clock(Instant::now());
        let mut seen = SeenFile::new(of(1), clock.after(0));
        told(&mut seen, &[FileEvent::Opened, FileEvent::Written]);
        seen.look(of(2), false, clock.after(1));
        seen.lost();
        assert!(!seen.is_finished(QUIET, clock.after(24 * 3600)));
        assert!(seen.is_finished(QUIET, clock.after(24 * 3600 + 1)));
    }
}
