//! What AccessGrants need in Vault: grant slots of each login, and the granter's right to open each of them for a time.

use subrosa_crds::{access_grant::GrantDuration, trust_domain::AccessLogin};
use subrosa_plan::roles::grants::names::{self, GrantPlace};

use super::{PeopleParams, SetupParams};

/// The grant slots of a login.
pub(super) fn places(params: &SetupParams, login: &AccessLogin) -> Vec<GrantPlace> {
    names::places(&params.trust_domain, &login.name, login.grant_slots())
}

/// The operator's additional right: say what a grant slot opens, and see which are used.
pub(super) fn operator(params: &SetupParams) -> String {
    format!(
        r#"# What a grant slot opens, and not who is a member of it; and which AccessGrants use one.
path "identity/group/name/{prefix}*" {{
  capabilities = ["read", "update"]
  allowed_parameters = {{
    "metadata" = []
  }}
}}
path "{kv}/data/grants" {{
  capabilities = ["read"]
}}
"#,
        prefix = names::slot_prefix(&params.trust_domain),
        kv = params.kv_mount,
    )
}

/// The granter's additional right: put a person into a grant slot, and open that slot for a time. The text of each policy is
/// given whole, and a ttl is required, so what the granter opens it neither chooses nor opens for ever. A policy that is there is
/// read at the older path, since required parameters are asked of a read too.
pub(super) fn granter(params: &SetupParams, people: &PeopleParams) -> String {
    let ttls: Vec<_> = GrantDuration::ALL.iter().map(|one| format!("\"{}\"", one.as_str())).collect();
    let ttls = ttls.join(", ");
    let all = people.access.logins.iter().flat_map(|login| places(params, login));
    let policies = all.map(|place| {
        let text = names::policy_text(params.transit_mount.as_str(), &place.slot).replace('"', "\\\"");
        format!(
            r#"path "sys/policies/acl/{policy}" {{
  capabilities = ["create", "update", "delete"]
  allowed_parameters = {{
    "policy" = ["{text}"]
    "ttl" = [{ttls}]
  }}
  required_parameters = ["policy", "ttl"]
}}
"#,
            policy = place.policy
        )
    });
    format!(
        r#"# Who is a member of a grant slot: single persons, and no group.
path "identity/group/name/{slots}*" {{
  capabilities = ["read", "update"]
  allowed_parameters = {{
    "member_entity_ids" = []
    "member_group_ids" = [[]]
  }}
}}
# Which AccessGrants were given. Nobody else writes it.
path "{kv}/data/grants" {{
  capabilities = ["create", "read", "update"]
}}
# A grant slot opens for a time: these texts, and only with one of these times, after which Vault removes the policy.
path "sys/policy/{read}*" {{
  capabilities = ["read"]
}}
{policies}"#,
        slots = names::slot_prefix(&params.trust_domain),
        kv = params.kv_mount,
        read = names::policy_prefix(&params.trust_domain),
        policies = policies.collect::<String>(),
    )
}
