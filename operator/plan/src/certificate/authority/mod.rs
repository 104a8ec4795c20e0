//! A channel's certificate authority: generations, and how one takes over from another.
//!
//! Each generation has its own version of the authority's key ([`keys`] says which). So Vault's version counter says
//! which generations can exist, and the record says what was made of them.
//!
//! ```text
//!   (rotate transit key) ─▶ sign certificate ─▶ Published ─▶ Signing ─▶ Retiring ─▶ (removed)
//!                              trusted by peers from here ──────────────────────▶│
//!                                                     │              last leaf it signed has expired
//!                    every peer holds it and every leaf they had then has expired, or the deadline
//! ```
//!
//! A workload reads its files at least once per leaf. So a peer with a new generation in its Secret has certainly
//! loaded it when every leaf that it had at that moment has expired. The record has these moments, so the wait
//! survives a restart.

pub mod keys;
mod outlook;
mod step;
#[cfg(test)]
mod step_tests;
pub use outlook::{PendingName, needed, pending_names};
pub use step::{AuthorityAction, AuthorityFacts, AuthorityKeyState, Blocked, Leaves, PeerFacts, step};

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::names::{ChannelId, is_dns_label};
use thiserror::Error;

use crate::world::certificate::{after, fraction};
use crate::{
    certificate::{
        leaf::{backdated, is_dns_name, spiffe_id},
        subject::SubjectName,
    },
    world::certificate::Validity,
};

/// The specification of a Channel's authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySpec {
    /// The trust domain.
    pub trust_domain: String,
    /// The channel's namespace.
    pub namespace: String,
    /// The channel's name.
    pub channel: String,
    /// The channel's minted id, which outlives its name.
    pub id: String,
    /// The life of a generation.
    pub duration: SignedDuration,
    /// The DNS subtrees in which its leaves may have names.
    pub permitted_dns: BTreeSet<String>,
}

/// Why an [`AuthoritySpec`] cannot become a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("authority of {namespace}/{channel}: {field} {value:?} cannot be used: {expected}")]
pub struct AuthoritySpecError {
    namespace: String,
    channel: String,
    field: &'static str,
    value: String,
    expected: &'static str,
}

/// The Channel named by the common name of a generation ([`AuthoritySpec::subject`]). Only a check against the
/// transit key proves it.
#[must_use]
pub fn channel_named(common_name: &str) -> Option<ChannelId> {
    let (_, generation) = common_name.rsplit_once(" CA ")?;
    generation.split_once('.')?.0.parse().ok()
}

impl AuthoritySpec {
    /// Checks everything a certificate needs of the specification.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn validate(&self) -> Result<(), AuthoritySpecError> {
        let refused = |field, value: &str, expected| AuthoritySpecError {
            namespace: self.namespace.clone(),
            channel: self.channel.clone(),
            field,
            value: value.chars().take(80).collect(),
            expected,
        };
        for (field, value) in [
            ("trustDomain", &self.trust_domain),
            ("namespace", &self.namespace),
            ("channel", &self.channel),
            ("id", &self.id),
        ] {
            if !is_dns_label(value) {
                return Err(refused(field, value, "write a DNS label"));
            }
        }
        if self.permitted_dns.is_empty() {
            return Err(refused("permitted DNS subtrees", "", "name at least the namespace's services"));
        }
        if let Some(name) =
            self.permitted_dns.iter().find(|name| name.starts_with("*.") || !is_dns_name(name))
        {
            return Err(refused(
                "allowedDNSSuffixes",
                name,
                "write a lower-case DNS name without a wildcard",
            ));
        }
        if self.duration.as_secs() < 60 {
            let given = format!("{:#}", self.duration);
            return Err(refused("certificateAuthority.duration", &given, "write at least 1m"));
        }
        Ok(())
    }

    /// The SPIFFE ID of the channel, which every leaf of its authority has.
    #[must_use]
    pub fn spiffe_id(&self) -> String {
        spiffe_id(&self.trust_domain, &self.namespace, &self.channel)
    }

    /// The subject of a generation, unique among all Channels and generations.
    #[must_use]
    pub fn subject(&self, version: u32) -> SubjectName {
        SubjectName {
            organisation: self.trust_domain.clone(),
            unit: self.namespace.clone(),
            common_name: format!("{} CA {}.{version}", self.channel, self.id),
        }
    }

    /// The validity of a generation made now.
    #[must_use]
    pub fn validity(&self, now: Timestamp) -> Validity {
        let not_before = backdated(now, self.duration);
        Validity { not_before, not_after: after(not_before, fraction(self.duration, 1, 1)) }
    }
}
