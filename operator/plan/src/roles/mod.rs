//! AccessRoles: what people may open.
//!
//! ```text
//!   AccessRole ── opens ──▶ pair: Channel id and class ── stands in ──▶ slot ◀── is read by ── policy of a login
//!       │                                          (operator writes)     ▲
//!       └───── subjects ──▶ group of the provider ── is member of ───────┘ (granter writes)
//! ```
//!
//! A slot is a group in Vault without policies, made by `subrosa vault-setup`. A login's policy lets the members of
//! each of its slots open what that slot's metadata names; what is sealed goes the same way, by slots of its own
//! ([`SlotUse`]). Two writers are needed for any access: the operator, which
//! mints the identities of Channels, writes what a slot opens ([`slots`]), and the granter writes its members
//! ([`members`]). Neither may do the other's part. Live sessions follow both writes at once. In Kubernetes the granter
//! writes which Channels the groups may read ([`rbac`]).
//!
//! Both leave out a role that nobody who may grant its Channels gives ([`given`]), that an older one excludes ([`conflicts`]),
//! whose review is overdue ([`review`]), or that an AccessRevocation names ([`revoked`]), and everything of a login without a
//! second factor whose exception has ended ([`exceptions`]).
//!
//! What a single person gets by an AccessGrant goes through slots of its own, whose policies Vault ends ([`grants`]).
//!
//! ServiceAccounts open after a login of their own, as members of its slots one by one ([`accounts`]).
//!
//! What a role opens in an emergency goes the same way, as a login of its own ([`break_glass`]); who used that is told and
//! reviewed ([`uses`]), and it opens nothing where nobody could see what was opened ([`unlogged`]). How often anything was opened is counted from Vault's audit log where the granter reads it ([`audit`]).
//! What a login asks of a token is told of one that a person has ([`token`]), and what a provider is known not
//! to send ([`providers`]).

pub mod accounts;
pub mod audit;
pub mod break_glass;
pub mod conflicts;
pub mod effective;
pub mod exceptions;
pub mod given;
pub mod grants;
pub mod members;
pub mod names;
pub mod providers;
pub mod rbac;
pub mod review;
pub mod revoked;
pub mod session;
pub mod slots;
pub mod status;
pub mod token;
pub mod unlogged;
pub mod uses;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessRole,
    access_role::AccessAction,
    names::{ChannelId, ChannelRef},
    trust_domain::AccessLogin,
};

use self::conflicts::RoleName;
use crate::world::{World, fault::Fault};

/// The keys of one class of one Channel, as a prefix of key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenedClass {
    /// The Channel.
    pub id: ChannelId,
    /// The class.
    pub class: String,
}

impl fmt::Display for OpenedClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.class)
    }
}

/// What a slot is for. Each use has slots of its own, so that who seals nothing pays for no line of a policy that seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotUse {
    /// Its members open what it names.
    Open,
    /// Its members seal what it names.
    Seal,
}

impl SlotUse {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Open, Self::Seal];

    /// The slots that an action needs; none where Vault has no part in it.
    pub const fn of(action: AccessAction) -> Option<Self> {
        match action {
            AccessAction::Open => Some(Self::Open),
            AccessAction::Seal => Some(Self::Seal),
            // What Reseal means are the two others.
            AccessAction::Reseal | AccessAction::List => None,
        }
    }

    /// The key of a slot's metadata for what it names; also a part of its name.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Open => names::OPEN,
            Self::Seal => names::SEAL,
        }
    }

    /// How many a login has.
    pub fn count(self, login: &AccessLogin) -> i32 {
        match self {
            Self::Open => login.slots(),
            Self::Seal => login.seal_slots(),
        }
    }

    /// The field of the TrustDomain that says how many a login has.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Open => "slots",
            Self::Seal => "sealSlots",
        }
    }
}

/// What the slots of each login must name, by their use.
pub type WantedSlots = BTreeMap<(String, SlotUse), BTreeSet<OpenedClass>>;

/// What the roles in the namespaces of `domain` open, limited to classes that Channels declare. Roles that an older one
/// excludes, and those that are `suspended`, open nothing.
pub fn wanted(
    domain: &str,
    roles: &[AccessRole],
    suspended: &BTreeMap<RoleName, Fault>,
    world: &World,
) -> WantedSlots {
    let mut wanted = WantedSlots::new();
    let excluded = conflicts::conflicting(roles);
    let withheld = |name: RoleName| excluded.contains_key(&name) || suspended.contains_key(&name);
    let gives = |role: &&AccessRole| is_there(role) && !withheld(conflicts::name(role));
    for role in roles.iter().filter(gives) {
        let namespace = role.namespace().unwrap_or_default();
        let facts = world.namespaces.get(&namespace);
        let Some(facts) = facts.filter(|facts| facts.trust_domain.as_deref() == Some(domain)) else {
            continue;
        };
        for (channel, class, action) in role.spec.rights() {
            let Some(usage) = SlotUse::of(action) else { continue };
            let name = ChannelRef::new(namespace.clone(), channel);
            if !world.channel(&name).is_some_and(|channel| channel.data_classes().contains(&class)) {
                continue;
            }
            let named = OpenedClass { id: ChannelId::mint(&facts.uid, &name.name), class };
            if role.spec.break_glass.is_some() && usage == SlotUse::Open {
                wanted.entry((break_glass::LOGIN.to_owned(), usage)).or_default().insert(named.clone());
            }
            wanted.entry((role.spec.login.clone(), usage)).or_default().insert(named);
        }
    }
    wanted
}

/// Whether a role grants anything: a role that is being deleted does not.
pub fn is_there(role: &AccessRole) -> bool {
    role.meta().deletion_timestamp.is_none()
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{DOMAIN, Scene, read};

    fn role(name: &str, day: u8, conflicts: &[&str]) -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {
                "name": name, "namespace": "cc-front", "creationTimestamp": format!("2026-11-{day:02}T10:00:00Z"),
            },
            "spec": {
                "login": name, "subjects": [{"group": "quality"}], "conflictsWith": conflicts,
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording", "fax"], "actions": ["Open"]}],
            },
        }))
    }

    #[test]
    fn slots_are_wanted_for_declared_classes_of_roles_that_no_older_one_excludes() {
        let scene = Scene::new().channel("cc-front/voice", json!({"dataClasses": ["call-recording"]}));
        let suspended = |roles: &[AccessRole], suspended: &BTreeMap<RoleName, Fault>| {
            let wanted = wanted(DOMAIN, roles, suspended, &scene);
            let shown =
                |((login, usage), named): (_, BTreeSet<_>)| format!("{login} {usage:?} {}", named.len());
            wanted.into_iter().map(shown).collect::<Vec<_>>()
        };
        let wanted = |roles: &[AccessRole]| suspended(roles, &BTreeMap::new());
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &[])]), ["old Open 1", "young Open 1"]);
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &["old"])]), ["old Open 1"]);
        let overdue = Fault::new(subrosa_crds::Reason::ReviewOverdue, "overdue");
        let of_old = [(("cc-front".to_owned(), "old".to_owned()), overdue)].into();
        assert_eq!(suspended(&[role("old", 1, &[]), role("young", 2, &["old"])], &of_old), [""; 0]);
        let mut reseals = role("old", 1, &[]);
        reseals.spec.allow[0].actions = vec![AccessAction::Reseal, AccessAction::List];
        assert_eq!(wanted(&[reseals.clone()]), ["old Open 1", "old Seal 1"]);
        reseals.spec.allow[0].actions = vec![AccessAction::List];
        assert_eq!(wanted(&[reseals]), [""; 0]);
    }
}
