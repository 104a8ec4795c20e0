//! Whether the store in Vault belongs to this trust domain. If not, nothing is made and nothing is withdrawn, because
//! a lost or wrong store looks like one in which nobody has access.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{
    ADOPT_STORE_ANNOTATION, ChannelStatus, Reason, TrustDomain, condition,
    names::{ChannelId, ChannelRef},
};

use crate::{
    record::store::StoreRecord,
    world::{World, fault::Fault},
};

/// The reasons why a store does not belong to the trust domain.
pub const REASONS: [Reason; 6] = [
    Reason::RecordsLost,
    Reason::StoreOfAnotherCluster,
    Reason::StoreOfAnotherDomain,
    Reason::StoreUnknown,
    Reason::StorePending,
    Reason::RecordUnreadable,
];

/// The namespace whose UID identifies the cluster.
pub const CLUSTER_NAMESPACE: &str = "kube-system";

/// What was found in Vault.
#[derive(Clone, Debug, Default)]
pub struct FoundStore {
    /// The record of the store.
    pub record: Option<StoreRecord>,
    /// The command that restores the record of the store, where somebody deleted it.
    pub deleted: Option<String>,
    /// The recorded identities of Channels; needed only where the store has no record.
    pub recorded: Vec<ChannelId>,
}

/// The result of checking a store.
#[derive(Clone, Debug)]
pub enum Ownership {
    /// It belongs to the trust domain.
    Own {
        /// Its id.
        store_id: String,
    },
    /// Vault's policy is of an earlier release, so that the record of the store can be neither read nor written.
    SetupOutdated(Fault),
    /// Not known yet: nothing is done in it.
    Pending(Fault),
    /// It does not belong to the trust domain: nothing is done in it.
    Not {
        /// Why not.
        fault: Fault,
        /// The annotation value by which a person adopts it; `None` where that is impossible.
        adopt: Option<String>,
    },
}

impl Ownership {
    /// The id of the store, where it belongs to the trust domain.
    #[must_use]
    pub fn store_id(&self) -> Option<&str> {
        match self {
            Self::Own { store_id } => Some(store_id),
            Self::SetupOutdated(_) | Self::Pending(_) | Self::Not { .. } => None,
        }
    }
}

/// What to do about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreDecision {
    /// It belongs to the trust domain.
    Own {
        /// Its id.
        store_id: String,
    },
    /// Write this record, after which it does.
    Write(StoreRecord),
    /// Not known yet: nothing is done in it.
    Pending(Fault),
    /// It does not belong to the trust domain: nothing is done in it.
    Not {
        /// Why not.
        fault: Fault,
        /// The annotation value by which a person adopts it; `None` where that is impossible.
        adopt: Option<String>,
    },
}

/// The values for a new record.
#[derive(Clone, Debug)]
pub struct New {
    /// A random id.
    pub store_id: String,
    /// Now.
    pub at: Timestamp,
}

/// Decides whether the store belongs to the trust domain.
pub fn judge(domain: &TrustDomain, found: &FoundStore, new: &New, world: &World) -> StoreDecision {
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let uid = domain.metadata.uid.as_deref().unwrap_or_default();
    let Some(cluster) = world.namespaces.get(CLUSTER_NAMESPACE).map(|facts| facts.uid.as_str()) else {
        let message = format!("namespace {CLUSTER_NAMESPACE}, whose UID names the cluster, was not seen yet");
        return StoreDecision::Pending(Fault::new(Reason::StorePending, message));
    };
    let known = domain.status.as_ref().and_then(|status| status.vault.as_ref()?.store_id.as_deref());
    let fresh = || StoreRecord {
        store_id: new.store_id.clone(),
        trust_domain: name.to_owned(),
        trust_domain_uid: uid.to_owned(),
        cluster: cluster.to_owned(),
        adopted_at: new.at,
        replaces: known.or_else(|| Some(found.record.as_ref()?.store_id.as_str())).map(str::to_owned),
    };
    let problem = match &found.record {
        Some(there) => of_record(there, name, cluster, known),
        None => without_record(name, found, known, world),
    };
    let Some((reason, what)) = problem else {
        return match &found.record {
            None => StoreDecision::Write(fresh()),
            // The TrustDomain was deleted and created again.
            Some(there) if there.trust_domain_uid != uid => {
                StoreDecision::Write(StoreRecord { trust_domain_uid: uid.to_owned(), ..there.clone() })
            }
            Some(there) => StoreDecision::Own { store_id: there.store_id.clone() },
        };
    };
    let token = token(found.record.as_ref(), known);
    let adopts = domain.metadata.annotations.as_ref().and_then(|all| all.get(ADOPT_STORE_ANNOTATION));
    if adopts == Some(&token) {
        // A new id, so that an annotation that stays does not adopt this store once more.
        return StoreDecision::Write(fresh());
    }
    let fault = Fault::new(
        reason,
        format!(
            "{what}: nothing is made, opened or withdrawn until this is put right. If this store is to be used from \
             now on as it is, annotate TrustDomain {name} with \
             {ADOPT_STORE_ANNOTATION}: {token}"
        ),
    );
    StoreDecision::Not { fault, adopt: Some(token) }
}

fn of_record(
    there: &StoreRecord,
    name: &str,
    cluster: &str,
    known: Option<&str>,
) -> Option<(Reason, String)> {
    if there.cluster != cluster {
        let what = format!(
            "the store in Vault belongs to the cluster whose kube-system has UID {}; here it is {cluster}",
            there.cluster
        );
        return Some((Reason::StoreOfAnotherCluster, what));
    }
    if there.trust_domain != name {
        let what = format!("the store in Vault belongs to TrustDomain {}", there.trust_domain);
        return Some((Reason::StoreOfAnotherDomain, what));
    }
    // Until the next status is written, it still names the store that this one replaced.
    let own = |known: &&str| *known == there.store_id || there.replaces.as_deref() == Some(*known);
    let known = known.filter(|known| !own(known))?;
    let what = format!("the store was {known}, and Vault has {} in its place: restore it", there.store_id);
    Some((Reason::RecordsLost, what))
}

fn without_record(
    name: &str,
    found: &FoundStore,
    known: Option<&str>,
    world: &World,
) -> Option<(Reason, String)> {
    let recorded = &found.recorded;
    if let Some(known) = known {
        let what = match &found.deleted {
            Some(undelete) => format!("the record of store {known} was deleted in Vault: {undelete}"),
            None => format!("Vault does not have store {known} any more: restore the key-value engine"),
        };
        return Some((Reason::RecordsLost, what));
    }
    let (mut ours, mut issued) = (BTreeSet::new(), false);
    for channel in world.all_channels() {
        let Some(facts) = world.namespaces.get(&channel.name().namespace) else { continue };
        if facts.trust_domain.as_deref().is_some_and(|label| label != name) {
            continue;
        }
        ours.insert(ChannelId::mint(&facts.uid, &channel.name().name));
        issued |= channel
            .status()
            .is_some_and(|status| status.trust_domain.as_deref() == Some(name) && had_record(&status));
    }
    match (recorded.is_empty(), issued) {
        (true, false) => None,
        (true, true) => {
            let what = "Channels have certificate authorities, keys or connections that were made for them, and Vault has no record of any: \
                 restore the key-value engine";
            Some((Reason::RecordsLost, what.to_owned()))
        }
        (false, _) if recorded.iter().any(|id| ours.contains(id)) => None,
        (false, _) => {
            let what = format!(
                "the key-value engine has the records of {} Channels, and none of them is here",
                recorded.len()
            );
            Some((Reason::StoreUnknown, what))
        }
    }
}

/// Whether a Channel with this status ever had a record, without which nothing is made or opened. An id proves
/// nothing, because every governed Channel has one; with certificates of another issuer there is no authority.
fn had_record(status: &ChannelStatus) -> bool {
    let ready = condition::find(&status.conditions, condition::READY);
    let told = ready.and_then(Reason::of);
    let lost = [Reason::RecordLost, Reason::RecordsLost];
    status.authority.is_some()
        || !status.keys.is_empty()
        || ready.is_some_and(|ready| ready.status == "True")
        || told.is_some_and(|told| lost.contains(&told))
}

/// The annotation value by which the store is adopted in its current state.
fn token(there: Option<&StoreRecord>, known: Option<&str>) -> String {
    match (there, known) {
        (Some(there), _) => there.store_id.clone(),
        (None, None) => "none".to_owned(),
        (None, Some(known)) => format!("none-after-{known}"),
    }
}

/// The fault of a Channel without a record whose status shows that it had one under the same trust domain.
pub fn lost(channel: &ChannelRef, id: &ChannelId, world: &World) -> Option<Fault> {
    let status = world.channel(channel)?.status()?;
    let label = world.namespaces.get(&channel.namespace)?.trust_domain.as_ref();
    let told = || {
        condition::find(&status.conditions, condition::READY)
            .is_some_and(|ready| Reason::of(ready) == Some(Reason::RecordLost))
    };
    let had = status.id.as_deref() == Some(id.as_str())
        && label.is_none_or(|label| status.trust_domain.as_ref() == Some(label))
        && (status.authority.is_some() || !status.keys.is_empty() || told());
    had.then(|| {
        Fault::new(
            Reason::RecordLost,
            format!(
                "Vault has no record channels/{id} of Channel {channel}, for which a certificate authority or keys were \
                 made: nothing is made anew. Restore the record from a snapshot of Vault; or delete the Channel and apply \
                 it again to begin anew"
            ),
        )
    })
}

#[cfg(test)]
mod tests;
