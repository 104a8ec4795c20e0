//! The clock that terms are measured by.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since this machine started. It never steps, whatever is done to the time of day, and goes on while the
/// process is stopped; on Linux also while the machine is suspended, where `Instant` stands still.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The time on that clock.
pub(super) fn now() -> Duration {
    let time = clock_gettime(CLOCK);
    // Neither is ever negative on this clock.
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
