//! AccessRoles: what would keep them from giving what they say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, Reason, TrustDomain,
    access_role::{AccessAction, Allowance},
    names::ChannelRef,
    trust_domain::AccessSpec,
};
use subrosa_plan::{
    roles::{SlotUse, accounts, break_glass, conflicts, exceptions, providers, rbac},
    world::declaration::Declaration,
};

use super::{
    given::{FromFile, Given},
    world::Imagined,
};
use crate::cli::finding::Finding;

/// A trust domain, one of its logins, and what its slots are for.
pub type LoginOf = (String, String, SlotUse);
/// A Channel and one of its classes.
pub type ClassOf = (ChannelRef, String);

/// Who can open or seal a class of a Channel by a login.
#[derive(Default)]
pub struct RenderedSlot {
    /// The groups, in lower case; or ServiceAccounts with their namespaces.
    pub groups: BTreeSet<String>,
    /// The AccessRoles that say so.
    pub roles: BTreeSet<String>,
}

/// What the slots of each login would open and seal.
pub type OpenedByLogin = BTreeMap<LoginOf, BTreeMap<ClassOf, RenderedSlot>>;

/// What the given roles open and seal, of Channels that declare it or were not given.
pub fn opened(given: &Given, imagined: &Imagined) -> OpenedByLogin {
    let mut opened = OpenedByLogin::new();
    for (name, role) in given.roles.iter().filter(|(_, role)| role.sound) {
        let Some(domain) = imagined.world.domain_of(&name.namespace) else { continue };
        let by_glass = domain.spec.access.as_ref().and_then(|access| break_glass::role(access, &role.object));
        for one in [Some(role.object.as_ref()), by_glass.as_ref()].into_iter().flatten() {
            for (channel, class, action) in one.spec.rights() {
                let Some(usage) = SlotUse::of(action) else { continue };
                let channel = ChannelRef::new(&name.namespace, channel);
                let declares = |found: &FromFile<_>| declares(found, &class);
                if !given.channels.get(&channel).is_none_or(declares) {
                    continue;
                }
                let login = (domain.name_any(), one.spec.login.clone(), usage);
                let slot = opened.entry(login).or_default().entry((channel, class)).or_default();
                slot.groups.extend(accounts::named(one));
                slot.roles.insert(name.name.clone());
            }
        }
    }
    opened
}

fn declares(channel: &FromFile<Declaration>, class: &str) -> bool {
    channel.object.data_classes().iter().any(|one| one == class)
}

/// Findings about AccessRoles, and about trust domains that have no room for them.
pub fn check(given: &Given, imagined: &Imagined, now: Timestamp, findings: &mut Vec<Finding>) {
    for (name, role) in given.roles.iter().filter(|(_, role)| role.sound) {
        check_role(name, role, given, imagined, now, findings);
    }
    let opened = opened(given, imagined);
    for (name, domain) in given.domains.iter().filter(|(_, domain)| domain.sound) {
        if let Some(access) = &domain.object.spec.access {
            let notes = providers::warnings(access).into_iter();
            findings.extend(notes.map(|note| domain.manifest.note("spec.access", note)));
            exhausted(name, domain, access, &opened, findings);
        }
    }
}

fn check_role(
    name: &ChannelRef,
    role: &FromFile<AccessRole>,
    given: &Given,
    imagined: &Imagined,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let manifest = &role.manifest;
    let Some(domain) = imagined.world.domain_of(&name.namespace) else {
        let message = format!(
            "{}: namespace {} belongs to no trust domain: ask who governs one to label it subrosa.dev/trust-domain=<TrustDomain>",
            Reason::NamespaceNotGoverned.as_str(),
            name.namespace
        );
        return findings.push(manifest.error_at("metadata.namespace", message));
    };
    if imagined.domains.contains(&domain.name_any()) {
        let message = format!(
            "TrustDomain {} is not among the files: whether it has this login is not known",
            domain.name_any()
        );
        findings.push(manifest.note("spec.login", message));
    } else {
        findings.extend(login(role, domain, now));
        findings.extend(glass(role, domain.spec.access.as_ref()));
        findings.extend(reserved(role, domain.spec.access.as_ref()));
        findings.extend(listed(role, domain.spec.access.as_ref()));
    }
    for (index, allow) in role.object.spec.allow.iter().enumerate() {
        for (place, channel) in allow.channels.iter().enumerate() {
            let channel = ChannelRef::new(&name.namespace, channel);
            let Some(found) = given.channels.get(&channel) else {
                if !given.unreadable.contains(&("Channel".to_owned(), channel.clone())) {
                    let field = format!("spec.allow[{index}].channels[{place}]");
                    findings.push(manifest.note(&field, format!("Channel {channel} is not among the files")));
                }
                continue;
            };
            let undeclared =
                allow.data_classes.iter().enumerate().filter(|(_, class)| !declares(found, class));
            for (place, class) in undeclared {
                let declared = found.object.data_classes();
                let message = format!(
                    "{}: Channel {channel} declares no data class {class}, but {}: correct it, or add it to its dataClasses",
                    Reason::UnknownDataClass.as_str(),
                    if declared.is_empty() { "none".to_owned() } else { declared.join(", ") }
                );
                findings
                    .push(manifest.error_at(&format!("spec.allow[{index}].dataClasses[{place}]"), message));
            }
        }
    }
    conflicts(name, role, given, findings);
    findings.extend(ungiven(name, role));
}

/// That it gives nothing before somebody approved it, which files do not say.
fn ungiven(name: &ChannelRef, role: &FromFile<AccessRole>) -> Option<Finding> {
    let channels = || role.object.spec.channels().into_iter().collect::<Vec<_>>().join(", ");
    role.object.spec.granted_by.is_none().then(|| {
        let message = format!(
            "{}: it gives nothing until somebody who may grant {} has run subrosa approve accessrole/{name}, after each change of \
             its spec",
            Reason::AwaitingApproval.as_str(),
            channels()
        );
        role.manifest.note("spec.grantedBy", message)
    })
}

fn login(role: &FromFile<AccessRole>, domain: &TrustDomain, now: Timestamp) -> Option<Finding> {
    let (login, name) = (&role.object.spec.login, domain.name_any());
    if let Some(fault) = exceptions::ended(domain, now).remove(login) {
        let message = fault.message.split_once(": ").map_or(fault.message.as_str(), |(_, message)| message);
        return Some(role.manifest.error_at("spec.login", format!("{}: {message}", fault.reason.as_str())));
    }
    let message = match &domain.spec.access {
        None => format!("TrustDomain {name} has no spec.access: write it, and run subrosa vault-setup"),
        Some(access) if role.object.spec.is_for_accounts() => match access.service_accounts {
            Some(_) => return None,
            None => format!(
                "TrustDomain {name} has no spec.access.serviceAccounts, so no ServiceAccount logs in: write it, and run subrosa \
                 vault-setup"
            ),
        },
        Some(access) if access.logins.iter().any(|one| one.name == *login) => return None,
        Some(access) => format!(
            "TrustDomain {name} has no login {login}, only {}: correct it, or add the login and run subrosa vault-setup",
            access.logins.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    };
    Some(role.manifest.error_at("spec.login", format!("{}: {message}", Reason::LoginMissing.as_str())))
}

/// That nobody opens anything by break-glass: the role gives the rest all the same.
fn glass(role: &FromFile<AccessRole>, access: Option<&AccessSpec>) -> Option<Finding> {
    role.object.spec.break_glass.as_ref()?;
    if access.is_some_and(|access| break_glass::role(access, &role.object).is_some()) {
        return None;
    }
    let fault = break_glass::not_derived(access, &role.object);
    let message = fault.message.split_once(": ").map_or(fault.message.as_str(), |(_, message)| message);
    Some(role.manifest.note("spec.breakGlass.group", format!("{}: {message}", fault.reason.as_str())))
}

/// That `List` needs Kubernetes, which has to know the provider's groups.
fn listed(role: &FromFile<AccessRole>, access: Option<&AccessSpec>) -> Option<Finding> {
    let is_known = access?.provider.kubernetes_groups_prefix.is_some();
    let lists = |one: &Allowance| one.actions.contains(&AccessAction::List);
    let index = role.object.spec.allow.iter().position(lists).filter(|_| !is_known)?;
    let message = format!(
        "{}: List is given in Kubernetes alone, and the TrustDomain does not say what the API server writes before a group of the \
         provider: write spec.access.provider.kubernetesGroupsPrefix, such as oidc:",
        Reason::NoGroupsPrefix.as_str()
    );
    Some(role.manifest.error_at(&format!("spec.allow[{index}].actions"), message))
}

fn reserved(role: &FromFile<AccessRole>, access: Option<&AccessSpec>) -> Option<Finding> {
    let prefix = access?.provider.kubernetes_groups_prefix.as_ref()?;
    let reserved: Vec<_> = rbac::reserved(&role.object, prefix).into_iter().collect();
    let message = format!(
        "{}: {} is a name of the API server's own, so no RoleBinding names it: rename the group at the provider, or change \
         spec.access.provider.kubernetesGroupsPrefix of the TrustDomain",
        Reason::ReservedGroup.as_str(),
        reserved.join(", ")
    );
    (!reserved.is_empty()).then(|| role.manifest.note("spec.subjects", message))
}

/// Which of two is the younger one, the files do not say.
fn conflicts(name: &ChannelRef, role: &FromFile<AccessRole>, given: &Given, findings: &mut Vec<Finding>) {
    let subjects = conflicts::subjects(&role.object);
    for (index, other) in role.object.spec.conflicts_with.iter().enumerate() {
        let excluded = ChannelRef::new(&name.namespace, other);
        let Some(found) = given.roles.get(&excluded).filter(|_| excluded != *name) else { continue };
        let theirs = conflicts::subjects(&found.object);
        let common: Vec<_> = subjects.intersection(&theirs).map(String::as_str).collect();
        if !common.is_empty() {
            let message = format!(
                "{}: both name {}, and the younger of the two would give nothing: take that out of one of them",
                Reason::ConflictingRoles.as_str(),
                common.join(", ")
            );
            findings.push(role.manifest.error_at(&format!("spec.conflictsWith[{index}]"), message));
        }
    }
}

/// More than there is room for in Vault.
fn exhausted(
    name: &str,
    domain: &FromFile<TrustDomain>,
    access: &AccessSpec,
    opened: &OpenedByLogin,
    findings: &mut Vec<Finding>,
) {
    let (for_emergencies, for_accounts) = (break_glass::access(access), accounts::access(access));
    let places = access.logins.iter().enumerate().flat_map(|(index, login)| {
        let field = move |usage: SlotUse| format!("spec.access.logins[{index}].{}", usage.field());
        SlotUse::ALL.map(|usage| (field(usage), login, usage))
    });
    let of_glass = for_emergencies.iter().flat_map(|access| &access.logins);
    let of_glass = of_glass.map(|login| ("spec.access.breakGlass.slots".to_owned(), login, SlotUse::Open));
    let of_accounts = for_accounts.iter().flat_map(|access| &access.logins).flat_map(|login| {
        SlotUse::ALL.map(|usage| (format!("spec.access.serviceAccounts.{}", usage.field()), login, usage))
    });
    for (field, login, usage) in places.chain(of_glass).chain(of_accounts) {
        let of = (name.to_owned(), login.name.clone(), usage);
        let wanted = opened.get(&of).map(BTreeMap::len).unwrap_or_default();
        if wanted > usize::try_from(usage.count(login)).unwrap_or_default() {
            let message = format!(
                "{}: AccessRoles among the files {} {wanted} pairs of a Channel and a class by login {}, which has {} slots for that: \
                 raise it, and run subrosa vault-setup",
                Reason::SlotsExhausted.as_str(),
                usage.key(),
                login.name,
                usage.count(login)
            );
            findings.push(domain.manifest.error_at(&field, message));
        }
    }
    let others = [break_glass::LOGIN, accounts::LOGIN];
    let of_domain =
        opened.iter().filter(|((domain, login, _), _)| domain == name && !others.contains(&login.as_str()));
    let groups: BTreeSet<&String> =
        of_domain.flat_map(|(_, slots)| slots.values()).flat_map(|slot| &slot.groups).collect();
    if groups.len() > usize::try_from(access.provider.groups()).unwrap_or_default() {
        let message = format!(
            "{}: AccessRoles among the files name {} groups of the provider, and Vault has {} for them: raise it, and run subrosa \
             vault-setup",
            Reason::GroupsExhausted.as_str(),
            groups.len(),
            access.provider.groups()
        );
        findings.push(domain.manifest.error_at("spec.access.provider.groups", message));
    }
}

#[cfg(test)]
pub(super) mod tests;
