//! Withdrawing what a Channel that is gone still had: its access. Never its keys.

use subrosa_crds::names::{ChannelId, ChannelRef};
use subrosa_plan::{record::ledger::Ledger, world::fault::Fault};

use super::{access, objects};
use crate::{
    context::Context,
    observe::{DomainVault, asked, vaults},
};

/// Whether anything that `ledger` has may be withdrawn as an orphan's. A watch that is behind must not cost a Channel
/// its access, so the API server is asked; what it does not say is not withdrawn.
///
/// # Errors
/// When it does not say.
pub async fn is_orphan(ctx: &Context, id: &ChannelId, ledger: &Ledger) -> Result<bool, Fault> {
    if ledger.access.is_none() && ledger.open.is_empty() {
        return Ok(true);
    }
    let gone = asked::is_gone(&ctx.client, &ledger.channel, id).await;
    let gone = gone.map_err(|error| {
        objects::fault(
            &format!("asking whether Channel {} is gone, before its access is withdrawn", ledger.channel),
            &error,
        )
    })?;
    if !gone {
        tracing::warn!(channel = %ledger.channel, "not withdrawn: the API server has the Channel, a watch is behind");
        ctx.refresh.soon();
    }
    Ok(gone)
}

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
    let Some(mut ledger) = entry.record.filter(|ledger| may(&ledger.channel)) else { return Ok(None) };
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
