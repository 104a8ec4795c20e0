//! Writes what the slots of a trust domain's logins open and seal. The granter writes their members.

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
        self, OpenedClass, SlotUse, break_glass,
        conflicts::RoleName,
        exceptions, given,
        names::{self, LoginSlots},
        review,
        revoked::StandingRevocations,
        slots::{self, AccessSlot, SlotChange},
    },
    status::trust_domain::Guards,
    world::{domain, fault::Fault},
};
use subrosa_records::vault::{RecordPath, VaultError, groups::Groups};

use super::{
    grant_slots::{self, GrantLook},
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
pub async fn look(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    guarded: &Guards,
) -> Result<(), Fault> {
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
    // Who approved a role approved it as it is written.
    let unapproved = unapproved(ctx, domain, vault, &roles).await;
    // A group that may not use break-glass takes no slot of it.
    for role in &mut roles {
        if break_glass::role(access, role).is_none() {
            role.spec.break_glass = None;
        }
    }
    let name = domain.name_any();
    // Which roles give nothing may not be known: what no role names is taken away all the same.
    let mut known = Ok(());
    let (revocations, released) = revoked(ctx, vault).await.unwrap_or_else(|fault| {
        known = Err(fault);
        Default::default()
    });
    let mut withheld = StandingRevocations::of(&name, &revocations, &released).withheld(&roles);
    match unapproved {
        Ok(unapproved) => withheld.extend(unapproved),
        Err(fault) => known = known.and(Err(fault)),
    }
    let opens_new = known.is_ok();
    let wanted = ctx.cluster.read(|world| roles::wanted(&name, &roles, &withheld, world));
    let ended = exceptions::ended(domain, ctx.now());
    // A login that is not set up does not delay the others.
    let mut without_login = withheld;
    without_login.extend(exceptions::withheld(&roles, &ended));
    let scope = GrantLook {
        roles: &roles,
        withheld: &without_login,
        revocations: &revocations,
        released: &released,
        guarded: !matches!(guarded, Guards::NotInPlace(_)),
        opens_new,
    };
    let granted = grant_slots::look(ctx, domain, vault, &scope).await;
    let mut found = emptied.and(known).and(granted);
    for login in names::logins(domain) {
        let named = wanted.get(&(login.login.clone(), login.usage));
        let named = named.filter(|_| !ended.contains_key(&login.login)).cloned().unwrap_or_default();
        found = found.and(of_login(ctx, vault, &login, &named, opens_new).await);
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

/// The AccessRevocations, and the granter's record of which are released. An unreadable record, or one that an earlier setup of
/// Vault does not let the operator read, counts as empty: nothing is released.
async fn revoked(
    ctx: &Context,
    vault: &DomainVault,
) -> Result<(Vec<AccessRevocation>, RevocationsRecord), Fault> {
    let revocations = revocations(ctx).await?;
    if revocations.is_empty() {
        return Ok((revocations, RevocationsRecord::default()));
    }
    let record = match vault.revocations.read(&RecordPath::revocations()).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
            RevocationsRecord::default()
        }
        Err(error) => return Err(vault.fault(&error)),
    };
    Ok((revocations, record))
}

/// The roles that nobody gives, or with an overdue review, by the granter's record. An unreadable record, or one that an earlier
/// setup of Vault does not let the operator read, counts as empty.
async fn unapproved(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    roles: &[AccessRole],
) -> Result<BTreeMap<RoleName, Fault>, Fault> {
    if roles.iter().all(|role| role.spec.review.is_none() && role.spec.granted_by.is_some()) {
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
    let mut unapproved = given::ungiven(roles, &record);
    unapproved.extend(review::suspended(roles, &record, &zone, ctx.now()));
    Ok(unapproved)
}

/// Empties the slots that no login of the TrustDomain declares; all slots if it is being deleted.
///
/// # Errors
/// When a request to Vault fails.
pub async fn empty_undeclared(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let name = domain.name_any();
    let all = match groups.names(&names::prefix(&domain.name_any())).await {
        Ok(found) => found,
        // Vault was set up by an earlier release, without this right.
        Err(VaultError::PermissionDenied { .. }) if domain.spec.access.is_none() => return Ok(()),
        Err(error) => return Err(vault.fault(&error)),
    };
    let undeclared = names::undeclared(domain, names::found(&name, all.iter().cloned()));
    let SlotsRead { found, done } =
        read(vault, undeclared.iter().map(|(slot, usage)| (slot, *usage))).await?;
    let done = done.and(write(vault, &slots::changes(&BTreeSet::new(), &found, ctx.now())).await);
    done.and(grant_slots::empty_undeclared(ctx, domain, vault, &all).await)
}

async fn of_login(
    ctx: &Context,
    vault: &DomainVault,
    login: &LoginSlots,
    named: &BTreeSet<OpenedClass>,
    opens_new: bool,
) -> Result<(), Fault> {
    let names = &login.slots;
    let SlotsRead { found, done } = read(vault, names.iter().map(|name| (name, login.usage))).await?;
    let mut changes = slots::changes(named, &found, ctx.now());
    // A slot that is not seen may give the same already.
    if done.is_err() || !opens_new {
        changes.retain(|change| !change.gives());
    }
    done.and(write(vault, &changes).await)?;
    if found.len() == names.len() {
        return Ok(());
    }
    let message = format!(
        "spec.access: {} of the {} {} of login {} are not in Vault; next: run subrosa vault-setup for it",
        names.len() - found.len(),
        names.len(),
        login.usage.field(),
        login.login
    );
    Err(Fault::new(Reason::SetupOutdated, message))
}

/// Slots that Vault shows.
struct SlotsRead {
    /// Those that are there.
    found: Vec<AccessSlot>,
    /// Why others are not among them.
    done: Result<(), Fault>,
}

/// The slots of these names. One that Vault refuses to show stops no other.
///
/// # Errors
/// When Vault does not answer.
async fn read<'a>(
    vault: &DomainVault,
    names: impl Iterator<Item = (&'a String, SlotUse)>,
) -> Result<SlotsRead, Fault> {
    let groups = Groups::new(vault.vault.clone());
    let (mut found, mut done) = (Vec::new(), Ok(()));
    for (name, usage) in names {
        match groups.slot(name, usage).await {
            Ok(slot) => found.extend(slot),
            // Vault was set up by an earlier release, which knows no slots that seal: they are not there.
            Err(VaultError::PermissionDenied { .. }) if usage == SlotUse::Seal => {}
            Err(error) if error.is_of_one_request() => done = done.and(Err(vault.fault(&error))),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    Ok(SlotsRead { found, done })
}

/// Writes what slots open. One that Vault refuses to change stops no other.
///
/// # Errors
/// The first fault.
pub(super) async fn write(vault: &DomainVault, changes: &[SlotChange]) -> Result<(), Fault> {
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
