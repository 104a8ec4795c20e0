//! Deleted Channels that left data keys, by their name: a new Channel of that name may adopt the keys.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::names::{ChannelId, ChannelRef};

/// The deleted Channels that searches of a trust domain's records found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierChannels {
    /// Those that left keys, with the adopter of each.
    by_name: BTreeMap<ChannelRef, BTreeMap<ChannelId, Option<ChannelId>>>,
    /// Whether one search has completed since the start. Before that, a missing entry proves nothing.
    whole: bool,
}

impl EarlierChannels {
    /// Notes that the Channel of this name and identity was deleted and left keys, and who adopted them. Returns
    /// whether that is new.
    pub fn note(&mut self, name: &ChannelRef, id: &ChannelId, adopted_by: Option<&ChannelId>) -> bool {
        let known = self.by_name.entry(name.clone()).or_default();
        known.insert(id.clone(), adopted_by.cloned()) != Some(adopted_by.cloned())
    }

    /// Who adopted the keys of this identity.
    pub fn adopter(&self, name: &ChannelRef, id: &ChannelId) -> Option<&ChannelId> {
        self.by_name.get(name)?.get(id)?.as_ref()
    }

    /// Ends a search that found these deleted identities. Returns the names for which something changed.
    pub fn searched(&mut self, gone: &BTreeSet<&ChannelId>) -> BTreeSet<ChannelRef> {
        let mut changed = BTreeSet::new();
        if !self.whole {
            changed.extend(self.by_name.keys().cloned());
        }
        self.whole = true;
        self.by_name.retain(|name, ids| {
            let before = ids.len();
            ids.retain(|id, _| gone.contains(id));
            if ids.len() != before {
                changed.insert(name.clone());
            }
            !ids.is_empty()
        });
        changed
    }

    /// The identities whose keys the Channel of this name and identity could adopt; `None` before the first search
    /// completed.
    pub fn orphans(&self, name: &ChannelRef, id: &ChannelId) -> Option<Vec<&ChannelId>> {
        let ids = self.by_name.get(name).into_iter().flatten();
        let others = ids.filter(|(_, adopted_by)| adopted_by.as_ref() != Some(id));
        self.whole.then(|| others.map(|(id, _)| id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_known_by_its_name_until_it_is_adopted_or_comes_back() {
        let (name, own, before) =
            (ChannelRef::new("a", "b"), ChannelId::mint("new", "b"), ChannelId::mint("old", "b"));
        let mut earlier = EarlierChannels::default();
        assert!(earlier.note(&name, &before, None) && !earlier.note(&name, &before, None));
        assert_eq!(earlier.orphans(&name, &own), None, "half a search says nothing");
        assert_eq!(earlier.searched(&[&before].into()), [name.clone()].into());
        assert!(earlier.searched(&[&before].into()).is_empty(), "nothing is new");
        assert_eq!(earlier.orphans(&name, &own), Some(vec![&before]));
        assert!(earlier.note(&name, &before, Some(&own)));
        assert_eq!(earlier.orphans(&name, &own), Some(vec![]));
        assert_eq!(earlier.adopter(&name, &before), Some(&own));
        let next = ChannelId::mint("newer", "b");
        assert_eq!(earlier.orphans(&name, &next), Some(vec![&before]), "who adopted it is gone too");
        assert_eq!(earlier.searched(&BTreeSet::new()), [name.clone()].into());
        assert_eq!(earlier, EarlierChannels { whole: true, ..EarlierChannels::default() });
    }
}
