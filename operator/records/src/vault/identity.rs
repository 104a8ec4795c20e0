//! Workload access: an entity alias named by a ServiceAccount's UID, whose metadata the static policies read.
//!
//! The operator may write nothing but aliases, and never names an entity in them. So it can neither attach a
//! ServiceAccount to an entity with rights nor give an entity policies; its policy forbids both as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{AliasId, AliasName, MountAccessor, MountPath};

/// An alias as Vault describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its id.
    pub id: AliasId,
    /// The ServiceAccount's UID.
    pub name: AliasName,
    /// The entity it belongs to.
    pub canonical_id: String,
    /// The metadata that the static policies read, such as `subrosa: <id>`.
    pub custom_metadata: BTreeMap<String, String>,
}

/// The accessor of the auth method mounted at `auth/<mount>`; `None` when it does not exist or the token may not use
/// it.
///
/// Reads the endpoint at which every token may list the mounts in its policy, so no right on `sys/auth` is needed.
pub async fn auth_accessor(vault: &Vault, mount: &MountPath) -> Result<Option<MountAccessor>, VaultError> {
    let op = Op::new("sys.mounts", format!("auth/{mount}/login"), &[Capability::Update]);
    let path = format!("sys/internal/ui/mounts/auth/{mount}");
    let data = match vault.exec(&op, &Call::<(), MountAnswer>::get(path)).await {
        Ok(envelope) => envelope.and_then(|envelope| envelope.data),
        Err(VaultError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(data.map(|mount| MountAccessor::new(mount.accessor)).transpose()?)
}

/// Whether a transit engine is mounted there that the token's policy mentions.
pub async fn is_transit(vault: &Vault, mount: &MountPath) -> Result<bool, VaultError> {
    let op = Op::new("sys.mounts", format!("{mount}/keys"), &[Capability::List]);
    let path = format!("sys/internal/ui/mounts/{mount}");
    match vault.exec(&op, &Call::<(), MountAnswer>::get(path)).await {
        Ok(answer) => Ok(answer.and_then(|answer| answer.data).is_some_and(|mount| mount.kind == "transit")),
        // Vault answers the same where the mount does not exist.
        Err(VaultError::PermissionDenied { .. } | VaultError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The aliases of one auth mount.
#[derive(Debug, Clone)]
pub struct Aliases {
    vault: Vault,
    accessor: MountAccessor,
}

impl Aliases {
    /// The aliases of the auth mount with that accessor.
    pub fn new(vault: Vault, accessor: MountAccessor) -> Self {
        Self { vault, accessor }
    }

    /// The mount these aliases belong to.
    pub fn accessor(&self) -> &MountAccessor {
        &self.accessor
    }

    /// Finds the alias of a ServiceAccount, made by a login or by a grant.
    pub async fn find(&self, name: &AliasName) -> Result<Option<Alias>, VaultError> {
        let op = Op::new("identity.find", "identity/lookup/entity", &[Capability::Update]);
        let body = Lookup { alias_name: name.as_str(), alias_mount_accessor: self.accessor.as_str() };
        let call = Call::<_, EntityAnswer>::post("identity/lookup/entity", body);
        let data = self.vault.exec(&op, &call).await?.and_then(|envelope| envelope.data);
        let aliases = data.map(|entity| entity.aliases).unwrap_or_default();
        let ours = |alias: &AliasAnswer| self.is_ours(alias) && alias.name == name.as_str();
        aliases.into_iter().find(ours).map(AliasAnswer::into_alias).transpose()
    }

    /// Sets the metadata of a ServiceAccount's alias, and makes the alias where there is none. It applies to live
    /// tokens at once.
    pub async fn grant(
        &self,
        name: &AliasName,
        custom_metadata: &BTreeMap<String, String>,
    ) -> Result<AliasId, VaultError> {
        let capabilities: &[Capability] = &[Capability::Create, Capability::Update];
        let op = Op::new("identity.grant", "identity/entity-alias", capabilities);
        // vaultrs' type would always send a canonical_id.
        let body = Grant { name: name.as_str(), mount_accessor: self.accessor.as_str(), custom_metadata };
        let call = Call::<_, GrantAnswer>::post("identity/entity-alias", body);
        let data = self.vault.exec(&op, &call).await?.and_then(|envelope| envelope.data);
        match data {
            Some(granted) => Ok(AliasId::new(granted.id)?),
            // Vault may answer an update without changes with an empty body.
            None => self.find(name).await?.map(|alias| alias.id).ok_or_else(|| VaultError::Unexpected {
                path: "identity/entity-alias".into(),
                problem: "the alias is not there after it was written".into(),
            }),
        }
    }

    /// Deletes an alias: live tokens of its ServiceAccount lose at once what its metadata gave them. Idempotent.
    pub async fn withdraw(&self, id: &AliasId) -> Result<(), VaultError> {
        let op = Op::new("identity.withdraw", "identity/entity-alias/id/+", &[Capability::Delete]);
        let call = Call::<(), serde_json::Value>::delete(format!("identity/entity-alias/id/{id}"));
        self.vault.send(&op, &call, None).await.map(|_| ())
    }

    /// All aliases of the mount, without those whose name cannot be a ServiceAccount's UID.
    pub async fn list(&self) -> Result<Vec<Alias>, VaultError> {
        let op = Op::new("identity.list", "identity/entity-alias/id", &[Capability::List]);
        let call = Call::<(), ListAnswer>::list("identity/entity-alias/id");
        let data = self.vault.exec(&op, &call).await?.and_then(|envelope| envelope.data);
        let key_info = data.map(|answer| answer.key_info).unwrap_or_default();
        let aliases = key_info.into_iter().map(|(id, alias)| AliasAnswer { id, ..alias });
        Ok(aliases.filter(|alias| self.is_ours(alias)).filter_map(|alias| alias.into_alias().ok()).collect())
    }

    fn is_ours(&self, alias: &AliasAnswer) -> bool {
        alias.mount_accessor == self.accessor.as_str()
    }
}

#[derive(Serialize)]
struct Lookup<'a> {
    alias_name: &'a str,
    alias_mount_accessor: &'a str,
}

#[derive(Serialize)]
struct Grant<'a> {
    name: &'a str,
    mount_accessor: &'a str,
    custom_metadata: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct GrantAnswer {
    id: String,
}

#[derive(Deserialize)]
struct MountAnswer {
    accessor: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct EntityAnswer {
    #[serde(default)]
    aliases: Vec<AliasAnswer>,
}

#[derive(Deserialize)]
struct ListAnswer {
    #[serde(default)]
    key_info: BTreeMap<String, AliasAnswer>,
}

#[derive(Deserialize)]
struct AliasAnswer {
    /// Absent in lists, where the id is the key.
    #[serde(default)]
    id: String,
    name: String,
    canonical_id: String,
    mount_accessor: String,
    #[serde(default)]
    custom_metadata: Option<BTreeMap<String, String>>,
}

impl AliasAnswer {
    fn into_alias(self) -> Result<Alias, VaultError> {
        Ok(Alias {
            id: AliasId::new(self.id)?,
            name: AliasName::new(self.name)?,
            canonical_id: self.canonical_id,
            custom_metadata: self.custom_metadata.unwrap_or_default(),
        })
    }
}
