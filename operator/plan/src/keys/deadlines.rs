//! The days that a RetentionPolicy sets for the data of one cohort, and what is late.

use jiff::civil::Date;
use subrosa_crds::{Reason, RetentionPolicy, cohort::Cohort, period::Period, retention_policy::DataClass};

use super::inventory::{self, MadeKey};
use crate::record::channel::ChannelRecord;

/// The reasons for data that is kept too long, or without end. People end it, by resealing, by approving its destruction
/// or by saying how long it is kept; the Channel stays Ready meanwhile.
pub const LATE: [Reason; 3] = [Reason::AnchorOverdue, Reason::BackupRetentionMissing, Reason::KeptTooLong];

/// A deadline within this many days is shown in status.
const SOON_DAYS: i32 = 90;

/// The deadlines of one cohort, as days in the time zone of the trust domain. A day beyond the calendar is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// When its data is due for destruction: the cohort's end plus `keep`. `None` while the cohort waits for its
    /// anchor date.
    pub due: Option<Date>,
    /// By when data of an open cohort must get its anchor date: the cohort's end plus `openFor`.
    pub reseal_by: Option<Date>,
    /// The last day on which its oldest data may exist: the cohort's first day plus `max`.
    pub gone_by: Option<Date>,
}

impl Deadlines {
    /// The days of `cohort` in `class`.
    pub fn of(cohort: Cohort, class: &DataClass) -> Self {
        Self::by(cohort, &class.keep, class.open_for.as_deref(), class.max.as_deref())
    }

    /// The days of `cohort` by these periods.
    pub fn by(cohort: Cohort, keep: &str, open_for: Option<&str>, max: Option<&str>) -> Self {
        let period = |text: &str| text.parse::<Period>().ok();
        let after_end = |text: &str| period(text)?.after(cohort.end().ok()?).ok();
        if cohort.is_open() {
            return Self { reseal_by: open_for.and_then(after_end), ..Self::default() };
        }
        Self {
            due: after_end(keep),
            reseal_by: None,
            gone_by: max.and_then(|max| period(max)?.after(cohort.start()).ok()),
        }
    }

    /// What is late on `today`, as the reason for status and conditions.
    pub fn late(self, today: Date) -> Option<Reason> {
        if self.reseal_by.is_some_and(|day| day <= today) {
            Some(Reason::AnchorOverdue)
        } else if self.gone_by.is_some_and(|day| day < today) {
            Some(Reason::KeptTooLong)
        } else {
            None
        }
    }

    /// Whether its data is due for destruction on `today`.
    pub fn is_due(self, today: Date) -> bool {
        self.due.is_some_and(|day| day <= today)
    }

    /// The next of its days, where one is set.
    pub fn next(self) -> Option<Date> {
        self.due.or(self.reseal_by)
    }

    /// Whether somebody should see it: its next day is near or past.
    pub fn is_soon(self, today: Date) -> bool {
        self.next().is_some_and(|day| (day - today).get_days() <= SOON_DAYS)
    }
}

/// One cohort that is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The day that passed.
    pub since: Date,
    /// The class of data.
    pub class: String,
    /// The cohort.
    pub cohort: Cohort,
    /// What is late.
    pub reason: Reason,
}

/// Every cohort with a key whose data is late on `today` by `policy`, the longest first.
pub fn late(record: &ChannelRecord, policy: &RetentionPolicy, today: Date) -> Vec<Late> {
    let mut late: Vec<Late> = inventory::made(record)
        .filter_map(|key| {
            let (class, cohort) = match key {
                MadeKey::Authority | MadeKey::EarlierAuthority => return None,
                MadeKey::Active { class, cohort } => (class, cohort.parse().ok()?),
                MadeKey::Ended { class, cohort } => (class, cohort),
            };
            let days = Deadlines::of(cohort, policy.spec.class(&class)?);
            let reason = days.late(today)?;
            Some(Late { since: days.reseal_by.or(days.gone_by)?, class, cohort, reason })
        })
        .collect();
    late.sort_by(|one, other| {
        (one.since, &one.class, one.cohort).cmp(&(other.since, &other.class, other.cohort))
    });
    late
}

/// What `late` says of a Channel, where anything is late: the reason, and a sentence with the next step.
pub fn verdict(late: &[Late]) -> Option<(Reason, String)> {
    let first = late.first()?;
    let Late { since, class, cohort, reason } = first;
    let what = match reason {
        Reason::AnchorOverdue => format!(
            "data of class {class} in cohort {cohort} has waited for its anchor date since before {since}, longer than \
             openFor allows; next: reseal it with its date (subrosa reseal --anchor)"
        ),
        _ => format!(
            "data of class {class} of cohort {cohort} had to be gone after {since}, as max says, and its key is there; \
             next: approve its Destruction (kubectl get destructions), or correct max in the RetentionPolicy"
        ),
    };
    Some(match late.len() {
        1 => (*reason, what),
        2 => (*reason, format!("{what}; 1 more cohort is late, see status.keys")),
        count => (*reason, format!("{what}; {} more cohorts are late, see status.keys", count - 1)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn days(cohort: &str, class: Value) -> [Option<String>; 3] {
        let class: DataClass = serde_json::from_value(class).unwrap();
        let days = Deadlines::of(cohort.parse().unwrap(), &class);
        [days.due, days.reseal_by, days.gone_by].map(|day| day.map(|day| day.to_string()))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// Counted by hand with a printed calendar.
    #[test]
    fn the_days_of_a_cohort() {
        let dossier = json!({"name": "dossier", "keep": "20y", "max": "22y", "cohort": "Year", "anchor": "LastChange",
            "openFor": "5y"});
        // Dutch law: twenty years after the last change (BW 7:454). 2026 ends before 1 January 2027.
        assert_eq!(days("2026", dossier.clone()), [some("2047-01-01"), None, some("2048-01-01")]);
        assert_eq!(days("open-2026", dossier), [None, some("2032-01-01"), None]);
        // HIPAA documentation: six years (45 CFR 164.316(b)(2)(i)).
        let documents = json!({"name": "documents", "keep": "6y", "max": "6y", "cohort": "Day"});
        assert_eq!(days("20240228", documents.clone()), [some("2030-02-28"), None, some("2030-02-28")]);
        // The day after 29 February is 1 March; six years after 29 February itself is 28 February.
        assert_eq!(days("20240229", documents), [some("2030-03-01"), None, some("2030-02-28")]);
        // The last day of January ends where February begins; one month on is March.
        let month = json!({"name": "month", "keep": "1mo", "max": "2mo", "cohort": "Day"});
        assert_eq!(days("20270131", month), [some("2027-03-01"), None, some("2027-03-31")]);
        // Weeks over the day on which clocks change are weeks.
        let week = json!({"name": "week", "keep": "2w", "cohort": "Week"});
        assert_eq!(days("2026w43", week), [some("2026-11-09"), None, None]);
    }

    #[test]
    fn the_day_of_a_deadline_is_the_last_on_which_nothing_is_late() {
        let gone = Deadlines { gone_by: Some(date("2026-11-22")), ..Deadlines::default() };
        assert_eq!(gone.late(date("2026-11-22")), None);
        assert_eq!(gone.late(date("2026-11-23")), Some(Reason::KeptTooLong));
        // From this day on it is resealed too late: the day after the last one of openFor.
        let open = Deadlines { reseal_by: Some(date("2026-11-22")), ..Deadlines::default() };
        assert_eq!(open.late(date("2026-11-21")), None);
        assert_eq!(open.late(date("2026-11-22")), Some(Reason::AnchorOverdue));
    }
}
