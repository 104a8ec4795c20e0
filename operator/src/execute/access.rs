//! The workload's identity in Vault: an alias whose metadata names the Channel's keys.

use subrosa_crds::names::ChannelId;
use subrosa_plan::{access::alias, record::channel::Access, world::fault::Fault};

use crate::observe::{DomainVault, vaults};
use subrosa_records::vault::{AliasName, VaultError};

/// Takes access away from a ServiceAccount that has it for this Channel: live tokens stop at once.
///
/// What the alias gives to others, and what another Channel was granted since, is not touched.
///
/// # Errors
/// When Vault refuses.
pub async fn withdraw(vault: &DomainVault, id: &ChannelId, access: &Access) -> Result<(), Fault> {
    take(vault, id, access).await.map_err(|error| vaults::fault(&error))
}

/// The same, for who must tell the errors of Vault apart.
///
/// # Errors
/// When Vault refuses.
pub async fn take(vault: &DomainVault, id: &ChannelId, access: &Access) -> Result<(), VaultError> {
    let name = AliasName::new(access.service_account_uid.as_str())?;
    vault.remember_grant(&name, None);
    vault.aliases().await?.withdraw(&name, id).await
}

/// Takes from a ServiceAccount that has access for this Channel that it opens what was sealed for `adopts`: live tokens lose it
/// at once.
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

/// Whether Vault lets a ServiceAccount that has access for this Channel open what was sealed for `adopts`. Where it does not,
/// nothing is believed of its access any more: the next look at the Channel gives it.
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

/// Makes the ServiceAccount's access exactly `access`, to what was sealed for the Channel and for those it `adopted`. What
/// others have in its alias stays.
///
/// # Errors
/// When Vault refuses.
pub async fn grant<'a>(
    vault: &DomainVault,
    id: &ChannelId,
    access: &Access,
    adopted: impl IntoIterator<Item = &'a ChannelId>,
) -> Result<(), Fault> {
    let wanted = alias::part(id, access.may_open, adopted);
    let result = async {
        let name = AliasName::new(access.service_account_uid.as_str())?;
        if vault.is_granted(&name, &wanted) {
            return Ok(());
        }
        vault.aliases().await?.grant(&name, &wanted).await?;
        vault.remember_grant(&name, Some(wanted));
        Ok(())
    };
    result.await.map_err(|error| vaults::fault(&error))
}
