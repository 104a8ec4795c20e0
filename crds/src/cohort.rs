//! Cohorts: periods of the anchor date whose data share a key.
//!
//! A cohort is named after its period: `20261122`, ISO week `2026w47`, `2026m11`, `2026q4`, `2026`. Data that still
//! waits for its anchor date is sealed into an open cohort such as `open-2026m11`, named after the period in which it
//! was sealed.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, ISOWeekDate, Weekday},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::period::{Period, PeriodError};

/// How long the anchor dates of one cohort span.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[allow(missing_docs)]
pub enum CohortPeriod {
    Day,
    Week,
    #[default]
    Month,
    Quarter,
    Year,
}

/// One cohort: its first day, its length, and whether its data still waits for an anchor date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cohort {
    start: Date,
    period: CohortPeriod,
    open: bool,
}

/// Why a text is no cohort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cohort: expected 20261122, 2026w47, 2026m11, 2026q4 or 2026, perhaps after open-")]
pub struct CohortError(String);

impl Cohort {
    /// The cohort of anchor date `date`.
    pub fn of(date: Date, period: CohortPeriod) -> Self {
        let start = match period {
            CohortPeriod::Day => date,
            CohortPeriod::Week => {
                let week = date.iso_week_date();
                ISOWeekDate::new(week.year(), week.week(), Weekday::Monday).map_or(date, ISOWeekDate::date)
            }
            CohortPeriod::Month => date.first_of_month(),
            CohortPeriod::Quarter => {
                let month = (date.month() - 1) / 3 * 3 + 1;
                Date::new(date.year(), month, 1).unwrap_or(date)
            }
            CohortPeriod::Year => date.first_of_year(),
        };
        Self { start, period, open: false }
    }

    /// The open cohort of the day on which data without an anchor date is sealed.
    pub fn open(date: Date, period: CohortPeriod) -> Self {
        Self { open: true, ..Self::of(date, period) }
    }

    /// The cohort of the day that `now` is in a time zone.
    pub fn current(now: Timestamp, time_zone: &TimeZone, period: CohortPeriod) -> Self {
        Self::of(now.to_zoned(time_zone.clone()).date(), period)
    }

    /// Whether its data still waits for an anchor date.
    pub const fn is_open(self) -> bool {
        self.open
    }

    /// Whether `other` has a period of the same kind, and is open as this one is.
    pub fn is_alike(self, other: Self) -> bool {
        self.period == other.period && self.open == other.open
    }

    /// The month in which it begins, such as `2026m11`, or `open-2026m11` while its data waits for an anchor date.
    pub fn month(self) -> String {
        let month = Self { start: self.start.first_of_month(), period: CohortPeriod::Month, open: self.open };
        month.to_string()
    }

    /// Its first day.
    pub const fn start(self) -> Date {
        self.start
    }

    /// The day after its last.
    ///
    /// # Errors
    /// When that day is beyond the calendar's end.
    pub fn end(self) -> Result<Date, PeriodError> {
        let span = match self.period {
            CohortPeriod::Day => 1.day(),
            CohortPeriod::Week => 1.week(),
            CohortPeriod::Month => 1.month(),
            CohortPeriod::Quarter => 3.months(),
            CohortPeriod::Year => 1.year(),
        };
        self.start.checked_add(span).map_err(|_| PeriodError::TooLong(self.to_string()))
    }

    /// Its first instant in a time zone, and the first instant after it. Where clocks skip midnight, the day begins
    /// at its first existing hour.
    ///
    /// # Errors
    /// When it ends beyond the calendar.
    pub fn window(self, time_zone: &TimeZone) -> Result<(Timestamp, Timestamp), PeriodError> {
        Ok((day_begins(self.start, time_zone)?, day_begins(self.end()?, time_zone)?))
    }

    /// The cohort that follows.
    ///
    /// # Errors
    /// When it begins beyond the calendar's end.
    pub fn next(self) -> Result<Self, PeriodError> {
        Ok(Self { start: self.end()?, ..self })
    }

    /// The day its data is due for destruction: its end plus `keep`.
    ///
    /// # Errors
    /// When that day is beyond the calendar's end.
    pub fn due(self, keep: Period) -> Result<Date, PeriodError> {
        keep.after(self.end()?)
    }

    /// When that day begins in a time zone.
    ///
    /// # Errors
    /// When it is beyond the calendar's end.
    pub fn due_at(self, keep: Period, time_zone: &TimeZone) -> Result<Timestamp, PeriodError> {
        day_begins(self.due(keep)?, time_zone)
    }
}

fn day_begins(date: Date, time_zone: &TimeZone) -> Result<Timestamp, PeriodError> {
    let begins = date.to_zoned(time_zone.clone()).map_err(|_| PeriodError::TooLong(date.to_string()))?;
    Ok(begins.timestamp())
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.open {
            f.write_str("open-")?;
        }
        let (year, month) = (self.start.year(), self.start.month());
        match self.period {
            CohortPeriod::Day => write!(f, "{year:04}{month:02}{:02}", self.start.day()),
            CohortPeriod::Week => {
                let week = self.start.iso_week_date();
                write!(f, "{:04}w{:02}", week.year(), week.week())
            }
            CohortPeriod::Month => write!(f, "{year:04}m{month:02}"),
            CohortPeriod::Quarter => write!(f, "{year:04}q{}", (month - 1) / 3 + 1),
            CohortPeriod::Year => write!(f, "{year:04}"),
        }
    }
}

impl FromStr for Cohort {
    type Err = CohortError;

    fn from_str(text: &str) -> Result<Self, CohortError> {
        parse(text).filter(|cohort| cohort.to_string() == text).ok_or_else(|| CohortError(text.to_owned()))
    }
}

// Lenient: the caller formats the result and compares it with the input, so only canonical text passes.
fn parse(text: &str) -> Option<Cohort> {
    let (open, rest) = text.strip_prefix("open-").map_or((false, text), |rest| (true, rest));
    let (year, rest) = rest.split_at_checked(4)?;
    let year: i16 = year.parse().ok()?;
    let number = |text: &str| text.parse::<i8>().ok();
    let (start, period) = match rest.split_at_checked(1) {
        None => (Date::new(year, 1, 1).ok()?, CohortPeriod::Year),
        Some(("w", week)) => {
            (ISOWeekDate::new(year, number(week)?, Weekday::Monday).ok()?.date(), CohortPeriod::Week)
        }
        Some(("m", month)) => (Date::new(year, number(month)?, 1).ok()?, CohortPeriod::Month),
        Some(("q", quarter)) => {
            let month = number(quarter)?.checked_sub(1)?.checked_mul(3)?.checked_add(1)?;
            (Date::new(year, month, 1).ok()?, CohortPeriod::Quarter)
        }
        Some(_) => {
            let (month, day) = rest.split_at_checked(2)?;
            (Date::new(year, number(month)?, number(day)?).ok()?, CohortPeriod::Day)
        }
    };
    Some(Cohort { start, period, open })
}
