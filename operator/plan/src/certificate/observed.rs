//! The content of a Channel's Secret: only facts, never the private key.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    certificate::subject::SubjectName,
    world::certificate::{Fingerprint, KeyAlgorithm, Validity},
};

/// The Secret as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedSecret {
    /// There is none.
    Missing,
    /// It exists; its facts say whether it is valid.
    Present(Box<SecretFacts>),
}

impl ObservedSecret {
    /// The readable leaf, if there is one.
    #[must_use]
    pub fn leaf(&self) -> Option<&LeafFacts> {
        match self {
            Self::Missing => None,
            Self::Present(facts) => facts.leaf.as_ref().ok(),
        }
    }

    /// The serial of the readable leaf.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.leaf().map(|leaf| leaf.serial.as_str())
    }
}

/// The facts of an existing Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The leaf, or why `tls.crt` cannot be parsed.
    pub leaf: Result<LeafFacts, Malformed>,
    /// `ca.crt` and every `*-ca.crt`, exactly as found. Bytes that are not UTF-8 are replaced, so that such a file
    /// differs from ours.
    pub trust: BTreeMap<String, String>,
}

/// A file of the Secret that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The key in the Secret's data.
    pub field: &'static str,
    /// What is wrong with it, without quoting it.
    pub problem: &'static str,
}

/// The facts of a parsed `tls.crt`, and whether `tls.key` is its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The subject, if it has exactly our three attributes in their order.
    pub subject: Option<SubjectName>,
    /// The named issuer, if it has the form of ours. `issuer` says whether that one signed the leaf.
    pub issuer_name: Option<SubjectName>,
    /// URI names.
    pub uris: BTreeSet<String>,
    /// DNS names.
    pub dns_names: BTreeSet<String>,
    /// Names of any other form, or names that cannot be read.
    pub other_names: bool,
    /// The key's algorithm, if it is one of ours.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Key usage, extended key usage and basic constraints are those of a leaf of ours.
    pub usage_as_built: bool,
    /// Why `tls.key` cannot be read, without quoting it.
    pub key_problem: Option<&'static str>,
    /// `tls.key` is the private key of the leaf.
    pub key_matches: bool,
    /// The leaf's validity.
    pub validity: Validity,
    /// The generation (transit key version) whose key verifies the leaf's signature.
    pub issuer: Option<u32>,
    /// What follows the leaf is exactly that generation's certificate.
    pub chain_complete: bool,
}
