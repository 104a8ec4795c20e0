//! Entities of people: found by an alias, disabled and enabled again. Nothing else of them is written, and aliases stay. An entity of a
//! ServiceAccount is made with its alias, before or by its first login.

use serde::{Deserialize, Serialize};
use subrosa_plan::roles::revoked::entities::FoundEntity;

use super::client::{LOOKUP_SELF, Vault};
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{EntityId, MountAccessor};

/// The entities of a Vault.
#[derive(Debug, Clone)]
pub struct Entities {
    vault: Vault,
}

impl Entities {
    /// The entities of that Vault.
    pub fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// The entity that has an alias of this name at the auth mount with `accessor`. Vault compares names without case.
    pub async fn find(
        &self,
        name: &str,
        accessor: &MountAccessor,
    ) -> Result<Option<FoundEntity>, VaultError> {
        let path = "identity/lookup/entity";
        let op = Op::new("identity.find", path, &[Capability::Update]);
        let body = Lookup { alias_name: name, alias_mount_accessor: accessor.as_str() };
        let answer = self.vault.exec(&op, &Call::<_, EntityAnswer>::post(path, body)).await?;
        let Some(found) = answer.and_then(|envelope| envelope.data) else { return Ok(None) };
        let mounts = found.aliases.into_iter().map(|alias| (alias.mount_accessor, alias.mount_path));
        Ok(Some(FoundEntity { id: found.id, is_disabled: found.disabled, mounts: mounts.collect() }))
    }

    /// The entity of an alias of this name at the auth mount with `accessor`, made where there is none. No entity is named, so an
    /// alias never comes to one that is there.
    pub async fn find_or_make(&self, name: &str, accessor: &MountAccessor) -> Result<String, VaultError> {
        if let Some(found) = self.find(name, accessor).await? {
            return Ok(found.id);
        }
        let path = "identity/entity-alias";
        let op = Op::new("identity.enrol", path, &[Capability::Create, Capability::Update]);
        let body = NewAlias { name, mount_accessor: accessor.as_str() };
        self.vault.exec(&op, &Call::<_, serde_json::Value>::post(path, body)).await?;
        let found = self.find(name, accessor).await?;
        found.map(|entity| entity.id).ok_or_else(|| VaultError::Unexpected {
            path: path.into(),
            problem: "the alias is not there after it was written".into(),
        })
    }

    /// Disables an entity, or enables it. Its live tokens are refused, or taken again, from the next request on.
    pub async fn set_disabled(&self, id: &str, disabled: bool) -> Result<(), VaultError> {
        let path = format!("identity/entity/id/{}", EntityId::new(id)?);
        let op = Op::new("identity.disable", path.as_str(), &[Capability::Update]);
        let call = Call::<_, serde_json::Value>::post(path.as_str(), Disabled { disabled });
        self.vault.exec(&op, &call).await.map(|_| ())
    }

    /// The entity of the own token.
    pub async fn own(&self) -> Result<Option<String>, VaultError> {
        let op = Op::new("auth.lookup", LOOKUP_SELF, &[Capability::Read]);
        let answer = self.vault.exec(&op, &Call::<(), TokenAnswer>::get(LOOKUP_SELF)).await?;
        Ok(answer.and_then(|envelope| envelope.data).and_then(|token| token.entity_id))
    }
}

#[derive(Serialize)]
struct Lookup<'a> {
    alias_name: &'a str,
    alias_mount_accessor: &'a str,
}

#[derive(Serialize)]
struct NewAlias<'a> {
    name: &'a str,
    mount_accessor: &'a str,
}

#[derive(Serialize)]
struct Disabled {
    disabled: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    entity_id: Option<String>,
}

#[derive(Deserialize)]
struct EntityAnswer {
    id: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    aliases: Vec<AliasAnswer>,
}

#[derive(Deserialize)]
struct AliasAnswer {
    mount_accessor: String,
    #[serde(default)]
    mount_path: String,
}
