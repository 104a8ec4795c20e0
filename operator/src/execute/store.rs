//! Checks that a store belongs to its trust domain before anything is done in it.

use std::time::{Duration, Instant};

use subrosa_crds::{Reason, TrustDomain};
use subrosa_plan::{
    access::store::{self, FoundStore, New, Ownership, StoreDecision},
    world::fault::Fault,
};
use subrosa_records::{
    store::Entry,
    vault::{RecordPath, VaultError},
};

use crate::{
    context::Context,
    observe::{DomainVault, vaults},
};

/// How long Channels use a cached result; the reconcile of the TrustDomain checks more often.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long a negative result is cached. Short, because somebody may adopt the store.
const DOUBTED: Duration = Duration::from_secs(2);

/// Why nothing may be done in a store.
#[derive(Clone, Debug)]
pub enum Barred {
    /// It does not provably belong to the trust domain, so nothing is withdrawn in it either.
    NotOwn(Fault),
    /// Vault did not answer whose it is, or the findings about its keys cannot be read.
    Unknown(Fault),
}

/// Checks whether the store may be used, from the cache where possible.
///
/// # Errors
/// When it may not.
pub async fn check(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Barred> {
    let mut known = vault.store.lock().await;
    let found = match &*known {
        Some((at, found)) if at.elapsed() < lasts(found) => found.clone(),
        _ => look_again(ctx, domain, vault, &mut known).await.map_err(Barred::Unknown)?,
    };
    match found {
        Ownership::Not { fault, .. } | Ownership::Pending(fault) => Err(Barred::NotOwn(fault)),
        Ownership::Own { .. } | Ownership::SetupOutdated(_) => Ok(()),
    }
}

/// Checks the store now.
///
/// # Errors
/// When the request to Vault fails.
pub async fn look(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<Ownership, Fault> {
    let mut known = vault.store.lock().await;
    look_again(ctx, domain, vault, &mut known).await
}

fn lasts(found: &Ownership) -> Duration {
    match found {
        Ownership::Not { .. } | Ownership::Pending(_) => DOUBTED,
        Ownership::Own { .. } | Ownership::SetupOutdated(_) => BELIEVED,
    }
}

async fn look_again(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    known: &mut Option<(Instant, Ownership)>,
) -> Result<Ownership, Fault> {
    match judged(ctx, domain, vault).await {
        Ok(found) => {
            let before = known.replace((Instant::now(), found.clone()));
            if before.is_none_or(|(_, before)| before.store_id() != found.store_id()) {
                vault.forget_all();
            }
            Ok(found)
        }
        // While Vault does not answer, its own store stays its own; other requests to Vault fail by themselves.
        Err(error) => match known {
            Some((_, found @ (Ownership::Own { .. } | Ownership::SetupOutdated(_)))) => Ok(found.clone()),
            _ => Err(vault.fault(&error)),
        },
    }
}

async fn judged(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<Ownership, VaultError> {
    let path = RecordPath::domain();
    let outdated = |error: &VaultError| {
        Ownership::SetupOutdated(vaults::outdated("the store in Vault is not guarded", error))
    };
    let mut deleted = None;
    let entry = match vault.stores.read(&path).await {
        Ok(entry) => entry,
        Err(error @ VaultError::PermissionDenied { .. }) => return Ok(outdated(&error)),
        Err(error @ VaultError::Deleted { version, .. }) => {
            deleted = Some(error.next_step());
            Entry { record: None, version }
        }
        Err(error) if error.is_unreadable() => {
            return Ok(Ownership::Not { fault: vaults::fault(&error), adopt: None });
        }
        Err(error) => return Err(error),
    };
    let recorded = match &entry.record {
        Some(_) => Vec::new(),
        None => vault.channel_records.list().await?,
    };
    let found = FoundStore { record: entry.record, deleted, recorded };
    let new = New { store_id: format!("{:032x}", rand::random::<u128>()), at: ctx.now() };
    match ctx.cluster.read(|world| store::judge(domain, &found, &new, world)) {
        StoreDecision::Own { store_id } => Ok(Ownership::Own { store_id }),
        StoreDecision::Pending(fault) => Ok(Ownership::Pending(fault)),
        StoreDecision::Not { fault, adopt } => Ok(Ownership::Not { fault, adopt }),
        StoreDecision::Write(record) => {
            let store_id = record.store_id.clone();
            match vault.stores.put(&path, record, entry.version).await {
                Ok(_) => {
                    tracing::info!(
                        domain = domain.metadata.name,
                        store_id,
                        "the store in Vault is this domain's own"
                    );
                    Ok(Ownership::Own { store_id })
                }
                Err(error @ VaultError::PermissionDenied { .. }) => Ok(outdated(&error)),
                Err(error) => Err(error),
            }
        }
    }
}

/// What is missing because `vault-setup` is of an earlier release.
pub async fn lacking(vault: &DomainVault) -> Option<Fault> {
    let authorities = vault.authorities();
    // If this cannot be checked now, whatever needs the mount reports that itself.
    match authorities.are_set_up().await {
        Ok(false) => Some(Fault::new(
            Reason::SetupOutdated,
            format!(
                "there is no transit mount {} for the keys of certificate authorities, or the operator has no right \
                 on it: new ones are made beside the keys of data, where the destroyer's rights reach them, and those \
                 that are there are not renewed; next: run `subrosa vault-setup` of this release",
                authorities.mount()
            ),
        )),
        Ok(true) | Err(_) => None,
    }
}
