//! Ends a process that should have ended itself.

use std::{process::exit, time::Duration};

use super::Leadership;

/// How long the orderly way out may take after a term has ended.
const GRACE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// As of any failure of the command.
const EXIT_CODE: i32 = 3;

/// Watches, from a thread of its own, that the process ends when its term does: a runtime that is stuck
/// cannot end itself. It watches until the process ends.
pub fn watch_over(leadership: Leadership) {
    std::thread::spawn(move || {
        loop {
            if leadership.overdue().is_some_and(|overdue| overdue > GRACE) {
                tracing::error!(
                    "this replica no longer leads: its term is over and it still runs, as after a standstill; it is ended"
                );
                exit(EXIT_CODE);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    });
}
