//! Kills a process that should have ended.

use std::{process::exit, time::Duration};

use super::Leadership;

/// How long a regular exit may take after the term has ended.
const GRACE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The exit code of any failed command.
const EXIT_CODE: i32 = 3;

/// Watches from a separate thread that the process ends with its term, because a blocked runtime cannot end itself.
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
