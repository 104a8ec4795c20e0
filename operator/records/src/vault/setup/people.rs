//! Login for people: JWT auth for an identity provider, a role and a policy for each login, and the groups that
//! AccessRoles use.
//!
//! Groups have no policies. A group's policy would follow a person into every token, so a weaker login would open
//! what requires a stronger one. The policy of a login reads only that login's slots.

use serde_json::{Map, Value, json};
use subrosa_crds::trust_domain::{AccessLogin, AccessSpec, IdentityProvider};
use subrosa_plan::roles::{SlotUse, break_glass, names};

use super::{
    ACCESSOR, GRANTER_POLICY, GRANTER_ROLE, SetupParams, SetupStep, StepKind, accounts, grants, policy, roles,
};
use crate::vault::error::VaultError;
use crate::vault::logins::TOKEN_ID;
use crate::vault::name::MountPath;

/// Placeholder for the accessor of the JWT auth mount, which exists only once the mount does.
pub(super) const PEOPLE_ACCESSOR: &str = "<accessor of the JWT auth mount>";
/// Placeholder for the accessor of the auth mount of break-glass.
pub(super) const GLASS_ACCESSOR: &str = "<accessor of the JWT auth mount of break-glass>";
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

    /// The mount of JWT auth for emergencies, if there is one.
    pub fn break_glass_mount(&self) -> Result<Option<MountPath>, VaultError> {
        let glass = break_glass::access(&self.access);
        Ok(glass.map(|access| MountPath::new(access.provider.mount())).transpose()?)
    }
}

/// The steps in order: objects before the policies that name them.
pub(super) fn steps(params: &SetupParams, people: &PeopleParams) -> Result<Vec<SetupStep>, VaultError> {
    let (mount, domain) = (people.mount()?, params.trust_domain.as_str());
    let glass = break_glass::access(&people.access).zip(people.break_glass_mount()?);
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
    if let Some((access, mount)) = &glass {
        steps.extend([
            SetupStep::new(
                StepKind::Mount { index: "sys/auth" },
                format!("sys/auth/{mount}"),
                json!({ "type": "jwt", "description": "Subrosa: people in an emergency" }),
                "break-glass has a mount of its own: who has an alias there used it",
            ),
            object(
                format!("auth/{mount}/config"),
                config(people),
                "the same provider's tokens: Vault and the provider are all that break-glass needs",
            ),
        ]);
        for name in names::break_glass_groups(domain, access.provider.groups()) {
            steps.push(group(
                name,
                "external",
                "can stand for a group of the provider that may use break-glass",
            ));
        }
    }
    let of_accounts = accounts::login(people);
    steps.extend(accounts::mounts(params, people)?);
    let of_break_glass = glass.iter().flat_map(|(access, _)| &access.logins);
    for login in people.access.logins.iter().chain(of_break_glass).chain(&of_accounts) {
        for name in names::slots(domain, login, SlotUse::Open) {
            steps.push(group(name, "internal", "a slot: one data class of one Channel, and who may open it"));
        }
        for name in names::slots(domain, login, SlotUse::Seal) {
            steps.push(group(name, "internal", "a slot: one data class of one Channel, and who may seal it"));
        }
        for place in grants::places(params, login) {
            steps.push(group(place.slot, "internal", "a grant slot: the same for one person, for a time"));
        }
    }
    steps.push(policy(
        &policy::name(GRANTER_POLICY, &params.kubernetes_mount),
        granter(params, people, &mount, glass.as_ref().map(|(_, mount)| mount))?,
        "the granter says who is a member of a slot, and disables the entities of who leaves; it cannot say what a slot opens, and reads no slot itself",
    ));
    steps.push(object(
        format!("auth/{}/role/{GRANTER_ROLE}", params.kubernetes_mount),
        roles::granter(params, people),
        "the granter's ServiceAccount, and no other, gets the granter's policy",
    ));
    let mut may_log_in = |mount: &MountPath, login: &AccessLogin, role: Value, why| {
        steps.push(policy(
            &policy_name(domain, login),
            of_login(params, login),
            "what who logged in so may open: what the slots of this login name, where the person is a member",
        ));
        steps.push(object(format!("auth/{mount}/role/{}", login.name), role, why));
    };
    for login in &people.access.logins {
        let mut policies = vec![policy_name(domain, login)];
        // None of these is there: the granter writes one for a time.
        policies.extend(grants::places(params, login).into_iter().map(|place| place.policy));
        // As Vault keeps them.
        policies.sort();
        let role = role(&people.access.provider, login, &policies);
        let why = "who shows one of these second factors may log in; without a slot that opens nothing";
        may_log_in(&mount, login, role, why);
    }
    for (mount, login) in
        glass.iter().flat_map(|(access, mount)| access.logins.iter().map(move |one| (mount, one)))
    {
        let role = break_glass_role(people, login, &policy_name(domain, login));
        let why =
            "who is in one of these groups and shows one of these second factors may log in in an emergency";
        may_log_in(mount, login, role, why);
    }
    if let Some((mount, login)) = accounts::mount(people)?.zip(of_accounts) {
        let role = accounts::role(params, people, &login, &policy_name(domain, &login));
        let why = "the trust domain's ServiceAccounts may log in; without a slot that opens nothing";
        may_log_in(&mount, &login, role, why);
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

/// How long a token of the provider is taken that does not say when it ends, in seconds after its `iat` or `nbf`; and how long
/// before its end one that says nothing else.
const LIFE_NOT_SAID: u32 = 150;
/// How far the clocks of Vault and of the provider may differ, in seconds.
const CLOCK_SKEW: u32 = 60;

/// Batch tokens cannot be renewed, so nobody regains by a renewal what a later login took away. The three leeways are what
/// OpenBao does by itself; a role is merged when it is written, so wider ones would stay.
fn role(provider: &IdentityProvider, login: &AccessLogin, policies: &[String]) -> Value {
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
        "bound_claims": second_factor(provider, login),
        "expiration_leeway": LIFE_NOT_SAID,
        "not_before_leeway": LIFE_NOT_SAID,
        "clock_skew_leeway": CLOCK_SKEW,
        "token_policies": policies,
        "token_no_default_policy": true,
        "token_type": "batch",
        "token_ttl": ttl,
        "token_max_ttl": ttl,
        "token_explicit_max_ttl": 0,
        "token_period": 0,
        "token_num_uses": 0,
    })
}

/// The role of break-glass. It leaves the id of the provider's token in the metadata of the alias, so that another login is
/// seen; a token without one is refused. OpenBao 2.7 takes no numbers for that, such as `iat`. No group and no second factor
/// can have a `*`, so as globs they mean what they say.
fn break_glass_role(people: &PeopleParams, login: &AccessLogin, policy: &str) -> Value {
    let provider = &people.access.provider;
    let groups = people.access.break_glass.as_ref().map(|glass| glass.groups.as_slice()).unwrap_or_default();
    let mut role = role(provider, login, &[policy.to_owned()]);
    let mut bound = second_factor(provider, login);
    bound.insert(provider.groups_claim().to_owned(), json!(groups));
    bound.insert(TOKEN_ID.to_owned(), "*".into());
    if let Value::Object(role) = &mut role {
        role.insert("bound_claims_type".to_owned(), "glob".into());
        role.insert("bound_claims".to_owned(), bound.into());
        role.insert("claim_mappings".to_owned(), json!({ (TOKEN_ID): TOKEN_ID }));
    }
    role
}

/// The claim that must have one of these values; none where the login asks for no second factor.
fn second_factor(provider: &IdentityProvider, login: &AccessLogin) -> Map<String, Value> {
    login
        .second_factor(provider)
        .map(|(claim, values)| (claim.to_owned(), json!(values)))
        .into_iter()
        .collect()
}

fn policy_name(domain: &str, login: &AccessLogin) -> String {
    names::login_policy(domain, &login.name)
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
# And what they may seal.
path "identity/group/name/{seals}*" {{
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
{grants}"#,
        kv = params.kv_mount,
        prefix = names::slot_prefix(&params.trust_domain, SlotUse::Open),
        seals = names::slot_prefix(&params.trust_domain, SlotUse::Seal),
        grants = grants::operator(params),
    )
}

/// The granter's rights: write the members of slots, which group of the provider a prepared group represents, and whether an
/// entity is disabled, of any entity, since a policy cannot tell them apart. The
/// ids are listed one by one, because an alias of another group would give people that group's policies.
fn granter(
    params: &SetupParams,
    people: &PeopleParams,
    mount: &MountPath,
    glass: Option<&MountPath>,
) -> Result<String, VaultError> {
    let domain = &params.trust_domain;
    let accessors = match glass {
        Some(_) => format!("\"{PEOPLE_ACCESSOR}\", \"{GLASS_ACCESSOR}\""),
        None => format!("\"{PEOPLE_ACCESSOR}\""),
    };
    let (of_accounts, their_accessor) = accounts::granter(params, people)?;
    let glass = glass.map(|glass| on_break_glass(params, glass)).unwrap_or_default();
    Ok(format!(
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
path "identity/group/name/{seals}*" {{
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
    "mount_accessor" = [{accessors}]
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
    "alias_mount_accessor" = [{accessors}, "{ACCESSOR}"{their_accessor}]
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
# Who logged in anywhere: aliases cannot be listed for one mount only. It shows who of all leavers has a new entity, and who used
# break-glass. It writes and deletes none.
path "identity/entity-alias/id" {{
  capabilities = ["list"]
}}
# Which AccessRoles were reviewed, which AccessRevocations were released, and which entities they disabled. Nobody else
# writes it.
path "{kv}/data/reviews" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/revocations" {{
  capabilities = ["create", "read", "update"]
}}
{glass}{of_accounts}{grants}# Whose the store is.
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
        grants = grants::granter(params, people),
        slots = names::slot_prefix(domain, SlotUse::Open),
        seals = names::slot_prefix(domain, SlotUse::Seal),
        groups = names::group_prefix(domain),
        kv = params.kv_mount,
        kubernetes = params.kubernetes_mount,
    ))
}

/// What the granter needs for break-glass beside that: it sees who used it, and keeps what was reviewed.
fn on_break_glass(params: &SetupParams, mount: &MountPath) -> String {
    format!(
        r#"# Break-glass: whether its login is there, and its mount's accessor.
path "auth/{mount}/role" {{
  capabilities = ["list"]
}}
path "auth/{mount}/login" {{
  capabilities = ["update"]
}}
# When somebody used it.
path "identity/entity-alias/id/+" {{
  capabilities = ["read"]
}}
# Which uses were told and reviewed. Nobody else reads or writes it.
path "{kv}/data/break-glass" {{
  capabilities = ["create", "read", "update"]
}}
"#,
        kv = params.kv_mount,
    )
}

/// The rights of a login. The line of a slot that is empty or of which the person is no member matches nothing. Sealing takes what
/// a workload needs for it, and there is no `create`, so sealing under a missing key does not make one.
fn of_login(params: &SetupParams, login: &AccessLogin) -> String {
    let lines = |usage: SlotUse, requests: &[&str]| {
        let slots = names::slots(&params.trust_domain, login, usage);
        let line = |slot: &String, request: &&str| {
            let named = format!("{{{{identity.groups.names.{slot}.metadata.{}}}}}", usage.key());
            let transit = &params.transit_mount;
            format!("path \"{transit}/{request}/{named}.*\" {{\n  capabilities = [\"update\"]\n}}\n")
        };
        slots
            .iter()
            .flat_map(|slot| requests.iter().map(move |request| line(slot, request)))
            .collect::<String>()
    };
    let opened = lines(SlotUse::Open, &["decrypt"]);
    let sealed = lines(SlotUse::Seal, &["encrypt", "datakey/plaintext"]);
    let sealing = if sealed.is_empty() { "" } else { "# Seal what the slots that seal name.\n" };
    let own = "# Its own token.\npath \"auth/token/lookup-self\" {\n  capabilities = [\"read\"]\n}\n";
    format!("# Open what the slots of this login name.\n{opened}{sealing}{sealed}{own}")
}
