//! The roles and the configuration of Kubernetes auth.

use serde_json::{Map, Value, json};
use subrosa_crds::trust_domain::ACCOUNTS_LOGIN;

use super::{
    DESTROYER_POLICY, DESTROYER_ROLE, GRANTER_POLICY, GRANTER_ROLE, KubernetesApi, MEMBER_LABEL,
    OPERATOR_POLICY, PeopleParams, SetupParams, WORKLOAD_POLICY, WORKLOAD_ROLE, accounts, policy,
};
use crate::vault::error::VaultError;

/// The lifetime of a token without renewal, and its maximum. Withdrawing access waits for neither.
const TOKEN_TTL: u64 = 3600;
const TOKEN_MAX_TTL: u64 = 24 * 3600;

/// Rejects parameters that would bind a role more widely than they say.
pub(super) fn check(params: &SetupParams) -> Result<(), VaultError> {
    let label = |field: &'static str, value: &str, max: usize| {
        let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ends = value.as_bytes().first().zip(value.as_bytes().last());
        let valid = value.len() <= max
            && ends.is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last))
            && value.bytes().all(|c| alphanumeric(c) || c == b'-');
        let problem = format!("expected a DNS label of at most {max} characters, without wildcards");
        if valid { Ok(()) } else { Err(VaultError::Config { field, problem }) }
    };
    label("operator's namespace", &params.operator_namespace, 63)?;
    for part in params.operator_service_account.split('.') {
        label("operator's ServiceAccount", part, 253)?;
    }
    for part in params.destroyer_service_account.split('.') {
        label("destroyer's ServiceAccount", part, 253)?;
    }
    if params.destroyer_service_account == params.operator_service_account {
        let problem = format!(
            "{} is the operator's: who asks for a destruction must not be able to carry it out",
            params.destroyer_service_account
        );
        return Err(VaultError::Config { field: "destroyer's ServiceAccount", problem });
    }
    if let Some(people) = &params.people {
        let account = &people.granter_service_account;
        for part in account.split('.') {
            label("granter's ServiceAccount", part, 253)?;
        }
        if [&params.operator_service_account, &params.destroyer_service_account].contains(&account) {
            let problem = format!(
                "{account} is the operator's or the destroyer's: who says what a slot opens must not say for whom"
            );
            return Err(VaultError::Config { field: "granter's ServiceAccount", problem });
        }
    }
    label("trust domain", &params.trust_domain, 63)?;
    if params.audience.is_empty() || !params.audience.bytes().all(|c| c.is_ascii_graphic()) {
        let problem =
            "expected a text without spaces; without an audience any token of the cluster would do".into();
        return Err(VaultError::Config { field: "audience", problem });
    }
    let taken = [(WORKLOAD_ROLE, "workloads'"), (DESTROYER_ROLE, "destroyer's"), (GRANTER_ROLE, "granter's")];
    for (role, whose) in taken {
        if params.operator_role.as_str() == role {
            let problem = format!("{role} is the {whose} role");
            return Err(VaultError::Config { field: "operator's role", problem });
        }
    }
    let SetupParams { transit_mount: transit, authorities_mount: authorities, kv_mount: kv, .. } = params;
    if let Some(twice) = [transit, authorities].into_iter().find(|mount| *mount == kv) {
        let problem = format!("{twice} cannot be both transit and key-value");
        return Err(VaultError::Config { field: "mounts", problem });
    }
    if transit == authorities {
        let problem = format!(
            "{transit} cannot be the mount of data keys and that of authorities: the destroyer's rights reach every key of \
             the former"
        );
        return Err(VaultError::Config { field: "mounts", problem });
    }
    let host = &params.kubernetes.host;
    if !host.starts_with("https://") && !host.starts_with("http://") {
        let problem = "expected a URL such as https://kubernetes.default.svc".into();
        return Err(VaultError::Config { field: "Kubernetes host", problem });
    }
    Ok(())
}

/// A role and its required owner: an existing role of another trust domain or another operator is never rebound.
#[derive(Debug, Clone)]
pub(super) struct RoleOwner {
    /// The role's path.
    pub path: String,
    wanted: String,
    bound_to: fn(&Map<String, Value>) -> Option<String>,
}

impl RoleOwner {
    /// An error where the role in `present` is bound to somebody else.
    pub fn check(&self, present: &Map<String, Value>) -> Result<(), VaultError> {
        match (self.bound_to)(present) {
            Some(bound_to) if bound_to != self.wanted => Err(VaultError::RoleOfAnother {
                path: self.path.clone(),
                bound_to,
                wanted: self.wanted.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The required owners of the roles.
pub(super) fn owners(params: &SetupParams) -> Vec<RoleOwner> {
    let SetupParams { kubernetes_mount: mount, operator_role, .. } = params;
    let account = |name: &str| format!("ServiceAccount {}/{name}", params.operator_namespace);
    let granter = params.people.iter().map(|people| RoleOwner {
        path: format!("auth/{mount}/role/{GRANTER_ROLE}"),
        wanted: account(&people.granter_service_account),
        bound_to: account_of,
    });
    let owners = [
        RoleOwner {
            path: format!("auth/{mount}/role/{WORKLOAD_ROLE}"),
            wanted: format!("trust domain {}", params.trust_domain),
            bound_to: workload_of,
        },
        RoleOwner {
            path: format!("auth/{mount}/role/{operator_role}"),
            wanted: account(&params.operator_service_account),
            bound_to: account_of,
        },
        RoleOwner {
            path: format!("auth/{mount}/role/{DESTROYER_ROLE}"),
            wanted: account(&params.destroyer_service_account),
            bound_to: account_of,
        },
    ];
    let of_accounts = params.people.as_ref().and_then(|people| accounts::mount(people).ok().flatten());
    let of_accounts = of_accounts.map(|mount| RoleOwner {
        path: format!("auth/{mount}/role/{ACCOUNTS_LOGIN}"),
        wanted: format!("trust domain {}", params.trust_domain),
        bound_to: workload_of,
    });
    owners.into_iter().chain(granter).chain(of_accounts).collect()
}

/// The trust domain that an existing workload role is bound to, if any.
fn workload_of(role: &Map<String, Value>) -> Option<String> {
    let selector = role.get("bound_service_account_namespace_selector")?.as_str()?;
    let selector: Value = serde_json::from_str(selector).ok()?;
    Some(format!("trust domain {}", selector.get("matchLabels")?.get(MEMBER_LABEL)?.as_str()?))
}

/// The ServiceAccount that an existing role is bound to, if it is exactly one.
fn account_of(role: &Map<String, Value>) -> Option<String> {
    let only = |field: &str| match role.get(field)?.as_array()?.as_slice() {
        [Value::String(one)] if one != "*" => Some(one.clone()),
        _ => None,
    };
    let (namespaces, names) = ("bound_service_account_namespaces", "bound_service_account_names");
    Some(format!("ServiceAccount {}/{}", only(namespaces)?, only(names)?))
}

pub(super) fn kubernetes_config(api: &KubernetesApi) -> Value {
    match &api.ca_pem {
        Some(ca) => json!({
            "kubernetes_host": api.host,
            "kubernetes_ca_cert": ca,
            "disable_local_ca_jwt": true,
        }),
        None => json!({ "kubernetes_host": api.host, "disable_local_ca_jwt": false }),
    }
}

pub(super) fn operator(params: &SetupParams) -> Value {
    of_one_account(params, &params.operator_service_account, OPERATOR_POLICY)
}

pub(super) fn destroyer(params: &SetupParams) -> Value {
    of_one_account(params, &params.destroyer_service_account, DESTROYER_POLICY)
}

pub(super) fn granter(params: &SetupParams, people: &PeopleParams) -> Value {
    of_one_account(params, &people.granter_service_account, GRANTER_POLICY)
}

/// A role for one ServiceAccount of the operator's namespace.
fn of_one_account(params: &SetupParams, name: &str, policy: &str) -> Value {
    with_token_settings(
        json!({
            "bound_service_account_names": [name],
            "bound_service_account_namespaces": [params.operator_namespace],
            "bound_service_account_namespace_selector": "",
            "audience": params.audience,
        }),
        &policy::name(policy, &params.kubernetes_mount),
    )
}

/// Vault accepts only `matchLabels`, so a selector cannot exclude the operator's namespace by name. That namespace
/// must not have the label, which the admission policy for the label enforces.
pub(super) fn workload(params: &SetupParams) -> Value {
    let selector = json!({ "matchLabels": { MEMBER_LABEL: params.trust_domain } });
    with_token_settings(
        json!({
            "bound_service_account_names": ["*"],
            // Vault ORs this with the selector, so it must stay empty.
            "bound_service_account_namespaces": [],
            "bound_service_account_namespace_selector": selector.to_string(),
            "audience": params.audience,
        }),
        &policy::name(WORKLOAD_POLICY, &params.kubernetes_mount),
    )
}

fn with_token_settings(mut role: Value, policy: &str) -> Value {
    let settings = json!({
        // The ServiceAccount's UID, so that a recreated ServiceAccount is another identity.
        "alias_name_source": "serviceaccount_uid",
        "token_policies": [policy],
        // The default policy would add a cubbyhole and response wrapping, which nobody needs here.
        "token_no_default_policy": true,
        "token_type": "service",
        "token_ttl": TOKEN_TTL,
        "token_max_ttl": TOKEN_MAX_TTL,
        "token_explicit_max_ttl": 0,
        "token_period": 0,
        "token_num_uses": 0,
    });
    if let (Value::Object(role), Value::Object(settings)) = (&mut role, settings) {
        role.extend(settings);
    }
    role
}
