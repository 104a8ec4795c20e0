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
//! ([`members`]). Neither may do the other's part. Live sessions follow both writes at once.

pub mod members;
pub mod names;
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

/// What the roles in the namespaces of `domain` open, limited to classes that Channels declare.
pub fn wanted(domain: &str, roles: &[AccessRole], world: &World) -> WantedSlots {
    let mut wanted = WantedSlots::new();
    for role in roles.iter().filter(|role| is_there(role)) {
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
