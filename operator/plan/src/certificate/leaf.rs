//! The leaf that a Channel should have: its names, its lifetime, and when it is renewed.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use subrosa_crds::names::is_dns_label;
use thiserror::Error;

use super::{observed::LeafFacts, subject::SubjectName};
use crate::world::certificate::{CLOCK_SKEW, KeyAlgorithm, Validity, after, fraction, whole_seconds};

/// X.520 upper bound of organisation, unit and common name, in characters.
const MAX_NAME_CHARS: usize = 64;
/// How many names of deleted Services a leaf takes over from the one before it.
const MOST_LOST: usize = 32;

/// A wanted leaf. Its strings are validated names; [`LeafSpec::validate`] has the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafSpec {
    /// The trust domain; also the SPIFFE trust domain.
    pub trust_domain: String,
    /// The channel's namespace.
    pub namespace: String,
    /// The channel's name.
    pub channel: String,
    /// The subject's common name.
    pub common_name: String,
    /// DNS names; `*.` may stand for one first label.
    pub dns_names: BTreeSet<String>,
    /// Wanted life. What is signed may be shorter, never longer.
    pub duration: SignedDuration,
    /// How long before the end the leaf is renewed.
    pub renew_before: SignedDuration,
    /// The leaf key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// Names that belong to other pods: those of Services and Channels of the namespace.
    pub others: Arc<BTreeSet<String>>,
    /// Names of Services that wait for the renewal, because issuing a leaf would restart the workload.
    pub for_renewal: Arc<BTreeSet<String>>,
}

/// Why a [`LeafSpec`] cannot become a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeafSpecError {
    /// A name is not usable in a certificate.
    #[error("{field} {value:?} cannot stand in a certificate: write {expected}")]
    Name {
        /// Which field.
        field: &'static str,
        /// The value found.
        value: String,
        /// What to write instead.
        expected: &'static str,
    },
    /// The times contradict each other.
    #[error(
        "tls.renewBefore {renew_before} does not fit tls.duration {duration}: write a positive renewBefore below the duration"
    )]
    Times {
        /// The wanted life.
        duration: String,
        /// The wanted lead.
        renew_before: String,
    },
}

/// The SPIFFE ID of a channel.
pub(super) fn spiffe_id(trust_domain: &str, namespace: &str, channel: &str) -> String {
    format!("spiffe://{trust_domain}/ns/{namespace}/channel/{channel}")
}

impl LeafSpec {
    /// Checks everything that a certificate requires of the specification.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn validate(&self) -> Result<(), LeafSpecError> {
        for (field, value) in
            [("trustDomain", &self.trust_domain), ("namespace", &self.namespace), ("channel", &self.channel)]
        {
            if !is_dns_label(value) {
                return Err(name_error(field, value, "a DNS label: a-z, 0-9 and '-', at most 63 characters"));
            }
        }
        if !is_common_name(&self.common_name) {
            return Err(name_error(
                "tls.commonName",
                &self.common_name,
                "1 to 64 characters without control characters or surrounding spaces",
            ));
        }
        if let Some(name) = self.dns_names.iter().find(|name| !is_dns_name(name)) {
            return Err(name_error(
                "tls.dnsNames",
                name,
                "a lower-case DNS name, '*.' only as the whole first label",
            ));
        }
        if self.renew_before.as_secs() <= 0 || self.renew_before >= self.duration {
            return Err(LeafSpecError::Times {
                duration: format!("{:#}", self.duration),
                renew_before: format!("{:#}", self.renew_before),
            });
        }
        Ok(())
    }

    /// `spiffe://<domain>/ns/<ns>/channel/<name>`.
    #[must_use]
    pub fn spiffe_id(&self) -> String {
        spiffe_id(&self.trust_domain, &self.namespace, &self.channel)
    }

    /// The subject of the leaf.
    #[must_use]
    pub fn subject(&self) -> SubjectName {
        SubjectName {
            organisation: self.trust_domain.clone(),
            unit: self.namespace.clone(),
            common_name: self.common_name.clone(),
        }
    }

    /// This specification with only the DNS names that an authority may sign, and the names left out. A common name
    /// that the authority may not sign is replaced by the Channel's name.
    ///
    /// A name allowed after the signing generation was made waits for the next generation. Without it the leaf can
    /// still be renewed.
    #[must_use]
    pub fn permitted_by(&self, permitted: &BTreeSet<String>) -> (Self, BTreeSet<String>) {
        let (inside, mut outside): (BTreeSet<_>, BTreeSet<_>) =
            self.dns_names.iter().cloned().partition(|name| name_is_permitted(name, permitted));
        let mut common_name = self.common_name.clone();
        if !self.common_name_permitted(permitted) {
            outside.insert(std::mem::replace(&mut common_name, self.channel.clone()));
        }
        (Self { dns_names: inside, common_name, ..self.clone() }, outside)
    }

    /// Whether an authority with these subtrees may not sign every name.
    #[must_use]
    pub fn lacks_names(&self, permitted: &BTreeSet<String>) -> bool {
        !self.common_name_permitted(permitted)
            || self.dns_names.iter().any(|name| !name_is_permitted(name, permitted))
    }

    /// This specification with the names and the algorithm of `leaf`, for renewals while a declaration is not in
    /// force.
    #[must_use]
    pub fn named_as(&self, leaf: &LeafFacts) -> Self {
        let subject = leaf.subject.as_ref();
        Self {
            common_name: subject.map_or(&self.common_name, |subject| &subject.common_name).clone(),
            dns_names: leaf.dns_names.clone(),
            key_algorithm: leaf.key_algorithm.unwrap_or(self.key_algorithm),
            ..self.clone()
        }
    }

    /// Whether `leaf` has every wanted DNS name, and beside them only lost names.
    ///
    /// A name is lost when its Service is deleted. It stays until the renewal, so that a deleted Service does not
    /// restart a workload that is reached by others. It does not stay once the name belongs to other pods.
    #[must_use]
    pub fn has_its_names(&self, leaf: &LeafFacts) -> bool {
        self.dns_names.difference(&leaf.dns_names).all(|name| self.for_renewal.contains(name))
            && leaf.dns_names.difference(&self.dns_names).all(|name| self.is_lost(name))
    }

    /// The names that `leaf` gets only with its renewal.
    pub fn awaits_renewal<'a>(&'a self, leaf: &'a LeafFacts) -> impl Iterator<Item = &'a String> {
        let missing = self.dns_names.difference(&leaf.dns_names);
        missing.filter(|name| self.for_renewal.contains(*name))
    }

    /// This specification for a leaf that replaces `leaf` early, with at most 32 of the names that `leaf` lost, so
    /// that Services that come and go do not cause an issuance each time.
    #[must_use]
    pub fn with_lost_names(&self, leaf: &LeafFacts) -> Self {
        let mut kept = self.clone();
        let lost = leaf.dns_names.difference(&self.dns_names).filter(|name| self.is_lost(name));
        kept.dns_names.extend(lost.take(MOST_LOST).cloned());
        kept
    }

    /// Whether an unwanted DNS name belonged to a Service of the namespace and belongs to nobody now.
    fn is_lost(&self, name: &str) -> bool {
        let mut labels = name.strip_prefix("*.").unwrap_or(name).split('.');
        let service = labels.next().unwrap_or_default();
        labels.next() == Some(&self.namespace)
            && labels.next() == Some("svc")
            && !self.others.contains(service)
    }

    /// Whether the common name is allowed under such an authority: if software may take it for a DNS name, it must be
    /// permitted.
    #[must_use]
    pub fn common_name_permitted(&self, permitted: &BTreeSet<String>) -> bool {
        !reads_as_dns_name(&self.common_name) || name_is_permitted(&self.common_name, permitted)
    }

    /// The validity of a leaf signed now under an authority with the given validity.
    ///
    /// It starts [`CLOCK_SKEW`] in the past (or a tenth of its life if that is less), but not before its authority.
    /// It lasts as long as wanted, but at most a quarter of its authority's life and never beyond its end.
    ///
    /// # Errors
    /// When the authority is not valid now.
    pub fn validity(&self, now: Timestamp, authority: Validity) -> Result<Validity, AuthorityNotValid> {
        leaf_validity(now, self.duration, authority)
    }
}

/// The authority is not valid at the time of signing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the authority is valid from {not_before} to {not_after}, not at {now}: it signs nothing; check the clock, or let the next generation take over"
)]
pub struct AuthorityNotValid {
    not_before: Timestamp,
    not_after: Timestamp,
    now: Timestamp,
}

/// See [`LeafSpec::validity`].
///
/// # Errors
/// When the authority is not valid now.
pub fn leaf_validity(
    now: Timestamp,
    duration: SignedDuration,
    authority: Validity,
) -> Result<Validity, AuthorityNotValid> {
    let now = whole_seconds(now);
    let Validity { not_before, not_after } = authority;
    let refused = AuthorityNotValid { not_before, not_after, now };
    if now < not_before {
        return Err(refused);
    }
    let life = duration.min(fraction(authority.lifetime(), 1, 4));
    let start = backdated(now, life).max(not_before);
    let validity = Validity { not_before: start, not_after: after(start, life).min(not_after) };
    if validity.not_after <= now { Err(refused) } else { Ok(validity) }
}

/// The start of a certificate with that lifetime made at `now`.
pub(crate) fn backdated(now: Timestamp, life: SignedDuration) -> Timestamp {
    after(whole_seconds(now), -CLOCK_SKEW.min(fraction(life, 1, 10)))
}

/// When a leaf is renewed: `renew_before` ahead of its end, minus a jitter of up to a tenth.
///
/// The jitter is a hash of `seed` (the leaf's serial or the object's UID), so that leaves made together are not
/// renewed together, and a restarted operator computes the same time. A leaf with a shorter life than wanted keeps at
/// least a third of it before renewal, so that renewals cannot loop.
#[must_use]
pub fn renew_at(seed: &str, validity: Validity, renew_before: SignedDuration) -> Timestamp {
    let lead = renew_before.min(fraction(validity.lifetime(), 2, 3)).max(SignedDuration::ZERO);
    let digest = Sha256::digest(seed.as_bytes());
    let draw = digest.iter().take(4).fold(0_i64, |draw, byte| draw << 8 | i64::from(*byte));
    let earlier = fraction(fraction(lead, 1, 10), draw, 1 << 32);
    after(validity.not_after, -lead - earlier)
}

/// Whether a DNS name is in one of the permitted subtrees (RFC 5280: the name itself and all below it).
///
/// `*.a.b` is inside if `a.b` is, because then everything that it matches is.
#[must_use]
pub fn name_is_permitted(name: &str, permitted: &BTreeSet<String>) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    permitted.iter().any(|subtree| {
        !subtree.is_empty()
            && name.strip_suffix(subtree.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether OpenSSL and others may take this common name for a DNS name if the leaf has none.
fn reads_as_dns_name(common_name: &str) -> bool {
    common_name.contains('.') && common_name.is_ascii() && !common_name.contains([' ', '@', '/'])
}

fn name_error(field: &'static str, value: &str, expected: &'static str) -> LeafSpecError {
    LeafSpecError::Name { field, value: value.chars().take(80).collect(), expected }
}

/// A lower-case DNS name, with `*.` allowed as the whole first label above at least two more.
pub(crate) fn is_dns_name(text: &str) -> bool {
    let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
    text.len() <= 253 && name.split('.').all(is_dns_label) && (!wildcard || name.contains('.'))
}

fn is_common_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
pub(crate) mod tests;
