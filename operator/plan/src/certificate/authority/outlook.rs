//! When a generation will sign that may sign a given name, which the certificate lacks until then.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    AuthorityFacts, AuthoritySpec, Leaves, PeerFacts,
    step::{ROTATION_PAUSE, holders, switch_deadline},
};
use crate::{
    certificate::leaf::{LeafSpec, name_is_permitted},
    record::generations::{Generation, Generations},
    world::certificate::{CLOCK_SKEW, after, fraction},
};

/// A name that no certificate can have before another generation signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingName {
    /// The name: a DNS name, or the common name.
    pub name: String,
    /// The latest time by which the certificate can have it, as far as known.
    pub from: Timestamp,
}

/// The names of `leaf` that the signing generation may not sign and a later one will.
#[must_use]
pub fn pending_names(
    leaf: &LeafSpec,
    generations: &Generations,
    spec: &AuthoritySpec,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Vec<PendingName> {
    let Some(signing) = generations.signing() else { return Vec::new() };
    let mut withheld = leaf.permitted_by(&signing.permitted_dns).1;
    withheld.retain(|name| name_is_permitted(name, &spec.permitted_dns));
    let when = |name: String| {
        let from = signs_at(&name, signing, generations.published(), spec, facts, now);
        PendingName { name, from }
    };
    withheld.into_iter().map(when).collect()
}

/// When the published generation, which has never signed, gets a certificate with other name constraints; `None`
/// where no name needs that, or there is no time for it.
///
/// That is safe as long as every peer has certainly loaded the new certificate before the signing generation must be
/// replaced.
pub(super) fn superseded_at(
    published: &Generation,
    signing: Option<&Generation>,
    spec: &AuthoritySpec,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Option<Timestamp> {
    let lacks = |name: &String| {
        name_is_permitted(name, &spec.permitted_dns) && !name_is_permitted(name, &published.permitted_dns)
    };
    facts.needed.iter().any(lacks).then(|| supersedes_at(published, signing, facts, now)).flatten()
}

/// When a published generation can be superseded; `None` where there is no time.
fn supersedes_at(
    published: &Generation,
    signing: Option<&Generation>,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Option<Timestamp> {
    let begins = now.max(after(published.published_at, ROTATION_PAUSE));
    let loaded = loaded_at(facts.peers.values(), begins)?;
    // One day for peers whose Secrets are not written at once. A peer that renews its leaf within that day is waited
    // for until the deadline: it then has the new certificate with that leaf, which is not known here.
    let loaded = after(loaded, SignedDuration::from_hours(24));
    signing.is_none_or(|signing| loaded <= latest_switch(signing)).then_some(begins)
}

/// When every peer has loaded what its Secret has at `begins`; `None` where unknown for one of them.
fn loaded_at<'a>(peers: impl IntoIterator<Item = &'a PeerFacts>, begins: Timestamp) -> Option<Timestamp> {
    peers.into_iter().try_fold(begins, |latest, peer| match peer.leaves {
        Leaves::Never => Some(latest),
        Leaves::Until(until) => Some(latest.max(after(until.max(begins), CLOCK_SKEW))),
        Leaves::Unknown => None,
    })
}

/// When the signing generation must be replaced.
fn latest_switch(signing: &Generation) -> Timestamp {
    after(signing.not_before, fraction(signing.validity().lifetime(), 7, 8))
}

fn signs_at(
    name: &str,
    signing: &Generation,
    published: Option<&Generation>,
    spec: &AuthoritySpec,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Timestamp {
    let begun = |begins: Timestamp| {
        let deadline = after(begins, fraction(spec.duration, 3, 8)).min(latest_switch(signing)).max(begins);
        loaded_at(facts.peers.values(), begins).map_or(deadline, |loaded| loaded.min(deadline))
    };
    let at = match published {
        Some(published) if name_is_permitted(name, &published.permitted_dns) => {
            switches_at(published, signing, facts, now)
        }
        Some(published) => match supersedes_at(published, Some(signing), facts, now) {
            Some(_) => begun(after(published.published_at, ROTATION_PAUSE)),
            // The published generation signs first, and another one follows.
            None => {
                let first = switches_at(published, signing, facts, now);
                after(first, fraction(spec.duration, 3, 8))
            }
        },
        None => begun(after(signing.published_at, ROTATION_PAUSE)),
    };
    settled(at, now)
}

/// The latest time at which the published generation begins to sign.
fn switches_at(
    published: &Generation,
    signing: &Generation,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Timestamp {
    let noted = holders(published, facts, now);
    let by_then = |(name, peer): (&String, &PeerFacts)| match noted.get(name) {
        Some(by) => Some(after(*by, CLOCK_SKEW)),
        None => loaded_at([peer], published.published_at),
    };
    let all =
        facts.peers.iter().map(by_then).try_fold(published.published_at, |latest, by| Some(latest.max(by?)));
    let deadline = switch_deadline(published, Some(signing));
    all.map_or(deadline, |all| all.min(deadline))
}

/// A time in the past means the next step; rounded up to the next full hour, so that it does not change with each
/// look.
fn settled(at: Timestamp, now: Timestamp) -> Timestamp {
    if at > now {
        return at;
    }
    let hour = SignedDuration::from_hours(1).as_secs();
    let next = now.as_second() - now.as_second().rem_euclid(hour) + hour;
    Timestamp::from_second(next).unwrap_or(now)
}

/// The names that a certificate of `leaf` needs its authority to permit.
#[must_use]
pub fn needed(leaf: &LeafSpec) -> BTreeSet<String> {
    leaf.permitted_by(&BTreeSet::new()).1
}

#[cfg(test)]
mod tests;
