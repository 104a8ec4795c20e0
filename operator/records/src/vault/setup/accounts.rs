//! The login of ServiceAccounts that AccessRoles name: Kubernetes auth of its own, apart from that of workloads, whose aliases the
//! operator writes. Here the granter alone makes aliases beside logins.

use serde_json::{Value, json};
use subrosa_crds::trust_domain::AccessLogin;
use subrosa_plan::roles::{SlotUse, accounts, names};

use super::{PeopleParams, SetupParams, SetupStep, StepKind, roles};
use crate::vault::error::VaultError;
use crate::vault::name::MountPath;

/// Placeholder for the accessor of the auth mount.
pub(super) const ACCOUNTS_ACCESSOR: &str = "<accessor of the auth mount of ServiceAccounts of AccessRoles>";

/// The auth mount, if there is one.
pub(super) fn mount(people: &PeopleParams) -> Result<Option<MountPath>, VaultError> {
    let accounts = accounts::access(&people.access);
    Ok(accounts.map(|access| MountPath::new(access.provider.mount())).transpose()?)
}

/// The login, if there is one.
pub(super) fn login(people: &PeopleParams) -> Option<AccessLogin> {
    accounts::access(&people.access)?.logins.pop()
}

/// The auth mount and its configuration.
pub(super) fn mounts(params: &SetupParams, people: &PeopleParams) -> Result<Vec<SetupStep>, VaultError> {
    let Some(mount) = mount(people)? else { return Ok(Vec::new()) };
    if mount == params.kubernetes_mount {
        let problem = format!(
            "{mount} is the auth mount of workloads: that of ServiceAccounts of AccessRoles has to be another one, since an alias has \
             one writer"
        );
        return Err(VaultError::Config { field: "mounts", problem });
    }
    let mut config = SetupStep::new(
        StepKind::Object,
        format!("auth/{mount}/config"),
        roles::kubernetes_config(&params.kubernetes),
        "Vault asks the API server with each login whether the token is valid and which labels its namespace has",
    );
    config.secret = params.kubernetes.reviewer_jwt.clone().map(|jwt| ("token_reviewer_jwt", jwt));
    Ok(vec![
        SetupStep::new(
            StepKind::Mount { index: "sys/auth" },
            format!("sys/auth/{mount}"),
            json!({ "type": "kubernetes", "description": "Subrosa: ServiceAccounts of AccessRoles" }),
            "ServiceAccounts that AccessRoles name have a mount of their own: the granter makes aliases there, the operator none",
        ),
        config,
    ])
}

/// The role: any ServiceAccount of the trust domain's namespaces, by its UID. Batch tokens cannot be renewed.
pub(super) fn role(params: &SetupParams, people: &PeopleParams, login: &AccessLogin, policy: &str) -> Value {
    let mut role = roles::workload(params);
    let audience = people.access.service_accounts.as_ref().map(|accounts| accounts.audience());
    let own = json!({
        "audience": audience.unwrap_or_default(),
        "token_policies": [policy],
        "token_type": "batch",
        "token_ttl": login.ttl_seconds(),
        "token_max_ttl": login.ttl_seconds(),
    });
    if let (Value::Object(role), Value::Object(own)) = (&mut role, own) {
        role.extend(own);
    }
    role
}

/// The granter's additional right, and the accessor of the mount where it looks for aliases.
pub(super) fn granter(params: &SetupParams, people: &PeopleParams) -> Result<(String, String), VaultError> {
    let Some(mount) = mount(people)? else { return Ok((String::new(), String::new())) };
    let slots = SlotUse::ALL.map(|usage| {
        format!(
            r#"path "identity/group/name/{prefix}{login}_*" {{
  capabilities = ["read", "update"]
  allowed_parameters = {{
    "member_entity_ids" = []
    "member_group_ids" = [[]]
  }}
}}
"#,
            prefix = names::slot_prefix(&params.trust_domain, usage),
            login = accounts::LOGIN,
        )
    });
    let text = format!(
        r#"# ServiceAccounts: who is a member of their slots, one by one, and no group.
{slots}# The alias of one that did not log in yet, with an entity of its own: at this mount alone, and for no entity that is there.
path "identity/entity-alias" {{
  capabilities = ["create", "update"]
  allowed_parameters = {{
    "name" = []
    "mount_accessor" = ["{ACCOUNTS_ACCESSOR}"]
  }}
  required_parameters = ["name", "mount_accessor"]
}}
# Whether their login is there, and its mount's accessor.
path "auth/{mount}/role" {{
  capabilities = ["list"]
}}
path "auth/{mount}/login" {{
  capabilities = ["update"]
}}
"#,
        slots = slots.concat(),
    );
    Ok((text, format!(", \"{ACCOUNTS_ACCESSOR}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::setup::{KubernetesApi, ProviderKeys, VaultSetup};

    fn setup(mount: &str, accounts: Value) -> Result<VaultSetup, VaultError> {
        let access = json!({
            "provider": {"issuer": "https://login.example"},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"], "slots": 1, "grantSlots": 0}],
            "serviceAccounts": accounts,
        });
        VaultSetup::new(&SetupParams {
            kubernetes_mount: mount.parse().unwrap(),
            transit_mount: "transit".parse().unwrap(),
            authorities_mount: "transit-ca".parse().unwrap(),
            kv_mount: "subrosa".parse().unwrap(),
            operator_role: "subrosa".parse().unwrap(),
            operator_namespace: "subrosa-system".to_owned(),
            operator_service_account: "subrosa".to_owned(),
            destroyer_service_account: "subrosa-destroyer".to_owned(),
            shared_transit: false,
            audience: "vault".to_owned(),
            trust_domain: "oosterlinde".to_owned(),
            kubernetes: KubernetesApi::default(),
            people: Some(PeopleParams {
                access: serde_json::from_value(access).unwrap(),
                keys: ProviderKeys::Discovered { ca_pem: None },
                granter_service_account: "subrosa-granter".to_owned(),
            }),
        })
    }

    fn body(setup: &VaultSetup, path: &str) -> Value {
        setup.steps().iter().find(|step| step.path() == path).map_or(Value::Null, |step| step.body().clone())
    }

    #[test]
    fn the_login_is_a_machines_of_the_trust_domain_and_cannot_be_renewed() {
        let made = setup("kubernetes", json!({"ttl": "1h", "slots": 1})).unwrap();
        let role = body(&made, "auth/subrosa-people-service-accounts/role/service-accounts");
        for (field, value) in [
            ("alias_name_source", json!("serviceaccount_uid")),
            ("audience", json!("subrosa-access")),
            ("bound_service_account_namespaces", json!([])),
            ("token_policies", json!(["subrosa-login.oosterlinde.service-accounts"])),
            ("token_no_default_policy", json!(true)),
            ("token_type", json!("batch")),
            ("token_max_ttl", json!(3600)),
        ] {
            assert_eq!(role[field], value, "{field}");
        }
        let selector = role["bound_service_account_namespace_selector"].as_str().unwrap();
        assert!(selector.contains("\"subrosa.dev/trust-domain\":\"oosterlinde\""), "{selector}");
        let policy = body(&made, "sys/policies/acl/subrosa-login.oosterlinde.service-accounts");
        let policy = policy["policy"].as_str().unwrap();
        assert!(policy.contains("subrosa_oosterlinde_open_service-accounts_000.metadata.open"), "{policy}");
        assert!(!policy.contains("strong"), "{policy}");
    }

    #[test]
    fn the_granter_writes_aliases_at_that_mount_alone_and_only_where_there_is_the_login() {
        let granter = |accounts: Value| {
            let made = setup("kubernetes", accounts).unwrap();
            body(&made, "sys/policies/acl/subrosa-granter")["policy"].as_str().unwrap().to_owned()
        };
        let with = granter(json!({}));
        let alias =
            with.split("path \"identity/entity-alias\" {").nth(1).unwrap().split("\npath").next().unwrap();
        assert!(alias.contains(&format!("\"mount_accessor\" = [\"{ACCOUNTS_ACCESSOR}\"]")), "{alias}");
        assert!(!alias.contains("canonical_id") && !alias.contains("custom_metadata"), "{alias}");
        assert!(with.contains("path \"identity/group/name/subrosa_oosterlinde_open_service-accounts_*\""));
        let without = granter(Value::Null);
        assert!(
            !without.contains("service-accounts") && !without.contains("path \"identity/entity-alias\" {")
        );
    }

    #[test]
    fn the_mount_of_workloads_has_another_writer() {
        let error = setup("subrosa-people-service-accounts", json!({})).unwrap_err();
        assert!(error.to_string().contains("an alias has one writer"), "{error}");
    }
}
