//! When a generation signs that may sign a given name: until then the certificate lacks the name.

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

/// A name that no certificate has before another generation signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingName {
    /// The name: a DNS name, or the common name.
    pub name: String,
    /// When it can be in the certificate at the latest, as far as is known.
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

/// When the published generation gives way to one with other name constraints, before it ever signed; nothing where no
/// name needs that, or there is no time for it.
///
/// It is safe as long as every peer has certainly loaded the new certificate before the signing generation must be
/// replaced in any case.
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

/// When a published generation can be superseded; nothing where there is no time for that.
fn supersedes_at(
    published: &Generation,
    signing: Option<&Generation>,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Option<Timestamp> {
    let begins = now.max(after(published.published_at, ROTATION_PAUSE));
    let loaded = loaded_at(facts.peers.values(), begins)?;
    // A day for peers whose Secrets are not written at once. One that renews its leaf within it is waited for until the
    // deadline: it has the new certificate with that leaf, which is not known here.
    let loaded = after(loaded, SignedDuration::from_hours(24));
    signing.is_none_or(|signing| loaded <= latest_switch(signing)).then_some(begins)
}

/// When every peer has loaded what its Secret holds at `begins`; nothing where that is not known of one.
fn loaded_at<'a>(peers: impl IntoIterator<Item = &'a PeerFacts>, begins: Timestamp) -> Option<Timestamp> {
    peers.into_iter().try_fold(begins, |latest, peer| match peer.leaves {
        Leaves::Never => Some(latest),
        Leaves::Until(until) => Some(latest.max(after(until.max(begins), CLOCK_SKEW))),
        Leaves::Unknown => None,
    })
}

/// When the signing generation is replaced in any case.
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
            // The one that is published signs first, and is followed by another.
            None => {
                let first = switches_at(published, signing, facts, now);
                after(first, fraction(spec.duration, 3, 8))
            }
        },
        None => begun(after(signing.published_at, ROTATION_PAUSE)),
    };
    settled(at, now)
}

/// When the published generation signs at the latest.
fn switches_at(
    published: &Generation,
    signing: &Generation,
    facts: &AuthorityFacts,
    now: Timestamp,
) -> Timestamp {
    let noted = holders(published, facts, now);
    let by_then = |(name, peer): (&String, &PeerFacts)| match noted.get(name) {
        _ if peer.loaded.contains(&published.version) => Some(published.published_at),
        Some(by) => Some(after(*by, CLOCK_SKEW)),
        None => loaded_at([peer], published.published_at),
    };
    let all =
        facts.peers.iter().map(by_then).try_fold(published.published_at, |latest, by| Some(latest.max(by?)));
    let deadline = switch_deadline(published, Some(signing));
    all.map_or(deadline, |all| all.min(deadline))
}

/// What is due waits for no more than the next look: the next full hour then, so that it is not another time with each
/// look.
fn settled(at: Timestamp, now: Timestamp) -> Timestamp {
    if at > now {
        return at;
    }
    let hour = SignedDuration::from_hours(1).as_secs();
    let next = now.as_second() - now.as_second().rem_euclid(hour) + hour;
    Timestamp::from_second(next).unwrap_or(now)
}

/// The names that a certificate of `leaf` needs of its authority.
#[must_use]
pub fn needed(leaf: &LeafSpec) -> BTreeSet<String> {
    leaf.permitted_by(&BTreeSet::new()).1
}

#[cfg(test)]
mod tests;
