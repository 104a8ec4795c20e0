//! What a Channel's certificates should be, and when they change.
//!
//! ```text
//!  transit key versions ──▶ authority::step ──▶ generations (record) ──▶ trust::trust_files (peers)
//!                                                   │
//!  LeafSpec + Secret as found ──▶ drift_of ────────┴──▶ issuance limit ──▶ leaf_validity ──▶ sign
//! ```
//!
//! Nothing here touches a key or parses X.509: `subrosa::pki` builds, checks and parses, Vault signs, and this module
//! decides from plain facts and the given time.

pub mod authority;
pub mod external;
pub mod issuance;
pub mod leaf;
pub mod observed;
pub mod reissue;
pub mod secrets;
pub mod settled;
pub mod specs;
pub mod subject;
pub mod trust_files;
pub mod trust_room;
pub mod trust_sources;

#[cfg(test)]
mod simulation;

pub use authority::{AuthorityAction, AuthorityFacts, AuthoritySpec};
pub use external::ExternalFacts;
pub use issuance::IssuanceLimited;
pub use leaf::LeafSpec;
pub use observed::{LeafFacts, Malformed, ObservedSecret, SecretFacts};
pub use reissue::{Drift, Wanted, drift_of};
pub use settled::Settled;
pub use subject::SubjectName;
pub use trust_files::{TrustFiles, TrustSources, trust_files};

use crate::world::certificate::{Fingerprint, Validity};

/// The certificate that pods mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrentCertificate {
    /// One in the Secret that Subrosa writes.
    Issued(LeafFacts),
    /// One by another issuer.
    External(ExternalFacts),
    /// One for each pod, by the Channel's own authority; no Secret has it.
    OfEach,
}

impl CurrentCertificate {
    /// Whether a pod can present it: it is valid, even if another one is due.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        match self {
            Self::Issued(leaf) => {
                leaf.key_problem.is_none()
                    && leaf.key_matches
                    && leaf.usage_as_built
                    && leaf.issuer.is_some()
                    && leaf.chain_complete
            }
            Self::External(facts) => facts.key_matches,
            Self::OfEach => true,
        }
    }

    /// Its serial, lower-case hex; empty where each pod has its own.
    #[must_use]
    pub fn serial(&self) -> &str {
        match self {
            Self::Issued(leaf) => &leaf.serial,
            Self::External(facts) => &facts.serial,
            Self::OfEach => "",
        }
    }

    /// Its fingerprint; `None` where each pod has its own.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Issued(leaf) => Some(leaf.fingerprint),
            Self::External(facts) => Some(facts.fingerprint),
            Self::OfEach => None,
        }
    }

    /// Its validity; `None` where each pod has its own.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        match self {
            Self::Issued(leaf) => Some(leaf.validity),
            Self::External(facts) => Some(facts.validity),
            Self::OfEach => None,
        }
    }
}

impl From<LeafFacts> for CurrentCertificate {
    fn from(leaf: LeafFacts) -> Self {
        Self::Issued(leaf)
    }
}

/// The certificate that pods mount, even if issuing another one fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Not read: the last one in status counts.
    Unknown,
    /// None, or none that can be parsed.
    Nothing,
    /// This one, valid or not.
    Held(Box<CurrentCertificate>),
}

impl Observation {
    /// The certificate, if one was seen.
    #[must_use]
    pub fn held(&self) -> Option<&CurrentCertificate> {
        match self {
            Self::Held(held) => Some(held),
            Self::Unknown | Self::Nothing => None,
        }
    }
}

impl<T: Into<CurrentCertificate>> From<T> for Observation {
    fn from(held: T) -> Self {
        Self::Held(Box::new(held.into()))
    }
}

impl From<&ObservedSecret> for Observation {
    fn from(found: &ObservedSecret) -> Self {
        found.leaf().map_or(Self::Nothing, |leaf| leaf.clone().into())
    }
}
