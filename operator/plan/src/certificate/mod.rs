//! What a channel's certificates should be, and when they change.
//!
//! ```text
//!  transit key versions ──▶ authority::step ──▶ generations (ledger) ──▶ trust::trust_files (peers)
//!                                                   │
//!  LeafSpec + Secret as found ──▶ reissue_reason ───┴──▶ issuance limit ──▶ leaf_validity ──▶ sign
//! ```
//!
//! Nothing here touches a key or parses X.509: `subrosa::pki` builds, checks and observes, Vault signs,
//! and this module decides from plain facts and the time it is given.

pub mod authority;
pub mod external;
pub mod issuance;
pub mod leaf;
pub mod observed;
pub mod pem;
pub mod reissue;
pub mod trust;

#[cfg(test)]
mod simulation;

pub use authority::{
    AuthorityAction, AuthorityFacts, AuthoritySpec, Generation, GenerationState, Generations,
};
pub use external::ExternalFacts;
pub use issuance::{Issuance, IssuanceLimited, Issuances};
pub use leaf::{KeyAlgorithm, LeafSpec, Subject, Validity};
pub use observed::{LeafFacts, Malformed, ObservedSecret, SecretFacts};
pub use reissue::{Reason, Wanted, reissue_reason};
pub use trust::{TrustFiles, TrustSources, trust_files};

use jiff::{SignedDuration, Timestamp};

/// The certificate that pods mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// One that the Channel's own authority signed.
    Issued(LeafFacts),
    /// One that somebody else issued.
    External(ExternalFacts),
    /// One for each, by the Channel's own authority: no Secret has it.
    OfEach,
}

impl Held {
    /// Its serial, lower-case hex; empty where each pod has another.
    #[must_use]
    pub fn serial(&self) -> &str {
        match self {
            Self::Issued(leaf) => &leaf.serial,
            Self::External(facts) => &facts.serial,
            Self::OfEach => "",
        }
    }

    /// From when until when it is valid; none where each pod has another.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        match self {
            Self::Issued(leaf) => Some(leaf.validity),
            Self::External(facts) => Some(facts.validity),
            Self::OfEach => None,
        }
    }
}

impl From<LeafFacts> for Held {
    fn from(leaf: LeafFacts) -> Self {
        Self::Issued(leaf)
    }
}

/// How far two clocks of one cluster may disagree before a certificate of ours is refused.
///
/// Certificates are backdated by at most this much, and every wait for "has certainly expired" adds it.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// X.509 times have whole seconds; deciding in the same unit keeps records and certificates equal.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `duration × numerator / denominator`, in whole seconds.
pub(crate) fn fraction(duration: SignedDuration, numerator: i64, denominator: i64) -> SignedDuration {
    let seconds = i128::from(duration.as_secs()) * i128::from(numerator) / i128::from(denominator.max(1));
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// `at + duration`, at most the end of representable time.
pub(crate) fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}
