//! Why a Channel's Secret is written again: an ordered list of named reasons.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use subrosa_crds::Reason;

use super::authority::PendingName;
use super::observed::{LeafFacts, ObservedSecret};
use crate::certificate::trust_files::TrustFiles;
use crate::record::generations::{GenerationState, Generations};
use crate::world::certificate::{CLOCK_SKEW, after};
use crate::{
    certificate::leaf::{LeafSpec, renew_at},
    world::certificate::Validity,
};

/// Why the Secret is written again. The first that applies is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// There is no Secret.
    Missing,
    /// A file cannot be read or is incomplete.
    Malformed {
        /// The key in the Secret's data.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The private key is not the leaf's.
    KeyMismatch,
    /// The leaf was not signed by a generation that peers certainly trust.
    WrongIssuer,
    /// Subject, names or key algorithm differ from the wanted ones.
    NamesChanged {
        /// What differs.
        what: &'static str,
    },
    /// The leaf is due for renewal, or outside its validity.
    Expiring {
        /// When it was due.
        due: Timestamp,
    },
    /// Only the trust files differ: they are rewritten, and key and leaf stay.
    TrustChanged {
        /// The files that differ.
        files: BTreeSet<String>,
    },
}

impl Drift {
    /// The reason for Events, metrics and the record.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::Missing,
            Self::Malformed { .. } => Reason::Malformed,
            Self::KeyMismatch => Reason::KeyMismatch,
            Self::WrongIssuer => Reason::WrongIssuer,
            Self::NamesChanged { .. } => Reason::NamesChanged,
            Self::Expiring { .. } => Reason::Expiring,
            Self::TrustChanged { .. } => Reason::TrustChanged,
        }
    }

    /// Whether a new key and leaf are needed, not only new trust files.
    #[must_use]
    pub fn needs_new_leaf(&self) -> bool {
        !matches!(self, Self::TrustChanged { .. })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no Secret"),
            Self::Malformed { field, problem } => write!(f, "{field}: {problem}"),
            Self::KeyMismatch => f.write_str("tls.key is not the key of tls.crt"),
            Self::WrongIssuer => f.write_str("tls.crt is not signed by this channel's authority"),
            Self::NamesChanged { what } => write!(f, "{what} changed"),
            Self::Expiring { due } => write!(f, "renewal was due at {due}"),
            Self::TrustChanged { files } => {
                f.write_str("trust changed in")?;
                files.iter().try_for_each(|file| write!(f, " {file}"))
            }
        }
    }
}

/// The wanted content of the Secret.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The leaf, with only names that the signing generation may sign ([`LeafSpec::permitted_by`]).
    pub spec: &'a LeafSpec,
    /// This channel's own authority.
    pub generations: &'a Generations,
    /// The trust files.
    pub trust: &'a TrustFiles,
}

/// The first reason to write the Secret again, if any.
///
/// A leaf of a retiring generation is good until its renewal: its peers still trust it, and renewing all leaves at a
/// switch would gain nothing. A leaf of a generation that does not sign yet is not good, because peers may not have
/// it.
#[must_use]
pub fn drift_of(found: &ObservedSecret, wanted: Wanted<'_>, now: Timestamp) -> Option<Drift> {
    let ObservedSecret::Present(facts) = found else { return Some(Drift::Missing) };
    let leaf = match &facts.leaf {
        Ok(leaf) => leaf,
        Err(malformed) => {
            return Some(Drift::Malformed { field: malformed.field, problem: malformed.problem });
        }
    };
    malformed(leaf)
        .or_else(|| (!leaf.key_matches).then_some(Drift::KeyMismatch))
        .or_else(|| wrong_issuer(leaf, wanted.generations))
        .or_else(|| names_changed(leaf, wanted.spec))
        .or_else(|| expiring(leaf, wanted.spec, now))
        .or_else(|| trust_changed(found, wanted.trust))
}

/// The leaf to issue for `reason` where `spec` is wanted: one that only changes keeps lost names.
#[must_use]
pub fn to_issue(spec: &LeafSpec, reason: &Drift, found: &ObservedSecret) -> LeafSpec {
    match (reason, found.leaf()) {
        (Drift::NamesChanged { .. }, Some(leaf)) => spec.with_lost_names(leaf),
        _ => spec.clone(),
    }
}

/// Only [`Drift::TrustChanged`], whatever else is wrong with an existing Secret.
///
/// A withdrawn peer must leave the trust files even while no leaf can be issued, because Vault is unreachable or the
/// rate limit is reached.
#[must_use]
pub fn trust_changed(found: &ObservedSecret, wanted: &TrustFiles) -> Option<Drift> {
    let ObservedSecret::Present(facts) = found else { return None };
    let files = wanted.differing(&facts.trust);
    (!files.is_empty()).then_some(Drift::TrustChanged { files })
}

/// When the leaf is due for renewal. A shortened duration takes effect at once, a longer one with the next leaf.
#[must_use]
pub fn renewal(leaf: &LeafFacts, spec: &LeafSpec) -> Timestamp {
    let Validity { not_before, not_after } = leaf.validity;
    let validity = Validity { not_before, not_after: not_after.min(after(not_before, spec.duration)) };
    renew_at(&leaf.serial, validity, spec.renew_before)
}

/// The names that `leaf` gets only with its renewal, and when.
#[must_use]
pub fn awaits_renewal(leaf: &LeafFacts, spec: &LeafSpec) -> Vec<PendingName> {
    let from = renewal(leaf, spec);
    spec.awaits_renewal(leaf).map(|name| PendingName { name: name.clone(), from }).collect()
}

fn malformed(leaf: &LeafFacts) -> Option<Drift> {
    if let Some(problem) = leaf.key_problem {
        return Some(Drift::Malformed { field: "tls.key", problem });
    }
    let field = "tls.crt";
    if !leaf.usage_as_built {
        return Some(Drift::Malformed { field, problem: "the leaf is not one for client and server" });
    }
    (leaf.issuer.is_some() && !leaf.chain_complete)
        .then_some(Drift::Malformed { field, problem: "the leaf is not followed by exactly its authority" })
}

fn wrong_issuer(leaf: &LeafFacts, generations: &Generations) -> Option<Drift> {
    let state = leaf.issuer.and_then(|version| generations.get(version)).map(|generation| generation.state);
    match state {
        Some(GenerationState::Signing | GenerationState::Retiring) => None,
        Some(GenerationState::Published) | None => Some(Drift::WrongIssuer),
    }
}

fn names_changed(leaf: &LeafFacts, spec: &LeafSpec) -> Option<Drift> {
    let what = if leaf.subject.as_ref() != Some(&spec.subject()) {
        "the subject"
    } else if leaf.uris != BTreeSet::from([spec.spiffe_id()]) {
        "the SPIFFE ID"
    } else if !spec.has_its_names(leaf) || leaf.other_names {
        "the DNS names"
    } else if leaf.key_algorithm != Some(spec.key_algorithm) {
        "the key algorithm"
    } else {
        return None;
    };
    Some(Drift::NamesChanged { what })
}

fn expiring(leaf: &LeafFacts, spec: &LeafSpec, now: Timestamp) -> Option<Drift> {
    let due = renewal(leaf, spec);
    let starts_later = leaf.validity.not_before > after(now, CLOCK_SKEW);
    (now >= due || starts_later).then_some(Drift::Expiring { due })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::certificate::observed::{Malformed, SecretFacts};
    use crate::certificate::trust_files::{TrustSources, trust_files};
    use crate::record::generations::tests::generation;
    use crate::{
        certificate::{leaf::tests::spec, subject::SubjectName},
        world::certificate::KeyAlgorithm,
    };

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn authority() -> Generations {
        [
            generation(1, GenerationState::Retiring),
            generation(2, GenerationState::Signing),
            generation(3, GenerationState::Published),
        ]
        .into_iter()
        .collect()
    }

    fn leaf() -> LeafFacts {
        let spec = spec();
        let validity = Validity { not_before: now(), not_after: after(now(), spec.duration) };
        crate::testing::issued(&spec, "0a".into(), validity, 2)
    }

    fn reason_of(leaf: Result<LeafFacts, Malformed>, at: Timestamp) -> Option<Drift> {
        let (trust, _) = trust_files(&TrustSources::default());
        let found = ObservedSecret::Present(Box::new(SecretFacts { leaf, trust: trust.files().clone() }));
        let (spec, generations) = (spec(), authority());
        drift_of(&found, Wanted { spec: &spec, generations: &generations, trust: &trust }, at)
    }

    fn name_of(leaf: LeafFacts) -> &'static str {
        reason_of(Ok(leaf), now()).map_or("none", |reason| reason.reason().as_str())
    }

    #[test]
    fn a_good_secret_stays() {
        assert_eq!(reason_of(Ok(leaf()), now()), None);
        assert_eq!(
            name_of(LeafFacts { issuer: Some(1), ..leaf() }),
            "none",
            "retiring generations stay good"
        );
    }

    #[test]
    fn each_reason_by_name() {
        let subject = SubjectName { unit: "cc-back".into(), ..spec().subject() };
        let later = Validity { not_before: after(now(), SignedDuration::from_hours(1)), ..leaf().validity };
        for (changed, name) in [
            (LeafFacts { usage_as_built: false, ..leaf() }, "Malformed"),
            (LeafFacts { chain_complete: false, ..leaf() }, "Malformed"),
            (LeafFacts { key_matches: false, ..leaf() }, "KeyMismatch"),
            (LeafFacts { issuer: None, chain_complete: false, ..leaf() }, "WrongIssuer"),
            (LeafFacts { issuer: Some(3), ..leaf() }, "WrongIssuer"),
            (LeafFacts { issuer: Some(9), ..leaf() }, "WrongIssuer"),
            (LeafFacts { subject: Some(subject), ..leaf() }, "NamesChanged"),
            (LeafFacts { subject: None, ..leaf() }, "NamesChanged"),
            (LeafFacts { uris: BTreeSet::new(), ..leaf() }, "NamesChanged"),
            (LeafFacts { dns_names: BTreeSet::new(), ..leaf() }, "NamesChanged"),
            (LeafFacts { other_names: true, ..leaf() }, "NamesChanged"),
            (LeafFacts { key_algorithm: Some(KeyAlgorithm::EcdsaP384), ..leaf() }, "NamesChanged"),
            (LeafFacts { validity: later, ..leaf() }, "Expiring"),
        ] {
            assert_eq!(name_of(changed.clone()), name, "{changed:?}");
        }
        let malformed = Malformed { field: "tls.key", problem: "missing" };
        assert_eq!(reason_of(Err(malformed), now()).unwrap().reason().as_str(), "Malformed");
        let (trust, _) = trust_files(&TrustSources::default());
        let (spec, generations) = (spec(), authority());
        let wanted = Wanted { spec: &spec, generations: &generations, trust: &trust };
        assert_eq!(drift_of(&ObservedSecret::Missing, wanted, now()), Some(Drift::Missing));
    }

    #[test]
    fn a_name_that_waits_for_the_renewal_is_no_reason_before_it() {
        let name = "new.cc-front.svc".to_owned();
        let for_renewal = std::sync::Arc::new([name.clone()].into());
        let mut wanted = LeafSpec { for_renewal, ..spec() };
        wanted.dns_names.insert(name.clone());
        let (trust, _) = trust_files(&TrustSources::default());
        let facts = SecretFacts { leaf: Ok(leaf()), trust: trust.files().clone() };
        let (found, generations) = (ObservedSecret::Present(Box::new(facts)), authority());
        let reason = |spec: &LeafSpec, at: Timestamp| {
            let wanted = Wanted { spec, generations: &generations, trust: &trust };
            drift_of(&found, wanted, at).map(|reason| reason.reason())
        };
        let due = renewal(&leaf(), &wanted);
        assert_eq!(reason(&wanted, now()), None);
        assert_eq!(awaits_renewal(&leaf(), &wanted), [PendingName { name: name.clone(), from: due }]);
        assert_eq!(reason(&wanted, due), Some(Reason::Expiring));
        let renewed = to_issue(&wanted, &Drift::Expiring { due }, &found);
        assert!(renewed.dns_names.contains(&name), "it is in the next certificate");
        // Whatever else is missing is issued at once, and that with it.
        wanted.dns_names.insert("sip.hospital.example".into());
        assert_eq!(reason(&wanted, now()), Some(Reason::NamesChanged));
        let changed = to_issue(&wanted, &Drift::NamesChanged { what: "the DNS names" }, &found);
        assert!(changed.dns_names.contains(&name));
    }

    #[test]
    fn the_first_reason_wins_and_trust_comes_last() {
        let (trust, _) = trust_files(&TrustSources::default());
        let all_wrong = LeafFacts {
            key_matches: false,
            issuer: None,
            dns_names: BTreeSet::new(),
            validity: Validity { not_before: Timestamp::UNIX_EPOCH, not_after: Timestamp::UNIX_EPOCH },
            ..leaf()
        };
        let (spec, generations) = (spec(), authority());
        let wanted = Wanted { spec: &spec, generations: &generations, trust: &trust };
        let reason = |leaf| {
            let facts = SecretFacts { leaf: Ok(leaf), trust: Default::default() };
            let found = ObservedSecret::Present(Box::new(facts));
            drift_of(&found, wanted, now()).unwrap()
        };
        let names = [
            reason(LeafFacts { usage_as_built: false, ..all_wrong.clone() }).reason().as_str(),
            reason(all_wrong.clone()).reason().as_str(),
            reason(LeafFacts { key_matches: true, ..all_wrong.clone() }).reason().as_str(),
            reason(LeafFacts { key_matches: true, issuer: Some(2), ..all_wrong.clone() }).reason().as_str(),
            reason(LeafFacts { validity: all_wrong.validity, ..leaf() }).reason().as_str(),
            reason(leaf()).reason().as_str(),
        ];
        assert_eq!(
            names,
            ["Malformed", "KeyMismatch", "WrongIssuer", "NamesChanged", "Expiring", "TrustChanged"]
        );
        assert!(!reason(leaf()).needs_new_leaf() && reason(all_wrong).needs_new_leaf());
    }

    #[test]
    fn trust_can_be_withdrawn_while_the_leaf_is_broken() {
        let (trust, _) = trust_files(&TrustSources::default());
        let leaf = Err(Malformed { field: "tls.key", problem: "missing" });
        let found = ObservedSecret::Present(Box::new(SecretFacts { leaf, trust: Default::default() }));
        assert_eq!(trust_changed(&found, &trust).unwrap().reason().as_str(), "TrustChanged");
        assert_eq!(trust_changed(&ObservedSecret::Missing, &trust), None);
    }

    #[test]
    fn renewal_is_due_at_its_moment_and_a_shorter_duration_brings_it_forward() {
        let due = renewal(&leaf(), &spec());
        assert_eq!(reason_of(Ok(leaf()), after(due, SignedDuration::from_secs(-1))), None);
        assert_eq!(reason_of(Ok(leaf()), due), Some(Drift::Expiring { due }));
        let short = LeafSpec {
            duration: SignedDuration::from_hours(48),
            renew_before: SignedDuration::from_hours(12),
            ..spec()
        };
        assert!(renewal(&leaf(), &short) < after(now(), short.duration));
        let long = LeafSpec { duration: SignedDuration::from_hours(24 * 90), ..spec() };
        assert_eq!(renewal(&leaf(), &long), due);
    }
}
