//! ServiceAccounts: what AccessRoles let them open after a login of their own.
//!
//! It goes the way of every other login ([`slots`](super::slots), [`members`](super::members)): [`access`] derives a login for it. The
//! members of its slots are entities and not groups: that of each ServiceAccount, by its UID, so one that is made anew under the same
//! name is another one. The login has an auth mount of its own, where aliases are written by the granter and by logins alone.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole,
    trust_domain::{ACCOUNTS_LOGIN, AccessLogin, AccessSpec, IdentityProvider},
};

use super::members::ProviderGroup;

/// The name of the login, and of its role in Vault.
pub const LOGIN: &str = ACCOUNTS_LOGIN;

/// The login of ServiceAccounts and its auth mount, in the form of other logins; `None` where there is none.
pub fn access(access: &AccessSpec) -> Option<AccessSpec> {
    let accounts = access.service_accounts.as_ref()?;
    let provider = IdentityProvider {
        mount: Some(format!("{}-service-accounts", access.provider.mount())),
        kubernetes_groups_prefix: None,
        ..access.provider.clone()
    };
    let login = AccessLogin {
        name: LOGIN.to_owned(),
        ttl: Some(accounts.ttl().to_owned()),
        slots: Some(accounts.slots()),
        seal_slots: accounts.seal_slots,
        grant_slots: Some(0),
        ..AccessLogin::default()
    };
    Some(AccessSpec { provider, logins: vec![login], break_glass: None, service_accounts: None })
}

/// How a ServiceAccount is told from others: its namespace and its name.
pub fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The name in such a key.
pub fn name_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, name)| name)
}

/// Whom `role` names, as slots know them: ServiceAccounts with its namespace, or groups in lower case.
pub fn named(role: &AccessRole) -> BTreeSet<String> {
    if !role.spec.is_for_accounts() {
        return role.spec.groups();
    }
    let namespace = role.namespace().unwrap_or_default();
    role.spec.accounts().iter().map(|name| key(&namespace, name)).collect()
}

/// The entities of ServiceAccounts in the form of groups of the provider, each of which stands for one. `entities` has the UID
/// and the entity of each ServiceAccount that is there.
pub fn members(entities: &BTreeMap<String, (String, String)>) -> Vec<ProviderGroup> {
    let member = |(key, (uid, entity)): (&String, &(String, String))| ProviderGroup {
        name: uid.clone(),
        id: entity.clone(),
        stands_for: Some(key.clone()),
        people: BTreeSet::new(),
    };
    entities.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::read;

    #[test]
    fn the_login_has_a_mount_of_its_own_and_asks_for_no_second_factor() {
        let mut spec = json!({
            "provider": {"issuer": "https://login.example", "mount": "staff"},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
        });
        assert_eq!(access(&read(spec.clone())), None);
        spec["serviceAccounts"] = json!({"ttl": "1h", "slots": 2});
        let made = access(&read(spec)).unwrap();
        assert_eq!(made.provider.mount(), "staff-service-accounts");
        let login = &made.logins[0];
        assert_eq!((login.name.as_str(), login.ttl_seconds(), login.slots()), (LOGIN, 3600, 2));
        assert_eq!((login.seal_slots(), login.grant_slots()), (0, 0));
        assert_eq!(login.second_factor(&made.provider), None);
    }

    #[test]
    fn two_of_one_name_are_told_apart_and_an_entity_stands_for_one_of_them() {
        let role = |namespace: &str, login: &str, subject: serde_json::Value| -> AccessRole {
            read(json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
                "metadata": {"name": "r", "namespace": namespace},
                "spec": {
                    "login": login, "subjects": [subject],
                    "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
                },
            }))
        };
        let account = || json!({"serviceAccount": {"name": "transcriber"}});
        let (front, back) = (role("cc-front", LOGIN, account()), role("cc-back", LOGIN, account()));
        assert_eq!(named(&front), ["cc-front/transcriber".to_owned()].into());
        assert_eq!(named(&back), ["cc-back/transcriber".to_owned()].into());
        assert_eq!(name_of("cc-front/transcriber"), "transcriber");
        let people = role("cc-front", "strong", json!({"group": "/Staff/Quality"}));
        assert_eq!(named(&people), ["/staff/quality".to_owned()].into());
        let entities = [("cc-front/transcriber".to_owned(), ("uid".to_owned(), "entity".to_owned()))].into();
        let members = members(&entities);
        assert_eq!((members.len(), members[0].id.as_str()), (1, "entity"));
        assert_eq!(members[0].stands_for.as_deref(), Some("cc-front/transcriber"));
    }
}
