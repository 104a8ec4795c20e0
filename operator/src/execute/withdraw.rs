//! Withdraws the access of a Channel that was deleted or moved to another trust domain, but never its keys.

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

/// Why the recorded access of an orphan was not withdrawn.
pub enum Held {
    /// The record cannot be read or written: why, and the next step.
    Unreadable(String),
    /// The API server did not answer whether the Channel is gone, or Vault refused this one. Other Channels can still be checked.
    OfThis(Fault),
    /// Vault does not answer, and would not for any other Channel.
    Failed(Fault),
}

impl From<VaultError> for Held {
    fn from(error: VaultError) -> Self {
        let fault = vaults::fault(&error);
        if error.is_unreadable() {
            Self::Unreadable(fault.message)
        } else if error.is_of_one_request() {
            Self::OfThis(fault)
        } else {
            Self::Failed(fault)
        }
    }
}

/// A deleted Channel.
pub struct Orphan {
    /// Its name.
    pub name: ChannelRef,
    /// Whether it left data keys.
    pub left_keys: bool,
    /// Who adopted them.
    pub adopted_by: Option<ChannelId>,
}

/// Withdraws the access in the record of `id` if it is an orphan of `domain`; then returns what is known of its
/// Channel.
///
/// # Errors
/// When it was not withdrawn. Other Channels may still be.
pub async fn if_orphan(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    id: &ChannelId,
) -> Result<Option<Orphan>, Held> {
    let Some(record) = vault.channel_records.get(id).await?.record else { return Ok(None) };
    let fate = ctx.cluster.read(|world| orphans::fate(domain, &record, world));
    if fate == Fate::Stays || !is_orphan(ctx, domain, id, &record).await.map_err(Held::OfThis)? {
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

/// Whether the Channel of `record` is gone, confirmed with the API server: a delayed watch must neither cost an
/// existing Channel its access nor report it as an orphan.
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

/// Withdraws the access of `id`, whose Channel is gone, and records that it has no access and nothing open. The
/// record and every key stay.
///
/// # Errors
/// When Vault refuses; try again.
async fn orphan(vault: &DomainVault, id: &ChannelId) -> Result<(), VaultError> {
    take_access(vault, id, |record| record.open.clear()).await
}

/// Withdraws the access of `id`, whose TrustDomain is being deleted, and records that. Its connections stay recorded
/// as open, because the policies stay too: without that entry a reconcile during the deletion would close them.
///
/// # Errors
/// When Vault refuses; try again.
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
    if let Some(uid) = record.backup.as_mut().and_then(|backup| backup.worker.take()) {
        access::take_of(vault, id, &uid).await?;
    }
    note(&mut record);
    if record != before {
        vault.channel_records.put(id, record, entry.version).await?;
    }
    Ok(())
}

/// Withdraws the access of Channels whose records cannot be read, found by the aliases that name them. An existing
/// Channel keeps its access if its namespace has one of these values of the trust-domain label; the API server is
/// asked. An alias that Vault refuses to change stops no other.
///
/// # Errors
/// When Vault refuses, or the request to the API server fails: the first fault.
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
    let mut done = Ok(());
    for (name, id) in naming.iter().filter(|(_, id)| !kept.contains(id)) {
        let Some(_working) = ctx.under_way.begin(id) else {
            done = done.and(Err(under_way()));
            continue;
        };
        vault.remember_grant(name, None);
        match aliases.withdraw(name, id).await {
            Ok(()) => {
                tracing::info!(%id, service_account_uid = %name, "its record cannot be read: its access is withdrawn");
            }
            Err(error) if error.is_of_one_request() => done = done.and(Err(vault.fault(&error))),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    done
}

/// The fault while a reconcile of the Channel is running, which could grant the access again that is withdrawn here.
pub fn under_way() -> Fault {
    Fault::new(
        Reason::WorkUnderWay,
        "a Channel that is gone is still being worked on: its access is withdrawn after that",
    )
}
