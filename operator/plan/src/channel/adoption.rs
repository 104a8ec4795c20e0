//! When a namespace begins to deny by default: what its Channels declare is allowed first.
//!
//! ```text
//!   the label is set, or Audit ends ──▶ the policies of the Channels ──▶ the default deny
//!                 │                                                        ▲
//!                 └────────────── at the latest after 30 seconds ──────────┘
//! ```
//!
//! Nothing here is decided by the status of a Channel: when its namespace is adopted, it still says that no trust
//! domain governs it.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{TrustDomain, names::ChannelRef, trust_domain::NetworkMode};

use super::validate;
use crate::{
    network,
    world::{World, domain},
};

/// How long the default deny waits at the most.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What becomes of a namespace's default deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultDeny {
    /// None is wanted: policies are only reported here, or the trust domain does without.
    NotWanted,
    /// It waits until these Channels have their policy.
    Waits(Vec<ChannelRef>),
    /// It is in its place: only its content is still to be compared.
    InPlace,
    /// It is to be written, once the API server has no Channels here that were not seen: see [`unseen`].
    Due,
    /// It has waited long enough and is to be written.
    Overdue,
}

/// Decides on the default deny of `namespace`. `wanted` says since when one is wanted and is not there.
pub fn default_deny(
    namespace: &str,
    domain: &TrustDomain,
    world: &World,
    wanted: Timestamp,
    now: Timestamp,
) -> DefaultDeny {
    if domain::mode(domain, namespace) == NetworkMode::Audit || !domain::default_deny(domain) {
        return DefaultDeny::NotWanted;
    }
    let policies = world.network_policies.get(namespace);
    let has = |name: &str| policies.is_some_and(|policies| policies.contains_key(name));
    if has(network::DEFAULT_DENY) {
        return DefaultDeny::InPlace;
    }
    if wanted.checked_add(PATIENCE).is_ok_and(|latest| latest <= now) {
        return DefaultDeny::Overdue;
    }
    let waits: Vec<_> = world
        .channels_of(namespace)
        .filter(|channel| !has(&network::policy_name(&channel.name().name)))
        // Nothing is made for one whose declaration cannot be followed.
        .filter(|channel| validate::validate(channel, world, now).is_ok())
        .map(|channel| channel.name().clone())
        .collect();
    if waits.is_empty() { DefaultDeny::Due } else { DefaultDeny::Waits(waits) }
}

/// A Channel as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedChannel {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Option<String>,
    /// Which of its declarations it is.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The Channels of `declared` that the watch has not told of yet, or of which it has told something older.
pub fn unseen(namespace: &str, declared: &[ListedChannel], world: &World) -> Vec<ChannelRef> {
    let seen = |one: &ListedChannel| {
        let known = world.channels.get(namespace).and_then(|channels| channels.get(&one.name));
        known.is_some_and(|known| known.uid() == one.uid.as_deref() && known.generation() >= one.generation)
    };
    let late = declared.iter().filter(|one| !one.terminating && !seen(one));
    late.map(|one| ChannelRef::new(namespace, one.name.as_str())).collect()
}

#[cfg(test)]
mod tests;
