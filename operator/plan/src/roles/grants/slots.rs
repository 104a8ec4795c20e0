//! What grant slots open: the operator's part.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessGrant, AccessRole,
    names::{ChannelId, ChannelRef},
};

use super::names;
use crate::{
    record::grants::GrantsRecord,
    roles::{
        OpenedClass,
        conflicts::{self, RoleName},
        is_there,
        names::{FREED, OPEN},
        slots::{SlotChange, has_rested},
    },
    world::{World, fault::Fault},
};

/// A grant slot as it is in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSlot {
    /// The name of the group.
    pub name: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The ids of the entities that are its members.
    pub people: BTreeSet<String>,
    /// Whether it has members by groups, which neither the operator nor the granter writes.
    pub has_groups: bool,
}

impl GrantSlot {
    /// What it opens; none while it is free.
    pub fn opens(&self) -> Option<&str> {
        self.metadata.get(OPEN).map(String::as_str)
    }

    /// Whether nobody is its member.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && !self.has_groups
    }

    /// Whether another grant can have it: it opens nothing, has no members, and has rested.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.opens().is_none() && self.is_empty() && has_rested(&self.metadata, now)
    }
}

/// What each grant slot of `domain` must open, by the granter's record, as far as an AccessGrant and its AccessRole say the
/// same. A slot that the record names for what no AccessGrant asks for opens nothing. Roles in `withheld` open nothing.
pub fn wanted(
    domain: &str,
    record: &GrantsRecord,
    grants: &[AccessGrant],
    roles: &[AccessRole],
    withheld: &BTreeMap<RoleName, Fault>,
    world: &World,
) -> BTreeMap<String, OpenedClass> {
    let mut wanted = BTreeMap::new();
    let excluded = conflicts::conflicting(roles);
    for (uid, open) in record.open.iter().filter(|(_, open)| open.ended.is_none()) {
        let is_it = |one: &&AccessGrant| one.uid().as_deref() == Some(uid.as_str());
        let Some(grant) = grants.iter().find(is_it) else { continue };
        if grant.meta().deletion_timestamp.is_some() {
            continue;
        }
        let namespace = grant.namespace().unwrap_or_default();
        let name = (namespace.clone(), grant.spec.role.clone());
        let gives = |role: &&AccessRole| {
            conflicts::name(role) == name
                && is_there(role)
                && role.spec.grants.is_some()
                && !withheld.contains_key(&name)
                && !excluded.contains_key(&name)
        };
        let (Some(role), Some(facts)) = (roles.iter().find(gives), world.namespaces.get(&namespace)) else {
            continue;
        };
        if facts.trust_domain.as_deref() != Some(domain) {
            continue;
        }
        let (opens, prefix) =
            (role.spec.opens(), format!("{}{}_", names::slot_prefix(domain), role.spec.login));
        for used in &open.slots {
            let pair = (used.channel.clone(), used.data_class.clone());
            let channel = ChannelRef::new(namespace.clone(), used.channel.clone());
            let declares =
                world.channel(&channel).is_some_and(|one| one.data_classes().contains(&used.data_class));
            if opens.contains(&pair) && declares && used.slot.starts_with(&prefix) {
                let opened = OpenedClass { id: ChannelId::mint(&facts.uid, &used.channel), class: pair.1 };
                wanted.entry(used.slot.clone()).or_insert(opened);
            }
        }
    }
    wanted
}

/// The changes after which the grant slots open what is wanted: removals first. A slot with members gets no new meaning.
pub fn changes(
    wanted: &BTreeMap<String, OpenedClass>,
    slots: &[GrantSlot],
    now: Timestamp,
) -> Vec<SlotChange> {
    let (mut changes, mut additions) = (Vec::new(), Vec::new());
    for slot in slots {
        let opened = wanted.get(&slot.name).map(OpenedClass::to_string);
        match (slot.opens(), opened) {
            (Some(is), Some(opened)) if is == opened => {}
            (Some(_), _) => {
                let freed = (FREED.to_owned(), now.as_second().to_string());
                changes.push(SlotChange { slot: slot.name.clone(), metadata: [freed].into() });
            }
            (None, Some(opened)) if slot.is_usable(now) => {
                additions.push(SlotChange {
                    slot: slot.name.clone(),
                    metadata: [(OPEN.to_owned(), opened)].into(),
                });
            }
            (None, _) => {}
        }
    }
    changes.extend(additions);
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        record::grants::{GrantEnd, GrantsRecord},
        roles::{
            grants::testing::{grant, open, role},
            slots::REST,
        },
        testing::{DOMAIN, Scene},
    };

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn slot(metadata: &[(&str, &str)], people: &[&str]) -> GrantSlot {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let people = people.iter().map(|id| (*id).to_owned()).collect();
        GrantSlot { name: "s".to_owned(), metadata, people, has_groups: false }
    }

    fn told(wanted: Option<&str>, slot: GrantSlot, now: Timestamp) -> String {
        let id = "abcdefghij234567".parse().unwrap();
        let wanted = wanted.map(|class| ("s".to_owned(), OpenedClass { id, class: class.to_owned() }));
        let changes = changes(&wanted.into_iter().collect(), &[slot], now);
        changes.first().map(|change| format!("{:?}", change.metadata)).unwrap_or_default()
    }

    #[test]
    fn a_slot_opens_what_its_grant_asks_for_and_a_slot_with_members_gets_no_new_meaning() {
        let chat = r#"{"open": "abcdefghij234567.chat"}"#;
        let opened = ("open", "abcdefghij234567.chat");
        assert_eq!(told(Some("chat"), slot(&[], &[]), NOW), chat);
        assert_eq!(told(Some("chat"), slot(&[opened], &["e"]), NOW), "");
        assert_eq!(told(Some("chat"), slot(&[], &["e"]), NOW), "");
        assert_eq!(told(None, slot(&[], &["e"]), NOW), "");
        let freed = r#"{"freed": "1800000000"}"#;
        assert_eq!(told(None, slot(&[opened], &["e"]), NOW), freed);
        assert_eq!(told(Some("mail"), slot(&[opened], &[]), NOW), freed);
        let resting = || slot(&[("freed", "1800000000")], &[]);
        assert_eq!(told(Some("chat"), resting(), NOW), "");
        assert_eq!(told(Some("chat"), resting(), NOW + REST), chat);
        let strange = GrantSlot { has_groups: true, ..slot(&[], &[]) };
        assert_eq!(told(Some("chat"), strange, NOW), "");
    }

    #[test]
    fn only_what_an_access_grant_and_its_role_say_is_opened() {
        let scene = Scene::new().channel("cc-front/voice", json!({"dataClasses": ["call-recording"]}));
        let mut record = GrantsRecord::default();
        record.open.insert("u-inc".to_owned(), open());
        let count = |record: &GrantsRecord, grant: &AccessGrant, role: &AccessRole, domain: &str| {
            let (grants, roles) = (std::slice::from_ref(grant), std::slice::from_ref(role));
            wanted(domain, record, grants, roles, &BTreeMap::new(), &scene).len()
        };
        let (asked, reviewer) = (grant("inc", json!({})), role("reviewer", json!({})));
        assert_eq!(count(&record, &asked, &reviewer, DOMAIN), 1);
        assert_eq!(count(&record, &asked, &reviewer, "westerlinde"), 0);
        for patch in [
            json!({"metadata": {"uid": "u-other"}}),
            json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}}),
            json!({"spec": {"role": "other"}}),
            json!({"metadata": {"namespace": "cc-back"}}),
        ] {
            assert_eq!(count(&record, &grant("inc", patch.clone()), &reviewer, DOMAIN), 0, "{patch}");
        }
        for patch in [
            json!({"spec": {"grants": null}}),
            json!({"spec": {"login": "weak"}}),
            json!({"spec": {"allow": [{"channels": ["voice"], "dataClasses": ["fax"], "actions": ["Open"]}]}}),
            json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}}),
        ] {
            assert_eq!(count(&record, &asked, &role("reviewer", patch.clone()), DOMAIN), 0, "{patch}");
        }
        // Whatever the record says, a slot of another kind or another login opens nothing by it.
        let used = |patch: Value| {
            let mut open = open();
            for used in &mut open.slots {
                used.slot = patch.as_str().unwrap_or_default().to_owned();
            }
            let mut record = GrantsRecord::default();
            record.open.insert("u-inc".to_owned(), open);
            count(&record, &asked, &reviewer, DOMAIN)
        };
        assert_eq!(used(json!("subrosa_oosterlinde_grant_strong_001")), 1);
        assert_eq!(used(json!("subrosa_oosterlinde_open_strong_001")), 0);
        assert_eq!(used(json!("subrosa_oosterlinde_grant_weak_001")), 0);
        let overdue = Fault::new(subrosa_crds::Reason::ReviewOverdue, "overdue");
        let withheld = [(conflicts::name(&reviewer), overdue)].into();
        let (asked, reviewer) = (std::slice::from_ref(&asked), std::slice::from_ref(&reviewer));
        assert!(wanted(DOMAIN, &record, asked, reviewer, &withheld, &scene).is_empty());
        let end = GrantEnd { at: NOW, reason: "GrantExpired".into(), began: None };
        record.open.values_mut().for_each(|open| open.ended = Some(end.clone()));
        assert!(wanted(DOMAIN, &record, asked, reviewer, &BTreeMap::new(), &scene).is_empty());
    }
}
