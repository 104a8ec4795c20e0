//! Names of slots and groups in Vault, and the keys of their metadata.
//!
//! Group names share one case-insensitive space for a whole Vault, and a policy template splits them at dots. So the
//! parts are joined by underscores, which the DNS labels that they consist of cannot contain.

use subrosa_crds::TrustDomain;

/// The metadata key for what a slot opens: a prefix of key names, without its final dot.
pub const OPEN: &str = "open";
/// The metadata key for when a slot was emptied, in seconds of Unix time.
pub const FREED: &str = "freed";

/// The prefix of the names of a login's slots.
pub fn slot_prefix(domain: &str, login: &str) -> String {
    format!("subrosa_{domain}_open_{login}_")
}

/// The slots of a login.
pub fn slots(domain: &str, login: &str, count: i32) -> Vec<String> {
    let prefix = slot_prefix(domain, login);
    (0..count).map(|number| format!("{prefix}{number:03}")).collect()
}

/// The prefix of the names of groups that represent groups of the provider.
pub fn group_prefix(domain: &str) -> String {
    format!("subrosa_{domain}_group_")
}

/// The groups that can represent groups of the provider.
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
