//! Withdrawing what a Channel that is gone still had: its access. Never its keys.

use subrosa_crds::names::{ChannelId, ChannelRef};
use subrosa_plan::world::fault::Fault;

use super::access;
use crate::observe::{DomainVault, vaults};

/// Takes away the access of `id` and notes that it has none and that nothing is open. The ledger and every key stay.
/// Nothing happens unless the Channel that the ledger names `may` lose it.
///
/// # Errors
/// When Vault refuses; it may be tried again.
pub async fn orphan(
    vault: &DomainVault,
    id: &ChannelId,
    may: impl Fn(&ChannelRef) -> bool,
) -> Result<Option<String>, Fault> {
    let entry = vault.ledgers.get(id).await.map_err(|error| vaults::fault(&error))?;
    let Some(mut ledger) = entry.ledger.filter(|ledger| may(&ledger.channel)) else { return Ok(None) };
    let name = ledger.channel.to_string();
    let access = ledger.access.take();
    if let Some(access) = &access {
        access::withdraw(vault, id, access).await?;
    }
    if access.is_some() || !ledger.open.is_empty() {
        ledger.open.clear();
        vault.ledgers.put(id, ledger, entry.version).await.map_err(|error| vaults::fault(&error))?;
    }
    Ok(Some(name))
}
