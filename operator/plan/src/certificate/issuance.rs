//! The brake on issuing: what is broken may not spin, what renews normally may not be held up.

use jiff::Timestamp;
use thiserror::Error;

use super::reissue::Reason;
use crate::record::issuances::{Issuances, LIMIT, WINDOW};
use crate::world::certificate::after;

/// Too many issuances: wait.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "3 certificates were issued within an hour, the last because of {last_reason}: nothing more before {until}; find what keeps undoing the Secret"
)]
pub struct IssuanceLimited {
    /// When the next may be issued.
    pub until: Timestamp,
    /// Why the last one was.
    pub last_reason: String,
}

impl Issuances {
    /// Whether one more may be issued now.
    ///
    /// A renewal whose predecessor reached the Secret and lived until it was due is the normal course,
    /// however short the lives, and always passes. Everything else waits while [`LIMIT`] issuances lie
    /// within the last [`WINDOW`]. Refusals are not recorded, so the wait ends by itself. A record from
    /// further in the future than the window was made by a wrong clock and does not count.
    ///
    /// # Errors
    /// Until when to wait.
    pub fn admit(
        &self,
        reason: &Reason,
        found_serial: Option<&str>,
        now: Timestamp,
    ) -> Result<(), IssuanceLimited> {
        let last = self.recorded().last();
        let took_effect = last.is_some_and(|last| Some(last.serial.as_str()) == found_serial);
        if !reason.needs_new_leaf() || (matches!(reason, Reason::Expiring { .. }) && took_effect) {
            return Ok(());
        }
        let counted =
            || self.recorded().iter().filter(|i| now < after(i.at, WINDOW) && i.at <= after(now, WINDOW));
        match (counted().count() >= LIMIT, counted().map(|issuance| issuance.at).min(), last) {
            (true, Some(oldest), Some(last)) => Err(IssuanceLimited {
                until: after(oldest.min(now), WINDOW),
                last_reason: last.reason.clone(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
