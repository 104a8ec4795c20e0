//! What AccessRoles become: Role and RoleBinding in Kubernetes, slots and their members in Vault.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use serde_json::{Value, json};
use subrosa_crds::{TrustDomain, names::ChannelRef};
use subrosa_plan::roles::{SlotUse, accounts, break_glass, names, rbac};

use super::{
    given::Given,
    roles::{self, RenderedSlot},
    vault,
    world::Imagined,
};

/// The documents of each namespace.
pub fn documents(given: &Given, imagined: &Imagined) -> serde_json::Result<BTreeMap<String, Vec<Value>>> {
    let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, role) in &given.roles {
        let Some(domain) = imagined.world.domain_of(&name.namespace) else { continue };
        let prefix =
            domain.spec.access.as_ref().and_then(|access| access.provider.kubernetes_groups_prefix.as_ref());
        let channels: BTreeSet<String> =
            role.object.spec.rights().into_iter().map(|(channel, _, _)| channel).collect();
        // Only the API server knows the UID of a role.
        let mut known = role.object.as_ref().clone();
        let is_new = known.uid().is_none();
        known.metadata.uid.get_or_insert_default();
        if let Some(mut made) = prefix.and_then(|prefix| rbac::wanted(&known, prefix, &channels)) {
            if is_new {
                made.role.metadata.owner_references = None;
                made.binding.metadata.owner_references = None;
            }
            let both = [serde_json::to_value(made.role)?, serde_json::to_value(made.binding)?];
            documents.entry(name.namespace.clone()).or_default().extend(both);
        }
    }
    let mut bound = BTreeSet::new();
    for ((domain, login, usage), slots) in roles::opened(given, imagined) {
        let Some(of) = imagined.world.domains.get(&domain) else { continue };
        for ((channel, class), opened) in slots {
            let slot =
                Slot { domain: of, login: &login, usage, channel: &channel, class: &class, opened: &opened };
            let of_namespace = documents.entry(channel.namespace.clone()).or_default();
            for group in &opened.groups {
                if bound.insert((domain.clone(), slot.mount(), group.clone())) {
                    of_namespace.push(slot.stands_for(group));
                }
            }
            of_namespace.extend([slot.opens(imagined), slot.members()]);
        }
    }
    Ok(documents)
}

/// A slot that a login would need.
struct Slot<'a> {
    domain: &'a TrustDomain,
    login: &'a str,
    usage: SlotUse,
    channel: &'a ChannelRef,
    class: &'a str,
    opened: &'a RenderedSlot,
}

impl Slot<'_> {
    fn document(&self, operation: &str, path: String, body: Value, why: &str) -> Value {
        let role = self.opened.roles.iter().next().cloned().unwrap_or_default();
        let of = ChannelRef::new(&self.channel.namespace, role);
        vault::document(&of, &self.domain.name_any(), operation, path, body, why)
    }

    /// Where people of the login have their aliases.
    fn mount(&self) -> String {
        let access = self.domain.spec.access.as_ref();
        let derived = match self.login {
            break_glass::LOGIN => access.and_then(break_glass::access),
            accounts::LOGIN => access.and_then(accounts::access),
            _ => None,
        };
        let access = derived.as_ref().or(access);
        access.map_or_else(|| "<mount>".to_owned(), |access| access.provider.mount().to_owned())
    }

    fn path(&self) -> String {
        let prefix = names::slot_prefix(&self.domain.name_any(), self.usage);
        format!("identity/group/name/{prefix}{}_<slot for {}.{}>", self.login, self.channel.name, self.class)
    }

    /// The alias of a ServiceAccount, or which group of Vault stands for one of the provider.
    fn stands_for(&self, group: &str) -> Value {
        if self.login == accounts::LOGIN {
            let body = json!({
                "name": format!("<UID of ServiceAccount {group}>"),
                "mount_accessor": format!("<accessor of auth/{}>", self.mount()),
            });
            let why =
                format!("the granter makes the alias of ServiceAccount {group}, where it did not log in yet");
            return self.document("EnrolAccount", "identity/entity-alias".to_owned(), body, &why);
        }
        let glass = if self.login == break_glass::LOGIN { "break-glass_" } else { "" };
        let prefix = names::group_prefix(&self.domain.name_any());
        let body = json!({
            "name": group,
            "mount_accessor": format!("<accessor of auth/{}>", self.mount()),
            "canonical_id": format!("<id of a free {prefix}{glass}NNN>"),
        });
        let why = format!(
            "the granter lets a group of Vault stand for group {group} of the provider, once and for all"
        );
        self.document("BindGroup", "identity/group-alias".to_owned(), body, &why)
    }

    fn opens(&self, imagined: &Imagined) -> Value {
        let id = vault::identity(self.channel, imagined);
        let body = json!({ "metadata": { (self.usage.key()): format!("{id}.{}", self.class) } });
        let why = format!(
            "the operator says what the slot {}s after login {}: {} of Channel {}",
            self.usage.key(),
            self.login,
            self.class,
            self.channel
        );
        self.document("OpenSlot", self.path(), body, &why)
    }

    fn members(&self) -> Value {
        let members = |of: &str| -> Vec<String> {
            self.opened.groups.iter().map(|one| format!("<id of the {of} {one}>")).collect()
        };
        let (who, body) = match self.login {
            accounts::LOGIN => {
                let entities = members("entity of ServiceAccount");
                ("ServiceAccount", json!({"member_group_ids": [], "member_entity_ids": entities}))
            }
            _ => {
                let groups = members("group that stands for");
                ("members of", json!({"member_group_ids": groups, "member_entity_ids": []}))
            }
        };
        let roles: Vec<_> = self.opened.roles.iter().map(String::as_str).collect();
        let named: Vec<_> = self.opened.groups.iter().map(String::as_str).collect();
        let why = format!(
            "the granter says who {}s it: {who} {}, by AccessRole {}",
            self.usage.key(),
            named.join(", "),
            roles.join(", ")
        );
        self.document("SetMembers", self.path(), body, &why)
    }
}
