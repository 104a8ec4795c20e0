//! When the next run of a backup is due, and since when it is late.
//!
//! Kubernetes starts the runs; this only judges whether they came. Where the two read a schedule differently, as in the
//! hour that summer time skips, or with other time zone data (here it is the machine's), [`GRACE`] covers it.

use cronexpr::{Crontab, MakeTimestamp, parse_crontab};
use jiff::{SignedDuration, Timestamp};
use subrosa_crds::TrustDomain;

use crate::world::declaration::Declaration;

/// How long after its time a run may take until it is late: it may begin an hour late and be tried for six.
pub const GRACE: SignedDuration = SignedDuration::from_hours(8);

/// The schedule of `channel`; `None` where it has no backups.
///
/// # Errors
/// What is wrong with it.
pub fn of(channel: &Declaration, domain: &TrustDomain) -> Result<Option<Crontab>, String> {
    let Some(backup) = channel.backup() else { return Ok(None) };
    let zone = backup.time_zone.as_deref().or(domain.spec.time_zone.as_deref()).unwrap_or("UTC");
    let text = format!("{} {zone}", backup.schedule);
    // The error draws the position on further lines.
    let first = |error: cronexpr::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    parse_crontab(&text).map(Some).map_err(first)
}

/// When a run that follows `last` is late; `None` where the schedule has no further time.
pub fn late_at(schedule: &Crontab, last: Timestamp) -> Option<Timestamp> {
    let next = schedule.find_next(MakeTimestamp(last)).ok()?;
    next.timestamp().checked_add(GRACE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_late_a_while_after_its_time_in_the_zone_of_the_schedule() {
        let schedule = parse_crontab("15 2 * * * Europe/Amsterdam").unwrap();
        let late = |last: &str| late_at(&schedule, last.parse().unwrap()).unwrap().to_string();
        assert_eq!(late("2026-12-01T00:00:00Z"), "2026-12-01T09:15:00Z");
        assert_eq!(late("2026-12-01T01:15:00Z"), "2026-12-02T09:15:00Z");
        // In the night when clocks go forward, 02:15 does not exist there.
        let skipped = late("2027-03-27T12:00:00Z");
        assert!(["2027-03-28T09:15:00Z", "2027-03-29T08:15:00Z"].contains(&skipped.as_str()), "{skipped}");
    }
}
