//! The last issuances of a Channel's certificate.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subrosa_crds::Reason;

/// How many issuances an object may have in one [`WINDOW`].
pub const LIMIT: usize = 3;
/// The window of the limit.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// One issuance, noted in the record before anything is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedLeaf {
    /// The serial, lower-case hex.
    pub serial: String,
    /// When it was noted.
    pub at: Timestamp,
    /// The name of the reason.
    pub reason: String,
    /// When the certificate expires; unknown for those that older versions noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl IssuedLeaf {
    /// Whether it was for other names or another key algorithm.
    #[must_use]
    pub fn is_for_names(&self) -> bool {
        Reason::read(&self.reason) == Some(Reason::NamesChanged)
    }
}

/// The last [`LIMIT`] issuances for names and the last [`LIMIT`] for anything else, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Issuances(Vec<IssuedLeaf>);

impl Issuances {
    /// Those on record, oldest first.
    #[must_use]
    pub fn recorded(&self) -> &[IssuedLeaf] {
        &self.0
    }

    /// The issuance whose certificate was in the Secret at that time, as far as recorded.
    #[must_use]
    pub fn held_at(&self, time: Timestamp) -> Option<&IssuedLeaf> {
        self.0.iter().rev().find(|issuance| issuance.at <= time)
    }

    /// Adds an issuance. Issuances for names and all others have separate limits, so neither pushes out the other.
    #[must_use]
    pub fn noted(mut self, issuance: IssuedLeaf) -> Self {
        let for_names = issuance.is_for_names();
        self.0.push(issuance);
        let alike = self.0.iter().filter(|one| one.is_for_names() == for_names).count();
        let mut excess = alike.saturating_sub(LIMIT);
        self.0.retain(|one| {
            let goes = excess > 0 && one.is_for_names() == for_names;
            excess -= usize::from(goes);
            !goes
        });
        self
    }

    /// Removes the issuances that were noted but never signed.
    #[must_use]
    pub fn without(mut self, unsigned: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|issuance| !unsigned(&issuance.serial));
        self
    }
}
