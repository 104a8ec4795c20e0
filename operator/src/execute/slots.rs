//! Writes what the slots of a trust domain's logins open. The granter writes their members.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use kube::{Api, ResourceExt as _, api::ListParams};
use subrosa_crds::{AccessRevocation, AccessRole, Reason, TrustDomain};
use subrosa_plan::{
    record::{reviews::ReviewsRecord, revocations::RevocationsRecord},
    roles::{
        self, OpenedClass, break_glass,
        conflicts::RoleName,
        exceptions, names, review,
        revoked::StandingRevocations,
        slots::{self, SlotChange},
    },
    world::{domain, fault::Fault},
};
use subrosa_records::vault::{RecordPath, VaultError, groups::Groups};

use super::{
    grant_slots,
    objects::{self, fault},
};
use crate::{context::Context, observe::DomainVault};

/// How often AccessRoles are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The page size.
const PAGE: u32 = 200;

/// Makes the slots of each login open what AccessRoles name, and nothing else. Slots that no login declares any more open
/// nothing.
///
/// # Errors
/// When a request to Vault or the API server fails.
pub async fn look(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    let mut looked = vault.slots.lock().await;
    let generation = domain.metadata.generation;
    if looked.is_some_and(|(last, of)| last.elapsed() < LOOK_EVERY && of == generation) {
        return Ok(());
    }
    *looked = Some((Instant::now(), generation));
    let emptied = empty_undeclared(ctx, domain, vault).await;
    let Some(access) = &domain.spec.access else { return emptied };
    let mut roles =
        match objects::pages(&Api::all(ctx.client.clone()), ListParams::default().limit(PAGE)).await {
            Ok(roles) => roles,
            // The CRD is not installed yet, so there are none.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::<AccessRole>::new(),
            Err(error) => return Err(fault("listing AccessRoles", &error)),
        };
    // A group that may not use break-glass takes no slot of it.
    for role in &mut roles {
        if break_glass::role(access, role).is_none() {
            role.spec.break_glass = None;
        }
    }
    let name = domain.name_any();
    let mut withheld = revoked(ctx, &name, vault, &roles).await?;
    withheld.extend(suspended(ctx, domain, vault, &roles).await?);
    let wanted = ctx.cluster.read(|world| roles::wanted(&name, &roles, &withheld, world));
    let ended = exceptions::ended(domain, ctx.now());
    // A login that is not set up does not delay the others.
    let mut without_login = withheld;
    without_login.extend(exceptions::withheld(&roles, &ended));
    let mut found = emptied.and(grant_slots::look(ctx, domain, vault, &roles, &without_login).await);
    for (login, names) in names::logins(domain) {
        let opened = wanted.get(&login).filter(|_| !ended.contains_key(&login)).cloned().unwrap_or_default();
        found = found.and(of_login(ctx, vault, &login, &names, &opened).await);
    }
    found
}

/// All AccessRevocations.
///
/// # Errors
/// When the request to the API server fails.
pub async fn revocations(ctx: &Context) -> Result<Vec<AccessRevocation>, Fault> {
    let api = Api::<AccessRevocation>::all(ctx.client.clone());
    match objects::pages(&api, ListParams::default().limit(PAGE)).await {
        Ok(revocations) => Ok(revocations),
        // The CRD is not installed yet, so there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(fault("listing AccessRevocations", &error)),
    }
}

/// The roles that give nothing because of AccessRevocations that the granter's record does not release. An unreadable record,
/// or one that an earlier setup of Vault does not let the operator read, counts as empty: nothing is released.
async fn revoked(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    roles: &[AccessRole],
) -> Result<BTreeMap<RoleName, Fault>, Fault> {
    let revocations = revocations(ctx).await?;
    if revocations.iter().all(|one| one.spec.subject.user.is_some()) {
        return Ok(BTreeMap::new());
    }
    let record = match vault.revocations.read(&RecordPath::revocations()).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
            RevocationsRecord::default()
        }
        Err(error) => return Err(vault.fault(&error)),
    };
    Ok(StandingRevocations::of(domain, &revocations, &record).withheld(roles))
}

/// The roles with an overdue review, by the granter's record. An unreadable record, or one that an earlier setup of Vault
/// does not let the operator read, counts as empty.
async fn suspended(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    roles: &[AccessRole],
) -> Result<BTreeMap<RoleName, Fault>, Fault> {
    if roles.iter().all(|role| role.spec.review.is_none()) {
        return Ok(BTreeMap::new());
    }
    let record = match vault.reviews.read(&RecordPath::reviews()).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
            ReviewsRecord::default()
        }
        Err(error) => return Err(vault.fault(&error)),
    };
    let zone = domain::time_zone(domain).unwrap_or(TimeZone::UTC);
    Ok(review::suspended(roles, &record, &zone, ctx.now()))
}

/// Empties the slots that no login of the TrustDomain declares; all slots if it is being deleted.
///
/// # Errors
/// When a request to Vault fails.
pub async fn empty_undeclared(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let prefix = names::slot_prefix(&domain.name_any());
    let all = match groups.names(&names::prefix(&domain.name_any())).await {
        Ok(found) => found,
        // Vault was set up by an earlier release, without this right.
        Err(VaultError::PermissionDenied { .. }) if domain.spec.access.is_none() => return Ok(()),
        Err(error) => return Err(vault.fault(&error)),
    };
    let mut emptied = Vec::new();
    let found = all.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
    for name in names::undeclared(domain, found) {
        let slot = groups.slot(&name).await.map_err(|error| vault.fault(&error))?;
        emptied.extend(slots::changes(&BTreeSet::new(), slot.as_slice(), ctx.now()));
    }
    write(vault, &emptied).await?;
    grant_slots::empty_undeclared(ctx, domain, vault, &all).await
}

async fn of_login(
    ctx: &Context,
    vault: &DomainVault,
    login: &str,
    names: &[String],
    opened: &BTreeSet<OpenedClass>,
) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.extend(groups.slot(name).await.map_err(|error| vault.fault(&error))?);
    }
    write(vault, &slots::changes(opened, &found, ctx.now())).await?;
    if found.len() == names.len() {
        return Ok(());
    }
    let message = format!(
        "spec.access: {} of the {} slots of login {login} are not in Vault; next: run subrosa vault-setup for it",
        names.len() - found.len(),
        names.len()
    );
    Err(Fault::new(Reason::SetupOutdated, message))
}

/// Writes what slots open. One that Vault refuses to change stops no other.
async fn write(vault: &DomainVault, changes: &[SlotChange]) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let mut done = Ok(());
    for change in changes {
        match groups.set_metadata(&change.slot, &change.metadata).await {
            Ok(()) => tracing::info!(slot = change.slot, "a slot changes what it opens"),
            Err(error) if error.is_of_one_request() => done = done.and(Err(vault.fault(&error))),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    done
}
