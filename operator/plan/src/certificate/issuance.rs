//! The rate limit for issuing: a fault must not cause a loop, and normal renewals must not be delayed.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::reissue::Drift;
use crate::record::issuances::{Issuances, IssuedLeaf, LIMIT, WINDOW};
use crate::world::certificate::after;

/// How long changed names wait to be issued together with others.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);
/// How long changed names wait after the last issuance when there are [`LIMIT`] within the [`WINDOW`], because each
/// may restart a workload.
const OFTEN: SignedDuration = SignedDuration::from_mins(10);
/// How long a missing Secret waits after the last issuance when there are [`LIMIT`] within the [`WINDOW`].
const MISSING: SignedDuration = SignedDuration::from_mins(1);

/// The rate limit is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuanceLimited {
    /// When the next may be issued.
    pub until: Timestamp,
    /// The reason for the next issuance.
    pub reason: Drift,
    /// The issuances of the last hour that were counted, oldest first.
    pub recent: Vec<IssuedLeaf>,
}

impl std::error::Error for IssuanceLimited {}

impl fmt::Display for IssuanceLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until, reason, recent } = self;
        match reason {
            Drift::NamesChanged { what } => write!(
                f,
                "{what} changed again: one certificate with every change is issued at {until}, nothing has to be done"
            )?,
            Drift::Missing => {
                write!(f, "the Secret was deleted again: it is made again at {until}; find what deletes it")?;
            }
            other => write!(
                f,
                "{LIMIT} certificates were issued within an hour and {other}: nothing more before {until}; find what keeps \
                 undoing the Secret, then delete it: one that is missing is made again within a minute"
            )?,
        }
        f.write_str(" (issued in the last hour:")?;
        let mut separator = " ";
        for one in recent {
            write!(f, "{separator}{} at {}", one.reason, one.at)?;
            separator = ", ";
        }
        f.write_str(")")
    }
}

impl Issuances {
    /// Whether one more leaf may be issued now.
    ///
    /// - A renewal whose predecessor reached the Secret and lived until it was due is normal, however short its life,
    ///   and always allowed.
    /// - Changed names are issued at once, unless the last issuance was for names too: then they wait ten seconds for
    ///   further changes, and ten minutes after [`LIMIT`] issuances within the last [`WINDOW`].
    /// - A missing Secret is always made again; at the limit, a minute after the last issuance.
    /// - Everything else waits while there are [`LIMIT`] issuances for other reasons than names within the last
    ///   [`WINDOW`].
    ///
    /// Refusals are not recorded, so every wait ends by itself. A record from further in the future than the window
    /// came from a wrong clock and does not count.
    ///
    /// # Errors
    /// Until when to wait.
    pub fn admit(
        &self,
        reason: &Drift,
        found_serial: Option<&str>,
        now: Timestamp,
    ) -> Result<(), IssuanceLimited> {
        let newest = self.recorded().last();
        let took_effect = newest.is_some_and(|newest| Some(newest.serial.as_str()) == found_serial);
        if !reason.needs_new_leaf() || (matches!(reason, Drift::Expiring { .. }) && took_effect) {
            return Ok(());
        }
        let counts = |one: &&IssuedLeaf| now < after(one.at, WINDOW) && one.at <= after(now, WINDOW);
        let mut recent: Vec<IssuedLeaf> = self.recorded().iter().filter(counts).cloned().collect();
        let often = recent.len() >= LIMIT;
        let last = recent.iter().filter(|one| one.at <= now).max_by_key(|one| one.at);
        let until = match reason {
            Drift::NamesChanged { .. } => last
                .filter(|last| often || last.is_for_names())
                .map(|last| after(last.at, if often { OFTEN } else { TOGETHER })),
            Drift::Missing => last.filter(|_| often).map(|last| after(last.at, MISSING)),
            _ => {
                recent.retain(|one| !one.is_for_names());
                let oldest = recent.iter().map(|one| one.at).min().filter(|_| recent.len() >= LIMIT);
                oldest.map(|oldest| after(oldest.min(now), WINDOW))
            }
        };
        match until.filter(|until| now < *until) {
            Some(until) => Err(IssuanceLimited { until, reason: reason.clone(), recent }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
