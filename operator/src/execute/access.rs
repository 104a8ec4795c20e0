//! The workload's access in Vault: an entity alias whose metadata names the Channel's keys.

use subrosa_crds::names::ChannelId;
use subrosa_plan::{
    access::alias::{self, Metadata},
    record::channel::Access,
    world::fault::Fault,
};

use crate::observe::{DomainVault, vaults};
use subrosa_records::vault::{AliasName, VaultError};

/// Withdraws a ServiceAccount's access for this Channel; live tokens lose it at once.
///
/// Keeps what the alias grants for others and what another Channel was granted since.
///
/// # Errors
/// When Vault refuses.
pub async fn withdraw(vault: &DomainVault, id: &ChannelId, access: &Access) -> Result<(), Fault> {
    take(vault, id, access).await.map_err(|error| vaults::fault(&error))
}

/// As [`withdraw`], for callers that must distinguish Vault's errors.
///
/// # Errors
/// When Vault refuses.
pub async fn take(vault: &DomainVault, id: &ChannelId, access: &Access) -> Result<(), VaultError> {
    take_of(vault, id, access.service_account_uid.as_str()).await
}

/// Withdraws a ServiceAccount's right to open what was sealed for `adopts`; live tokens lose it at once.
///
/// # Errors
/// When Vault refuses.
pub async fn disown(
    vault: &DomainVault,
    id: &ChannelId,
    access: &Access,
    adopts: &ChannelId,
) -> Result<(), VaultError> {
    let name = AliasName::new(access.service_account_uid.as_str())?;
    vault.remember_grant(&name, None);
    vault.aliases().await?.disown(&name, id, adopts).await
}

/// Whether a ServiceAccount with access for this Channel may open what was sealed for `adopts`. If not, its cached
/// grant is dropped, and the Channel's next reconcile grants it again.
///
/// # Errors
/// When Vault refuses.
pub async fn opens_adopted(
    vault: &DomainVault,
    id: &ChannelId,
    access: &Access,
    adopts: &ChannelId,
) -> Result<bool, VaultError> {
    let name = AliasName::new(access.service_account_uid.as_str())?;
    let opens = vault.aliases().await?.opens_adopted(&name, id, adopts).await?;
    if !opens {
        vault.remember_grant(&name, None);
    }
    Ok(opens)
}

/// Sets the ServiceAccount's access to exactly `access`, for data sealed for the Channel and for those that it
/// `adopted`. Keeps what others have in its alias.
///
/// # Errors
/// When Vault refuses.
pub async fn grant<'a>(
    vault: &DomainVault,
    id: &ChannelId,
    access: &Access,
    adopted: impl IntoIterator<Item = &'a ChannelId>,
) -> Result<(), Fault> {
    set(vault, access.service_account_uid.as_str(), alias::part(id, access.may_open, adopted)).await
}

/// Lets the ServiceAccount of a backup worker use the keys of the Channel's backups, and nothing else of it.
///
/// # Errors
/// When Vault refuses.
pub async fn grant_worker(vault: &DomainVault, id: &ChannelId, uid: &str) -> Result<(), Fault> {
    set(vault, uid, alias::backup_part(id)).await
}

/// Withdraws what the ServiceAccount of a backup worker may for this Channel; live tokens lose it at once.
///
/// # Errors
/// When Vault refuses.
pub async fn withdraw_worker(vault: &DomainVault, id: &ChannelId, uid: &str) -> Result<(), Fault> {
    take_of(vault, id, uid).await.map_err(|error| vaults::fault(&error))
}

/// As [`withdraw_worker`], for callers that must distinguish Vault's errors.
///
/// # Errors
/// When Vault refuses.
pub async fn take_of(vault: &DomainVault, id: &ChannelId, uid: &str) -> Result<(), VaultError> {
    let name = AliasName::new(uid)?;
    vault.remember_grant(&name, None);
    vault.aliases().await?.withdraw(&name, id).await
}

async fn set(vault: &DomainVault, uid: &str, wanted: Metadata) -> Result<(), Fault> {
    let result = async {
        let name = AliasName::new(uid)?;
        if vault.is_granted(&name, &wanted) {
            return Ok(());
        }
        vault.aliases().await?.grant(&name, &wanted).await?;
        vault.remember_grant(&name, Some(wanted));
        Ok(())
    };
    result.await.map_err(|error| vaults::fault(&error))
}
