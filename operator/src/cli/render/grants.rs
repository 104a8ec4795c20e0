//! AccessGrants: what would keep them from giving what they ask for, and what each becomes once people approved it.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde_json::{Value, json};
use subrosa_crds::{AccessGrant, AccessRole, Reason, TrustDomain, names::ChannelRef};
use subrosa_plan::roles::{
    grants::names,
    names::{GRANT, OPEN},
};

use super::{
    given::{FromFile, Given},
    vault,
    world::Imagined,
};
use crate::cli::{finding::Finding, words};

/// The AccessRole that a grant names, if it is among the files.
fn role_of<'a>(name: &ChannelRef, grant: &AccessGrant, given: &'a Given) -> Option<&'a FromFile<AccessRole>> {
    given.roles.get(&ChannelRef::new(&name.namespace, &grant.spec.role))
}

/// Findings about AccessGrants.
pub fn check(given: &Given, imagined: &Imagined, findings: &mut Vec<Finding>) {
    for (name, grant) in given.grants.iter().filter(|(_, grant)| grant.sound) {
        findings.extend(about(name, grant, given, imagined));
    }
}

fn about(
    name: &ChannelRef,
    grant: &FromFile<AccessGrant>,
    given: &Given,
    imagined: &Imagined,
) -> Option<Finding> {
    let (manifest, spec) = (&grant.manifest, &grant.object.spec);
    let Some(domain) = imagined.world.domain_of(&name.namespace) else {
        let message = format!(
            "{}: namespace {} belongs to no trust domain: ask who governs one to label it subrosa.dev/trust-domain=<TrustDomain>",
            Reason::NamespaceNotGoverned.as_str(),
            name.namespace
        );
        return Some(manifest.error_at("metadata.namespace", message));
    };
    let Some(role) = role_of(name, &grant.object, given) else {
        let role = ChannelRef::new(&name.namespace, &spec.role);
        let is_unreadable = given.unreadable.contains(&("AccessRole".to_owned(), role.clone()));
        let message = format!("AccessRole {role} is not among the files: what it would give is not known");
        return (!is_unreadable).then(|| manifest.note("spec.role", message));
    };
    let not_grantable = |message: String| format!("{}: {message}", Reason::NotGrantable.as_str());
    let Some(grants) = &role.object.spec.grants else {
        let message = format!(
            "AccessRole {} has no spec.grants, so it is given to nobody for a time: ask for another, or the compliance office writes \
             spec.grants",
            spec.role
        );
        return Some(manifest.error_at("spec.role", not_grantable(message)));
    };
    if spec.duration > grants.max {
        let message =
            format!("AccessRole {} is granted for at most {}: ask for less", spec.role, grants.max.as_str());
        return Some(manifest.error_at("spec.duration", not_grantable(message)));
    }
    let login = domain.spec.access.iter().flat_map(|access| &access.logins);
    let login = login.into_iter().find(|login| login.name == role.object.spec.login)?;
    let wanted = role.object.spec.opens().len();
    if wanted > usize::try_from(login.grant_slots()).unwrap_or_default() {
        let message = format!(
            "{}: AccessRole {} opens {wanted} {} of a Channel and a class, and login {} has {} grant slots: raise \
             spec.access.logins[].grantSlots of TrustDomain {}, and run subrosa vault-setup",
            Reason::SlotsExhausted.as_str(),
            spec.role,
            if wanted == 1 { "pair" } else { "pairs" },
            login.name,
            login.grant_slots(),
            domain.name_any()
        );
        return Some(manifest.error_at("spec.role", message));
    }
    None
}

/// The documents of each namespace.
pub fn documents(given: &Given, imagined: &Imagined) -> BTreeMap<String, Vec<Value>> {
    let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, grant) in &given.grants {
        let Some(domain) = imagined.world.domain_of(&name.namespace) else { continue };
        let role = role_of(name, &grant.object, given).filter(|role| role.object.spec.grants.is_some());
        let Some(role) = role else { continue };
        let approved = Becomes { name, grant: &grant.object, role: &role.object, domain, imagined };
        documents.entry(name.namespace.clone()).or_default().extend(approved.all());
    }
    documents
}

/// A grant that people approved.
struct Becomes<'a> {
    name: &'a ChannelRef,
    grant: &'a AccessGrant,
    role: &'a AccessRole,
    domain: &'a TrustDomain,
    imagined: &'a Imagined,
}

impl Becomes<'_> {
    fn all(&self) -> Vec<Value> {
        let opens = self.role.spec.opens();
        opens.iter().flat_map(|(channel, class)| self.slot(channel, class)).collect()
    }

    /// What one of its slots opens, the policy by which it does, and who is in it.
    fn slot(&self, channel: &str, class: &str) -> [Value; 3] {
        let (domain, login) = (self.domain.name_any(), &self.role.spec.login);
        let (slots, policies) = (names::slot_prefix(&domain), names::policy_prefix(&domain));
        let slot = format!("{slots}{login}_<slot for {channel}.{class}>");
        let policy = format!("{policies}{login}.<slot for {channel}.{class}>");
        let transit = subrosa_plan::world::domain::transit_mount(self.domain);
        let channel = ChannelRef::new(&self.name.namespace, channel);
        let id = vault::identity(&channel, self.imagined);
        let uid = self.grant.uid().unwrap_or_else(|| format!("<uid of AccessGrant {}>", self.name));
        let spec = &self.grant.spec;
        let needed = self.role.spec.grants.as_ref().map_or(1, |grants| grants.approvals());
        let people = words::counted(usize::try_from(needed).unwrap_or_default(), "other person");
        let people = people.replace("persons", "people");
        let mount = self.domain.spec.access.as_ref().map_or("<mount>", |access| access.provider.mount());
        [
            self.document(
                "OpenSlot",
                format!("identity/group/name/{slot}"),
                json!({ "metadata": { (OPEN): format!("{id}.{class}"), (GRANT): uid } }),
                format!(
                    "the operator says what the grant slot opens after login {login}, when {people} approved: {class} of Channel {channel}"
                ),
            ),
            self.document(
                "OpenForATime",
                format!("sys/policies/acl/{policy}"),
                json!({ "policy": names::policy_text(transit, &slot), "ttl": spec.duration.as_str() }),
                format!("the granter opens the slot for {}, and Vault ends that by itself", spec.duration.as_str()),
            ),
            self.document(
                "SetMembers",
                format!("identity/group/name/{slot}"),
                json!({
                    "member_entity_ids": [format!("<id of the entity of {} at auth/{mount}>", spec.subject.user)],
                    "member_group_ids": [],
                }),
                format!("the granter says who opens it: {}, by AccessRole {}", spec.subject.user, spec.role),
            ),
        ]
    }

    fn document(&self, operation: &str, path: String, body: Value, why: String) -> Value {
        vault::document(self.name, &self.domain.name_any(), operation, path, body, &why)
    }
}

#[cfg(test)]
mod tests;
