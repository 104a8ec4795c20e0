//! What groups, ServiceAccounts, roles and namespaces lose that revocations name, at once and without a round: members of slots, Roles and
//! RoleBindings, and who was let into a grant slot. A round takes away the rest, such as the status of AccessRoles and AccessGrants.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use subrosa_crds::{AccessRevocation, AccessRole, Reason, TrustDomain, trust_domain::AccessSpec};
use subrosa_plan::{
    record::grants::GrantsRecord,
    roles::{
        SlotUse, accounts, break_glass,
        conflicts::{self, RoleName},
        names::{self, LoginSlots},
        revoked::{
            self, StandingRevocations,
            status::RevocationOutcome,
            withdrawn::{self, GivingRole, NamedSlot},
        },
        slots::AccessSlot,
        status::BoundFacts,
    },
    world::fault::Fault,
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::{
    store::Store,
    vault::{MountPath, RecordPath, VaultError, groups::Groups, identity::auth_accessor},
};

use super::{NEVER_SET_UP, RevocationInputs, Uid};
use crate::{accounts::AccountEntities, bindings, domain::in_vault};

/// How many requests are under way at once.
const AT_ONCE: usize = 16;

/// What could not be taken away, by the role that gives it.
type Faults = BTreeMap<RoleName, Fault>;

/// Takes away what `standing` revocations of groups, roles and namespaces name in `domain`.
pub async fn withdraw(
    with: &RevocationInputs<'_>,
    domain: &TrustDomain,
    own: Result<&OwnVault, &Fault>,
    standing: &StandingRevocations<'_>,
) -> BTreeMap<Uid, RevocationOutcome> {
    let named: Vec<&AccessRevocation> =
        standing.iter().filter(|one| one.spec.subject.user.is_none()).collect();
    let uid = |one: &AccessRevocation| one.uid().unwrap_or_default();
    if !with.view.is_known_by_now() {
        return named.into_iter().map(|one| (uid(one), RevocationOutcome::Pending)).collect();
    }
    with.gate.settle().await;
    let all = with.view.roles_of(&domain.name_any());
    let touched: Vec<BTreeSet<RoleName>> =
        named.iter().map(|one| revoked::touched(one, all.iter().map(AsRef::as_ref))).collect();
    let names: BTreeSet<RoleName> = touched.iter().flatten().cloned().collect();
    let mut faults = Faults::new();
    if !names.is_empty() {
        let given = |role: &AccessRole| {
            let rights = with.view.rights(role);
            in_vault(&rights).map(|(usage, named)| (usage, named.to_string())).collect()
        };
        let roles: Vec<GivingRole<'_>> = all.iter().map(|role| (role.as_ref(), given(role))).collect();
        let scope = Scope { with, domain, standing, names: &names, roles: &roles };
        match own {
            Ok(own) => {
                scope.slots(own, &mut faults).await;
                scope.grants(own, &mut faults).await;
            }
            // Nobody logs in there.
            Err(fault) if domain.spec.access.is_none() && NEVER_SET_UP.contains(&fault.reason) => {}
            Err(fault) => faults.extend(names.iter().map(|name| (name.clone(), fault.clone()))),
        }
        scope.bindings(&mut faults).await;
    }
    let outcomes = named.into_iter().zip(touched).map(|(one, touched)| {
        let fault = touched.iter().find_map(|name| faults.get(name).cloned());
        (uid(one), fault.map_or(RevocationOutcome::Withheld(touched), RevocationOutcome::Fault))
    });
    outcomes.collect()
}

/// Whose ids the members of a login's slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LoginKind {
    /// Groups of the provider.
    People,
    /// Groups of the provider that may use break-glass.
    Glass,
    /// ServiceAccounts.
    Accounts,
}

impl LoginKind {
    fn of(login: &str) -> Self {
        match login {
            break_glass::LOGIN => Self::Glass,
            accounts::LOGIN => Self::Accounts,
            _ => Self::People,
        }
    }
}

struct Scope<'a> {
    with: &'a RevocationInputs<'a>,
    domain: &'a TrustDomain,
    standing: &'a StandingRevocations<'a>,
    /// The roles that lose something.
    names: &'a BTreeSet<RoleName>,
    /// All roles of the trust domain.
    roles: &'a [GivingRole<'a>],
}

impl Scope<'_> {
    /// Takes members out of the slots that the roles use. One that Vault refuses to change stops no other.
    async fn slots(&self, own: &OwnVault, faults: &mut Faults) {
        let Some(access) = &self.domain.spec.access else { return };
        let concerned = withdrawn::concerned(self.names, self.roles);
        let logins = names::logins(self.domain).into_iter();
        let is_concerned = |one: &LoginSlots| {
            concerned.keys().any(|(login, usage, _)| *login == one.login && *usage == one.usage)
        };
        let logins = logins.filter(is_concerned);
        let groups = Groups::new(own.vault.clone());
        let mut reads = Vec::new();
        for one in logins {
            let LoginSlots { login, usage, slots } = one;
            reads.extend(slots.into_iter().map(|slot| read(&groups, login.clone(), usage, slot)));
        }
        let found: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
        let mut ids = BTreeMap::new();
        for (login, usage, slot) in found {
            let slot = match slot {
                Ok(Some(slot)) => slot,
                Ok(None) => continue,
                // An earlier setup of Vault knows no slots that seal.
                Err(VaultError::PermissionDenied { .. }) if usage == SlotUse::Seal => continue,
                Err(error) => {
                    // It may be any of this login.
                    let of_login =
                        concerned.iter().filter(|((of, for_what, _), _)| *of == login && *for_what == usage);
                    note(faults, of_login.flat_map(|(_, roles)| roles), &fault(&error));
                    continue;
                }
            };
            let Some(named) = slot.gives() else { continue };
            let place: NamedSlot = (login, usage, named.to_owned());
            let Some(roles) = concerned.get(&place) else { continue };
            if let Err(fault) = self.empty(own, access, &groups, &slot, &place, &mut ids).await {
                note(faults, roles, &fault);
            }
        }
    }

    /// Takes out of one slot who may not stay. `ids` has what was read of groups and ServiceAccounts, by kind of login.
    async fn empty(
        &self,
        own: &OwnVault,
        access: &AccessSpec,
        groups: &Groups,
        slot: &AccessSlot,
        place: &NamedSlot,
        ids: &mut BTreeMap<LoginKind, BTreeMap<String, String>>,
    ) -> Result<(), Fault> {
        if slot.groups.is_empty() && !slot.has_people {
            return Ok(());
        }
        let staying = withdrawn::staying(place, self.standing, access, self.roles);
        let kind = LoginKind::of(&place.0);
        let known = match ids.get(&kind) {
            Some(known) => known.clone(),
            // Nobody has to be known where nobody stays.
            None if staying.is_empty() => BTreeMap::new(),
            None => {
                let read = self.ids(own, access, groups, kind).await.map_err(|error| fault(&error))?;
                ids.entry(kind).or_insert(read).clone()
            }
        };
        let stays = |id: &&String| known.get(*id).is_some_and(|group| staying.contains(group));
        let left: BTreeSet<String> = slot.groups.iter().filter(stays).cloned().collect();
        if left == slot.groups && !slot.has_people {
            return Ok(());
        }
        groups.set_members(&slot.name, &left).await.map_err(|error| fault(&error))?;
        let now = groups.slot(&slot.name, slot.usage).await.map_err(|error| fault(&error))?;
        if now.is_some_and(|now| !now.groups.is_subset(&left) || now.has_people) {
            let message =
                format!("slot {} has members that were taken out; the granter tries again", slot.name);
            return Err(Fault::new(Reason::Revoking, message));
        }
        tracing::info!(
            domain = self.domain.name_any(),
            slot = slot.name,
            members = left.len(),
            "a slot lost members, as an AccessRevocation says"
        );
        Ok(())
    }

    /// For which group of the provider each group of Vault stands, or each entity for which ServiceAccount, by the id of the latter.
    async fn ids(
        &self,
        own: &OwnVault,
        access: &AccessSpec,
        groups: &Groups,
        kind: LoginKind,
    ) -> Result<BTreeMap<String, String>, VaultError> {
        let domain = self.domain.name_any();
        let derived = match kind {
            LoginKind::Glass => break_glass::access(access),
            LoginKind::Accounts => accounts::access(access),
            LoginKind::People => None,
        };
        let provider = derived.as_ref().map_or(&access.provider, |derived| &derived.provider);
        let names = match kind {
            LoginKind::Glass => names::break_glass_groups(&domain, provider.groups()),
            LoginKind::People => names::groups(&domain, provider.groups()),
            LoginKind::Accounts => Vec::new(),
        };
        let Some(accessor) = auth_accessor(&own.vault, &MountPath::new(provider.mount())?).await? else {
            return Ok(BTreeMap::new());
        };
        if kind == LoginKind::Accounts {
            let named = self.roles.iter().filter(|(role, _)| role.spec.is_for_accounts());
            let named = named.flat_map(|(role, _)| accounts::named(role)).collect();
            let read = AccountEntities::read(self.with.view, own, &accessor, named).await?;
            return Ok(read.found.into_iter().map(|(key, (_, entity))| (entity, key)).collect());
        }
        let reads: Vec<_> = names.iter().map(|name| groups.provider_group(name, &accessor)).collect();
        let mut found = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut ids = BTreeMap::new();
        while let Some(group) = found.next().await {
            ids.extend(group?.and_then(|group| Some((group.id, group.stands_for?))));
        }
        Ok(ids)
    }

    /// Takes out who an AccessGrant of the roles let in. The round ends the grant.
    async fn grants(&self, own: &OwnVault, faults: &mut Faults) {
        let grants = self.with.view.grants_of(&self.domain.name_any());
        let of_roles = grants.iter().filter_map(|grant| {
            let role = (grant.namespace().unwrap_or_default(), grant.spec.role.clone());
            let found = self.roles.iter().find(|(one, _)| conflicts::name(one) == role);
            let is_withheld = found.is_some_and(|(one, _)| !self.standing.withheld([*one]).is_empty());
            is_withheld.then_some((grant.uid()?, role))
        });
        let of_roles: BTreeMap<Uid, RoleName> = of_roles.collect();
        if of_roles.is_empty() {
            return;
        }
        let record = match Store::<GrantsRecord>::new(own.kv.clone()).read(&RecordPath::grants()).await {
            Ok(entry) => entry.record.unwrap_or_default(),
            // An earlier setup of Vault knows none.
            Err(VaultError::PermissionDenied { .. }) => return,
            Err(error) => return note(faults, of_roles.values(), &fault(&error)),
        };
        let groups = Groups::new(own.vault.clone());
        for (uid, role) in &of_roles {
            for used in record.open.get(uid).into_iter().flat_map(|open| &open.slots) {
                if let Err(error) = shut_out(&groups, &used.slot).await {
                    note(faults, [role], &fault(&error));
                }
            }
        }
    }

    /// Deletes Role and RoleBinding of what is named, or takes the groups out of them.
    async fn bindings(&self, faults: &mut Faults) {
        let named = self.roles.iter().filter(|(role, _)| self.names.contains(&conflicts::name(role)));
        let writes: Vec<_> = named.map(|(role, _)| self.unbind(role)).collect();
        let mut written = stream::iter(writes).buffer_unordered(AT_ONCE);
        while let Some((role, bound)) = written.next().await {
            if let BoundFacts::Fault(fault) = bound {
                note(faults, [&role], &fault);
            }
        }
    }

    async fn unbind(&self, role: &AccessRole) -> (RoleName, BoundFacts) {
        let with = self.with;
        let is_withheld = !self.standing.withheld([role]).is_empty();
        // Nothing is given here that no round gave.
        if !is_withheld && !bindings::is_bound(with.view, role) {
            return (conflicts::name(role), BoundFacts::Nothing);
        }
        let without = self.standing.without(role);
        let left = without.as_ref().unwrap_or(role);
        let bound = bindings::write(with.client, with.view, self.domain, left, is_withheld).await;
        (conflicts::name(role), bound)
    }
}

async fn read(
    groups: &Groups,
    login: String,
    usage: SlotUse,
    slot: String,
) -> (String, SlotUse, Result<Option<AccessSlot>, VaultError>) {
    let found = groups.slot(&slot, usage).await;
    (login, usage, found)
}

async fn shut_out(groups: &Groups, slot: &str) -> Result<(), VaultError> {
    let found = groups.grant_slot(slot).await?;
    if found.is_some_and(|found| !found.people.is_empty() || found.has_groups) {
        groups.set_people(slot, &BTreeSet::new()).await?;
        tracing::info!(slot, "a grant slot has no members, as an AccessRevocation says");
    }
    Ok(())
}

/// Notes a fault of each of `roles`; the first one of a role stays.
fn note<'a>(faults: &mut Faults, roles: impl IntoIterator<Item = &'a RoleName>, fault: &Fault) {
    for role in roles {
        faults.entry(role.clone()).or_insert_with(|| fault.clone());
    }
}
