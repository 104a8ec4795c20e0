//! When the next run of a backup is due, and since when it is late.
//!
//! Kubernetes starts the runs; this only judges whether they came. Where the two read a schedule differently, as in the
//! hour that summer time skips, or with other time zone data (here it is the machine's), [`GRACE`] covers it.

use cronexpr::{Crontab, MakeTimestamp, parse_crontab};
use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{TrustDomain, channel::Backup};

use crate::{record::backup::BackupRecord, world::declaration::Declaration};

/// How long after its time a run may take until it is late: it may begin an hour late and be tried for six.
pub const GRACE: SignedDuration = SignedDuration::from_hours(8);

/// The schedule of `channel`; `None` where it has no backups.
///
/// # Errors
/// What is wrong with it.
pub fn of(channel: &Declaration, domain: &TrustDomain) -> Result<Option<Crontab>, String> {
    let Some(backup) = channel.backup() else { return Ok(None) };
    parsed(&text(&backup.schedule, backup.time_zone.as_deref(), domain)).map(Some)
}

/// The time zone of a CronJob.
pub(super) fn zone(backup: &Backup, domain: &TrustDomain) -> Option<String> {
    backup.time_zone.clone().or_else(|| domain.spec.time_zone.clone())
}

/// A schedule with its time zone.
pub(super) fn text(schedule: &str, zone: Option<&str>, domain: &TrustDomain) -> String {
    let zone = zone.or(domain.spec.time_zone.as_deref()).unwrap_or("UTC");
    format!("{schedule} {zone}")
}

pub(super) fn parsed(text: &str) -> Result<Crontab, String> {
    // The error draws the position on further lines.
    let first = |error: cronexpr::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    parse_crontab(text).map_err(first)
}

/// When a run that follows `last` is late; `None` where the schedule has no further time.
pub fn late_at(schedule: &Crontab, last: Timestamp) -> Option<Timestamp> {
    let next = schedule.find_next(MakeTimestamp(last)).ok()?;
    next.timestamp().checked_add(GRACE).ok()
}

/// The record of the schedule that is followed. Where another begins, or runs begin again, what is late is judged from
/// now: nobody could have run by it before. What was late already stays late.
pub(super) fn noted(
    mut known: BackupRecord,
    channel: &Declaration,
    domain: &TrustDomain,
    now: Timestamp,
) -> BackupRecord {
    let Some(backup) = channel.backup() else { return known };
    let text = text(&backup.schedule, backup.time_zone.as_deref(), domain);
    let before = known.schedule.replace(text.clone()).filter(|before| *before != text);
    let was_suspended = std::mem::replace(&mut known.suspended, backup.suspend);
    let was_late = |before: &String| {
        let last = known.success.as_ref().map(|run| run.started).max(known.since);
        let schedule = parsed(before).ok();
        schedule
            .zip(last)
            .and_then(|(schedule, last)| late_at(&schedule, last))
            .is_some_and(|late| late < now)
    };
    let anew = was_suspended || before.is_some_and(|before| !was_late(&before));
    let since = if anew { None } else { known.since };
    BackupRecord { since: since.or(Some(now)), ..known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::backup::SuccessfulRun,
        testing::{DOMAIN, Scene},
        world::declaration::Declaration,
    };
    use serde_json::json;

    fn declared(schedule: &str, suspend: bool) -> (Declaration, TrustDomain) {
        let backup = json!({"schedule": schedule, "volumes": ["a"], "writeSecret": "s", "suspend": suspend});
        let scene = Scene::new().channel("cc-front/voice", json!({"backup": backup}));
        let name = subrosa_crds::names::ChannelRef::new("cc-front", "voice");
        let channel = scene.world.channel(&name).unwrap().opened();
        (channel, TrustDomain::clone(&scene.world.domains[DOMAIN]))
    }

    #[test]
    fn lateness_begins_anew_with_a_schedule_and_does_not_hide_what_is_late() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let follow = |known: BackupRecord, schedule: &str, suspend: bool, at: &str| {
            let (channel, domain) = declared(schedule, suspend);
            noted(known, &channel, &domain, time(at))
        };
        let success = SuccessfulRun { started: time("2026-12-01T01:15:00Z"), run: 1, files: 1, bytes: 1 };
        let known = BackupRecord { success: Some(success), ..BackupRecord::default() };
        let monthly = follow(known, "15 2 1 * *", false, "2026-12-01T02:00:00Z");
        assert_eq!(monthly.since, Some(time("2026-12-01T02:00:00Z")));
        // Three weeks later once a day: yesterday's run is not late, today's will be.
        let daily = follow(monthly.clone(), "15 2 * * *", false, "2026-12-21T12:00:00Z");
        assert_eq!(daily.since, Some(time("2026-12-21T12:00:00Z")));
        assert_eq!(follow(daily.clone(), "15 2 * * *", false, "2026-12-21T13:00:00Z"), daily, "nothing new");
        // A week without a run is late, and another schedule does not change that.
        let hourly = follow(daily.clone(), "15 * * * *", false, "2026-12-28T12:00:00Z");
        assert_eq!(hourly.since, daily.since);
        // While suspended nothing is started; then it begins anew.
        let suspended = follow(daily.clone(), "15 2 * * *", true, "2026-12-22T00:00:00Z");
        assert_eq!((suspended.suspended, suspended.since), (true, daily.since));
        let again = follow(suspended, "15 2 * * *", false, "2027-02-01T12:00:00Z");
        assert_eq!((again.suspended, again.since), (false, Some(time("2027-02-01T12:00:00Z"))));
    }

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
