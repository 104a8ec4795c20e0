//! The generations of a certificate authority in the record, and their transitions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::world::certificate::Validity;

/// What a generation is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GenerationState {
    /// Peers are to trust it; it signs nothing yet.
    Published,
    /// It signs the channel's leaves.
    Signing,
    /// Trusted until the last leaf it signed has expired.
    Retiring,
}

/// One generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Its number: never used again.
    pub version: u32,
    /// The version of the authority's key to which the certificate belongs, on the mount for authorities. `None`
    /// where an earlier release made the key on the mount of data keys: there key versions equal generation numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
    /// The self-signed certificate.
    pub certificate_pem: String,
    /// SHA-256 of the certificate's DER, lower-case hex.
    pub fingerprint: String,
    /// First valid second.
    pub not_before: Timestamp,
    /// Last valid second.
    pub not_after: Timestamp,
    /// The DNS subtrees it may sign names in.
    pub permitted_dns: BTreeSet<String>,
    /// When it was written to the record.
    pub published_at: Timestamp,
    /// What it is used for.
    pub state: GenerationState,
    /// The peers whose Secret holds it, and by when each has certainly loaded it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub loaded_by: BTreeMap<String, Timestamp>,
    /// The latest end of any leaf it signed or was about to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_leaf_not_after: Option<Timestamp>,
}

impl Generation {
    /// Its validity.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }
}

/// All existing generations, by version. A version is never reused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Generation>", into = "Vec<Generation>")]
pub struct Generations(BTreeMap<u32, Generation>);

impl From<Vec<Generation>> for Generations {
    fn from(generations: Vec<Generation>) -> Self {
        generations.into_iter().collect()
    }
}

impl From<Generations> for Vec<Generation> {
    fn from(generations: Generations) -> Self {
        generations.0.into_values().collect()
    }
}

impl FromIterator<Generation> for Generations {
    fn from_iter<I: IntoIterator<Item = Generation>>(generations: I) -> Self {
        Self(generations.into_iter().map(|generation| (generation.version, generation)).collect())
    }
}

impl Generations {
    /// Every generation, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Generation> {
        self.0.values()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The generation of a version.
    #[must_use]
    pub fn get(&self, version: u32) -> Option<&Generation> {
        self.0.get(&version)
    }

    /// The signing generation.
    #[must_use]
    pub fn signing(&self) -> Option<&Generation> {
        self.iter().rev().find(|generation| generation.state == GenerationState::Signing)
    }

    /// The published generation.
    #[must_use]
    pub fn published(&self) -> Option<&Generation> {
        self.iter().rev().find(|generation| generation.state == GenerationState::Published)
    }

    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.0.keys().next_back().copied()
    }

    /// The certificates that peers must trust: all generations, oldest first.
    #[must_use]
    pub fn trusted(&self) -> Vec<String> {
        self.iter().map(|generation| generation.certificate_pem.clone()).collect()
    }

    /// Whether a generation has another certificate in `later`.
    #[must_use]
    pub fn is_replaced_in(&self, later: &Self) -> bool {
        let is_another = |one: &Generation, now: &Generation| one.fingerprint != now.fingerprint;
        self.iter().any(|one| later.get(one.version).is_some_and(|now| is_another(one, now)))
    }

    /// When the last leaf of this Channel expires; its peers' authorities wait for that.
    #[must_use]
    pub fn leaves_until(&self) -> Option<Timestamp> {
        self.iter().filter_map(|generation| generation.last_leaf_not_after).max()
    }

    /// Adds a new generation, or a new certificate for one that lost its own (it keeps its state). The very first
    /// generation signs at once, because no peer trusts another.
    #[must_use]
    pub fn with_certificate(mut self, certificate: NewCertificate) -> Self {
        let before = self.0.remove(&certificate.version);
        let state = match &before {
            Some(before) => before.state,
            None if self.signing().is_none() && self.published().is_none() => GenerationState::Signing,
            None => GenerationState::Published,
        };
        let generation = Generation {
            version: certificate.version,
            key_version: certificate.key_version,
            certificate_pem: certificate.certificate_pem,
            fingerprint: certificate.fingerprint,
            not_before: certificate.validity.not_before,
            not_after: certificate.validity.not_after,
            permitted_dns: certificate.permitted_dns,
            published_at: certificate.published_at,
            state,
            // Peers do not have the new certificate yet, so the wait begins again.
            loaded_by: BTreeMap::new(),
            last_leaf_not_after: before.and_then(|before| before.last_leaf_not_after),
        };
        self.0.insert(generation.version, generation);
        self
    }

    /// Notes the peers that have loaded a generation.
    #[must_use]
    pub fn with_peers(mut self, version: u32, loaded_by: BTreeMap<String, Timestamp>) -> Self {
        if let Some(generation) = self.0.get_mut(&version) {
            generation.loaded_by = loaded_by;
        }
        self
    }

    /// Makes another generation the signing one; the previous one and any skipped ones retire.
    #[must_use]
    pub fn with_signing(mut self, version: u32) -> Self {
        if self.0.contains_key(&version) {
            for generation in self.0.values_mut() {
                if generation.version == version {
                    generation.state = GenerationState::Signing;
                    generation.loaded_by.clear();
                } else if generation.version < version || generation.state == GenerationState::Signing {
                    generation.state = GenerationState::Retiring;
                }
            }
        }
        self
    }

    /// Removes a generation.
    #[must_use]
    pub fn without(mut self, version: u32) -> Self {
        self.0.remove(&version);
        self
    }

    /// Notes a leaf that the generation is about to sign.
    #[must_use]
    pub fn with_leaf(mut self, version: u32, not_after: Timestamp) -> Self {
        if let Some(generation) = self.0.get_mut(&version) {
            generation.last_leaf_not_after = generation.last_leaf_not_after.max(Some(not_after));
        }
        self
    }
}

/// A new certificate for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCertificate {
    /// The number of the generation.
    pub version: u32,
    /// The version of the authority's key, as [`Generation::key_version`] has it.
    pub key_version: Option<u32>,
    /// The certificate.
    pub certificate_pem: String,
    /// SHA-256 of its DER, lower-case hex.
    pub fingerprint: String,
    /// Its validity.
    pub validity: Validity,
    /// The DNS subtrees it may sign names in.
    pub permitted_dns: BTreeSet<String>,
    /// Now.
    pub published_at: Timestamp,
}

#[cfg(test)]
pub(crate) mod tests;
