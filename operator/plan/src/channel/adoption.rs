//! When a namespace gets its default deny: only after the connections of its Channels are allowed.
//!
//! ```text
//!   the label is set, or Audit ends ──▶ the policies of the Channels ──▶ the default deny
//!                 │                                                        ▲
//!                 └────────────── at the latest after 30 seconds ──────────┘
//! ```
//!
//! The status of a Channel does not matter here: when its namespace is adopted, it still says that no trust domain
//! governs it.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{TrustDomain, names::ChannelRef, trust_domain::NetworkMode};

use super::validate;
use crate::{
    network,
    world::{World, domain},
};

/// How long the default deny waits at most.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What to do about a namespace's default deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultDeny {
    /// None is wanted: the namespace is only audited, or the trust domain switched it off.
    NotWanted,
    /// It waits until these Channels have their policy.
    Waits(Vec<ChannelRef>),
    /// It exists; only its content must be compared.
    InPlace,
    /// Write it, once the API server confirms that no Channel here is [`unseen`].
    Due,
    /// Write it, because it has waited long enough.
    Overdue,
}

/// Decides on the default deny of `namespace`. `wanted` is the time since when one has been wanted and missing.
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
        // A Channel with an invalid declaration gets no policy, so it is not waited for.
        .filter(|channel| validate::validate(channel, world, now).is_ok())
        .map(|channel| channel.name().clone())
        .collect();
    if waits.is_empty() { DefaultDeny::Due } else { DefaultDeny::Waits(waits) }
}

/// A Channel in the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedChannel {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Option<String>,
    /// The generation of its declaration.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The Channels of `declared` that the watch has not shown yet, or only in an older version.
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
