//! Chooses the key for sealing.

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use subrosa_crds::{
    cohort::Cohort,
    names::DataKeyName,
    period::{Period, PeriodError},
    retention_policy::Anchor,
    sealing::{Sealing, SealingClass},
    zone,
};

/// Why no key can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CohortChoiceError {
    /// The Channel does not seal this class.
    #[error("the Channel has no data class {class:?}: it has {known}")]
    UnknownClass {
        /// The requested class.
        class: String,
        /// The Channel's classes.
        known: String,
    },
    /// The time zone is unknown here.
    #[error("{0:?} is no time zone that is known here")]
    TimeZone(String),
    /// The anchor date is in the future.
    #[error(
        "the anchor date {0} is in the future: data is sealed under the date on which it began to be kept"
    )]
    Future(Date),
    /// The cohort is due, so its data could be destroyed at once.
    #[error(
        "cohort {cohort} has been due since {due} (its end and {keep}): what is sealed into it can be destroyed at once. \
         Give --already-due if that is meant"
    )]
    AlreadyDue {
        /// The cohort.
        cohort: Cohort,
        /// Its due day.
        due: Date,
        /// How long its data is kept.
        keep: Period,
    },
    /// A period leads beyond the calendar.
    #[error(transparent)]
    Period(#[from] PeriodError),
}

/// The key for sealing data of `class` at `now`.
///
/// `anchor` is the date from which the data is kept. Without it, data whose class is anchored at creation belongs to
/// today's cohort, and other data to today's open cohort, where it waits for its date.
///
/// # Errors
/// When the class is unknown, the date is in the future, or the cohort is due and `already_due` is not set.
pub fn choose(
    sealing: &Sealing,
    class: &str,
    anchor: Option<Date>,
    already_due: bool,
    now: Timestamp,
) -> Result<DataKeyName, CohortChoiceError> {
    let declared = sealing.class(class).ok_or_else(|| CohortChoiceError::UnknownClass {
        class: class.to_owned(),
        known: sealing.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let today = today(sealing, now)?;
    let cohort = match anchor {
        Some(date) if date > today => return Err(CohortChoiceError::Future(date)),
        Some(date) => Cohort::of(date, declared.cohort),
        None => undated(declared, today),
    };
    if !already_due {
        not_due(cohort, declared, today)?;
    }
    Ok(DataKeyName { id: sealing.id.clone(), class: class.to_owned(), cohort })
}

/// Today's cohort of one class for data without a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// The class.
    pub class: String,
    /// The cohort, as in names of keys.
    pub cohort: String,
    /// Its last day; later data uses another key.
    pub until: Date,
    /// The due day of its data; `None` while it waits for its date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// The event that its data waits for; `None` where the date is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Anchor>,
    /// The day by which it must be resealed under its date, where the policy limits the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reseal_by: Option<Date>,
}

/// Today's cohort of each class, with its due day.
///
/// # Errors
/// When the time zone is unknown, or a period leads beyond the calendar.
pub fn current(sealing: &Sealing, now: Timestamp) -> Result<Vec<Current>, CohortChoiceError> {
    let today = today(sealing, now)?;
    let each = sealing.classes.iter().map(|class| {
        let cohort = undated(class, today);
        let after = |period: &str| cohort.due(period.parse()?);
        let (due, open_for) = match cohort.is_open() {
            false => (Some(after(&class.keep)?), None),
            true => (None, class.open_for.as_deref()),
        };
        Ok(Current {
            class: class.name.clone(),
            cohort: cohort.to_string(),
            until: cohort.end()?.yesterday().map_err(|_| PeriodError::TooLong(cohort.to_string()))?,
            due,
            awaits: cohort.is_open().then_some(class.anchor),
            reseal_by: open_for.map(after).transpose()?,
        })
    });
    each.collect()
}

fn today(sealing: &Sealing, now: Timestamp) -> Result<Date, CohortChoiceError> {
    let zone = zone::named(&sealing.time_zone)
        .map_err(|_| CohortChoiceError::TimeZone(sealing.time_zone.clone()))?;
    Ok(now.to_zoned(zone).date())
}

/// The cohort for data without a date that is sealed `today`.
fn undated(class: &SealingClass, today: Date) -> Cohort {
    match class.anchor {
        Anchor::CreatedAt => Cohort::of(today, class.cohort),
        _ => Cohort::open(today, class.cohort),
    }
}

fn not_due(cohort: Cohort, class: &SealingClass, today: Date) -> Result<(), CohortChoiceError> {
    if cohort.is_open() {
        return Ok(());
    }
    let keep: Period = class.keep.parse()?;
    let due = cohort.due(keep)?;
    if due <= today { Err(CohortChoiceError::AlreadyDue { cohort, due, keep }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use subrosa_crds::{cohort::CohortPeriod, names::ChannelRef, sealing::SealingVault};

    use super::*;

    fn sealing(class: &str, cohort: CohortPeriod, anchor: Anchor, keep: &str) -> Sealing {
        Sealing {
            channel: ChannelRef::new("cc-front", "voice"),
            id: "abcdefghijklmnop".parse().unwrap(),
            vault: SealingVault {
                address: "https://openbao.security.svc:8200".into(),
                allow_insecure: false,
                ca_bundle: None,
                transit: "transit".into(),
                auth: "kubernetes".into(),
                role: "subrosa-workload".into(),
                audience: "vault".into(),
            },
            time_zone: "Europe/Amsterdam".into(),
            finished: None,
            classes: vec![SealingClass {
                name: class.into(),
                cohort,
                anchor,
                keep: keep.into(),
                open_for: None,
            }],
        }
    }

    fn chosen(
        sealing: &Sealing,
        anchor: Option<Date>,
        already_due: bool,
        now: &str,
    ) -> Result<String, CohortChoiceError> {
        choose(sealing, "data", anchor, already_due, now.parse().unwrap()).map(|key| key.cohort.to_string())
    }

    #[test]
    fn a_day_begins_in_the_domains_time_zone() {
        let daily = sealing("data", CohortPeriod::Day, Anchor::CreatedAt, "90d");
        assert_eq!(chosen(&daily, None, false, "2026-11-22T22:59:59Z").unwrap(), "20261122");
        assert_eq!(chosen(&daily, None, false, "2026-11-22T23:00:00Z").unwrap(), "20261123");
    }

    #[test]
    fn what_waits_for_its_date_goes_into_an_open_cohort() {
        let dossier = sealing("data", CohortPeriod::Year, Anchor::LastChange, "20y");
        assert_eq!(chosen(&dossier, None, false, "2026-11-22T12:00:00Z").unwrap(), "open-2026");
        assert_eq!(chosen(&dossier, Some(date(2019, 5, 3)), false, "2026-11-22T12:00:00Z").unwrap(), "2019");
    }

    #[test]
    fn nothing_is_sealed_into_a_cohort_that_is_due_unless_it_is_meant() {
        let weekly = sealing("data", CohortPeriod::Week, Anchor::CreatedAt, "90d");
        // The week of 3 August ends on the 10th; 90 days later is 8 November.
        let old = Some(date(2026, 8, 5));
        assert_eq!(chosen(&weekly, old, false, "2026-11-07T12:00:00Z").unwrap(), "2026w32");
        let refused = chosen(&weekly, old, false, "2026-11-08T12:00:00Z").unwrap_err().to_string();
        assert!(refused.contains("2026w32") && refused.contains("2026-11-08"), "{refused}");
        assert_eq!(chosen(&weekly, old, true, "2026-11-08T12:00:00Z").unwrap(), "2026w32");
    }

    #[test]
    fn the_cohorts_of_today_are_told_with_their_ends() {
        let mut told = sealing("recording", CohortPeriod::Week, Anchor::CreatedAt, "90d");
        let dossier = sealing("dossier", CohortPeriod::Year, Anchor::LastChange, "20y").classes;
        told.classes
            .extend(dossier.into_iter().map(|class| SealingClass { open_for: Some("5y".into()), ..class }));
        let [recording, dossier] = &current(&told, "2026-11-29T23:30:00Z".parse().unwrap()).unwrap()[..]
        else {
            panic!("two classes");
        };
        // In Amsterdam it is Monday already.
        assert_eq!((recording.cohort.as_str(), recording.until), ("2026w49", date(2026, 12, 6)));
        assert_eq!((recording.due, recording.awaits), (Some(date(2027, 3, 7)), None));
        assert_eq!((dossier.cohort.as_str(), dossier.until), ("open-2026", date(2026, 12, 31)));
        assert_eq!((dossier.due, dossier.awaits), (None, Some(Anchor::LastChange)));
        assert_eq!(dossier.reseal_by, Some(date(2032, 1, 1)));
        let chosen = chosen_class(&told, "recording");
        assert_eq!(chosen, "2026w49", "what is told is what is done");
    }

    fn chosen_class(sealing: &Sealing, class: &str) -> String {
        let now = "2026-11-29T23:30:00Z".parse().unwrap();
        choose(sealing, class, None, false, now).unwrap().cohort.to_string()
    }

    #[test]
    fn an_unknown_class_and_a_date_to_come_are_refused() {
        let daily = sealing("other", CohortPeriod::Day, Anchor::CreatedAt, "90d");
        let unknown = chosen(&daily, None, false, "2026-11-22T12:00:00Z").unwrap_err().to_string();
        assert!(unknown.contains("\"data\"") && unknown.contains("it has other"), "{unknown}");
        let daily = sealing("data", CohortPeriod::Day, Anchor::CreatedAt, "90d");
        let future = chosen(&daily, Some(date(2026, 11, 23)), false, "2026-11-22T12:00:00Z");
        assert_eq!(future, Err(CohortChoiceError::Future(date(2026, 11, 23))));
    }
}
