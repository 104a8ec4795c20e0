//! AccessRoles: what people may open.
//!
//! ```text
//!   AccessRole ── opens ──▶ pair: Channel id and class ── stands in ──▶ slot ◀── is read by ── policy of a login
//!       │                                          (operator writes)     ▲
//!       └───── subjects ──▶ group of the provider ── is member of ───────┘ (granter writes)
//! ```
//!
//! A slot is a group in Vault without policies, made by `subrosa vault-setup`. The policy of a login opens what the metadata of
//! its own slots name, for the members of each; so the login decides, and who has it, and neither writer can do the other's part.
//! The operator, which mints the identities of Channels, writes what a slot opens ([`slots`]); the granter writes who is a member
//! ([`members`]). Live sessions follow both at once. In Kubernetes the granter writes which Channels the groups may read ([`rbac`]).
//! Both leave out a role that an older one excludes ([`conflicts`]).

pub mod conflicts;
pub mod members;
pub mod names;
pub mod rbac;
pub mod slots;
pub mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessRole,
    names::{ChannelId, ChannelRef},
};

use crate::world::World;

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

/// What the roles in the namespaces of `domain` open: classes that Channels declare. A role that an older one excludes opens nothing.
pub fn wanted(domain: &str, roles: &[AccessRole], world: &World) -> WantedSlots {
    let mut wanted = WantedSlots::new();
    let withheld = conflicts::conflicting(roles);
    let gives = |role: &&AccessRole| is_there(role) && !withheld.contains_key(&conflicts::name(role));
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
        let wanted = |roles: &[AccessRole]| {
            let wanted = wanted(DOMAIN, roles, &scene);
            wanted.into_iter().map(|(login, opened)| format!("{login} {}", opened.len())).collect::<Vec<_>>()
        };
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &[])]), ["old 1", "young 1"]);
        assert_eq!(wanted(&[role("old", 1, &[]), role("young", 2, &["old"])]), ["old 1"]);
    }
}
