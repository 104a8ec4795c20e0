//! Writes what grant slots open, by the granter's record, as far as AccessGrants say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use kube::{Api, ResourceExt as _, api::ListParams};
use subrosa_crds::{AccessGrant, AccessRevocation, AccessRole, Approval, TrustDomain};
use subrosa_plan::{
    record::{grants::GrantsRecord, revocations::RevocationsRecord},
    roles::{
        conflicts::RoleName,
        grants::{
            names,
            slots::{self as plan, GrantSlot, GrantsSeen},
        },
        revoked::{RevokedPeople, StandingRevocations},
    },
    world::fault::Fault,
};
use subrosa_records::vault::{RecordPath, VaultError, groups::Groups};

use super::{
    objects::{self, fault},
    slots::write,
};
use crate::{context::Context, observe::DomainVault};

/// The page size.
const PAGE: u32 = 200;
/// Selects the Approvals of AccessGrants.
const APPROVALS: &str = "spec.target.kind=AccessGrant";

/// What decides about grants beside Vault's record of them.
pub struct GrantLook<'a> {
    /// The roles.
    pub roles: &'a [AccessRole],
    /// Those that give nothing.
    pub withheld: &'a BTreeMap<RoleName, Fault>,
    /// The AccessRevocations that there are.
    pub revocations: &'a [AccessRevocation],
    /// The granter's record of them.
    pub released: &'a RevocationsRecord,
    /// Whether the admission policies are in place.
    pub guarded: bool,
    /// Whether something may be opened that was not before.
    pub opens_new: bool,
}

/// Makes the grant slots of each login open what approved AccessGrants ask for, and nothing else.
///
/// # Errors
/// When a request to Vault or the API server fails: the first fault, which stopped no other slot.
pub async fn look(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    scope: &GrantLook<'_>,
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
    let (mut grants, mut approvals) = (Vec::new(), Vec::new());
    if !record.open.is_empty() {
        grants = list(ctx).await?;
        let found = objects::selected(&Api::<Approval>::all(ctx.client.clone()), APPROVALS).await;
        approvals = found.map_err(|error| fault("listing Approvals", &error))?;
    }
    let name = domain.name_any();
    let standing = StandingRevocations::of(&name, scope.revocations, scope.released);
    let people = RevokedPeople::of(scope.revocations);
    let guarded_since = record.guard.as_ref().map(|guard| guard.since).filter(|_| scope.guarded);
    let seen = GrantsSeen {
        domain: &name,
        record: &record,
        grants: &grants,
        roles: scope.roles,
        withheld: scope.withheld,
        standing: &standing,
        people: &people,
        approvals: &approvals,
        guarded_since,
        now: ctx.now(),
    };
    let wanted = ctx.cluster.read(|world| plan::wanted(seen, world));
    let all = names::logins(domain).into_iter().flat_map(|(_, places)| places).map(|place| place.slot);
    let (found, read) = read(vault, all).await?;
    let mut changes = plan::changes(&wanted, &found, ctx.now());
    changes.retain(|change| scope.opens_new || !change.gives());
    let done = read.and(write(vault, &changes).await);
    vault.grants_rest.store(record.open.is_empty() && done.is_ok(), Ordering::Relaxed);
    done
}

/// The grant slots of these names that are there. One that Vault refuses to show stops no other.
///
/// # Errors
/// When Vault does not answer.
async fn read(
    vault: &DomainVault,
    names: impl Iterator<Item = String>,
) -> Result<(Vec<GrantSlot>, Result<(), Fault>), Fault> {
    let groups = Groups::new(vault.vault.clone());
    let (mut found, mut done) = (Vec::new(), Ok(()));
    for name in names {
        match groups.grant_slot(&name).await {
            Ok(slot) => found.extend(slot),
            Err(error) if error.is_of_one_request() => done = done.and(Err(vault.fault(&error))),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    Ok((found, done))
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
    let prefix = names::slot_prefix(&domain.name_any());
    let there = groups_there.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
    let (found, read) = read(vault, names::undeclared(domain, there).into_iter()).await?;
    read.and(write(vault, &plan::changes(&BTreeMap::new(), &found, ctx.now())).await)
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
