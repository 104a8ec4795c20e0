//! A digest of a complete Secret, from which to tell without reading it again that it needs no change. It has neither
//! the private key nor the trust files.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{
    leaf::LeafSpec,
    observed::{LeafFacts, Malformed, ObservedSecret, SecretFacts},
    subject::SubjectName,
    trust_files::TrustFiles,
};
use crate::world::certificate::{Fingerprint, Validity};

/// A Secret at the time when it had exactly the wanted content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    trust: [u8; 32],
    leaf: Option<SettledLeaf>,
}

/// Its leaf. `named` is the digest of a specification whose names the leaf has, except those that wait for the
/// renewal, and in addition to those it lost.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SettledLeaf {
    named: [u8; 32],
    lost: BTreeSet<String>,
    awaited: BTreeSet<String>,
    serial: Box<str>,
    fingerprint: Fingerprint,
    validity: Validity,
    issuer: u32,
    issuer_name: Option<Box<SubjectName>>,
}

impl Settled {
    /// For a Secret with `leaf` and `trust`; `None` unless `spec` and its issuer, with this certificate, lead to
    /// exactly that leaf.
    #[must_use]
    pub fn of(leaf: &LeafFacts, spec: &LeafSpec, issuer: &[u8], trust: &TrustFiles) -> Option<Self> {
        let remembered = SettledLeaf {
            named: names(spec, issuer),
            lost: leaf.dns_names.difference(&spec.dns_names).cloned().collect(),
            awaited: spec.dns_names.difference(&leaf.dns_names).cloned().collect(),
            serial: leaf.serial.as_str().into(),
            fingerprint: leaf.fingerprint,
            validity: leaf.validity,
            issuer: leaf.issuer?,
            issuer_name: leaf.issuer_name.clone().map(Box::new),
        };
        let as_wanted = spec.has_its_names(leaf) && remembered.facts(spec) == *leaf;
        as_wanted.then(|| Self { trust: files(trust), leaf: Some(remembered) })
    }

    /// For a Secret with only trust files.
    #[must_use]
    pub fn trust_alone(trust: &TrustFiles) -> Self {
        Self { trust: files(trust), leaf: None }
    }

    /// Whether its trust files are exactly these.
    #[must_use]
    pub fn trusts(&self, trust: &TrustFiles) -> bool {
        self.trust == files(trust)
    }

    /// The generation of the authority that signed its leaf.
    #[must_use]
    pub fn issuer(&self) -> Option<u32> {
        self.leaf.as_ref().map(|leaf| leaf.issuer)
    }

    /// The Secret as reading it would show it; `None` where it may differ from what is wanted now.
    ///
    /// `issuer` is the current certificate of the generation that signed its leaf.
    #[must_use]
    pub fn observed(
        &self,
        spec: &LeafSpec,
        issuer: Option<&[u8]>,
        trust: &TrustFiles,
    ) -> Option<ObservedSecret> {
        let leaf = match (&self.leaf, issuer) {
            (None, None) => Err(Malformed { field: "tls.crt", problem: "it is missing" }),
            (Some(leaf), Some(issuer)) if leaf.named == names(spec, issuer) => Ok(leaf.facts(spec)),
            _ => return None,
        };
        let facts = || SecretFacts { leaf, trust: trust.files().clone() };
        self.trusts(trust).then(|| ObservedSecret::Present(Box::new(facts())))
    }
}

impl SettledLeaf {
    fn facts(&self, spec: &LeafSpec) -> LeafFacts {
        LeafFacts {
            serial: self.serial.to_string(),
            fingerprint: self.fingerprint,
            subject: Some(spec.subject()),
            issuer_name: self.issuer_name.as_deref().cloned(),
            uris: BTreeSet::from([spec.spiffe_id()]),
            dns_names: spec.dns_names.difference(&self.awaited).chain(&self.lost).cloned().collect(),
            other_names: false,
            key_algorithm: Some(spec.key_algorithm),
            usage_as_built: true,
            key_problem: None,
            key_matches: true,
            validity: self.validity,
            issuer: Some(self.issuer),
            chain_complete: true,
        }
    }
}

/// A digest of everything in a specification that a leaf contains, and of its issuer.
fn names(spec: &LeafSpec, issuer: &[u8]) -> [u8; 32] {
    let algorithm = spec.key_algorithm.to_string();
    let names = [&spec.trust_domain, &spec.namespace, &spec.channel, &spec.common_name, &algorithm];
    let all = names.into_iter().chain(&spec.dns_names).map(String::as_bytes);
    digest(all.chain([issuer]))
}

fn files(trust: &TrustFiles) -> [u8; 32] {
    digest(trust.files().iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]))
}

/// Hashes each part with its length, so that different lists have different digests.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{
        leaf::tests::spec,
        trust_files::{TrustSources, trust_files},
    };

    const ISSUER: &[u8] = b"certificate";

    fn leaf() -> LeafFacts {
        let since = "2026-06-01T00:00:00Z".parse().unwrap();
        let until = "2026-06-08T00:00:00Z".parse().unwrap();
        let remembered = SettledLeaf {
            named: names(&spec(), ISSUER),
            lost: BTreeSet::new(),
            awaited: BTreeSet::new(),
            serial: "0a".into(),
            fingerprint: Fingerprint([7; 32]),
            validity: Validity { not_before: since, not_after: until },
            issuer: 2,
            issuer_name: None,
        };
        remembered.facts(&spec())
    }

    fn trust(party: Option<&str>) -> TrustFiles {
        let external =
            party.map(|party| (party.to_owned(), crate::certificate::trust_files::NOBODY.to_owned()));
        trust_files(&TrustSources { external: external.into_iter().collect(), ..TrustSources::default() }).0
    }

    #[test]
    fn it_says_what_reading_would_and_only_while_the_same_is_wanted() {
        let settled = Settled::of(&leaf(), &spec(), ISSUER, &trust(None)).unwrap();
        let read = ObservedSecret::Present(Box::new(SecretFacts {
            leaf: Ok(leaf()),
            trust: trust(None).files().clone(),
        }));
        assert_eq!(settled.observed(&spec(), Some(ISSUER), &trust(None)), Some(read));
        assert_eq!(settled.observed(&spec(), Some(b"another"), &trust(None)), None);
        assert_eq!(settled.observed(&spec(), None, &trust(None)), None);
        assert_eq!(settled.observed(&spec(), Some(ISSUER), &trust(Some("ggz"))), None);
        for other in [
            LeafSpec { common_name: "other".into(), ..spec() },
            LeafSpec { dns_names: BTreeSet::new(), ..spec() },
            LeafSpec { namespace: "cc-back".into(), ..spec() },
            LeafSpec { key_algorithm: crate::world::certificate::KeyAlgorithm::EcdsaP384, ..spec() },
        ] {
            assert_eq!(settled.observed(&other, Some(ISSUER), &trust(None)), None, "{other:?}");
        }
        // How long a leaf lives is no part of it: when it is renewed is decided anew each time.
        let short = LeafSpec { duration: jiff::SignedDuration::from_hours(2), ..spec() };
        assert!(settled.observed(&short, Some(ISSUER), &trust(None)).is_some());
    }

    #[test]
    fn a_name_that_was_lost_is_part_of_it() {
        let mut lost = leaf();
        lost.dns_names.insert("tmp.cc-front.svc".into());
        let settled = Settled::of(&lost, &spec(), ISSUER, &trust(None)).unwrap();
        let seen = settled.observed(&spec(), Some(ISSUER), &trust(None)).unwrap();
        assert_eq!(seen.leaf(), Some(&lost));
        let mut foreign = leaf();
        foreign.dns_names.insert("sip.hospital.example".into());
        assert_eq!(Settled::of(&foreign, &spec(), ISSUER, &trust(None)), None);
    }

    #[test]
    fn a_name_that_waits_for_the_renewal_is_no_part_of_it() {
        let name = "new.cc-front.svc".to_owned();
        let mut waiting = spec();
        waiting.dns_names.insert(name.clone());
        assert_eq!(Settled::of(&leaf(), &waiting, ISSUER, &trust(None)), None);
        waiting.for_renewal = std::sync::Arc::new([name].into());
        let settled = Settled::of(&leaf(), &waiting, ISSUER, &trust(None)).unwrap();
        let seen = settled.observed(&waiting, Some(ISSUER), &trust(None)).unwrap();
        assert_eq!(seen.leaf(), Some(&leaf()));
    }

    #[test]
    fn a_leaf_with_anything_odd_about_it_is_not_remembered() {
        for odd in [
            LeafFacts { key_matches: false, ..leaf() },
            LeafFacts { chain_complete: false, ..leaf() },
            LeafFacts { usage_as_built: false, ..leaf() },
            LeafFacts { other_names: true, ..leaf() },
            LeafFacts { dns_names: BTreeSet::new(), ..leaf() },
            LeafFacts { issuer: None, ..leaf() },
        ] {
            assert_eq!(Settled::of(&odd, &spec(), ISSUER, &trust(None)), None, "{odd:?}");
        }
    }

    #[test]
    fn trust_files_alone_have_no_leaf() {
        let settled = Settled::trust_alone(&trust(None));
        assert!(settled.observed(&spec(), None, &trust(None)).unwrap().leaf().is_none());
        assert_eq!(settled.observed(&spec(), Some(ISSUER), &trust(None)), None);
        assert_eq!(settled.observed(&spec(), None, &trust(Some("ggz"))), None);
    }
}
