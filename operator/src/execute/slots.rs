//! Writes what the slots of a trust domain's logins open. The granter writes their members.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kube::{Api, ResourceExt as _, api::ListParams};
use subrosa_crds::{AccessRole, Reason, TrustDomain};
use subrosa_plan::{
    roles::{self, names, slots},
    world::fault::Fault,
};
use subrosa_records::vault::groups::Groups;

use super::objects::{self, fault};
use crate::{context::Context, observe::DomainVault};

/// How often AccessRoles are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The page size.
const PAGE: u32 = 200;

/// Makes the slots of each login open what AccessRoles name, and nothing else.
///
/// # Errors
/// When a request to Vault or the API server fails.
pub async fn look(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    if domain.spec.access.is_none() {
        return Ok(());
    }
    let mut looked = vault.slots.lock().await;
    if looked.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
        return Ok(());
    }
    *looked = Some(Instant::now());
    let roles = match objects::pages(&Api::all(ctx.client.clone()), ListParams::default().limit(PAGE)).await {
        Ok(roles) => roles,
        // The CRD is not installed yet, so there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::<AccessRole>::new(),
        Err(error) => return Err(fault("listing AccessRoles", &error)),
    };
    let name = domain.name_any();
    let wanted = ctx.cluster.read(|world| roles::wanted(&name, &roles, world));
    write(ctx, domain, vault, &wanted).await
}

/// Empties the slots of every login, because the TrustDomain is deleted.
///
/// # Errors
/// When the request to Vault fails.
pub async fn empty(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    write(ctx, domain, vault, &BTreeMap::new()).await
}

async fn write(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    wanted: &roles::WantedSlots,
) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    for (login, names) in names::logins(domain) {
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            found.extend(groups.slot(name).await.map_err(|error| vault.fault(&error))?);
        }
        if found.len() < names.len() {
            let message = format!(
                "spec.access: {} of the {} slots of login {login} are not in Vault; next: run subrosa vault-setup for it",
                names.len() - found.len(),
                names.len()
            );
            return Err(Fault::new(Reason::SetupOutdated, message));
        }
        let opened = wanted.get(&login).cloned().unwrap_or_default();
        for change in slots::changes(&opened, &found, ctx.now()) {
            groups.set_metadata(&change.slot, &change.metadata).await.map_err(|error| vault.fault(&error))?;
            tracing::info!(domain = domain.name_any(), slot = change.slot, "a slot changes what it opens");
        }
    }
    Ok(())
}
