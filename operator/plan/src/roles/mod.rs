//! AccessRoles: what people may open.
//!
//! ```text
//!   AccessRole ── opens ──▶ pair: Channel id and class ── stands in ──▶ slot ◀── is read by ── policy of a login
//!       │                                          (operator writes)     ▲
//!       └───── subjects ──▶ group of the provider ── is member of ───────┘ (granter writes)
//! ```
//!
//! A slot is a group in Vault without policies, made by `subrosa vault-setup`. A login's policy lets the members of
//! each of its slots open what that slot's metadata names. Two writers are needed for any access: the operator, which
//! mints the identities of Channels, writes what a slot opens ([`slots`]), and the granter writes its members
//! ([`members`]). Neither may do the other's part. Live sessions follow both writes at once. In Kubernetes the granter
//! writes which Channels the groups may read ([`rbac`]).
//!
//! Both leave out a role that an older one excludes ([`conflicts`]), whose review is overdue ([`review`]), or that an
//! AccessRevocation names ([`revoked`]), and everything of a login without a second factor whose exception has ended
//! ([`exceptions`]).
//!
//! What a single person gets by an AccessGrant goes through slots of its own, whose policies Vault ends ([`grants`]).
//!
//! What a role opens in an emergency goes the same way, as a login of its own ([`break_glass`]); who used that is told and
//! reviewed ([`uses`]). What a login asks of a token is told of one that a person has ([`token`]), and what a provider is known not
//! to send ([`providers`]).

pub mod break_glass;
pub mod conflicts;
pub mod effective;
pub mod exceptions;
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
pub mod uses;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessRole,
    names::{ChannelId, ChannelRef},
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

/// What the slots of each login must open.
pub type WantedSlots = BTreeMap<String, BTreeSet<OpenedClass>>;

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
        let opened = role.spec.opens().into_iter().filter_map(|(channel, class)| {
            let name = ChannelRef::new(namespace.clone(), channel);
            let declares = world.channel(&name)?.data_classes().contains(&class);
            declares.then(|| OpenedClass { id: ChannelId::mint(&facts.uid, &name.name), class })
        });
        let opened: BTreeSet<OpenedClass> = opened.collect();
        if role.spec.break_glass.is_some() {
            wanted.entry(break_glass::LOGIN.to_owned()).or_default().extend(opened.iter().cloned());
        }
        wanted.entry(role.spec.login.clone()).or_default().extend(opened);
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
            wanted.into_iter().map(|(login, opened)| format!("{login} {}", opened.len())).collect::<Vec<_>>()
        };
        let wanted = |roles: &[AccessRole]| suspended(roles, &BTreeMap::new());
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &[])]), ["old 1", "young 1"]);
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &["old"])]), ["old 1"]);
        let overdue = Fault::new(subrosa_crds::Reason::ReviewOverdue, "overdue");
        let of_old = [(("cc-front".to_owned(), "old".to_owned()), overdue)].into();
        assert_eq!(suspended(&[role("old", 1, &[]), role("young", 2, &["old"])], &of_old), [""; 0]);
    }
}
