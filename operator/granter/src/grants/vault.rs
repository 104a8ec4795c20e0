//! The grant slots, their policies and the record of grants of one trust domain, as one round sees them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use subrosa_crds::{Reason, TrustDomain, access_grant::GrantDuration};
use subrosa_plan::{
    record::grants::{GrantsRecord, OpenGrant},
    roles::{
        grants::{
            names::{self, GrantPlace},
            progress::PlaceFacts,
            slots::GrantSlot,
        },
        names as group_names,
    },
    world::{domain, fault::Fault},
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::{
    store::Store,
    vault::{RecordPath, VaultError, grant_policies::GrantPolicies, groups::Groups},
};

use crate::{domain::OpenedByPair, vaults::AT_ONCE};

/// The record, with the version that a write must name.
pub struct KeptGrants {
    store: Store<GrantsRecord>,
    version: u64,
    /// The record as it is in Vault.
    pub record: GrantsRecord,
}

impl KeptGrants {
    /// Reads it.
    ///
    /// # Errors
    /// When Vault refuses, or the record cannot be understood.
    pub async fn read(own: &OwnVault) -> Result<Self, VaultError> {
        let store = Store::new(own.kv.clone());
        let entry = store.read(&RecordPath::grants()).await?;
        Ok(Self { store, version: entry.version, record: entry.record.unwrap_or_default() })
    }

    /// Writes `record`, unless it is the same. Nothing is written where somebody else wrote in between.
    ///
    /// # Errors
    /// When Vault refuses; then the record is as it was.
    pub async fn save(&mut self, record: GrantsRecord) -> Result<(), VaultError> {
        if record == self.record {
            return Ok(());
        }
        let entry = self.store.put(&RecordPath::grants(), record.clone(), self.version).await?;
        (self.version, self.record) = (entry.version, record);
        Ok(())
    }
}

/// A slot of a login.
pub struct SlotAndPolicy {
    /// The login.
    pub login: String,
    /// The names of the slot and of its policy.
    pub names: GrantPlace,
    /// The slot; none where `vault-setup` did not make it, or Vault refused to show it.
    pub slot: Option<GrantSlot>,
    /// Why Vault refused to show it: who is in it is not known.
    pub unread: Option<Fault>,
}

/// The grant slots of a trust domain.
pub struct Places {
    domain: String,
    transit: String,
    groups: Groups,
    policies: GrantPolicies,
    /// Each slot, by name.
    pub all: BTreeMap<String, SlotAndPolicy>,
}

impl Places {
    /// Reads every grant slot that a login declares. One that Vault refuses to show stops no other.
    ///
    /// # Errors
    /// When Vault does not answer.
    pub async fn read(of: &TrustDomain, own: &OwnVault) -> Result<Self, VaultError> {
        let groups = Groups::new(own.vault.clone());
        let mut all = BTreeMap::new();
        let of_login = |(login, places): (String, Vec<GrantPlace>)| {
            places.into_iter().map(move |names| (login.clone(), names))
        };
        let read = |(login, names): (String, GrantPlace)| {
            let groups = &groups;
            async move { (groups.grant_slot(&names.slot).await, login, names) }
        };
        let reads: Vec<_> = names::logins(of).into_iter().flat_map(of_login).map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some((found, login, names)) = reads.next().await {
            let (slot, unread) = match found {
                Ok(slot) => (slot, None),
                Err(error) if error.is_of_one_request() => (None, Some(outdated(&error))),
                Err(error) => return Err(error),
            };
            all.insert(names.slot.clone(), SlotAndPolicy { login, names, slot, unread });
        }
        drop(reads);
        Ok(Self {
            domain: of.name_any(),
            transit: domain::transit_mount(of).to_owned(),
            groups,
            policies: GrantPolicies::new(own.vault.clone()),
            all,
        })
    }

    /// Why Vault refused to show one of these slots, if it did.
    pub fn unread(&self, slots: &[&str]) -> Option<Fault> {
        slots.iter().find_map(|slot| self.all.get(*slot)?.unread.clone())
    }

    /// What Vault has of the slots of a grant.
    ///
    /// # Errors
    /// When a request to Vault fails.
    pub async fn facts(
        &self,
        open: &OpenGrant,
        opened: &OpenedByPair,
    ) -> Result<Vec<PlaceFacts>, VaultError> {
        let mut facts = Vec::with_capacity(open.slots.len());
        for used in &open.slots {
            let found = opened.get(&(used.channel.clone(), used.data_class.clone()));
            let opens = found.and_then(|found| found.as_ref().ok()).map(ToString::to_string);
            let Some(place) = self.all.get(&used.slot) else {
                facts.push(PlaceFacts { slot: None, policy: None, opens });
                continue;
            };
            let policy = self.policies.read(&place.names.policy).await?;
            facts.push(PlaceFacts { slot: place.slot.clone(), policy, opens });
        }
        Ok(facts)
    }

    /// Writes the policies of these slots that are missing.
    ///
    /// # Errors
    /// When a request to Vault fails.
    pub async fn open(
        &self,
        slots: &[&str],
        facts: &[PlaceFacts],
        duration: GrantDuration,
    ) -> Result<(), VaultError> {
        for (slot, _) in slots.iter().zip(facts).filter(|(_, facts)| facts.policy.is_none()) {
            let Some(place) = self.all.get(*slot) else { continue };
            let text = names::policy_text(&self.transit, &place.names.slot);
            self.policies.write(&place.names.policy, &text, duration).await?;
        }
        Ok(())
    }

    /// Removes the policies of these slots.
    ///
    /// # Errors
    /// When a request to Vault fails.
    pub async fn shut(&self, slots: &[&str]) -> Result<(), VaultError> {
        for place in slots.iter().filter_map(|slot| self.all.get(*slot)) {
            let policy = &place.names.policy;
            if self.policies.read(policy).await?.is_some() {
                self.policies.remove(policy).await?;
                tracing::info!(domain = self.domain, policy, "the policy of a grant slot is removed");
            }
        }
        Ok(())
    }

    /// Makes these entities, and nobody else, the members of a slot that is there.
    ///
    /// # Errors
    /// When a request to Vault fails.
    pub async fn admit(&mut self, slot: &str, people: &BTreeSet<String>) -> Result<(), VaultError> {
        let Some(place) = self.all.get_mut(slot) else { return Ok(()) };
        let Some(before) = &place.slot else { return Ok(()) };
        if before.people == *people && !before.has_groups {
            return Ok(());
        }
        self.groups.set_people(slot, people).await?;
        // Read back: members are written without compare-and-set.
        let opened = before.opens().map(str::to_owned);
        let now = self.groups.grant_slot(slot).await?;
        if !people.is_empty() && now.as_ref().and_then(GrantSlot::opens) != opened.as_deref() {
            self.groups.set_people(slot, &BTreeSet::new()).await?;
        }
        place.slot = self.groups.grant_slot(slot).await?;
        tracing::info!(domain = self.domain, slot, people = people.len(), "a grant slot has other members");
        Ok(())
    }

    /// Takes everybody out of grant slots that no login declares. One that Vault refuses to show or to change stops no other.
    ///
    /// # Errors
    /// The first fault.
    pub async fn empty_undeclared(&self, of: &TrustDomain) -> Result<(), VaultError> {
        let mut found = self.groups.names(&group_names::prefix(&self.domain)).await?;
        let prefix = names::slot_prefix(&self.domain);
        found.retain(|name| name.starts_with(&prefix));
        let mut done = Ok(());
        for name in names::undeclared(of, found) {
            match self.empty(&name).await {
                Ok(()) => {}
                Err(error) if error.is_of_one_request() => done = done.and(Err(error)),
                Err(error) => return Err(error),
            }
        }
        done
    }

    async fn empty(&self, name: &str) -> Result<(), VaultError> {
        let slot = self.groups.grant_slot(name).await?;
        if slot.is_some_and(|slot| !slot.is_empty()) {
            self.groups.set_people(name, &BTreeSet::new()).await?;
            tracing::info!(domain = self.domain, slot = name, "a grant slot of no login has no members");
        }
        Ok(())
    }
}

/// A fault of Vault; what an earlier `vault-setup` does not allow says so.
pub fn outdated(error: &VaultError) -> Fault {
    if !matches!(error, VaultError::PermissionDenied { .. }) {
        return fault(error);
    }
    let message = format!(
        "Vault was set up by a release that knows no AccessGrants, or for other logins ({error}); next: run subrosa vault-setup for \
         the TrustDomain"
    );
    Fault::new(Reason::SetupOutdated, message)
}
