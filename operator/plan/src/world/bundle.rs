//! CA bundles: keys of ConfigMaps in the operator's namespace, where the platform team writes whom else to trust.
//!
//! What a bundle holds goes into trust files that servers read. One that some server cannot read would keep it from
//! taking its next certificate, so a bundle is trusted whole or not at all.

use subrosa_crds::common::ConfigMapKey;
use thiserror::Error;

use crate::world::{World, pem};

/// A bundle, judged when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// As it is written.
    pub text: String,
    /// What keeps it from being trusted; nothing where it holds authorities and nothing else.
    problem: Option<String>,
}

impl Bundle {
    /// Judges a bundle; `authority` says what keeps one certificate, given as DER, from being an authority's.
    pub fn read(text: String, authority: impl Fn(&[u8]) -> Result<(), &'static str>) -> Self {
        let problem = match pem::certificates(&text) {
            Ok(found) if found.is_empty() => Some("no certificate is in it".to_owned()),
            Ok(found) => (1..).zip(&found).find_map(|(number, der): (usize, _)| {
                let problem = authority(der).err()?;
                Some(format!("certificate {number} of {}: {problem}", found.len()))
            }),
            Err(problem) => Some(problem.to_owned()),
        };
        Self { text, problem }
    }

    /// What keeps it from being trusted.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

/// Why nothing of a bundle is trusted, and the next step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// There is none.
    #[error(
        "ConfigMap {} has no key {} in the operator's namespace: create it there, as the platform team may, with CA \
         certificates in PEM", .0.config_map, .0.key
    )]
    NotFound(ConfigMapKey),
    /// It holds something else than authorities.
    #[error("key {} of ConfigMap {}: {problem}; write CA certificates in PEM", .at.key, .at.config_map)]
    Malformed {
        /// Which.
        at: ConfigMapKey,
        /// What is wrong with it.
        problem: String,
    },
}

impl Unusable {
    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "CABundleNotFound",
            Self::Malformed { .. } => "CABundleMalformed",
        }
    }
}

/// The authorities of a bundle, in PEM.
///
/// # Errors
/// When it is not there, or holds something else.
pub fn authorities<'a>(world: &'a World, at: &ConfigMapKey) -> Result<&'a str, Unusable> {
    let bundle = world.bundles.get(at).ok_or_else(|| Unusable::NotFound(at.clone()))?;
    match bundle.problem() {
        None => Ok(&bundle.text),
        Some(problem) => Err(Unusable::Malformed { at: at.clone(), problem: problem.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::certificate;

    #[test]
    fn one_certificate_that_is_no_authority_spoils_all_of_it() {
        let two = certificate(1) + &certificate(2);
        let judged = |text: &str, second: Result<(), &'static str>| {
            let bundle =
                Bundle::read(text.to_owned(), |der| if der.ends_with(&[2]) { second } else { Ok(()) });
            bundle.problem().map(ToOwned::to_owned)
        };
        assert_eq!(judged(&two, Ok(())), None);
        assert_eq!(judged(&two, Err("it is a leaf")).unwrap(), "certificate 2 of 2: it is a leaf");
        assert_eq!(judged("# to be filled\n", Ok(())).unwrap(), "no certificate is in it");
        assert!(judged("-----BEGIN CERTIFICATE-----\n", Ok(())).unwrap().contains("not closed"));
    }
}
