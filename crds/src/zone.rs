//! Time zones.

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The time zone of that name, of the data that is compiled in: a machine's own may be years old, and another pod's would
/// begin its days at another time.
///
/// # Errors
/// When there is no such time zone.
pub fn named(name: &str) -> Result<TimeZone, jiff::Error> {
    TimeZoneDatabase::bundled().get(name)
}
