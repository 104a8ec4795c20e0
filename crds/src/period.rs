//! Periods: calendar units for retention, machine units for certificates and rotation.
//!
//! A calendar period is one integer with `d`, `w`, `mo` or `y`; adding it clamps to the end of a month (31 January +
//! 1mo = 28 or 29 February). A machine duration is one integer with `s`, `m`, `h` or `d` and is a fixed number of
//! seconds, regardless of time zones.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Span, civil::Date};

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    count: i32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

/// Why a text is no period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Not of the form.
    #[error("{0:?} is no period: expected one integer with d, w, mo or y, such as 90d, 18mo or 20y")]
    Form(String),
    /// Beyond the calendar.
    #[error("{0:?} is too long: the date it leads to is beyond the year 9999")]
    TooLong(String),
    /// Not a duration of machines.
    #[error("{0:?} is no duration: expected one integer with s, m, h or d, such as 720h or 30d")]
    Duration(String),
}

impl Period {
    /// The day this long after `date`, clamped to the end of a month.
    ///
    /// # Errors
    /// When that day is beyond the calendar's end.
    pub fn after(self, date: Date) -> Result<Date, PeriodError> {
        let too_long = |_| PeriodError::TooLong(self.to_string());
        let span = match self.unit {
            Unit::Days => Span::new().try_days(self.count),
            Unit::Weeks => Span::new().try_weeks(self.count),
            Unit::Months => Span::new().try_months(self.count),
            Unit::Years => Span::new().try_years(self.count),
        };
        date.checked_add(span.map_err(too_long)?).map_err(too_long)
    }

    /// Whether both count days and weeks, or both months and years: their order is then the same from
    /// every day.
    pub const fn same_units(self, other: Self) -> bool {
        matches!(
            (self.unit, other.unit),
            (Unit::Days | Unit::Weeks, Unit::Days | Unit::Weeks)
                | (Unit::Months | Unit::Years, Unit::Months | Unit::Years)
        )
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Days => "d",
            Unit::Weeks => "w",
            Unit::Months => "mo",
            Unit::Years => "y",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError::Form(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = match unit {
            "d" => Unit::Days,
            "w" => Unit::Weeks,
            "mo" => Unit::Months,
            "y" => Unit::Years,
            _ => return Err(wrong()),
        };
        match count.parse() {
            Ok(count) if count > 0 && !text.starts_with('0') => Ok(Self { count, unit }),
            _ => Err(wrong()),
        }
    }
}

/// Reads a machine duration such as `30d` or `12h`.
///
/// # Errors
/// When the text is not one positive integer with s, m, h or d.
pub fn duration(text: &str) -> Result<SignedDuration, PeriodError> {
    let wrong = || PeriodError::Duration(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    if count.starts_with('0') {
        return Err(wrong());
    }
    let count: i64 = count.parse().map_err(|_| wrong())?;
    let total = count.checked_mul(seconds).filter(|total| *total > 0).ok_or_else(wrong)?;
    Ok(SignedDuration::from_secs(total))
}
