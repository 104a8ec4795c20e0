//! The identity groups that `vault-setup` made: slots, and groups that represent groups of an identity provider.
//!
//! The policy of each writer allows it one part of a slot and no other (`setup/policy/people.rs`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use subrosa_plan::roles::{
    SlotUse, grants::slots::GrantSlot, members::ProviderGroup, names, slots::AccessSlot,
};

use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{GroupName, MountAccessor, MountPath};

/// The groups of a Vault.
#[derive(Debug, Clone)]
pub struct Groups {
    vault: Vault,
}

impl Groups {
    /// The groups of that Vault.
    pub fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// The state of a slot; `None` where `vault-setup` did not make it.
    pub async fn slot(&self, name: &str, usage: SlotUse) -> Result<Option<AccessSlot>, VaultError> {
        Ok(self.read(name).await?.map(|group| {
            let (groups, entities) = (group.member_group_ids, group.member_entity_ids);
            let (members, others) =
                if names::is_of_accounts(name) { (entities, groups) } else { (groups, entities) };
            AccessSlot {
                name: name.to_owned(),
                usage,
                metadata: group.metadata.unwrap_or_default(),
                groups: members.unwrap_or_default(),
                has_people: others.is_some_and(|others| !others.is_empty()),
            }
        }))
    }

    /// The state of a grant slot; `None` where `vault-setup` did not make it.
    pub async fn grant_slot(&self, name: &str) -> Result<Option<GrantSlot>, VaultError> {
        Ok(self.read(name).await?.map(|group| GrantSlot {
            name: name.to_owned(),
            metadata: group.metadata.unwrap_or_default(),
            people: group.member_entity_ids.unwrap_or_default(),
            has_groups: group.member_group_ids.is_some_and(|groups| !groups.is_empty()),
        }))
    }

    /// The names of the groups that begin with `prefix`, in lower case, as Vault compares them.
    pub async fn names(&self, prefix: &str) -> Result<BTreeSet<String>, VaultError> {
        let path = "identity/group/name";
        let op = Op::new("identity.groups", path, &[Capability::List]);
        let names = list(&self.vault, &op, path).await?;
        Ok(names.iter().map(|name| name.to_lowercase()).filter(|name| name.starts_with(prefix)).collect())
    }

    /// A group that can represent a group of the provider at the auth mount with `accessor`; `None` where
    /// `vault-setup` did not make it.
    pub async fn provider_group(
        &self,
        name: &str,
        accessor: &MountAccessor,
    ) -> Result<Option<ProviderGroup>, VaultError> {
        let Some(group) = self.read(name).await? else { return Ok(None) };
        let alias = group.alias.filter(|alias| alias.mount_accessor == accessor.as_str());
        let stands_for = alias.map(|alias| alias.name.to_lowercase());
        let people = group.member_entity_ids.unwrap_or_default();
        Ok(Some(ProviderGroup { name: name.to_owned(), id: group.id, stands_for, people }))
    }

    /// Writes what a slot opens and keeps its members.
    pub async fn set_metadata(
        &self,
        slot: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), VaultError> {
        self.write(slot, &Metadata { metadata }).await
    }

    /// Replaces the members of a slot by the members of these groups, or of a slot of ServiceAccounts by these entities, and keeps
    /// what it opens.
    pub async fn set_members(&self, slot: &str, groups: &BTreeSet<String>) -> Result<(), VaultError> {
        if names::is_of_accounts(slot) {
            return self.set_people(slot, groups).await;
        }
        self.write(slot, &Members { member_group_ids: groups, member_entity_ids: [] }).await
    }

    /// Replaces the members of a grant slot by these entities, and keeps what it opens.
    pub async fn set_people(&self, slot: &str, people: &BTreeSet<String>) -> Result<(), VaultError> {
        self.write(slot, &People { member_entity_ids: people, member_group_ids: [] }).await
    }

    /// Lets the group with `id` represent a group of the provider at the auth mount with `accessor`.
    pub async fn bind(&self, id: &str, group: &str, accessor: &MountAccessor) -> Result<(), VaultError> {
        let path = "identity/group-alias";
        let op = Op::new("identity.bind", path, &[Capability::Create, Capability::Update]);
        let body = Alias { name: group, mount_accessor: accessor.as_str(), canonical_id: id };
        let call = Call::<_, serde_json::Value>::post(path, body);
        self.vault.exec(&op, &call).await.map(|_| ())
    }

    async fn read(&self, name: &str) -> Result<Option<GroupAnswer>, VaultError> {
        let path = format!("identity/group/name/{}", GroupName::new(name)?);
        let op = Op::new("identity.group", path.as_str(), &[Capability::Read]);
        let answer = self.vault.exec(&op, &Call::<(), GroupAnswer>::get(path.as_str())).await?;
        Ok(answer.and_then(|envelope| envelope.data))
    }

    async fn write<B: Serialize + Send + Sync>(&self, name: &str, body: &B) -> Result<(), VaultError> {
        let path = format!("identity/group/name/{}", GroupName::new(name)?);
        let op = Op::new("identity.group.write", path.as_str(), &[Capability::Update]);
        let call = Call::<_, serde_json::Value>::post(path.as_str(), body);
        self.vault.exec(&op, &call).await.map(|_| ())
    }
}

/// The roles of an auth mount; empty where the mount does not exist or has none.
pub async fn roles(vault: &Vault, mount: &MountPath) -> Result<BTreeSet<String>, VaultError> {
    let path = format!("auth/{mount}/role");
    list(vault, &Op::new("auth.roles", path.as_str(), &[Capability::List]), &path).await
}

/// What stands below `path`; nothing where there is no such path.
async fn list(vault: &Vault, op: &Op, path: &str) -> Result<BTreeSet<String>, VaultError> {
    match vault.exec(op, &Call::<(), ListAnswer>::list(path)).await {
        Ok(answer) => Ok(answer.and_then(|envelope| envelope.data).map(|data| data.keys).unwrap_or_default()),
        Err(VaultError::NotFound { .. }) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Members<'a> {
    member_group_ids: &'a BTreeSet<String>,
    member_entity_ids: [String; 0],
}

#[derive(Serialize)]
struct People<'a> {
    member_entity_ids: &'a BTreeSet<String>,
    member_group_ids: [String; 0],
}

#[derive(Serialize)]
struct Alias<'a> {
    name: &'a str,
    mount_accessor: &'a str,
    canonical_id: &'a str,
}

#[derive(Deserialize)]
struct ListAnswer {
    #[serde(default)]
    keys: BTreeSet<String>,
}

#[derive(Deserialize)]
struct GroupAnswer {
    id: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    member_group_ids: Option<BTreeSet<String>>,
    #[serde(default)]
    member_entity_ids: Option<BTreeSet<String>>,
    /// An object without fields where the group has no alias.
    #[serde(default)]
    alias: Option<AliasAnswer>,
}

#[derive(Deserialize)]
struct AliasAnswer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    mount_accessor: String,
}
