//! What slots and groups are called in Vault, and what stands in them.
//!
//! The names of groups are one space for a whole Vault, compared without case, and a template of a policy splits them at dots.
//! The parts of these names are DNS labels, which have no underscore.

use subrosa_crds::TrustDomain;

/// The metadata of a slot that says what it opens: the beginning of names of keys, without the dot behind it.
pub const OPEN: &str = "open";
/// The metadata of a slot that says when it was emptied, as seconds of Unix time.
pub const FREED: &str = "freed";

/// How the names of the slots of a login begin.
pub fn slot_prefix(domain: &str, login: &str) -> String {
    format!("subrosa_{domain}_open_{login}_")
}

/// The slots of a login.
pub fn slots(domain: &str, login: &str, count: i32) -> Vec<String> {
    let prefix = slot_prefix(domain, login);
    (0..count).map(|number| format!("{prefix}{number:03}")).collect()
}

/// How the names of the groups that stand for groups of the provider begin.
pub fn group_prefix(domain: &str) -> String {
    format!("subrosa_{domain}_group_")
}

/// The groups that can stand for groups of the provider.
pub fn groups(domain: &str, count: i32) -> Vec<String> {
    let prefix = group_prefix(domain);
    (0..count).map(|number| format!("{prefix}{number:03}")).collect()
}

/// Each login of a trust domain with its slots.
pub fn logins(domain: &TrustDomain) -> Vec<(String, Vec<String>)> {
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let logins = domain.spec.access.iter().flat_map(|access| &access.logins);
    logins.map(|login| (login.name.clone(), slots(name, &login.name, login.slots()))).collect()
}
