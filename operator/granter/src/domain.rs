//! One trust domain: reads its Vault and brings it to what AccessRoles say.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, Reason, TrustDomain,
    access_role::{AccessAction, ChannelClass, ClassRight},
    trust_domain::{AccessLogin, AccessSpec},
};
use subrosa_plan::{
    roles::{
        self, OpenedClass, SlotUse, accounts,
        conflicts::{self, RoleName},
        effective::GroupRight,
        members::{self, ProviderGroup, WantedMembers},
        names,
        slots::AccessSlot,
        status::{Right, RoleFacts},
    },
    world::fault::Fault,
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::vault::{
    MountPath, VaultError,
    groups::{self, Groups},
    identity::auth_accessor,
    name::MountAccessor,
};

use crate::{accounts::AccountEntities, gate::Since, round::nothing, vaults::AT_ONCE, view::ClusterView};

/// What a login came to.
pub struct LoginLook {
    /// The state of each role.
    pub roles: Vec<RoleFacts>,
    /// Why the members of a slot that no role needs are still there.
    pub left: Option<Fault>,
}

/// The roles that give nothing, and why.
pub type Withheld = BTreeMap<RoleName, Fault>;

/// What a role opens, and why some of it cannot be opened.
pub type OpenedByPair = BTreeMap<ChannelClass, Result<OpenedClass, Right>>;

/// What a role lets people do, and why some of it cannot be done.
pub type NamedRights = BTreeMap<ClassRight, Result<OpenedClass, Right>>;

/// The Vault of a trust domain during one look.
pub struct DomainLook<'a> {
    name: String,
    access: &'a AccessSpec,
    groups: Groups,
    accessor: MountAccessor,
    roles_in_vault: BTreeSet<String>,
    provider_groups: Vec<ProviderGroup>,
    /// Whether Vault refused to show a group for one of the provider. Nobody knows then whose a member of a slot is that is none of
    /// the groups that were shown.
    is_blind: bool,
    /// The groups of the provider for which Vault let none stand, and ServiceAccounts of which it does not tell, and why.
    unbound: BTreeMap<String, Fault>,
    /// ServiceAccounts that are not there.
    missing: BTreeSet<String>,
    /// Why nothing new may be granted. Removals still happen.
    gives_nothing: Option<Fault>,
    /// What was revoked meanwhile.
    since: &'a Since<'a>,
}

impl<'a> DomainLook<'a> {
    /// Reads the state, with the groups of these names for those of the provider. Nothing new is granted while the mount has a login that `vault-setup` did not make, because
    /// its tokens would get the groups too.
    ///
    /// # Errors
    /// When `vault-setup` was not run for it, or Vault does not answer.
    pub async fn new(
        domain: &TrustDomain,
        access: &'a AccessSpec,
        group_names: Vec<String>,
        own: &OwnVault,
        since: &'a Since<'a>,
    ) -> Result<Self, Fault> {
        let mut look = Self::begin(domain, access, own, since).await?;
        let (vault, accessor) = (look.groups.clone(), look.accessor.clone());
        let read = |one: String| {
            let (vault, accessor) = (&vault, &accessor);
            async move { (vault.provider_group(&one, accessor).await, one) }
        };
        let reads: Vec<_> = group_names.into_iter().map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some((found, one)) = reads.next().await {
            match found {
                Ok(Some(found)) => look.provider_groups.push(found),
                Ok(None) => {
                    let setup = setup(format!("there is no group {one}"));
                    look.gives_nothing.get_or_insert(setup);
                }
                Err(error) if error.is_of_one_request() => {
                    look.is_blind = true;
                    look.gives_nothing.get_or_insert(fault(&error));
                }
                Err(error) => return Err(fault(&error)),
            }
        }
        Ok(look)
    }

    /// The same of the login of ServiceAccounts: in place of groups the entities of those that `roles` name.
    ///
    /// # Errors
    /// When `vault-setup` was not run for it, or Vault does not answer.
    pub async fn of_accounts(
        domain: &TrustDomain,
        access: &'a AccessSpec,
        (view, own): (&ClusterView, &OwnVault),
        roles: &[&AccessRole],
        since: &'a Since<'a>,
    ) -> Result<Self, Fault> {
        let mut look = Self::begin(domain, access, own, since).await?;
        let named = roles.iter().flat_map(|role| accounts::named(role)).collect();
        let read = AccountEntities::read(view, own, &look.accessor, named).await;
        let read = read.map_err(|error| fault(&error))?;
        look.provider_groups = accounts::members(&read.found);
        look.missing = read.missing;
        look.unbound = read.failed;
        Ok(look)
    }

    async fn begin(
        domain: &TrustDomain,
        access: &'a AccessSpec,
        own: &OwnVault,
        since: &'a Since<'a>,
    ) -> Result<Self, Fault> {
        let vault_fault = |error: VaultError| fault(&error);
        let mount = MountPath::new(access.provider.mount()).map_err(|error| fault(&error.into()))?;
        let absent = || setup(format!("there is no login at auth/{mount}"));
        let accessor = match auth_accessor(&own.vault, &mount).await {
            Ok(accessor) => accessor.ok_or_else(absent)?,
            // The right comes with the mount.
            Err(VaultError::PermissionDenied { .. }) => return Err(absent()),
            Err(error) => return Err(fault(&error)),
        };
        let roles_in_vault = groups::roles(&own.vault, &mount).await.map_err(vault_fault)?;
        let known = |name: &&String| access.logins.iter().any(|login| login.name == **name);
        let foreign: Vec<_> = roles_in_vault.iter().filter(|name| !known(name)).map(String::as_str).collect();
        let gives_nothing = (!foreign.is_empty()).then(|| {
            let message = format!(
                "auth/{mount} in Vault has roles that are no login of the TrustDomain ({}): their tokens could outlive what a \
                 login takes away, so nothing new is given; next: delete them (bao delete auth/{mount}/role/{}), also those of \
                 logins that the TrustDomain had once, or mount JWT auth for Subrosa alone (spec.access.provider.mount)",
                foreign.join(", "),
                foreign.first().copied().unwrap_or_default(),
            );
            Fault::new(Reason::ForeignLogin, message)
        });
        Ok(Self {
            name: domain.name_any(),
            access,
            groups: Groups::new(own.vault.clone()),
            accessor,
            roles_in_vault,
            provider_groups: Vec::new(),
            is_blind: false,
            unbound: BTreeMap::new(),
            missing: BTreeSet::new(),
            gives_nothing,
            since,
        })
    }

    /// Grants nothing new, for this reason. What is taken away does not wait.
    pub fn give_nothing(&mut self, why: &Fault) {
        self.gives_nothing.get_or_insert_with(|| why.clone());
    }

    /// The auth mount.
    pub fn accessor(&self) -> &MountAccessor {
        &self.accessor
    }

    /// The entities of who logged in as one of `group` of the provider.
    pub fn people_of(&self, group: &str) -> BTreeSet<String> {
        let group = group.to_lowercase();
        let found = self.provider_groups.iter().filter(|one| one.stands_for.as_ref() == Some(&group));
        found.flat_map(|one| one.people.iter().cloned()).collect()
    }

    /// Lets groups in Vault represent the provider groups that roles name; returns those for which no group was left. One that
    /// Vault refuses stops no other.
    ///
    /// # Errors
    /// When Vault does not answer.
    pub async fn bind(&mut self, roles: &[&AccessRole]) -> Result<BTreeSet<String>, Fault> {
        if self.gives_nothing.is_some() {
            return Ok(BTreeSet::new());
        }
        let named: BTreeSet<String> = roles.iter().flat_map(|role| role.spec.groups()).collect();
        let bound: Vec<_> = members::bindings(&named, &self.provider_groups)
            .into_iter()
            .map(|(name, group)| (name.clone(), group.name.clone(), group.id.clone()))
            .collect();
        for (name, group, id) in bound {
            match self.groups.bind(&id, &name, &self.accessor).await {
                Ok(()) => {}
                Err(error) if error.is_of_one_request() => {
                    self.unbound.insert(name, fault(&error));
                    continue;
                }
                Err(error) => return Err(fault(&error)),
            }
            tracing::info!(domain = self.name, group, "a group of Vault stands for one of the provider");
            for one in self.provider_groups.iter_mut().filter(|one| one.id == id) {
                one.stands_for = Some(name.clone());
            }
        }
        let standing: BTreeSet<_> =
            self.provider_groups.iter().filter_map(|one| one.stands_for.clone()).collect();
        let is_left_out = |name: &String| !standing.contains(name) && !self.unbound.contains_key(name);
        Ok(named.into_iter().filter(is_left_out).collect())
    }

    /// Writes the members of each slot of a login; returns the state of each role afterwards. A slot that Vault refuses to change
    /// stops no other.
    ///
    /// # Errors
    /// When the login is not in Vault, or Vault does not answer.
    pub async fn login(
        &self,
        login: &AccessLogin,
        roles: &[(&AccessRole, NamedRights)],
        withheld: &Withheld,
        left_out: &BTreeSet<String>,
    ) -> Result<LoginLook, Fault> {
        let missing = |what: String| {
            Fault::new(
                Reason::LoginMissing,
                format!(
                    "{what} is not in Vault; next: run subrosa vault-setup for TrustDomain {}",
                    self.name
                ),
            )
        };
        let is_there = self.roles_in_vault.contains(&login.name);
        let (mut slots, mut lacking) = (Vec::new(), None);
        let of = |usage: SlotUse| {
            names::slots(&self.name, login, usage).into_iter().map(move |name| (name, usage))
        };
        let read = |(name, usage): (String, SlotUse)| async move {
            let found = self.groups.slot(&name, usage).await;
            (found, name, usage)
        };
        let reads: Vec<_> = SlotUse::ALL.into_iter().flat_map(of).map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some((found, name, usage)) = reads.next().await {
            match found {
                Ok(Some(found)) => slots.push(found),
                // Withdrawals from the existing slots continue.
                Ok(None) => {
                    lacking = lacking.or(Some(missing(format!("slot {name} of login {}", login.name))));
                }
                // An earlier setup of Vault knows no slots that seal.
                Err(VaultError::PermissionDenied { .. }) if usage == SlotUse::Seal => {
                    lacking = lacking.or(Some(missing(format!("slot {name} of login {}", login.name))));
                }
                Err(error) if error.is_of_one_request() => lacking = lacking.or(Some(fault(&error))),
                Err(error) => return Err(fault(&error)),
            }
        }
        let mut failed_slots: BTreeMap<String, Fault> = BTreeMap::new();
        for (slot, ids) in members::changes(&slots, &self.wanted(roles, withheld, &slots)) {
            match self.change(&slot, ids, &mut slots, roles, withheld).await {
                Ok(()) => {}
                Err(error) if error.is_of_one_request() => {
                    tracing::warn!(domain = self.name, slot, "its members were not changed: {error}");
                    failed_slots.insert(slot, fault(&error));
                }
                Err(error) => return Err(fault(&error)),
            }
        }
        if let Some(fault) = self.gives_nothing.clone().or(lacking) {
            return Err(fault);
        }
        if !is_there {
            return Err(missing(format!(
                "login {} (a role of auth/{})",
                login.name,
                self.access.provider.mount()
            )));
        }
        let mut left = failed_slots.clone();
        let facts = roles.iter().map(|(role, opened)| {
            let withheld = withheld.get(&conflicts::name(role));
            let needed = |slot: &AccessSlot| {
                let is_it = |(usage, named): (SlotUse, &OpenedClass)| {
                    usage == slot.usage && slot.gives() == Some(named.to_string().as_str())
                };
                in_vault(opened).any(is_it)
            };
            let failed = slots.iter().filter(|slot| needed(slot));
            let failed =
                failed.filter_map(|slot| left.remove(&slot.name).or(failed_slots.get(&slot.name).cloned()));
            let of_slots: Vec<Fault> = failed.collect();
            let unbound = accounts::named(role).iter().find_map(|group| self.unbound.get(group).cloned());
            if let Some(fault) = of_slots.into_iter().next().or(unbound) {
                return RoleFacts { withheld: withheld.cloned(), ..nothing(fault) };
            }
            RoleFacts {
                withheld: withheld.cloned(),
                ..self.facts(login, role, opened, &slots, withheld.is_some(), left_out)
            }
        });
        let roles = facts.collect();
        Ok(LoginLook { roles, left: left.into_values().next() })
    }

    /// Writes the members of a slot, and reads them back: they are written without compare-and-set, and what the slot opens may
    /// have changed meanwhile.
    async fn change(
        &self,
        slot: &str,
        mut ids: BTreeSet<String>,
        slots: &mut [AccessSlot],
        roles: &[(&AccessRole, NamedRights)],
        withheld: &Withheld,
    ) -> Result<(), VaultError> {
        if self.gives_nothing.is_some() {
            ids.retain(|id| slots.iter().any(|one| one.name == slot && one.groups.contains(id)));
            let is_as_before = |one: &AccessSlot| one.name == slot && one.groups == ids && !one.has_people;
            if slots.iter().any(is_as_before) {
                return Ok(());
            }
        }
        let pass = self.since.pass().await;
        if !pass.is_as_before() {
            let left: Vec<(AccessRole, NamedRights)> = roles
                .iter()
                .filter_map(|(role, opened)| Some((pass.left_of(role)?, opened.clone())))
                .collect();
            let left: Vec<_> = left.iter().map(|(role, opened)| (role, opened.clone())).collect();
            let wanted = self.wanted(&left, withheld, slots);
            let found = slots.iter().find(|one| one.name == slot);
            let named = found.and_then(|found| Some((found.usage, found.gives()?.to_owned())));
            let stays = named.and_then(|named| wanted.get(&named)).cloned().unwrap_or_default();
            ids.retain(|id| stays.contains(id));
        }
        self.groups.set_members(slot, &ids).await?;
        drop(pass);
        let Some(before) = slots.iter_mut().find(|one| one.name == slot) else { return Ok(()) };
        if let Some(now) = self.groups.slot(slot, before.usage).await? {
            if now.gives() != before.gives() && !now.groups.is_empty() {
                self.groups.set_members(slot, &BTreeSet::new()).await?;
                *before = AccessSlot { groups: BTreeSet::new(), ..now };
            } else {
                *before = now;
            }
        }
        tracing::info!(domain = self.name, slot, members = ids.len(), "a slot has other members");
        Ok(())
    }

    /// For each class to open or to seal, the ids of the groups that may. A member that may be a group that Vault refused to show
    /// stays while some role names what its slot gives.
    fn wanted(
        &self,
        roles: &[(&AccessRole, NamedRights)],
        withheld: &Withheld,
        slots: &[AccessSlot],
    ) -> WantedMembers {
        let mut wanted = WantedMembers::new();
        let gives =
            |role: &AccessRole| roles::is_there(role) && !withheld.contains_key(&conflicts::name(role));
        for (role, opened) in roles.iter().filter(|(role, _)| gives(role)) {
            let ids = self.ids(role);
            for (usage, named) in in_vault(opened) {
                wanted.entry((usage, named.to_string())).or_default().extend(ids.iter().cloned());
            }
        }
        for slot in slots.iter().filter(|_| self.is_blind) {
            let unknown =
                slot.groups.iter().filter(|id| self.provider_groups.iter().all(|one| one.id != **id));
            let named = slot.gives().map(|named| (slot.usage, named.to_owned()));
            if let Some(ids) = named.and_then(|named| wanted.get_mut(&named)) {
                ids.extend(unknown.cloned());
            }
        }
        wanted
    }

    fn ids(&self, role: &AccessRole) -> BTreeSet<String> {
        let named = accounts::named(role);
        let stands =
            |group: &&ProviderGroup| group.stands_for.as_ref().is_some_and(|name| named.contains(name));
        self.provider_groups.iter().filter(stands).map(|group| group.id.clone()).collect()
    }

    fn facts(
        &self,
        login: &AccessLogin,
        role: &AccessRole,
        opened: &NamedRights,
        slots: &[AccessSlot],
        is_withheld: bool,
        left_out: &BTreeSet<String>,
    ) -> RoleFacts {
        let ids = self.ids(role);
        let of = |usage: SlotUse| slots.iter().filter(move |slot| slot.usage == usage);
        let right =
            |action: AccessAction, named: &Result<OpenedClass, Right>| match (named, SlotUse::of(action)) {
                (Err(right), _) => *right,
                (Ok(_), _) if is_withheld => Right::Withheld,
                // Vault has no part in it.
                (Ok(_), None) => Right::Granted,
                (Ok(named), Some(usage)) => {
                    let text = named.to_string();
                    let is_full = of(usage).all(|slot| slot.gives().is_some());
                    match of(usage).find(|slot| slot.gives() == Some(text.as_str())) {
                        Some(slot) if ids.is_subset(&slot.groups) => Right::Granted,
                        None if is_full => Right::NoSlot,
                        _ => Right::Pending,
                    }
                }
            };
        let gives = roles::is_there(role) && !is_withheld;
        RoleFacts {
            rights: opened.iter().map(|(of, named)| (of.clone(), right(of.2, named))).collect(),
            groups: role.spec.groups(),
            effective: if gives { self.effective(role, opened, slots) } else { BTreeSet::new() },
            groups_left_out: role.spec.groups().intersection(left_out).cloned().collect(),
            accounts_missing: accounts::named(role)
                .intersection(&self.missing)
                .map(|key| accounts::name_of(key).to_owned())
                .collect(),
            ttl: login.ttl().to_owned(),
            ..RoleFacts::default()
        }
    }

    /// Which groups of a role can do what in Vault, by the members that its slots have.
    fn effective(
        &self,
        role: &AccessRole,
        opened: &NamedRights,
        slots: &[AccessSlot],
    ) -> BTreeSet<GroupRight> {
        let subjects = accounts::named(role);
        let is_for_accounts = role.spec.is_for_accounts();
        let shown = |key: String| if is_for_accounts { accounts::name_of(&key).to_owned() } else { key };
        let mut effective = BTreeSet::new();
        for (right, named) in opened.iter().filter_map(|(right, named)| Some((right, named.as_ref().ok()?))) {
            let (text, usage) = (named.to_string(), SlotUse::of(right.2));
            let is_it = |slot: &&AccessSlot| Some(slot.usage) == usage && slot.gives() == Some(text.as_str());
            for slot in slots.iter().filter(is_it) {
                let members = self.provider_groups.iter().filter(|group| slot.groups.contains(&group.id));
                let groups = members.filter_map(|group| group.stands_for.clone());
                effective.extend(
                    groups
                        .filter(|group| subjects.contains(group))
                        .map(|group| (shown(group), right.clone())),
                );
            }
        }
        effective
    }
}

fn setup(what: String) -> Fault {
    let message = format!("{what} in Vault; next: run subrosa vault-setup for the TrustDomain");
    Fault::new(Reason::LoginMissing, message)
}

/// What of a role's rights Vault has a part in, and by slots for what.
pub fn in_vault(rights: &NamedRights) -> impl Iterator<Item = (SlotUse, &OpenedClass)> {
    rights.iter().filter_map(|((_, _, action), named)| Some((SlotUse::of(*action)?, named.as_ref().ok()?)))
}
