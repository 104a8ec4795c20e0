//! The next thing to do for an authority. One thing at a time, and the same again after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::outlook::superseded_at;
use crate::world::certificate::{CLOCK_SKEW, after, fraction};
use crate::{
    certificate::authority::AuthoritySpec,
    record::generations::{Generation, GenerationState, Generations},
};

/// How long a generation signs at least before changed name constraints replace it: constraints that flap
/// must not make a generation each time.
pub(super) const ROTATION_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// The key as Vault shows it, its versions numbered as generations are ([`AuthorityKeys::as_generations`]).
///
/// [`AuthorityKeys::as_generations`]: super::keys::AuthorityKeys::as_generations
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKeyState {
    /// There is no such key.
    Absent,
    /// The key exists.
    Present {
        /// Its latest version, as the number of the generation that it is the key of.
        latest: u32,
    },
}

/// When the last of the leaves ends that the pods of a peer may have: by then each has read its files again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaves {
    /// It never had one: who starts finds the files as they are now.
    #[default]
    Never,
    /// Then.
    Until(Timestamp),
    /// Somebody else issues them, and none was seen.
    Unknown,
}

impl Leaves {
    /// Of leaves of the peer's own authority ([`Generations::leaves_until`]).
    #[must_use]
    pub fn of(until: Option<Timestamp>) -> Self {
        until.map_or(Self::Never, Self::Until)
    }

    /// The same where somebody else issues what the pods present `until` then, or nobody knows when.
    #[must_use]
    pub fn and_external(self, until: Option<Timestamp>) -> Self {
        match (self, until) {
            (_, None) | (Self::Unknown, _) => Self::Unknown,
            (Self::Never, Some(until)) => Self::Until(until),
            (Self::Until(own), Some(until)) => Self::Until(own.max(until)),
        }
    }
}

/// What is known of one declared peer, in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// The versions whose certificate the peer's Secret holds now in the file it belongs in.
    pub holds: BTreeSet<u32>,
    /// When the last of the leaves ends that the peer's pods may have.
    pub leaves: Leaves,
    /// The versions that probes saw loaded on every ready pod of the peer; empty without probes.
    pub loaded: BTreeSet<u32>,
}

/// Everything observed that an authority's next step depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// The transit key.
    pub key: AuthorityKeyState,
    /// Generations whose certificate did not pass the check against the transit key.
    pub unusable: BTreeSet<u32>,
    /// Generations of whose key Vault has nothing any more.
    pub without_key: BTreeSet<u32>,
    /// The peers that are to trust this authority, by name.
    pub peers: BTreeMap<String, PeerFacts>,
    /// The names that the leaf should have, as far as an authority must permit them ([`needed`](super::needed)).
    pub needed: BTreeSet<String>,
}

/// What to do next.
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
    /// Note in the record who holds the published generation ([`Generations::with_peers`]).
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
        /// Peers not known to have loaded it: not empty when the deadline forced the switch.
        laggards: Vec<String>,
    },
    /// Remove a generation whose leaves have all expired ([`Generations::without`]).
    Retire {
        /// The generation.
        version: u32,
    },
    /// Nothing can be done without a person.
    Blocked(Blocked),
    /// Nothing to do before the moment given.
    Nothing {
        /// When to look again, if time alone changes anything.
        wake_at: Option<Timestamp>,
    },
}

/// Vault and record contradict each other in a way that only a person can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The record knows generations, Vault has no key.
    KeyMissing,
    /// The record knows a newer version than Vault has.
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

/// The next action, from the record's generations, the facts and the time alone.
///
/// Every action leaves a trace that this function reads: carried out twice or cut off in the middle, the next
/// call goes on from what is there.
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
    // A retiring one signs nothing again: without its key it is trusted until its time has come, and holds up no other.
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

/// When a generation is of no more use: for a retiring one when its last leaf has expired, for one never put
/// to use when it has itself. The signing one is never taken away, only replaced.
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

/// A published generation that may not sign a name that is needed gives way, unless it can sign now.
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
    let waiting_for = |name: &String, peer: &PeerFacts| {
        let loaded = loaded_by.get(name).is_some_and(|by| after(*by, CLOCK_SKEW) <= now);
        !loaded && !peer.loaded.contains(&version)
    };
    let laggards: Vec<String> = facts
        .peers
        .iter()
        .filter(|(name, peer)| waiting_for(name, peer))
        .map(|(name, _)| name.clone())
        .collect();
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

/// Who holds the generation now. The moment of a peer that was noted before stays; one that lost the
/// certificate starts anew, for its workload may have loaded its files without it.
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

/// A rotation begins at half the life of the signing generation, so peers have until seven eighths of it: the
/// rest is still enough for a leaf of an eighth of that life.
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
            // A duration made shorter counts at once, a longer one from the next generation on.
            let life = signing.validity().lifetime().min(spec.duration);
            after(signing.not_before, fraction(life, 1, 2))
        } else {
            after(signing.published_at, ROTATION_PAUSE)
        }
    });
    match due {
        Some(due) if now < due => AuthorityAction::Nothing { wake_at: Some(due) },
        // A version without a generation is what a crash after the rotation leaves. (One that somebody else
        // made is used when it is time, and not before.)
        _ if generations.newest() < Some(latest) => AuthorityAction::SignCertificate { version: latest },
        _ => AuthorityAction::RotateKey,
    }
}
