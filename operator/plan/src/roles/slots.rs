//! What the slots of a login open: the operator's part.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    OpenedClass, SlotUse,
    names::{FREED, OPEN, SEAL},
};

/// How long a slot stays unused after it was emptied, so that a granter with an older view cannot add members of the
/// former use.
pub const REST: SignedDuration = SignedDuration::from_mins(10);

/// A slot as it is in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSlot {
    /// The name of the group.
    pub name: String,
    /// What it is for.
    pub usage: SlotUse,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The ids of the groups whose members are its members; of a slot of ServiceAccounts the ids of their entities.
    pub groups: BTreeSet<String>,
    /// Whether it has members of the other kind, which neither the operator nor the granter writes.
    pub has_people: bool,
}

impl AccessSlot {
    /// What its members open or seal; none while it is free.
    pub fn gives(&self) -> Option<&str> {
        self.metadata.get(self.usage.key()).map(String::as_str)
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        self.gives().is_none()
            && self.groups.is_empty()
            && !self.has_people
            && has_rested(&self.metadata, now)
    }
}

/// Whether a slot with this metadata was never emptied, or long enough ago.
pub(super) fn has_rested(metadata: &BTreeMap<String, String>, now: Timestamp) -> bool {
    let freed = metadata.get(FREED).and_then(|text| text.parse().ok());
    let freed = freed.and_then(|seconds| Timestamp::from_second(seconds).ok());
    !metadata.contains_key(FREED) || freed.is_some_and(|freed| now.duration_since(freed) >= REST)
}

/// A slot whose metadata must change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotChange {
    /// The name of the group.
    pub slot: String,
    /// Its complete new metadata.
    pub metadata: BTreeMap<String, String>,
}

impl SlotChange {
    /// Whether its members can do something by it.
    pub fn gives(&self) -> bool {
        [OPEN, SEAL].iter().any(|key| self.metadata.contains_key(*key))
    }
}

/// The changes after which the slots of a login for one use name what is wanted: removals first, then additions. An addition for
/// which no slot is free waits.
pub fn changes(wanted: &BTreeSet<OpenedClass>, slots: &[AccessSlot], now: Timestamp) -> Vec<SlotChange> {
    let mut missing: BTreeSet<String> = wanted.iter().map(OpenedClass::to_string).collect();
    let mut changes = Vec::new();
    for slot in slots {
        // A second slot that names the same is emptied.
        if slot.gives().is_some_and(|opened| !missing.remove(opened)) {
            let freed = (FREED.to_owned(), now.as_second().to_string());
            changes.push(SlotChange { slot: slot.name.clone(), metadata: [freed].into() });
        }
    }
    let free = slots.iter().filter(|slot| slot.is_usable(now));
    changes.extend(free.zip(missing).map(|(slot, opened)| SlotChange {
        slot: slot.name.clone(),
        metadata: [(slot.usage.key().to_owned(), opened)].into(),
    }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn slot(number: u8, metadata: &[(&str, &str)], groups: &[&str]) -> AccessSlot {
        AccessSlot {
            name: format!("s{number}"),
            usage: SlotUse::Open,
            metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            has_people: false,
        }
    }

    fn wanted(classes: &[&str]) -> BTreeSet<OpenedClass> {
        let id = "abcdefghij234567".parse().unwrap();
        let one = |class: &&str| OpenedClass { id: Clone::clone(&id), class: (*class).to_owned() };
        classes.iter().map(one).collect()
    }

    fn shown(changes: &[SlotChange]) -> Vec<String> {
        changes.iter().map(|change| format!("{} {:?}", change.slot, change.metadata)).collect()
    }

    #[test]
    fn each_pair_gets_a_slot_and_what_stands_stays() {
        let slots =
            [slot(0, &[], &[]), slot(1, &[("open", "abcdefghij234567.chat")], &["g"]), slot(2, &[], &[])];
        let changes = changes(&wanted(&["chat", "mail"]), &slots, NOW);
        assert_eq!(shown(&changes), [r#"s0 {"open": "abcdefghij234567.mail"}"#]);
        let slots = [slot(1, &[("open", "abcdefghij234567.chat")], &["g"])];
        assert!(super::changes(&wanted(&["chat"]), &slots, NOW).is_empty());
    }

    #[test]
    fn what_nobody_wants_goes_at_once_and_its_slot_rests_until_its_members_are_gone() {
        let used = [slot(0, &[("open", "abcdefghij234567.chat")], &["g"])];
        assert_eq!(shown(&changes(&wanted(&["mail"]), &used, NOW)), [r#"s0 {"freed": "1800000000"}"#]);
        let freed = NOW.as_second().to_string();
        let later = NOW + REST;
        for (groups, at, becomes) in [(&["g"][..], later, 0), (&[][..], NOW, 0), (&[][..], later, 1)] {
            let slots = [slot(0, &[("freed", &freed)], groups)];
            assert_eq!(changes(&wanted(&["mail"]), &slots, at).len(), becomes, "{groups:?} {at}");
        }
        // Text that is no time is no time that has passed.
        assert!(changes(&wanted(&["mail"]), &[slot(0, &[("freed", "soon")], &[])], later).is_empty());
    }

    #[test]
    fn a_slot_with_members_is_never_given_a_meaning() {
        let mut stranger = slot(0, &[], &[]);
        stranger.has_people = true;
        assert!(changes(&wanted(&["mail"]), &[stranger, slot(1, &[], &["g"])], NOW).is_empty());
    }

    #[test]
    fn a_slot_that_seals_says_so_and_nothing_about_opening() {
        let seals = AccessSlot { usage: SlotUse::Seal, ..slot(0, &[], &[]) };
        let named = changes(&wanted(&["mail"]), &[seals], NOW);
        assert_eq!(shown(&named), [r#"s0 {"seal": "abcdefghij234567.mail"}"#]);
        let other =
            AccessSlot { usage: SlotUse::Seal, ..slot(0, &[("open", "abcdefghij234567.mail")], &["g"]) };
        assert_eq!(other.gives(), None);
    }

    #[test]
    fn one_pair_has_one_slot() {
        let twice = [
            slot(0, &[("open", "abcdefghij234567.chat")], &[]),
            slot(1, &[("open", "abcdefghij234567.chat")], &[]),
        ];
        assert_eq!(shown(&changes(&wanted(&["chat"]), &twice, NOW)), [r#"s1 {"freed": "1800000000"}"#]);
    }
}
