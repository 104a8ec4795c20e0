//! The clock that measures terms.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since boot. It never jumps and continues while the process is stopped; on Linux also while the machine is
/// suspended, where `Instant` stands still.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The current reading of that clock.
pub(super) fn now() -> Duration {
    let time = clock_gettime(CLOCK);
    // Neither part is negative on this clock.
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
