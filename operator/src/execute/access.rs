//! The workload's identity in Vault: an alias whose metadata names the Channel's keys.

use std::collections::BTreeMap;

use subrosa_crds::names::ChannelId;
use subrosa_plan::{record::ledger::Access, world::fault::Fault};

use crate::observe::{DomainVault, vaults};
use subrosa_records::vault::AliasName;

/// What a workload's policy reads to know which keys it may seal with.
const SEAL: &str = "subrosa";
/// What it reads to know which it may open.
const OPEN: &str = "subrosa_open";

/// The metadata that `access` means.
fn metadata(id: &ChannelId, access: &Access) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([(SEAL.to_owned(), id.to_string())]);
    if access.may_open {
        metadata.insert(OPEN.to_owned(), id.to_string());
    }
    metadata
}

fn alias_name(access: &Access) -> Result<AliasName, Fault> {
    AliasName::new(access.service_account_uid.as_str()).map_err(|error| vaults::fault(&error.into()))
}

/// Takes access away from a ServiceAccount that has it for this Channel: live tokens stop at once.
///
/// An alias that names another Channel was granted since, and is not touched.
///
/// # Errors
/// When Vault refuses.
pub async fn withdraw(vault: &DomainVault, id: &ChannelId, access: &Access) -> Result<(), Fault> {
    let result = async {
        let aliases = vault.aliases().await?;
        let name = AliasName::new(access.service_account_uid.as_str())?;
        if let Some(alias) = aliases.find(&name).await?
            && alias.custom_metadata.values().any(|value| value == id.as_str())
        {
            aliases.withdraw(&alias.id).await?;
        }
        vault.remember_grant(&name, None);
        Ok(())
    };
    result.await.map_err(|error| vaults::fault(&error))
}

/// Makes the ServiceAccount's access exactly `access`. It is written `unseen` where the ledger was only
/// just begun: nothing was granted before then that could be right already.
///
/// # Errors
/// When Vault refuses.
pub async fn grant(vault: &DomainVault, id: &ChannelId, access: &Access, unseen: bool) -> Result<(), Fault> {
    let name = alias_name(access)?;
    let wanted = metadata(id, access);
    if vault.is_granted(&name, &wanted) {
        return Ok(());
    }
    let result = async {
        let aliases = vault.aliases().await?;
        let found = if unseen { None } else { aliases.find(&name).await? };
        if found.is_none_or(|alias| alias.custom_metadata != wanted) {
            aliases.grant(&name, &wanted).await?;
        }
        vault.remember_grant(&name, Some(wanted));
        Ok(())
    };
    result.await.map_err(|error| vaults::fault(&error))
}
