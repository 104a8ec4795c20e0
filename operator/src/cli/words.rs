//! Relative times in words.

use jiff::{SignedDuration, Timestamp, civil::Date};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How far `at` is from `now`: `in 29 days`, `5 hours ago`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let away = at.duration_since(now);
    let length = length(away.unsigned_abs().as_secs());
    if away.is_positive() { format!("in {length}") } else { format!("{length} ago") }
}

/// The time since `at`: `2 days`.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    length(now.duration_since(at).unsigned_abs().as_secs())
}

/// [`when`] for a timestamp in status; the text itself if it does not parse.
pub fn when_text(at: &str, now: Timestamp) -> String {
    at.parse().map_or_else(|_| at.to_owned(), |at| when(at, now))
}

/// How far the day `at` is from `today`: `in 29 days`, `today`, `5 days ago`.
pub fn days(today: Date, at: Date) -> String {
    let days = (at - today).get_days();
    let length = counted(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    match days {
        0 => "today".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// The end of a certificate: `in 29 days`, `expired 2 days ago`.
pub fn ends(at: Timestamp, now: Timestamp) -> String {
    let words = when(at, now);
    if at <= now { format!("expired {words}") } else { words }
}

// Two units are precise enough: 29 days, not 29 days 4 hours.
fn length(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..MINUTE => (seconds, "second"),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    counted(usize::try_from(count).unwrap_or(usize::MAX), unit)
}

/// `1 day`, `2 days`.
pub fn counted(count: usize, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// A machine duration as manifests write it, in the largest whole unit: `30d`, `36h`.
pub fn duration(of: SignedDuration) -> String {
    let seconds = of.unsigned_abs().as_secs();
    for (length, unit) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let said = |at: &str| ends(at.parse().unwrap(), now);
        assert_eq!(said("2026-12-21T13:00:00Z"), "in 29 days");
        assert_eq!(said("2026-11-23T12:00:00Z"), "in 1 day");
        assert_eq!(said("2026-11-23T11:59:59Z"), "in 23 hours");
        assert_eq!(said("2026-11-22T12:01:00Z"), "in 1 minute");
        assert_eq!(said("2026-11-22T12:00:00Z"), "expired 0 seconds ago");
        assert_eq!(said("2026-11-20T12:00:00Z"), "expired 2 days ago");
        assert_eq!(when_text("soon", now), "soon");
    }

    #[test]
    fn durations_read_as_manifests_write_them() {
        let written = |seconds| duration(SignedDuration::from_secs(seconds));
        assert_eq!(
            [30 * 86_400, 36 * 3_600, 90 * 60, 61, 3_600].map(written),
            ["30d", "36h", "90m", "61s", "1h"]
        );
    }
}
