//! The next step for an authority: one at a time, and the same again after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::outlook::superseded_at;
use crate::world::certificate::{CLOCK_SKEW, after, fraction};
use crate::{
    certificate::authority::AuthoritySpec,
    record::generations::{Generation, GenerationState, Generations},
};

/// How long a generation signs at least before changed name constraints replace it, so that flapping constraints do
/// not create a generation each time.
pub(super) const ROTATION_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// The key in Vault, with its versions numbered as generations ([`AuthorityKeys::as_generations`]).
///
/// [`AuthorityKeys::as_generations`]: super::keys::AuthorityKeys::as_generations
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKeyState {
    /// The key does not exist.
    Absent,
    /// The key exists.
    Present {
        /// The number of the generation to which its latest version belongs.
        latest: u32,
    },
}

/// When the last leaf expires that a peer's pods may have; by then each has read its files again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaves {
    /// It never had one: a pod that starts reads the current files.
    #[default]
    Never,
    /// At this time.
    Until(Timestamp),
    /// Another issuer issues them, and none was seen.
    Unknown,
}

impl Leaves {
    /// For leaves of the peer's own authority ([`Generations::leaves_until`]).
    #[must_use]
    pub fn of(until: Option<Timestamp>) -> Self {
        until.map_or(Self::Never, Self::Until)
    }

    /// Extended by certificates of another issuer that the pods present `until` then, or for an unknown time.
    #[must_use]
    pub fn and_external(self, until: Option<Timestamp>) -> Self {
        match (self, until) {
            (_, None) | (Self::Unknown, _) => Self::Unknown,
            (Self::Never, Some(until)) => Self::Until(until),
            (Self::Until(own), Some(until)) => Self::Until(own.max(until)),
        }
    }
}

/// The facts about one declared peer, in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// The versions whose certificates the peer's Secret has in the right files.
    pub holds: BTreeSet<u32>,
    /// When the last leaf expires that the peer's pods may have.
    pub leaves: Leaves,
}

/// Everything that an authority's next step depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// The transit key.
    pub key: AuthorityKeyState,
    /// Generations whose certificate failed the check against the transit key.
    pub unusable: BTreeSet<u32>,
    /// Generations whose key Vault does not have any more.
    pub without_key: BTreeSet<u32>,
    /// The peers that are to trust this authority, by name.
    pub peers: BTreeMap<String, PeerFacts>,
    /// The names of the wanted leaf that an authority must permit ([`needed`](super::needed)).
    pub needed: BTreeSet<String>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityAction {
    /// Create the transit key.
    CreateFirst,
    /// Rotate the transit key.
    RotateKey,
    /// Sign a certificate with the key of this generation and write it to the record
    /// ([`Generations::with_certificate`]).
    SignCertificate {
        /// The generation.
        version: u32,
    },
    /// Record which peers have the published generation ([`Generations::with_peers`]).
    NotePeers {
        /// The published generation.
        version: u32,
        /// The peers that hold it, and by when each has certainly loaded it.
        loaded_by: BTreeMap<String, Timestamp>,
    },
    /// Let the published generation sign ([`Generations::with_signing`]).
    SwitchSigning {
        /// The generation to sign from now on.
        version: u32,
        /// Peers that may not have loaded it; not empty only when the deadline forced the switch.
        laggards: Vec<String>,
    },
    /// Remove a generation whose leaves have all expired ([`Generations::without`]).
    Retire {
        /// The generation.
        version: u32,
    },
    /// A person must act.
    Blocked(Blocked),
    /// Nothing before the given time.
    Nothing {
        /// When to look again, if time alone changes anything.
        wake_at: Option<Timestamp>,
    },
}

/// Vault and the record contradict each other, and only a person can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The record has generations, but Vault has no key.
    KeyMissing,
    /// The record has a newer version than Vault.
    RecordAhead {
        /// Newest in the record.
        record: u32,
        /// Latest in Vault.
        vault: u32,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyMissing => f.write_str(
                "the record lists CA generations but Vault has no CA key: restore the key from a snapshot, or remove the generations from the record to start a new authority",
            ),
            Self::RecordAhead { record, vault } => write!(
                f,
                "the record lists CA generation {record} but Vault's CA key ends at that of generation {vault}: an older key was restored; restore the newer snapshot, or remove the later generations from the record",
            ),
        }
    }
}

/// The next step, from the record's generations, the facts and the time alone.
///
/// Every step leaves a trace that this function reads. So a step may be repeated or interrupted, and the next call
/// continues.
#[must_use]
pub fn step(
    generations: &Generations,
    spec: &AuthoritySpec,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> AuthorityAction {
    let latest = match (facts.key, generations.newest()) {
        (AuthorityKeyState::Absent, None) => return AuthorityAction::CreateFirst,
        (AuthorityKeyState::Absent, Some(_)) => return AuthorityAction::Blocked(Blocked::KeyMissing),
        (AuthorityKeyState::Present { latest }, None) => {
            return AuthorityAction::SignCertificate { version: latest };
        }
        (AuthorityKeyState::Present { latest }, Some(newest)) if newest > latest => {
            return AuthorityAction::Blocked(Blocked::RecordAhead { record: newest, vault: latest });
        }
        (AuthorityKeyState::Present { latest }, Some(_)) => latest,
    };
    // A retiring generation never signs again, so without its key it is still trusted until its time has come and
    // blocks nothing.
    let is_past =
        |one: &Generation| one.state == GenerationState::Retiring && facts.without_key.contains(&one.version);
    let broken = |one: &&Generation| facts.unusable.contains(&one.version) && !is_past(one);
    if let Some(broken) = generations.iter().find(broken) {
        return AuthorityAction::SignCertificate { version: broken.version };
    }
    if let Some(done) =
        generations.iter().find(|generation| retires_at(generation).is_some_and(|at| at <= now))
    {
        return AuthorityAction::Retire { version: done.version };
    }
    let next = match generations.published() {
        Some(published) => supersede_or_introduce(published, generations.signing(), spec, facts, now),
        None => rotate_when_due(generations, spec, latest, now),
    };
    match next {
        AuthorityAction::Nothing { wake_at } => AuthorityAction::Nothing {
            wake_at: generations.iter().filter_map(retires_at).chain(wake_at).min(),
        },
        action => action,
    }
}

/// When a generation can be removed: a retiring one when its last leaf has expired, an unused one when it expires
/// itself. The signing one is never removed, only replaced.
fn retires_at(generation: &Generation) -> Option<Timestamp> {
    match generation.state {
        GenerationState::Signing => None,
        GenerationState::Published => Some(generation.not_after),
        GenerationState::Retiring => Some(
            generation
                .last_leaf_not_after
                .map_or(generation.published_at, |end| after(end, CLOCK_SKEW))
                .min(after(generation.not_after, CLOCK_SKEW)),
        ),
    }
}

/// A published generation that may not sign a needed name is superseded, unless it can sign now.
fn supersede_or_introduce(
    published: &Generation,
    signing: Option<&Generation>,
    spec: &AuthoritySpec,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> AuthorityAction {
    let superseded = superseded_at(published, signing, spec, facts, now);
    match introduce(published, signing, facts, now) {
        action @ AuthorityAction::SwitchSigning { .. } => action,
        _ if superseded.is_some_and(|at| at <= now) => {
            AuthorityAction::SignCertificate { version: published.version }
        }
        AuthorityAction::Nothing { wake_at } => {
            AuthorityAction::Nothing { wake_at: wake_at.into_iter().chain(superseded).min() }
        }
        action => action,
    }
}

fn introduce(
    published: &Generation,
    signing: Option<&Generation>,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> AuthorityAction {
    let version = published.version;
    let loaded_by = holders(published, facts, now);
    let has_loaded = |name: &String| loaded_by.get(name).is_some_and(|by| after(*by, CLOCK_SKEW) <= now);
    let laggards: Vec<String> = facts.peers.keys().filter(|name| !has_loaded(name)).cloned().collect();
    let deadline = switch_deadline(published, signing);
    if laggards.is_empty() || deadline <= now {
        return AuthorityAction::SwitchSigning { version, laggards };
    }
    if loaded_by != published.loaded_by {
        return AuthorityAction::NotePeers { version, loaded_by };
    }
    let all_loaded = laggards
        .iter()
        .map(|name| loaded_by.get(name).map(|by| after(*by, CLOCK_SKEW)))
        .try_fold(now, |latest, by| Some(latest.max(by?)));
    AuthorityAction::Nothing { wake_at: all_loaded.into_iter().chain([deadline]).min() }
}

/// The peers that have the generation now. A recorded time stays; a peer that lost the certificate starts again,
/// because its workload may have loaded its files without it.
pub(super) fn holders(
    published: &Generation,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> BTreeMap<String, Timestamp> {
    let noted = |name: &String| published.loaded_by.get(name).copied();
    facts
        .peers
        .iter()
        .filter(|(_, peer)| peer.holds.contains(&published.version))
        .filter_map(|(name, peer)| {
            let loads = || match peer.leaves {
                Leaves::Never => Some(now),
                Leaves::Until(until) => Some(until.max(now)),
                // Only the deadline ends this wait.
                Leaves::Unknown => None,
            };
            Some((name.clone(), noted(name).or_else(loads)?))
        })
        .collect()
}

/// A rotation begins at half the life of the signing generation and must end at seven eighths, which leaves enough
/// for a leaf of an eighth of that life.
pub(super) fn switch_deadline(published: &Generation, signing: Option<&Generation>) -> Timestamp {
    let patience = after(published.published_at, fraction(published.validity().lifetime(), 3, 8));
    signing.map_or(published.published_at, |signing| {
        patience.min(after(signing.not_before, fraction(signing.validity().lifetime(), 7, 8)))
    })
}

fn rotate_when_due(
    generations: &Generations,
    spec: &AuthoritySpec,
    latest: u32,
    now: Timestamp,
) -> AuthorityAction {
    let due = generations.signing().map(|signing| {
        if signing.permitted_dns == spec.permitted_dns {
            // A shortened duration takes effect at once, a longer one with the next generation.
            let life = signing.validity().lifetime().min(spec.duration);
            after(signing.not_before, fraction(life, 1, 2))
        } else {
            after(signing.published_at, ROTATION_PAUSE)
        }
    });
    match due {
        Some(due) if now < due => AuthorityAction::Nothing { wake_at: Some(due) },
        // A key version without a generation is left by a crash after the rotation. (A version that somebody else
        // made is used in its turn.)
        _ if generations.newest() < Some(latest) => AuthorityAction::SignCertificate { version: latest },
        _ => AuthorityAction::RotateKey,
    }
}
