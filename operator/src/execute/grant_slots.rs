//! Writes what grant slots open, by the granter's record, as far as AccessGrants say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use kube::{Api, ResourceExt as _, api::ListParams};
use subrosa_crds::{AccessGrant, AccessRole, TrustDomain};
use subrosa_plan::{
    record::grants::GrantsRecord,
    roles::{
        conflicts::RoleName,
        grants::{names, slots},
    },
    world::fault::Fault,
};
use subrosa_records::vault::{RecordPath, VaultError, groups::Groups};

use super::objects::{self, fault};
use crate::{context::Context, observe::DomainVault};

/// The page size.
const PAGE: u32 = 200;

/// Makes the grant slots of each login open what AccessGrants of `roles` ask for, and nothing else.
///
/// # Errors
/// When a request to Vault or the API server fails.
pub async fn look(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    roles: &[AccessRole],
    withheld: &BTreeMap<RoleName, Fault>,
) -> Result<(), Fault> {
    let record = match vault.grants.read(&RecordPath::grants()).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        // Vault was set up by an earlier release, without this right: the granter says so in each AccessGrant.
        Err(VaultError::PermissionDenied { .. }) => return Ok(()),
        // Nothing opens by a record that nobody understands.
        Err(error) if error.is_unreadable() => GrantsRecord::default(),
        Err(error) => return Err(vault.fault(&error)),
    };
    if record.open.is_empty() && vault.grants_rest.load(Ordering::Relaxed) {
        return Ok(());
    }
    let grants = if record.open.is_empty() { Vec::new() } else { list(ctx).await? };
    let name = domain.name_any();
    let wanted = ctx.cluster.read(|world| slots::wanted(&name, &record, &grants, roles, withheld, world));
    let groups = Groups::new(vault.vault.clone());
    let mut found = Vec::new();
    for place in names::logins(domain).into_iter().flat_map(|(_, places)| places) {
        match groups.grant_slot(&place.slot).await {
            Ok(slot) => found.extend(slot),
            Err(VaultError::PermissionDenied { .. }) => return Ok(()),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    for change in slots::changes(&wanted, &found, ctx.now()) {
        groups.set_metadata(&change.slot, &change.metadata).await.map_err(|error| vault.fault(&error))?;
        tracing::info!(slot = change.slot, "a grant slot changes what it opens");
    }
    vault.grants_rest.store(record.open.is_empty(), Ordering::Relaxed);
    Ok(())
}

/// Empties the grant slots that no login of the TrustDomain declares; all of them if it is being deleted.
///
/// # Errors
/// When a request to Vault fails.
pub async fn empty_undeclared(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    groups_there: &BTreeSet<String>,
) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let prefix = names::slot_prefix(&domain.name_any());
    let found = groups_there.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
    for name in names::undeclared(domain, found) {
        let slot = match groups.grant_slot(&name).await {
            Ok(slot) => slot,
            Err(VaultError::PermissionDenied { .. }) => return Ok(()),
            Err(error) => return Err(vault.fault(&error)),
        };
        for change in slots::changes(&BTreeMap::new(), slot.as_slice(), ctx.now()) {
            groups.set_metadata(&change.slot, &change.metadata).await.map_err(|error| vault.fault(&error))?;
            tracing::info!(slot = change.slot, "a grant slot of no login opens nothing any more");
        }
    }
    Ok(())
}

/// All AccessGrants.
async fn list(ctx: &Context) -> Result<Vec<AccessGrant>, Fault> {
    let api = Api::<AccessGrant>::all(ctx.client.clone());
    match objects::pages(&api, ListParams::default().limit(PAGE)).await {
        Ok(grants) => Ok(grants),
        // The CRD is not installed yet, so there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(fault("listing AccessGrants", &error)),
    }
}
