//! The keys that were destroyed on purpose, by the records of Destructions.
//!
//! These records are in the cluster and not in Vault; only the destroyer writes them, and nobody deletes them. So a
//! Vault that was restored, moved or mistyped cannot contradict them. Each key of a list is judged separately,
//! because a list may wait for other keys.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    Destruction, Reason,
    destruction::{self, KeyOutcome, effective_at},
    names::{ChannelId, ChannelRef, DataKeyName},
};

/// The recorded destruction of keys of one Channel, and of earlier Channels of its name, whose keys it may have
/// adopted.
#[derive(Clone, Debug)]
pub struct DestroyedKeys {
    id: ChannelId,
    name: ChannelRef,
    keys: BTreeMap<DataKeyName, DestroyedKey>,
}

/// The recorded destruction of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyedKey {
    /// The Destruction that destroyed it last.
    pub destruction: String,
    /// When it was first destroyed; files written later were not sealed with it.
    pub destroyed: Timestamp,
    /// When it was last destroyed.
    pub gone: Timestamp,
    /// When the last snapshot of Vault that may contain it is deleted; `None` where that was not declared.
    pub effective: Option<Timestamp>,
    /// Whether it came back and was not destroyed again.
    pub is_back: bool,
}

impl DestroyedKeys {
    /// Without any key yet, for the Channel of this identity and name.
    pub fn of(id: ChannelId, name: ChannelRef) -> Self {
        Self { id, name, keys: BTreeMap::new() }
    }

    /// With these keys, for tests.
    #[cfg(test)]
    pub(super) fn with(id: ChannelId, keys: BTreeMap<DataKeyName, DestroyedKey>) -> Self {
        Self { id, name: ChannelRef::new("cc-front", "voice"), keys }
    }

    /// The destruction of a key, if recorded.
    pub fn get(&self, key: &DataKeyName) -> Option<&DestroyedKey> {
        self.keys.get(key)
    }

    /// How many keys were destroyed.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a Destruction's record. `snapshots_kept` is how long its TrustDomain keeps snapshots of Vault, where
    /// known.
    ///
    /// # Errors
    /// What is wrong with the record; then none of it counts.
    pub fn take(
        &mut self,
        record: &Destruction,
        snapshots_kept: Option<SignedDuration>,
    ) -> Result<(), String> {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let wrong = |problem: &str| Err(format!("Destruction {name}: {problem}, so nothing of it counts"));
        let Some(status) = &record.status else { return Ok(()) };
        let spec = &record.spec;
        if spec.computed_digest() != spec.digest {
            return wrong("its digest is not that of its list");
        }
        if name != destruction::name(&spec.retention_policy.name, &spec.due, &spec.digest) {
            return wrong("its name is not that of its policy, day and digest");
        }
        let mut taken = Vec::new();
        for outcome in status.keys.iter().filter(|key| key.destroyed_at.is_some()) {
            let listed = spec.keys.iter().find(|key| {
                (&key.id, &key.data_class, &key.cohort) == (&outcome.id, &outcome.data_class, &outcome.cohort)
            });
            // A Channel adopts keys only from its own name.
            if outcome.id != self.id.as_str() && listed.is_none_or(|key| key.channel != self.name) {
                continue;
            }
            let text = outcome.key_name();
            let (Ok(key), Some(_)) = (text.parse::<DataKeyName>(), listed) else {
                return wrong(&format!("its status has key {text}, which its list has not"));
            };
            match read(name, outcome, snapshots_kept, status.effective_at.as_deref()) {
                Some(destroyed) => taken.push((key, destroyed)),
                None => return wrong(&format!("key {text} has no proof, or its times are out of order")),
            }
        }
        for (key, destroyed) in taken {
            match self.keys.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(destroyed)),
                std::collections::btree_map::Entry::Occupied(mut place) => place.get_mut().join(destroyed),
            }
        }
        Ok(())
    }
}

impl DestroyedKey {
    /// Merges the record of another list that destroyed the key earlier or later.
    fn join(&mut self, other: Self) {
        let later = other.gone > self.gone;
        self.destroyed = self.destroyed.min(other.destroyed);
        self.is_back |= other.is_back;
        // Unknown if either is.
        self.effective = self.effective.zip(other.effective).map(|(one, two)| one.max(two));
        if later {
            self.destruction = other.destruction;
            self.gone = other.gone;
        }
    }
}

/// What a list records about a key; `None` where it proves nothing.
fn read(
    name: &str,
    key: &KeyOutcome,
    snapshots_kept: Option<SignedDuration>,
    effective: Option<&str>,
) -> Option<DestroyedKey> {
    let at = |text: &Option<String>| text.as_deref()?.parse::<Timestamp>().ok();
    let (created, set_aside, destroyed) =
        (at(&key.created_at)?, at(&key.set_aside_at)?, at(&key.destroyed_at)?);
    let has_canary = key.canary.as_deref().is_some_and(|canary| canary.starts_with("vault:v"));
    if !has_canary || created > set_aside || set_aside > destroyed {
        return None;
    }
    let is_back =
        key.state != Reason::Destroyed.as_str() || (key.back_at.is_some() && key.gone_again_at.is_none());
    let gone = match &key.gone_again_at {
        Some(again) => again.parse::<Timestamp>().ok()?.max(destroyed),
        None => destroyed,
    };
    let written = match effective {
        Some(text) => Some(text.parse::<Timestamp>().ok()?),
        None => None,
    };
    Some(DestroyedKey {
        destruction: name.to_owned(),
        destroyed,
        gone,
        effective: effective_at(gone, snapshots_kept, written),
        is_back,
    })
}

#[cfg(test)]
mod tests;
