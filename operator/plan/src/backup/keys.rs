//! The keys of backups: one for each window, made before the window begins, as keys of data are.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    TrustDomain,
    backup::WINDOW,
    cohort::Cohort,
    names::{BACKUP_CLASS, ChannelId},
    period::PeriodError,
};

use crate::{
    keys::WantedKey,
    world::{declaration::Declaration, domain},
};

/// How often the key of the current window gets a new version. A repository's own key is wrapped once, when its first
/// snapshot is made.
const ROTATE_EVERY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The keys of the current and of the next window.
///
/// # Errors
/// When a window would begin beyond the calendar.
pub fn wanted(
    channel: &Declaration,
    id: &ChannelId,
    domain: &TrustDomain,
    now: Timestamp,
) -> Result<Vec<WantedKey>, PeriodError> {
    if channel.backup().is_none() {
        return Ok(Vec::new());
    }
    let current = Cohort::of(domain::today(domain, now), WINDOW);
    let windows = [(current, Some(ROTATE_EVERY)), (current.next()?, None)];
    Ok(windows
        .map(|(window, rotate_every)| WantedKey {
            class: BACKUP_CLASS.to_owned(),
            cohort: window,
            name: id.data_key(BACKUP_CLASS, &window.to_string()),
            key_type: channel.key_type(),
            rotate_every,
        })
        .into())
}
