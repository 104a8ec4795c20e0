//! Login for people: JWT auth for an identity provider, a role and a policy for each login, and the groups that
//! AccessRoles use.
//!
//! Groups have no policies. A group's policy would follow a person into every token, so a weaker login would open
//! what requires a stronger one. The policy of a login reads only that login's slots.

use serde_json::{Value, json};
use subrosa_crds::trust_domain::{AccessLogin, AccessSpec};
use subrosa_plan::roles::names;

use super::{ACCESSOR, GRANTER_POLICY, GRANTER_ROLE, SetupParams, SetupStep, StepKind, policy, roles};
use crate::vault::error::VaultError;
use crate::vault::name::MountPath;

/// Placeholder for the accessor of the JWT auth mount, which exists only once the mount does.
pub(super) const PEOPLE_ACCESSOR: &str = "<accessor of the JWT auth mount>";
/// Placeholder for the ids of the groups that represent groups of the provider, which Vault chooses.
pub(super) const GROUP_IDS: &str = "<ids of the groups of the provider>";

/// The parameters for the login of people.
#[derive(Debug, Clone)]
pub struct PeopleParams {
    /// The TrustDomain's `spec.access`.
    pub access: AccessSpec,
    /// The keys that verify the provider's tokens.
    pub keys: ProviderKeys,
    /// The granter's ServiceAccount, in the operator's namespace; neither the operator's nor the destroyer's.
    pub granter_service_account: String,
}

/// The keys that verify the tokens of an identity provider.
#[derive(Debug, Clone)]
pub enum ProviderKeys {
    /// The keys that the issuer publishes (OpenID Connect Discovery 1.0).
    Discovered {
        /// The CA of the issuer's server certificate as PEM; if absent, the system's.
        ca_pem: Option<String>,
    },
    /// These public keys as PEM, for a provider that Vault cannot reach.
    Given(Vec<String>),
}

impl PeopleParams {
    /// The mount of JWT auth.
    pub fn mount(&self) -> Result<MountPath, VaultError> {
        Ok(MountPath::new(self.access.provider.mount())?)
    }

    fn policy(&self, domain: &str, login: &AccessLogin) -> String {
        format!("subrosa-login.{domain}.{}", login.name)
    }
}

/// The steps in order: objects before the policies that name them.
pub(super) fn steps(params: &SetupParams, people: &PeopleParams) -> Result<Vec<SetupStep>, VaultError> {
    let (mount, domain) = (people.mount()?, params.trust_domain.as_str());
    let object = |path: String, body: Value, why| SetupStep::new(StepKind::Object, path, body, why);
    let group = |name: String, kind: &str, why| {
        object(format!("identity/group/name/{name}"), json!({ "type": kind }), why)
    };
    let policy = |name: &str, text: String, why| {
        SetupStep::new(StepKind::Policy, format!("sys/policies/acl/{name}"), json!({ "policy": text }), why)
    };
    let mut steps = vec![
        SetupStep::new(
            StepKind::Mount { index: "sys/auth" },
            format!("sys/auth/{mount}"),
            json!({ "type": "jwt", "description": "Subrosa: people" }),
            "people log in with a token of their identity provider",
        ),
        object(
            format!("auth/{mount}/config"),
            config(people),
            "Vault knows the provider's tokens by its keys and by their issuer",
        ),
    ];
    for name in names::groups(domain, people.access.provider.groups()) {
        steps.push(group(
            name,
            "external",
            "can stand for a group of the provider: a login says who is in it",
        ));
    }
    for login in &people.access.logins {
        for name in names::slots(domain, &login.name, login.slots()) {
            steps.push(group(name, "internal", "a slot: one data class of one Channel, and who may open it"));
        }
    }
    steps.push(policy(
        &policy::name(GRANTER_POLICY, &params.kubernetes_mount),
        granter(params, &mount),
        "the granter says who is a member of a slot, and disables the entities of who leaves; it cannot say what a slot opens, and reads no slot itself",
    ));
    steps.push(object(
        format!("auth/{}/role/{GRANTER_ROLE}", params.kubernetes_mount),
        roles::granter(params, people),
        "the granter's ServiceAccount, and no other, gets the granter's policy",
    ));
    for login in &people.access.logins {
        let name = people.policy(domain, login);
        steps.push(policy(
            &name,
            of_login(params, login),
            "what who logged in so may open: what the slots of this login name, where the person is a member",
        ));
        steps.push(object(
            format!("auth/{mount}/role/{}", login.name),
            role(people, login, &name),
            "who shows one of these second factors may log in; without a slot that opens nothing",
        ));
    }
    Ok(steps)
}

fn config(people: &PeopleParams) -> Value {
    let issuer = &people.access.provider.issuer;
    match &people.keys {
        ProviderKeys::Discovered { ca_pem } => json!({
            "bound_issuer": issuer,
            "oidc_discovery_url": issuer,
            "oidc_discovery_ca_pem": ca_pem.as_deref().unwrap_or_default(),
            "jwt_validation_pubkeys": [],
        }),
        ProviderKeys::Given(keys) => json!({
            "bound_issuer": issuer,
            "oidc_discovery_url": "",
            "oidc_discovery_ca_pem": "",
            "jwt_validation_pubkeys": keys.iter().map(|key| key.trim()).collect::<Vec<_>>(),
        }),
    }
}

/// Batch tokens cannot be renewed, so nobody regains by a renewal what a later login took away.
fn role(people: &PeopleParams, login: &AccessLogin, policy: &str) -> Value {
    let provider = &people.access.provider;
    let ttl = login.ttl_seconds();
    json!({
        "role_type": "jwt",
        "user_claim": provider.user_claim(),
        "user_claim_json_pointer": false,
        "groups_claim": provider.groups_claim(),
        "claim_mappings": {},
        "bound_audiences": [provider.audience()],
        "bound_subject": "",
        "bound_claims_type": "string",
        "bound_claims": { "amr": login.accepted_amr },
        "token_policies": [policy],
        "token_no_default_policy": true,
        "token_type": "batch",
        "token_ttl": ttl,
        "token_max_ttl": ttl,
        "token_explicit_max_ttl": 0,
        "token_period": 0,
        "token_num_uses": 0,
    })
}

/// The operator's additional right: write what slots open, but not their members. It has it also where nobody logs in,
/// because the slots of a removed login are emptied.
pub(super) fn operator(params: &SetupParams) -> String {
    format!(
        r#"# What people may open: what stands in a slot, and not who is a member of it. Which slots there are.
path "identity/group/name" {{
  capabilities = ["list"]
}}
path "identity/group/name/{prefix}*" {{
  capabilities = ["read", "update"]
  allowed_parameters = {{
    "metadata" = []
  }}
}}
# Which AccessRoles were reviewed, and which AccessRevocations were released.
path "{kv}/data/reviews" {{
  capabilities = ["read"]
}}
path "{kv}/data/revocations" {{
  capabilities = ["read"]
}}
"#,
        kv = params.kv_mount,
        prefix = names::slot_prefix(&params.trust_domain),
    )
}

/// The granter's rights: write the members of slots, which group of the provider a prepared group represents, and whether an
/// entity is disabled, of any entity, since a policy cannot tell them apart. The
/// ids are listed one by one, because an alias of another group would give people that group's policies.
fn granter(params: &SetupParams, mount: &MountPath) -> String {
    let domain = &params.trust_domain;
    format!(
        r#"# Who is a member of a slot: groups of the provider, never a person. Which slots there are.
path "identity/group/name" {{
  capabilities = ["list"]
}}
path "identity/group/name/{slots}*" {{
  capabilities = ["read", "update"]
  allowed_parameters = {{
    "member_group_ids" = []
    "member_entity_ids" = [[]]
  }}
}}
# For which group of the provider a group stands, once and for all.
path "identity/group/name/{groups}*" {{
  capabilities = ["read"]
}}
path "identity/group-alias" {{
  capabilities = ["create", "update"]
  allowed_parameters = {{
    "name" = []
    "mount_accessor" = ["{PEOPLE_ACCESSOR}"]
    "canonical_id" = ["{GROUP_IDS}"]
  }}
  required_parameters = ["name", "mount_accessor", "canonical_id"]
}}
# Whether a login is there, and whether somebody made another one.
path "auth/{mount}/role" {{
  capabilities = ["list"]
}}
# Anyone may log in there; named here so that the mount's accessor may be read.
path "auth/{mount}/login" {{
  capabilities = ["update"]
}}
# Who leaves: whose entity an alias of these mounts is, and that it is disabled or enabled; nothing else of an entity.
path "identity/lookup/entity" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "alias_name" = []
    "alias_mount_accessor" = ["{PEOPLE_ACCESSOR}", "{ACCESSOR}"]
  }}
  required_parameters = ["alias_name", "alias_mount_accessor"]
}}
path "identity/entity/id/+" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "disabled" = []
  }}
  required_parameters = ["disabled"]
}}
# Which AccessRoles were reviewed, which AccessRevocations were released, and which entities they disabled. Nobody else
# writes it.
path "{kv}/data/reviews" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/revocations" {{
  capabilities = ["create", "read", "update"]
}}
# Whose the store is.
path "{kv}/data/domain" {{
  capabilities = ["read"]
}}
# Its own login and its own token.
path "auth/{kubernetes}/login" {{
  capabilities = ["update"]
}}
path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}
path "auth/token/renew-self" {{
  capabilities = ["update"]
}}
"#,
        slots = names::slot_prefix(domain),
        groups = names::group_prefix(domain),
        kv = params.kv_mount,
        kubernetes = params.kubernetes_mount,
    )
}

/// The rights of a login. The line of a slot that is empty or of which the person is no member matches nothing.
fn of_login(params: &SetupParams, login: &AccessLogin) -> String {
    let transit = &params.transit_mount;
    let lines = names::slots(&params.trust_domain, &login.name, login.slots()).into_iter().map(|slot| {
        let opened = format!("{{{{identity.groups.names.{slot}.metadata.{}}}}}", names::OPEN);
        format!("path \"{transit}/decrypt/{opened}.*\" {{\n  capabilities = [\"update\"]\n}}\n")
    });
    let own = "# Its own token.\npath \"auth/token/lookup-self\" {\n  capabilities = [\"read\"]\n}\n";
    format!("# Open what the slots of this login name.\n{}{own}", lines.collect::<String>())
}
