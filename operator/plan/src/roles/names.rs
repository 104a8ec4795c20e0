//! Names of slots and groups in Vault, and the keys of their metadata.
//!
//! Group names share one case-insensitive space for a whole Vault, and a policy template splits them at dots. So the
//! parts are joined by underscores, which the DNS labels that they consist of cannot contain.

use std::collections::BTreeSet;

use subrosa_crds::TrustDomain;

use super::break_glass;

/// The metadata key for what a slot opens: a prefix of key names, without its final dot.
pub const OPEN: &str = "open";
/// The metadata key for when a slot was emptied, in seconds of Unix time.
pub const FREED: &str = "freed";

/// The prefix of the names of all groups that `vault-setup` makes for a trust domain.
pub fn prefix(domain: &str) -> String {
    format!("subrosa_{domain}_")
}

/// The prefix of the names of all slots of a trust domain.
pub fn slot_prefix(domain: &str) -> String {
    format!("subrosa_{domain}_open_")
}

/// The slots of a login.
pub fn slots(domain: &str, login: &str, count: i32) -> Vec<String> {
    let prefix = slot_prefix(domain);
    (0..count).map(|number| format!("{prefix}{login}_{number:03}")).collect()
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

/// The groups that can represent groups of the provider that may use break-glass.
pub fn break_glass_groups(domain: &str, count: i32) -> Vec<String> {
    let prefix = group_prefix(domain);
    (0..count).map(|number| format!("{prefix}{}_{number:03}", break_glass::LOGIN)).collect()
}

/// Each login of a trust domain with its slots; none if the trust domain is being deleted.
pub fn logins(domain: &TrustDomain) -> Vec<(String, Vec<String>)> {
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let is_there = domain.metadata.deletion_timestamp.is_none();
    let access = domain.spec.access.iter().filter(|_| is_there);
    let logins = access.flat_map(|access| {
        let for_emergencies = break_glass::access(access).into_iter().flat_map(|access| access.logins);
        access.logins.iter().cloned().chain(for_emergencies)
    });
    logins.map(|login| (login.name.clone(), slots(name, &login.name, login.slots()))).collect()
}

/// The slots among `found` that no login of the trust domain declares any more. They are to be emptied.
pub fn undeclared(domain: &TrustDomain, found: BTreeSet<String>) -> BTreeSet<String> {
    let declared: BTreeSet<String> = logins(domain).into_iter().flat_map(|(_, slots)| slots).collect();
    found.difference(&declared).cloned().collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use crate::testing::{domain, now};

    #[test]
    fn slots_of_a_login_that_went_and_beyond_a_lowered_number_are_undeclared() {
        let found = || {
            ["strong_000", "strong_001", "night_000"].map(|slot| format!("subrosa_oosterlinde_open_{slot}"))
        };
        let undeclared = |spec: Value, deleted: bool| {
            let mut domain = domain("oosterlinde", spec);
            domain.metadata.deletion_timestamp = deleted.then(|| Time(now()));
            let slots = super::undeclared(&domain, found().into()).into_iter();
            slots.map(|slot| slot.replace("subrosa_oosterlinde_open_", "")).collect::<Vec<_>>()
        };
        let access = |slots: i32| {
            json!({"access": {
                "provider": {"issuer": "https://login.example"},
                "logins": [{"name": "strong", "acceptedAmr": ["mfa"], "slots": slots}],
            }})
        };
        let all = ["night_000", "strong_000", "strong_001"];
        assert_eq!(undeclared(access(2), false), ["night_000"]);
        assert_eq!(undeclared(access(1), false), ["night_000", "strong_001"]);
        assert_eq!(undeclared(json!({}), false), all);
        assert_eq!(undeclared(access(2), true), all);
    }
}
