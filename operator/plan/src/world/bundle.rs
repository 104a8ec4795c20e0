//! CA bundles: keys of ConfigMaps in the operator's namespace, where the platform team lists further authorities to
//! trust.
//!
//! A bundle is copied into trust files that servers read, and a server that cannot parse one would not load its next
//! certificate. So a bundle is trusted whole or not at all. Left out are only certificates that have no effect:
//! expired ones and duplicates.

use std::{borrow::Cow, collections::BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{Reason, common::ConfigMapKey};
use thiserror::Error;

use crate::world::{World, pem};

/// The largest bundle: half of what a Secret holds.
pub const MOST_BYTES: usize = 512 * 1024;

/// A bundle, validated when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// As it is written.
    pub text: String,
    /// Why it is not trusted; `None` where it holds CA certificates and nothing else.
    problem: Option<String>,
    /// When each of its certificates expires, in their order; `None` for a duplicate.
    ends: Vec<Option<Timestamp>>,
}

impl Bundle {
    /// Validates a bundle. `authority` returns the expiry of a DER certificate, or why it is no CA certificate.
    pub fn read(text: String, authority: impl Fn(&[u8]) -> Result<Timestamp, &'static str>) -> Self {
        if text.len() > MOST_BYTES {
            return Self { text, problem: None, ends: Vec::new() };
        }
        let judged = match pem::certificates(&text) {
            Ok(found) if found.is_empty() => Err("no certificate is in it".to_owned()),
            Ok(found) => judge(&found, authority),
            Err(problem) => Err(problem.to_owned()),
        };
        match judged {
            Ok(ends) => Self { text, problem: None, ends },
            Err(problem) => Self { text, problem: Some(problem), ends: Vec::new() },
        }
    }

    /// Why it is never trusted, whatever the time.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The certificates of the bundle that are left out at `now`, in words: expired or duplicate.
    #[must_use]
    pub fn left_out(&self, now: Timestamp) -> Option<String> {
        let twice = self.ends.iter().filter(|end| end.is_none()).count();
        let ended = self.ends.iter().flatten().filter(|end| **end < now).count();
        let parts = [(ended, "ended"), (twice, "stands there twice")];
        let told: Vec<_> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} that {why}"))
            .collect();
        (!told.is_empty()).then(|| told.join(" and "))
    }

    /// The certificates of the bundle that are trusted at `now`.
    fn in_force(&self, now: Timestamp) -> Cow<'_, str> {
        let counts = |end: &Option<Timestamp>| end.is_some_and(|end| end >= now);
        if self.ends.iter().all(counts) {
            return Cow::Borrowed(&self.text);
        }
        let certificates = pem::certificates(&self.text).unwrap_or_default();
        let kept = certificates.iter().zip(&self.ends).filter(|(_, end)| counts(end));
        Cow::Owned(kept.map(|(der, _)| pem::encode(der)).collect())
    }
}

fn judge(
    found: &[Vec<u8>],
    authority: impl Fn(&[u8]) -> Result<Timestamp, &'static str>,
) -> Result<Vec<Option<Timestamp>>, String> {
    let mut seen = BTreeSet::new();
    let each = (1..).zip(found).map(|(number, der): (usize, _)| {
        let end = authority(der)
            .map_err(|problem| format!("certificate {number} of {}: {problem}", found.len()))?;
        Ok(seen.insert(der).then_some(end))
    });
    each.collect()
}

/// Why nothing of a bundle is trusted, and the next step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It does not exist.
    #[error(
        "ConfigMap {} has no key {} in the operator's namespace: create it there, as the platform team may, with CA \
         certificates in PEM", .0.config_map, .0.key
    )]
    NotFound(ConfigMapKey),
    /// It holds something other than CA certificates.
    #[error("key {} of ConfigMap {}: {problem}; write CA certificates in PEM", .at.key, .at.config_map)]
    Malformed {
        /// Which.
        at: ConfigMapKey,
        /// What is wrong with it.
        problem: String,
    },
    /// It is larger than [`MOST_BYTES`].
    #[error(
        "key {} of ConfigMap {} has {} KiB, and at most {} are read: write only the authorities that issue the other \
         end's certificates", .at.key, .at.config_map, .bytes.div_ceil(1024), MOST_BYTES / 1024
    )]
    TooLarge {
        /// Which.
        at: ConfigMapKey,
        /// How large it is.
        bytes: usize,
    },
    /// Every certificate in it has expired.
    #[error(
        "every certificate in key {} of ConfigMap {} has ended: write the authorities that issue the other end's \
         certificates now", .0.key, .0.config_map
    )]
    Ended(ConfigMapKey),
}

impl Unusable {
    /// The reason for conditions.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::CABundleNotFound,
            Self::Malformed { .. } => Reason::CABundleMalformed,
            Self::TooLarge { .. } => Reason::CABundleTooLarge,
            Self::Ended(_) => Reason::CABundleExpired,
        }
    }
}

/// The CA certificates of a bundle that have not expired, in PEM.
///
/// # Errors
/// When the bundle does not exist, is too large, or holds something else.
pub fn authorities<'a>(
    world: &'a World,
    at: &ConfigMapKey,
    now: Timestamp,
) -> Result<Cow<'a, str>, Unusable> {
    let bundle = world.bundles.get(at).ok_or_else(|| Unusable::NotFound(at.clone()))?;
    if bundle.text.len() > MOST_BYTES {
        return Err(Unusable::TooLarge { at: at.clone(), bytes: bundle.text.len() });
    }
    if let Some(problem) = bundle.problem() {
        return Err(Unusable::Malformed { at: at.clone(), problem: problem.to_owned() });
    }
    match bundle.in_force(now) {
        nothing if nothing.is_empty() => Err(Unusable::Ended(at.clone())),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, certificate, now};

    fn at() -> ConfigMapKey {
        ConfigMapKey { config_map: "roots".into(), key: "ca.crt".into() }
    }

    fn found(text: &str) -> Result<String, Unusable> {
        // The first has ended.
        let ends = |der: &[u8]| {
            Ok(testing::at(if der.ends_with(&[1]) { "2026-01-01T00:00:00Z" } else { "2030-01-01T00:00:00Z" }))
        };
        let mut world = World::default();
        world.bundles.insert(at(), Bundle::read(text.to_owned(), ends));
        authorities(&world, &at(), now()).map(Cow::into_owned)
    }

    #[test]
    fn one_certificate_that_is_no_authority_spoils_all_of_it() {
        let two = certificate(1) + &certificate(2);
        let judged = |text: &str, second: Result<Timestamp, &'static str>| {
            let bundle =
                Bundle::read(text.to_owned(), |der| if der.ends_with(&[2]) { second } else { Ok(now()) });
            bundle.problem().map(ToOwned::to_owned)
        };
        assert_eq!(judged(&two, Ok(now())), None);
        assert_eq!(judged(&two, Err("it is a leaf")).unwrap(), "certificate 2 of 2: it is a leaf");
        assert_eq!(judged("# to be filled\n", Ok(now())).unwrap(), "no certificate is in it");
        assert!(judged("-----BEGIN CERTIFICATE-----\n", Ok(now())).unwrap().contains("not closed"));
    }

    #[test]
    fn what_vouches_for_nobody_is_left_out_and_told() {
        let all = certificate(1) + &certificate(2) + &certificate(3) + &certificate(2);
        assert_eq!(found(&all).unwrap(), certificate(2) + &certificate(3));
        let ends =
            |der: &[u8]| Ok(if der.ends_with(&[1]) { testing::at("2026-01-01T00:00:00Z") } else { now() });
        let bundle = Bundle::read(all, ends);
        assert_eq!(bundle.left_out(now()).unwrap(), "1 that ended and 1 that stands there twice");
        assert_eq!(Bundle::read(certificate(2), ends).left_out(now()), None);
        let ended = found(&certificate(1)).unwrap_err();
        assert_eq!(ended.reason(), Reason::CABundleExpired);
        assert!(ended.to_string().contains("ConfigMap roots"), "{ended}");
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_name() {
        let large = certificate(2) + &"#".repeat(MOST_BYTES);
        let refused = found(&large).unwrap_err();
        assert_eq!(refused.reason(), Reason::CABundleTooLarge);
        assert!(refused.to_string().starts_with("key ca.crt of ConfigMap roots has 513 KiB"), "{refused}");
    }
}
