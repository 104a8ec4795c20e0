//! Policies, roles, auth methods and tokens.

use serde_json::json;

use super::Root::{Permitted, Works};
use super::{Try, attempt};
use crate::confinement::Prey;

/// What would give rights to anybody.
pub fn policies_and_roles(prey: &Prey) -> Vec<Try> {
    let all = json!({"policy": "path \"*\" { capabilities = [\"sudo\", \"update\"] }"});
    let role = json!({
        "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"], "audience": "vault",
        "token_policies": ["admin"],
    });
    let config = json!({
        "kubernetes_host": "https://evil.example", "kubernetes_ca_cert": "", "token_reviewer_jwt": "a.b.c",
    });
    vec![
        attempt("write its own policy", "POST", "sys/policies/acl/subrosa-operator", all.clone(), Works),
        attempt(
            "write the workloads' policy",
            "POST",
            "sys/policies/acl/subrosa-workload",
            all.clone(),
            Works,
        ),
        attempt(
            "write the destroyer's policy",
            "POST",
            "sys/policies/acl/subrosa-destroyer",
            all.clone(),
            Works,
        ),
        attempt("write a new policy", "POST", "sys/policies/acl/evil", all.clone(), Works),
        attempt("write a policy the old way", "POST", "sys/policy/evil", all, Works),
        attempt("read policies", "GET", "sys/policies/acl/subrosa-operator", json!(null), Works),
        attempt("list policies", "LIST", "sys/policies/acl", json!(null), Works),
        attempt(
            "write a password policy",
            "POST",
            "sys/policies/password/evil",
            json!({"policy": "length = 20\nrule \"charset\" { charset = \"abc\" }"}),
            Works,
        ),
        attempt("make a role", "POST", "auth/kubernetes/role/evil", role.clone(), Works),
        attempt("widen its own role", "POST", "auth/kubernetes/role/subrosa", role.clone(), Works),
        attempt(
            "widen the destroyer's role",
            "POST",
            "auth/kubernetes/role/subrosa-destroyer",
            role.clone(),
            Works,
        ),
        attempt("widen the workloads' role", "POST", "auth/kubernetes/role/subrosa-workload", role, Works),
        attempt("read roles", "LIST", "auth/kubernetes/role", json!(null), Works),
        attempt("let another API server vouch", "POST", "auth/kubernetes/config", config, Permitted),
        attempt(
            "make a user",
            "POST",
            "auth/userpass/users/evil",
            json!({"password": "x", "token_policies": "admin"}),
            Works,
        ),
        attempt("enable an auth method", "POST", "sys/auth/evil", json!({"type": "userpass"}), Works),
        attempt(
            "tune an auth method",
            "POST",
            "sys/auth/userpass/tune",
            json!({"default_lease_ttl": "1h"}),
            Works,
        ),
        attempt("list auth methods", "GET", "sys/auth", json!(null), Works),
        attempt("make a token", "POST", "auth/token/create", json!({"policies": ["admin"]}), Works),
        attempt("make a token like its own", "POST", "auth/token/create", json!({}), Works),
        attempt(
            "make an orphan token",
            "POST",
            "auth/token/create-orphan",
            json!({"policies": ["admin"]}),
            Works,
        ),
        attempt(
            "make a token role",
            "POST",
            "auth/token/roles/evil",
            json!({"allowed_policies": "admin"}),
            Works,
        ),
        attempt("list tokens", "LIST", "auth/token/accessors", json!(null), Works),
        attempt("look up a token", "POST", "auth/token/lookup", json!({"token": prey.token}), Works),
        attempt(
            "look up a token by accessor",
            "POST",
            "auth/token/lookup-accessor",
            json!({"accessor": prey.accessor}),
            Works,
        ),
        attempt("renew another's token", "POST", "auth/token/renew", json!({"token": prey.token}), Works),
        attempt(
            "renew another's token by accessor",
            "POST",
            "auth/token/renew-accessor",
            json!({"accessor": prey.accessor}),
            Works,
        ),
        // By accessor it may: that is how a replica's token is revoked by the one that leads after it.
        attempt(
            "revoke all tokens of a mount",
            "POST",
            "sys/leases/revoke-prefix/auth/userpass",
            json!({}),
            Works,
        ),
        attempt("revoke another's token", "POST", "auth/token/revoke", json!({"token": prey.token}), Works),
    ]
}
