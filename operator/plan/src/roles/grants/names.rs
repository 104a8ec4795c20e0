//! The grant slots of logins, and the policies that open them.

use std::collections::BTreeSet;

use subrosa_crds::TrustDomain;

use crate::roles::names::OPEN;

/// A grant slot and its policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantPlace {
    /// The name of the group.
    pub slot: String,
    /// The name of the policy.
    pub policy: String,
}

/// The prefix of the names of all grant slots of a trust domain.
pub fn slot_prefix(domain: &str) -> String {
    format!("subrosa_{domain}_grant_")
}

/// The prefix of the names of the policies of all grant slots of a trust domain.
pub fn policy_prefix(domain: &str) -> String {
    format!("subrosa-grant.{domain}.")
}

/// The grant slots of a login.
pub fn places(domain: &str, login: &str, count: i32) -> Vec<GrantPlace> {
    let (slot, policy) = (slot_prefix(domain), policy_prefix(domain));
    let place = |number| GrantPlace {
        slot: format!("{slot}{login}_{number:03}"),
        policy: format!("{policy}{login}.{number:03}"),
    };
    (0..count).map(place).collect()
}

/// The whole text of the policy of a grant slot: its members open what its metadata names.
pub fn policy_text(transit: &str, slot: &str) -> String {
    format!(
        "path \"{transit}/decrypt/{{{{identity.groups.names.{slot}.metadata.{OPEN}}}}}.*\" {{ capabilities = [\"update\"] }}"
    )
}

/// Each login of a trust domain with its grant slots; none if the trust domain is being deleted.
pub fn logins(domain: &TrustDomain) -> Vec<(String, Vec<GrantPlace>)> {
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let is_there = domain.metadata.deletion_timestamp.is_none();
    let access = domain.spec.access.iter().filter(|_| is_there);
    let logins = access.flat_map(|access| &access.logins);
    logins.map(|login| (login.name.clone(), places(name, &login.name, login.grant_slots()))).collect()
}

/// The grant slots among `found` that no login of the trust domain declares any more. They are to be emptied.
pub fn undeclared(domain: &TrustDomain, found: BTreeSet<String>) -> BTreeSet<String> {
    let declared: BTreeSet<String> =
        logins(domain).into_iter().flat_map(|(_, places)| places).map(|place| place.slot).collect();
    found.difference(&declared).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::domain;

    #[test]
    fn each_login_has_its_own_slots_with_a_policy_each() {
        let spec = json!({"access": {
            "provider": {"issuer": "https://login.example"},
            "logins": [
                {"name": "strong", "acceptedAmr": ["mfa"], "grantSlots": 1},
                {"name": "night", "acceptedAmr": ["otp"], "grantSlots": 0},
                {"name": "day", "acceptedAmr": ["otp"]},
            ],
            "breakGlass": {"groups": ["on-call"], "acceptedAmr": ["hwk"]},
        }});
        let domain = domain("oosterlinde", spec);
        let all = logins(&domain);
        let counts: Vec<_> = all.iter().map(|(login, places)| (login.as_str(), places.len())).collect();
        assert_eq!(counts, [("strong", 1), ("night", 0), ("day", 8)]);
        let place = &all[0].1[0];
        assert_eq!(place.slot, "subrosa_oosterlinde_grant_strong_000");
        assert_eq!(place.policy, "subrosa-grant.oosterlinde.strong.000");
        let text = policy_text("transit", &place.slot);
        assert_eq!(
            text,
            "path \"transit/decrypt/{{identity.groups.names.subrosa_oosterlinde_grant_strong_000.metadata.open}}.*\" { \
             capabilities = [\"update\"] }"
        );
        let found = ["subrosa_oosterlinde_grant_strong_000", "subrosa_oosterlinde_grant_strong_001"];
        let left = undeclared(&domain, found.map(str::to_owned).into());
        assert_eq!(left, ["subrosa_oosterlinde_grant_strong_001".to_owned()].into());
    }
}
