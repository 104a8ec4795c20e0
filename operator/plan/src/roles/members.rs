//! Which groups are members of the slots of a login: the granter's part.

use std::collections::{BTreeMap, BTreeSet};

use super::{SlotUse, slots::AccessSlot};

/// A group in Vault that represents a group of the identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderGroup {
    /// Its name in Vault.
    pub name: String,
    /// Its id in Vault.
    pub id: String,
    /// The provider's name of the group, in lower case; `None` while the group is unassigned.
    pub stands_for: Option<String>,
    /// The ids of the entities of its people: who logged in as one of the group last.
    pub people: BTreeSet<String>,
}

/// Assigns an unassigned group of Vault to each provider group in `named` that has none yet. Left out are those for
/// which no group is left.
pub fn bindings<'a>(
    named: impl IntoIterator<Item = &'a String>,
    groups: &'a [ProviderGroup],
) -> Vec<(&'a String, &'a ProviderGroup)> {
    let known: BTreeSet<&String> = groups.iter().filter_map(|group| group.stands_for.as_ref()).collect();
    let free = groups.iter().filter(|group| group.stands_for.is_none());
    let missing: BTreeSet<&String> = named.into_iter().filter(|name| !known.contains(name)).collect();
    missing.into_iter().zip(free).collect()
}

/// For what slots of a use name, the ids of the groups that may do that.
pub type WantedMembers = BTreeMap<(SlotUse, String), BTreeSet<String>>;

/// The slots whose members must change, with their complete new members; removals come first.
pub fn changes(slots: &[AccessSlot], who: &WantedMembers) -> Vec<(String, BTreeSet<String>)> {
    let mut changes: Vec<_> = slots
        .iter()
        .filter_map(|slot| {
            let named = slot.gives().map(|named| (slot.usage, named.to_owned()));
            let wanted = named.and_then(|named| who.get(&named)).cloned().unwrap_or_default();
            let loses = slot.has_people || !slot.groups.is_subset(&wanted);
            let is_so = slot.groups == wanted && !slot.has_people;
            (!is_so).then(|| (!loses, slot.name.clone(), wanted))
        })
        .collect();
    changes.sort();
    changes.into_iter().map(|(_, slot, wanted)| (slot, wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn slot(name: &str, opens: Option<&str>, groups: &[&str]) -> AccessSlot {
        let metadata = opens.map(|opened| ("open".to_owned(), opened.to_owned())).into_iter().collect();
        let usage = SlotUse::Open;
        AccessSlot { name: name.to_owned(), usage, metadata, groups: set(groups), has_people: false }
    }

    #[test]
    fn members_follow_what_a_slot_opens_and_who_loses_comes_first() {
        let opens = |what: &str| (SlotUse::Open, what.to_owned());
        let who = [(opens("a.chat"), set(&["g1", "g2"])), (opens("a.mail"), set(&["g1"]))].into();
        let mut strange = slot("s4", Some("a.mail"), &["g1"]);
        strange.has_people = true;
        let slots = [
            slot("s0", Some("a.chat"), &["g1"]),
            slot("s1", Some("a.mail"), &["g1"]),
            slot("s2", None, &["g1"]),
            slot("s3", Some("a.gone"), &["g2"]),
            strange,
        ];
        let seals = AccessSlot {
            usage: SlotUse::Seal,
            metadata: [("seal".to_owned(), "a.mail".to_owned())].into(),
            ..slot("s5", None, &["g1"])
        };
        assert_eq!(changes(&[seals], &who), [("s5".to_owned(), set(&[]))], "who opens does not seal");
        let changed = changes(&slots, &who);
        let names: Vec<_> = changed.iter().map(|(name, ids)| (name.as_str(), ids.len())).collect();
        assert_eq!(names, [("s2", 0), ("s3", 0), ("s4", 1), ("s0", 2)]);
    }

    #[test]
    fn a_name_gets_one_group_and_keeps_it() {
        let group = |name: &str, stands_for: Option<&str>| ProviderGroup {
            name: name.to_owned(),
            id: format!("id-{name}"),
            stands_for: stands_for.map(str::to_owned),
            people: BTreeSet::new(),
        };
        let groups = [group("g0", Some("quality")), group("g1", None), group("g2", None)];
        let named = ["billing".to_owned(), "quality".to_owned(), "billing".to_owned()];
        let bound = bindings(&named, &groups);
        assert_eq!(
            bound.iter().map(|(name, group)| (name.as_str(), group.name.as_str())).collect::<Vec<_>>(),
            [("billing", "g1")]
        );
        let many = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(bindings(&many, &groups).len(), 2, "what finds none waits");
    }
}
