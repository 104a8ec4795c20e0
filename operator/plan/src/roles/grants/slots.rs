//! What grant slots open: the operator's part.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessGrant, AccessRole, Approval,
    names::{ChannelId, ChannelRef},
};

use super::{
    decision::{self, GrantInputs},
    names,
};
use crate::{
    record::grants::{GrantsRecord, OpenGrant},
    roles::{
        OpenedClass,
        conflicts::{self, RoleName},
        names::{FREED, GRANT, OPEN},
        revoked::{RevokedPeople, StandingRevocations},
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

    /// The UID of the AccessGrant for which the operator opened it; none where an earlier release did.
    fn opened_for(&self) -> Option<&str> {
        self.metadata.get(GRANT).map(String::as_str)
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

/// What decides what grant slots open.
#[derive(Clone, Copy, Debug)]
pub struct GrantsSeen<'a> {
    /// The trust domain.
    pub domain: &'a str,
    /// The granter's record.
    pub record: &'a GrantsRecord,
    /// The AccessGrants.
    pub grants: &'a [AccessGrant],
    /// The AccessRoles.
    pub roles: &'a [AccessRole],
    /// The roles that give nothing.
    pub withheld: &'a BTreeMap<RoleName, Fault>,
    /// The AccessRevocations that stand.
    pub standing: &'a StandingRevocations<'a>,
    /// The people that AccessRevocations name.
    pub people: &'a RevokedPeople,
    /// The Approvals of AccessGrants.
    pub approvals: &'a [Approval],
    /// Since when the admission policy of Approvals is as it is now; none while it is missing or edited.
    pub guarded_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What a grant slot must open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSlot {
    /// The class.
    pub opened: OpenedClass,
    /// The UID of the AccessGrant.
    pub grant: String,
    /// Whether enough people approve that it begins. What was opened for it before stays open without.
    pub may_begin: bool,
}

/// What each grant slot of the trust domain must open, by the granter's record, as far as an AccessGrant, its AccessRole and
/// Approvals say the same. A slot that the record names for what no AccessGrant asks for opens nothing.
pub fn wanted(seen: GrantsSeen<'_>, world: &World) -> BTreeMap<String, WantedSlot> {
    let mut wanted = BTreeMap::new();
    let excluded = conflicts::conflicting(seen.roles);
    for (uid, open) in seen.record.open.iter().filter(|(_, open)| open.ended.is_none()) {
        let is_it = |one: &&AccessGrant| one.uid().as_deref() == Some(uid.as_str());
        let is_there = |one: &&AccessGrant| one.meta().deletion_timestamp.is_none();
        let Some(grant) = seen.grants.iter().find(is_it).filter(is_there) else { continue };
        let name = (grant.namespace().unwrap_or_default(), grant.spec.role.clone());
        let Some(role) = seen.roles.iter().find(|role| conflicts::name(role) == name) else { continue };
        let inputs = GrantInputs {
            grant,
            role: Some(role),
            withheld: seen.withheld.get(&name).or_else(|| excluded.get(&name)),
            standing: seen.standing,
            people: seen.people,
            guarded_since: seen.guarded_since,
            now: seen.now,
        };
        let judged = decision::judge(inputs, seen.approvals);
        if judged.refusal.is_none() && judged.digest.as_ref() == Some(&open.digest) {
            let asked = Asked { uid, open, role, may_begin: judged.waits.is_none() };
            asked.opens(&seen, &name.0, world, &mut wanted);
        }
    }
    wanted
}

/// What one grant asks for.
struct Asked<'a> {
    uid: &'a str,
    open: &'a OpenGrant,
    role: &'a AccessRole,
    may_begin: bool,
}

impl Asked<'_> {
    fn opens(
        &self,
        seen: &GrantsSeen<'_>,
        namespace: &str,
        world: &World,
        wanted: &mut BTreeMap<String, WantedSlot>,
    ) {
        let Some(facts) = world.namespaces.get(namespace) else { return };
        if facts.trust_domain.as_deref() != Some(seen.domain) {
            return;
        }
        let (opens, prefix) =
            (self.role.spec.opens(), format!("{}{}_", names::slot_prefix(seen.domain), self.role.spec.login));
        for used in &self.open.slots {
            let pair = (used.channel.clone(), used.data_class.clone());
            let channel = ChannelRef::new(namespace, used.channel.clone());
            let declares =
                world.channel(&channel).is_some_and(|one| one.data_classes().contains(&used.data_class));
            if opens.contains(&pair) && declares && used.slot.starts_with(&prefix) {
                let opened = OpenedClass { id: ChannelId::mint(&facts.uid, &used.channel), class: pair.1 };
                let slot = WantedSlot { opened, grant: self.uid.to_owned(), may_begin: self.may_begin };
                wanted.entry(used.slot.clone()).or_insert(slot);
            }
        }
    }
}

/// The changes after which the grant slots open what is wanted: removals first. A slot with members gets no new meaning, and
/// stays open for the grant for which it was opened alone.
pub fn changes(
    wanted: &BTreeMap<String, WantedSlot>,
    slots: &[GrantSlot],
    now: Timestamp,
) -> Vec<SlotChange> {
    let (mut changes, mut additions) = (Vec::new(), Vec::new());
    for slot in slots {
        let wanted = wanted.get(&slot.name).map(|wanted| (wanted, wanted.opened.to_string()));
        let opening = |grant: &str, opened: String| {
            let metadata = [(OPEN.to_owned(), opened), (GRANT.to_owned(), grant.to_owned())];
            SlotChange { slot: slot.name.clone(), metadata: metadata.into() }
        };
        match (slot.opens(), wanted) {
            (Some(is), Some((wanted, opened))) if is == opened => match slot.opened_for() {
                Some(grant) if grant == wanted.grant => {}
                // An earlier release did not count Approvals.
                None if wanted.may_begin => additions.push(opening(&wanted.grant, opened)),
                _ => changes.push(freed(slot, now)),
            },
            (Some(_), _) => changes.push(freed(slot, now)),
            (None, Some((wanted, opened))) if wanted.may_begin && slot.is_usable(now) => {
                additions.push(opening(&wanted.grant, opened));
            }
            (None, _) => {}
        }
    }
    changes.extend(additions);
    changes
}

fn freed(slot: &GrantSlot, now: Timestamp) -> SlotChange {
    let freed = (FREED.to_owned(), now.as_second().to_string());
    SlotChange { slot: slot.name.clone(), metadata: [freed].into() }
}

#[cfg(test)]
mod tests;
