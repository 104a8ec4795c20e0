//! Who logged in at an auth mount: the aliases that logins made there, with what the last one left in their metadata.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use subrosa_plan::roles::revoked::entities::ListedAlias;

use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{AliasId, MountAccessor};

/// Where the id of the provider's token stands in the metadata of an alias.
pub const TOKEN_ID: &str = "jti";
/// The longest name of a person that is kept.
const LONGEST_NAME: usize = 128;

/// The alias of somebody who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAlias {
    /// Its id.
    pub id: AliasId,
    /// The person, as the provider's tokens name them.
    pub person: String,
    /// The id of the entity.
    pub entity: String,
    /// The id of the token of the last login.
    pub token: String,
}

/// Every alias of every auth mount.
pub async fn aliases(vault: &Vault) -> Result<Vec<ListedAlias>, VaultError> {
    let aliases = list(vault).await?.into_values().map(|alias| ListedAlias {
        name: alias.name,
        entity: alias.canonical_id,
        accessor: alias.mount_accessor,
        path: alias.mount_path,
    });
    Ok(aliases.collect())
}

/// Everybody who logged in at the mount with that accessor.
pub async fn logins(vault: &Vault, accessor: &MountAccessor) -> Result<Vec<LoginAlias>, VaultError> {
    let aliases = list(vault).await?.into_iter();
    let of_mount = aliases.filter(|(_, alias)| alias.mount_accessor == accessor.as_str());
    of_mount
        .map(|(id, alias)| {
            let token = alias.metadata.unwrap_or_default().remove(TOKEN_ID).unwrap_or_default();
            Ok(LoginAlias {
                id: AliasId::new(id)?,
                person: alias.name.chars().take(LONGEST_NAME).collect(),
                entity: alias.canonical_id,
                token,
            })
        })
        .collect()
}

async fn list(vault: &Vault) -> Result<BTreeMap<String, AliasInfo>, VaultError> {
    let path = "identity/entity-alias/id";
    let op = Op::new("identity.logins", path, &[Capability::List]);
    let answer = match vault.exec(&op, &Call::<(), ListAnswer>::list(path)).await {
        Ok(answer) => answer.and_then(|envelope| envelope.data),
        Err(VaultError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(answer.map(|answer| answer.key_info).unwrap_or_default())
}

/// When the last login with another token was, in whole seconds; `None` where the alias is gone.
pub async fn last_login(vault: &Vault, id: &AliasId) -> Result<Option<Timestamp>, VaultError> {
    let op = Op::new("identity.login", "identity/entity-alias/id/+", &[Capability::Read]);
    let path = format!("identity/entity-alias/id/{id}");
    let answer = match vault.exec(&op, &Call::<(), AliasAnswer>::get(path.as_str())).await {
        Ok(answer) => answer.and_then(|envelope| envelope.data),
        Err(VaultError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(alias) = answer else { return Ok(None) };
    let at = Timestamp::from_second(alias.last_update_time.as_second());
    at.map(Some)
        .map_err(|error| VaultError::Unexpected { path, problem: format!("last_update_time: {error}") })
}

#[derive(Deserialize)]
struct ListAnswer {
    #[serde(default)]
    key_info: BTreeMap<String, AliasInfo>,
}

#[derive(Deserialize)]
struct AliasInfo {
    name: String,
    canonical_id: String,
    mount_accessor: String,
    #[serde(default)]
    mount_path: String,
    /// What logins leave there, and nobody else.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct AliasAnswer {
    last_update_time: Timestamp,
}
