//! Names of slots and groups in Vault, and the keys of their metadata.
//!
//! Group names share one case-insensitive space for a whole Vault, and a policy template splits them at dots. So the
//! parts are joined by underscores, which the DNS labels that they consist of cannot contain.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::{TrustDomain, trust_domain::AccessLogin};

use super::{SlotUse, accounts, break_glass};

/// The metadata key for what a slot opens: a prefix of key names, without its final dot.
pub const OPEN: &str = "open";
/// The same for what a slot seals.
pub const SEAL: &str = "seal";
/// The metadata key for when a slot was emptied, in seconds of Unix time.
pub const FREED: &str = "freed";
/// The metadata key for the UID of the AccessGrant for which a grant slot opens something.
pub const GRANT: &str = "grant";

/// The prefix of the names of all groups that `vault-setup` makes for a trust domain.
pub fn prefix(domain: &str) -> String {
    format!("subrosa_{domain}_")
}

/// The prefix of the names of all slots of a trust domain for one use.
pub fn slot_prefix(domain: &str, usage: SlotUse) -> String {
    format!("subrosa_{domain}_{}_", usage.key())
}

/// The slots of a login for one use.
pub fn slots(domain: &str, login: &AccessLogin, usage: SlotUse) -> Vec<String> {
    let (prefix, name) = (slot_prefix(domain, usage), &login.name);
    (0..usage.count(login)).map(|number| format!("{prefix}{name}_{number:03}")).collect()
}

/// Whether the members of a slot are the entities of ServiceAccounts, and not groups. No part of a slot's name has an underscore.
pub fn is_of_accounts(slot: &str) -> bool {
    slot.split('_').nth(3) == Some(accounts::LOGIN)
}

/// Those of `names` that are slots of a trust domain, each with its use.
pub fn found(domain: &str, names: impl IntoIterator<Item = String>) -> BTreeMap<String, SlotUse> {
    let prefixes = SlotUse::ALL.map(|usage| (slot_prefix(domain, usage), usage));
    let usage = |name: &String| prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
    names
        .into_iter()
        .filter_map(|name| usage(&name).map(|(_, usage)| *usage).map(|usage| (name, usage)))
        .collect()
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

/// The policy of a login.
pub fn login_policy(domain: &str, login: &str) -> String {
    format!("subrosa-login.{domain}.{login}")
}

/// The slots of a login for one use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSlots {
    /// The login's name.
    pub login: String,
    /// What they are for.
    pub usage: SlotUse,
    /// Their names.
    pub slots: Vec<String>,
}

/// The slots of each login of a trust domain; none if the trust domain is being deleted.
pub fn logins(domain: &TrustDomain) -> Vec<LoginSlots> {
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let is_there = domain.metadata.deletion_timestamp.is_none();
    let access = domain.spec.access.iter().filter(|_| is_there);
    let logins = access.flat_map(|access| {
        let for_emergencies = break_glass::access(access).into_iter().flat_map(|access| access.logins);
        let of_accounts = accounts::access(access).into_iter().flat_map(|access| access.logins);
        access.logins.iter().cloned().chain(for_emergencies).chain(of_accounts)
    });
    let of = |login: AccessLogin| {
        SlotUse::ALL.map(|usage| LoginSlots {
            login: login.name.clone(),
            usage,
            slots: slots(name, &login, usage),
        })
    };
    logins.flat_map(of).collect()
}

/// The slots among `found` that no login of the trust domain declares any more. They are to be emptied.
pub fn undeclared(domain: &TrustDomain, mut found: BTreeMap<String, SlotUse>) -> BTreeMap<String, SlotUse> {
    let declared: BTreeSet<String> = logins(domain).into_iter().flat_map(|one| one.slots).collect();
    found.retain(|slot, _| !declared.contains(slot));
    found
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use crate::testing::{domain, now};

    #[test]
    fn slots_of_a_login_that_went_and_beyond_a_lowered_number_are_undeclared() {
        let found = || {
            let names = ["open_strong_000", "open_strong_001", "open_night_000", "seal_strong_000"];
            let others = ["open_strong_000", "grant_strong_000", "group_000"]
                .map(|name| format!("subrosa_other_{name}"));
            super::found(
                "oosterlinde",
                names.map(|slot| format!("subrosa_oosterlinde_{slot}")).into_iter().chain(others),
            )
        };
        let undeclared = |spec: Value, deleted: bool| {
            let mut domain = domain("oosterlinde", spec);
            domain.metadata.deletion_timestamp = deleted.then(|| Time(now()));
            let slots = super::undeclared(&domain, found()).into_iter();
            slots.map(|(slot, _)| slot.replace("subrosa_oosterlinde_", "")).collect::<Vec<_>>()
        };
        let access = |slots: i32, seals: i32| {
            json!({"access": {
                "provider": {"issuer": "https://login.example"},
                "logins": [{"name": "strong", "acceptedAmr": ["mfa"], "slots": slots, "sealSlots": seals}],
            }})
        };
        let with_accounts = |slots: i32| {
            let mut spec = access(2, 1);
            spec["access"]["serviceAccounts"] = json!({"slots": slots});
            spec
        };
        let of_accounts = |spec: Value| {
            let found = (0..3).map(|number| format!("subrosa_oosterlinde_open_service-accounts_{number:03}"));
            let undeclared =
                super::undeclared(&domain("oosterlinde", spec), super::found("oosterlinde", found));
            assert!(undeclared.keys().all(|slot| super::is_of_accounts(slot)));
            undeclared.len()
        };
        assert_eq!([with_accounts(3), with_accounts(1), access(2, 1)].map(of_accounts), [0, 2, 3]);
        assert!(!super::is_of_accounts("subrosa_oosterlinde_open_strong_000"));
        let all = ["open_night_000", "open_strong_000", "open_strong_001", "seal_strong_000"];
        assert_eq!(undeclared(access(2, 1), false), ["open_night_000"]);
        assert_eq!(undeclared(access(1, 0), false), ["open_night_000", "open_strong_001", "seal_strong_000"]);
        assert_eq!(undeclared(json!({}), false), all);
        assert_eq!(undeclared(access(2, 1), true), all);
    }
}
