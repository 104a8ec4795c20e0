//! Withdrawing what a Channel still had that is gone, or that another trust domain governs now: its access. Never its
//! keys.

use std::collections::BTreeSet;

use subrosa_crds::{
    Reason,
    names::{ChannelId, ChannelRef},
};
use subrosa_plan::{
    access::orphans::{self, Fate},
    record::channel::ChannelRecord,
    world::fault::Fault,
};
use subrosa_records::vault::VaultError;

use super::{access, left, objects};
use crate::{
    context::Context,
    observe::{DomainVault, asked, vaults},
};

/// Why the access of an orphan was not withdrawn by its record.
pub enum Held {
    /// The record cannot be read or written: what is wrong with it, and the next step.
    Unreadable(String),
    /// The API server does not say whether the Channel is gone. The others can be asked for.
    Unasked(Fault),
    /// Vault refuses, perhaps everything.
    Failed(Fault),
}

impl From<VaultError> for Held {
    fn from(error: VaultError) -> Self {
        let fault = vaults::fault(&error);
        if error.is_unreadable() { Self::Unreadable(fault.message) } else { Self::Failed(fault) }
    }
}

/// A Channel that is gone.
pub struct Orphan {
    /// Its name.
    pub name: ChannelRef,
    /// Whether it left data keys.
    pub left_keys: bool,
    /// Who adopted them.
    pub adopted_by: Option<ChannelId>,
}

/// Withdraws what the record of `id` has if it is an orphan of `domain`; returns what is known of its Channel then.
///
/// # Errors
/// When that is not done. Others may be.
pub async fn if_orphan(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    id: &ChannelId,
) -> Result<Option<Orphan>, Held> {
    let Some(record) = vault.channel_records.get(id).await?.record else { return Ok(None) };
    let fate = ctx.cluster.read(|world| orphans::fate(domain, &record, world));
    if fate == Fate::Stays || !is_orphan(ctx, domain, id, &record).await.map_err(Held::Unasked)? {
        return Ok(None);
    }
    if fate == Fate::Gone {
        left::withdraw(ctx, domain, vault, id).await;
    }
    orphan(vault, id).await?;
    vault.settle(id, &record.channel);
    Ok(Some(Orphan {
        left_keys: fate == Fate::Gone && !record.classes().is_empty(),
        adopted_by: record.adopted_by.map(|by| by.id),
        name: record.channel,
    }))
}

/// Whether the Channel of `record` is gone. A watch that is behind must not cost a Channel its access, and none that is
/// there is told to be an orphan: the API server is asked, and what it does not say is not withdrawn.
async fn is_orphan(
    ctx: &Context,
    domain: &str,
    id: &ChannelId,
    record: &ChannelRecord,
) -> Result<bool, Fault> {
    let gone = asked::is_gone(&ctx.client, domain, &record.channel, id).await;
    let gone = gone.map_err(|error| {
        objects::fault(
            &format!("asking whether Channel {} is gone, before its access is withdrawn", record.channel),
            &error,
        )
    })?;
    if !gone {
        tracing::warn!(channel = %record.channel, "not withdrawn: the API server has the Channel, a watch is behind");
        ctx.refresh.soon();
    }
    Ok(gone)
}

/// Takes away the access of `id`, whose Channel is gone from here, and notes that it has none and that nothing is open. The
/// record and every key stay.
///
/// # Errors
/// When Vault refuses; it may be tried again.
async fn orphan(vault: &DomainVault, id: &ChannelId) -> Result<(), VaultError> {
    take_access(vault, id, |record| record.open.clear()).await
}

/// Takes away the access of `id`, whose TrustDomain goes, and notes that it has none. What is open stays noted: the policies
/// stay too, and a Channel that is looked at while the TrustDomain goes would close them by an empty note.
///
/// # Errors
/// When Vault refuses; it may be tried again.
pub async fn access(vault: &DomainVault, id: &ChannelId) -> Result<(), VaultError> {
    take_access(vault, id, |_| ()).await
}

async fn take_access(
    vault: &DomainVault,
    id: &ChannelId,
    note: impl FnOnce(&mut ChannelRecord),
) -> Result<(), VaultError> {
    let entry = vault.channel_records.get(id).await?;
    let Some(before) = entry.record else { return Ok(()) };
    let mut record = before.clone();
    if let Some(access) = record.access.take() {
        access::take(vault, id, &access).await?;
    }
    note(&mut record);
    if record != before {
        vault.channel_records.put(id, record, entry.version).await?;
    }
    Ok(())
}

/// Takes away the access of Channels whose records cannot be read. Without a record access is found by its effect: by
/// the aliases that name the Channel. A Channel that is there keeps its access, if its namespace has one of these values
/// of the trust-domain label; the API server is asked.
///
/// # Errors
/// When Vault refuses or the API server does not say.
pub async fn by_effect(
    ctx: &Context,
    vault: &DomainVault,
    ids: &BTreeSet<ChannelId>,
    keep: &BTreeSet<Option<String>>,
) -> Result<(), Fault> {
    let aliases = vault.aliases().await.map_err(|error| vault.fault(&error))?;
    let naming = aliases.naming(ids).await.map_err(|error| vault.fault(&error))?;
    if naming.is_empty() {
        return Ok(());
    }
    let kept = match keep.is_empty() {
        true => BTreeSet::new(),
        false => asked::ids(&ctx.client, keep)
            .await
            .map_err(|error| objects::fault("asking which Channels there are", &error))?,
    };
    for (name, id) in naming.iter().filter(|(_, id)| !kept.contains(id)) {
        let Some(_working) = ctx.under_way.begin(id) else { return Err(under_way()) };
        vault.remember_grant(name, None);
        aliases.withdraw(name, id).await.map_err(|error| vault.fault(&error))?;
        tracing::info!(%id, service_account_uid = %name, "its record cannot be read: its access is withdrawn");
    }
    Ok(())
}

/// Waits for a reconcile of the Channel that is under way: it could grant again the access that is withdrawn here.
pub fn under_way() -> Fault {
    Fault::new(
        Reason::WorkUnderWay,
        "a Channel that is gone is still being worked on: its access is withdrawn after that",
    )
}
