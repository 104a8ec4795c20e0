//! What the operator might try with its token.

use serde_json::{Value, json};

use crate::confinement::{KEY, Prey};

/// What the same request does for an administrator afterwards.
#[derive(Clone, Copy, PartialEq)]
pub enum Root {
    /// It succeeds.
    Works,
    /// It is permitted, but this server or this object cannot do it.
    Permitted,
    /// It is not tried: it would end the server.
    Spared,
}

use Root::{Permitted, Spared, Works};

#[derive(Clone)]
pub struct Try {
    pub name: &'static str,
    pub method: &'static str,
    pub path: String,
    pub body: Value,
    pub root: Root,
}

fn attempt(
    name: &'static str,
    method: &'static str,
    path: impl Into<String>,
    body: Value,
    root: Root,
) -> Try {
    Try { name, method, path: path.into(), body, root }
}

/// Everything, the destructive last.
pub fn all(prey: &Prey) -> Vec<Try> {
    [policies_and_roles(prey), identities(prey), data_and_keys(prey), the_server_itself()].concat()
}

fn policies_and_roles(prey: &Prey) -> Vec<Try> {
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

fn identities(prey: &Prey) -> Vec<Try> {
    let Prey { entity, alias, kubernetes, userpass, operator, operators_entity, operators_alias, .. } = prey;
    let admin = json!({"policies": ["admin"]});
    let with = |extra: Value| {
        let mut body = json!({
            "name": operator, "mount_accessor": kubernetes, "custom_metadata": {"subrosa": "a"},
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    vec![
        attempt(
            "make an entity with policies",
            "POST",
            "identity/entity",
            json!({"name": "evil", "policies": ["admin"]}),
            Works,
        ),
        attempt(
            "give its entity policies",
            "POST",
            format!("identity/entity/id/{operators_entity}"),
            admin.clone(),
            Works,
        ),
        attempt("give an entity policies by name", "POST", "identity/entity/name/evil", admin.clone(), Works),
        attempt("read an entity", "GET", format!("identity/entity/id/{entity}"), json!(null), Works),
        attempt("list entities", "LIST", "identity/entity/id", json!(null), Works),
        attempt(
            "make a group with policies and itself in it",
            "POST",
            "identity/group",
            json!({"name": "evil", "policies": ["admin"], "member_entity_ids": [operators_entity]}),
            Works,
        ),
        attempt("make a group by name", "POST", "identity/group/name/evil", admin, Works),
        attempt(
            "make a group alias",
            "POST",
            "identity/group-alias",
            json!({"name": "evil", "mount_accessor": userpass}),
            Permitted,
        ),
        attempt(
            "point its alias at an administrator's entity",
            "POST",
            "identity/entity-alias",
            with(json!({"canonical_id": entity})),
            Works,
        ),
        attempt(
            "the same under the old name",
            "POST",
            "identity/entity-alias",
            with(json!({"entity_id": entity})),
            Works,
        ),
        attempt(
            "the same through the alias id",
            "POST",
            format!("identity/entity-alias/id/{operators_alias}"),
            with(json!({"canonical_id": entity})),
            Works,
        ),
        attempt(
            "update by a foreign alias id",
            "POST",
            "identity/entity-alias",
            with(json!({"id": alias})),
            Permitted,
        ),
        attempt(
            "alias metadata on another mount",
            "POST",
            "identity/entity-alias",
            json!({"name": "alice", "mount_accessor": userpass, "custom_metadata": {"subrosa": "a"}}),
            Works,
        ),
        attempt(
            "alias of another mount's new name",
            "POST",
            "identity/entity-alias",
            json!({"name": "mallory", "mount_accessor": userpass}),
            Works,
        ),
        attempt(
            "an alias without a mount",
            "POST",
            "identity/entity-alias",
            json!({"name": "mallory"}),
            Permitted,
        ),
        attempt("a persona", "POST", "identity/persona", with(json!({"entity_id": entity})), Permitted),
        attempt(
            "look up an entity by name",
            "POST",
            "identity/lookup/entity",
            json!({"name": "admin"}),
            Works,
        ),
        attempt(
            "look up an alias of another mount",
            "POST",
            "identity/lookup/entity",
            json!({"alias_name": "alice", "alias_mount_accessor": userpass}),
            Works,
        ),
        attempt("look up a group", "POST", "identity/lookup/group", json!({"name": "evil"}), Works),
        attempt(
            "make an OIDC key",
            "POST",
            "identity/oidc/key/evil",
            json!({"allowed_client_ids": ["*"]}),
            Works,
        ),
        attempt("make an OIDC role", "POST", "identity/oidc/role/evil", json!({"key": "evil"}), Works),
        attempt("get an OIDC token", "GET", "identity/oidc/token/evil", json!(null), Permitted),
        attempt(
            "merge entities",
            "POST",
            "identity/entity/merge",
            json!({"from_entity_ids": [operators_entity], "to_entity_id": entity, "force": true}),
            Works,
        ),
        attempt("delete an entity", "DELETE", format!("identity/entity/id/{entity}"), json!(null), Works),
    ]
}

fn data_and_keys(prey: &Prey) -> Vec<Try> {
    let ciphertext = &prey.ciphertext;
    let config =
        |body: Value, name, root| attempt(name, "POST", format!("transit/keys/{KEY}/config"), body, root);
    let create =
        |body: Value, name| attempt(name, "POST", "transit/keys/aaaaaaaaaaaaaaaa.evil.2026", body, Works);
    let at = |operation: &str| format!("transit/{operation}/{KEY}");
    vec![
        attempt("open data", "POST", at("decrypt"), json!({"ciphertext": ciphertext}), Works),
        attempt(
            "open data in bulk",
            "POST",
            at("decrypt"),
            json!({"batch_input": [{"ciphertext": ciphertext}]}),
            Works,
        ),
        attempt("get a data key", "POST", at("datakey/plaintext"), json!({}), Works),
        attempt("get a wrapped data key", "POST", at("datakey/wrapped"), json!({}), Works),
        attempt("seal data", "POST", at("encrypt"), json!({"plaintext": "YQ=="}), Works),
        attempt(
            "seal under a key that is not there",
            "POST",
            "transit/encrypt/aaaaaaaaaaaaaaaa.upsert.2026",
            json!({"plaintext": "YQ=="}),
            Works,
        ),
        attempt("rewrap", "POST", at("rewrap"), json!({"ciphertext": ciphertext}), Works),
        attempt("authenticate", "POST", at("hmac"), json!({"input": "YQ=="}), Works),
        attempt(
            "sign in another format",
            "POST",
            at("sign"),
            json!({"input": "YQ==", "marshaling_algorithm": "jws"}),
            Permitted,
        ),
        attempt("sign a digest", "POST", at("sign"), json!({"input": "YQ==", "prehashed": true}), Permitted),
        attempt("export", "GET", at("export/encryption-key"), json!(null), Permitted),
        attempt(
            "export one version",
            "GET",
            format!("transit/export/encryption-key/{KEY}/1"),
            json!(null),
            Permitted,
        ),
        attempt(
            "export for import elsewhere",
            "GET",
            format!("transit/byok-export/{KEY}/{KEY}"),
            json!(null),
            Permitted,
        ),
        attempt("back up in plaintext", "GET", at("backup"), json!(null), Permitted),
        attempt(
            "restore",
            "POST",
            "transit/restore/aaaaaaaaaaaaaaaa.old.2026",
            json!({"backup": "YQ=="}),
            Permitted,
        ),
        attempt(
            "restore over a key",
            "POST",
            at("restore"),
            json!({"backup": "YQ==", "force": true}),
            Permitted,
        ),
        attempt(
            "import",
            "POST",
            "transit/keys/aaaaaaaaaaaaaaaa.imported.2026/import",
            json!({"ciphertext": "YQ=="}),
            Permitted,
        ),
        attempt(
            "import a version",
            "POST",
            format!("transit/keys/{KEY}/import_version"),
            json!({"ciphertext": "YQ=="}),
            Permitted,
        ),
        attempt("get the import wrapping key", "GET", "transit/wrapping_key", json!(null), Works),
        create(json!({"type": "aes256-gcm96", "exportable": true}), "make an exportable key"),
        create(
            json!({"type": "aes256-gcm96", "allow_plaintext_backup": true}),
            "make a key with plaintext backup",
        ),
        create(
            json!({"type": "aes256-gcm96", "derived": true, "convergent_encryption": true}),
            "make a convergent key",
        ),
        create(json!({"type": "rsa-2048"}), "make a key of another type"),
        config(json!({"exportable": true}), "make a key exportable", Works),
        config(
            json!({"auto_rotate_period": 0, "exportable": true}),
            "make a key exportable on the side",
            Works,
        ),
        config(json!({"allow_plaintext_backup": true}), "allow plaintext backup", Works),
        config(json!({"min_decryption_version": 1}), "raise the minimum to open", Works),
        config(json!({"min_encryption_version": 1}), "raise the minimum to seal", Works),
        attempt(
            "trim",
            "POST",
            format!("transit/keys/{KEY}/trim"),
            json!({"min_available_version": 1}),
            Works,
        ),
        attempt("change key defaults", "POST", "transit/config/keys", json!({"disable_upsert": true}), Works),
        attempt("change the cache", "POST", "transit/cache-config", json!({"size": 100}), Works),
        attempt("soft-delete a key", "POST", format!("transit/keys/{KEY}/soft-delete"), json!({}), Permitted),
        attempt(
            "undo a soft deletion",
            "POST",
            format!("transit/keys/{KEY}/soft-delete-restore"),
            json!({}),
            Permitted,
        ),
        config(json!({"deletion_allowed": true}), "allow deletion", Works),
        config(json!({"deletion_allowed": "true"}), "allow deletion as text", Works),
        attempt("delete a key", "DELETE", format!("transit/keys/{KEY}"), json!(null), Works),
        attempt("delete the newest record version", "DELETE", "subrosa/data/channels/a", json!(null), Works),
        attempt(
            "delete record versions",
            "POST",
            "subrosa/delete/channels/a",
            json!({"versions": [1]}),
            Works,
        ),
        attempt(
            "undelete record versions",
            "POST",
            "subrosa/undelete/channels/a",
            json!({"versions": [1]}),
            Works,
        ),
        attempt(
            "patch a record",
            "PATCH",
            "subrosa/data/channels/a",
            json!({"data": {"b": 1}, "options": {"cas": 2}}),
            Permitted,
        ),
        attempt(
            "shorten the record's memory",
            "POST",
            "subrosa/metadata/channels/a",
            json!({"max_versions": 1}),
            Works,
        ),
        attempt(
            "let records expire",
            "POST",
            "subrosa/metadata/channels/a",
            json!({"delete_version_after": "1s"}),
            Works,
        ),
        attempt("read record metadata", "GET", "subrosa/metadata/channels/a", json!(null), Works),
        attempt("weaken the record", "POST", "subrosa/config", json!({"cas_required": false}), Works),
        attempt("write outside the record", "POST", "subrosa/data/other/a", json!({"data": {}}), Works),
        attempt("write below an entry", "POST", "subrosa/data/channels/a/b", json!({"data": {}}), Works),
        attempt(
            "destroy record versions",
            "POST",
            "subrosa/destroy/channels/a",
            json!({"versions": [1]}),
            Works,
        ),
        attempt("delete a record's metadata", "DELETE", "subrosa/metadata/channels/a", json!(null), Works),
    ]
}

fn the_server_itself() -> Vec<Try> {
    let file = json!({"type": "file", "options": {"file_path": "/tmp/evil"}});
    vec![
        attempt("mount an engine", "POST", "sys/mounts/evil", json!({"type": "kv"}), Works),
        attempt("list mounts", "GET", "sys/mounts", json!(null), Works),
        attempt(
            "tune a mount",
            "POST",
            "sys/mounts/transit/tune",
            json!({"audit_non_hmac_request_keys": ["plaintext"]}),
            Works,
        ),
        attempt("enable an audit device", "POST", "sys/audit/evil", file, Permitted),
        attempt("disable an audit device", "DELETE", "sys/audit/file", json!(null), Permitted),
        attempt("list audit devices", "GET", "sys/audit", json!(null), Works),
        attempt("hash for the audit log", "POST", "sys/audit-hash/file", json!({"input": "a"}), Permitted),
        attempt(
            "show headers in the audit log",
            "POST",
            "sys/config/auditing/request-headers/x-evil",
            json!({"hmac": false}),
            Works,
        ),
        attempt("read raw storage", "GET", "sys/raw/core/keyring", json!(null), Permitted),
        attempt("write raw storage", "POST", "sys/raw/core/evil", json!({"value": "a"}), Permitted),
        attempt("wrap a response", "POST", "sys/wrapping/wrap", json!({"a": 1}), Permitted),
        attempt("write into a cubbyhole", "POST", "cubbyhole/a", json!({"a": 1}), Works),
        attempt(
            "register a plugin",
            "POST",
            "sys/plugins/catalog/secret/evil",
            json!({"sha256": "00", "command": "evil"}),
            Permitted,
        ),
        attempt("list plugins", "GET", "sys/plugins/catalog", json!(null), Works),
        attempt(
            "reload a plugin",
            "POST",
            "sys/plugins/reload/backend",
            json!({"plugin": "transit"}),
            Permitted,
        ),
        attempt("make a namespace", "POST", "sys/namespaces/apart", json!({}), Works),
        attempt("set a quota", "POST", "sys/quotas/rate-limit/evil", json!({"rate": 100000}), Works),
        attempt(
            "allow cross-origin requests",
            "POST",
            "sys/config/cors",
            json!({"allowed_origins": ["*"]}),
            Works,
        ),
        attempt(
            "set a header of the UI",
            "POST",
            "sys/config/ui/headers/X-Evil",
            json!({"values": ["a"]}),
            Works,
        ),
        attempt("raise the log level", "POST", "sys/loggers", json!({"level": "trace"}), Works),
        attempt("profile the server", "GET", "sys/pprof/goroutine", json!(null), Works),
        attempt("read the host's state", "GET", "sys/host-info", json!(null), Works),
        attempt("read the effective configuration", "GET", "sys/config/state/sanitized", json!(null), Works),
        attempt("read counters", "GET", "sys/internal/counters/entities", json!(null), Permitted),
        attempt("take a snapshot", "GET", "sys/storage/raft/snapshot", json!(null), Permitted),
        attempt("restore a snapshot", "POST", "sys/storage/raft/snapshot-force", json!({}), Permitted),
        attempt(
            "remove a peer",
            "POST",
            "sys/storage/raft/remove-peer",
            json!({"server_id": "a"}),
            Permitted,
        ),
        attempt("list leases", "LIST", "sys/leases/lookup/auth/kubernetes/login", json!(null), Permitted),
        attempt("rotate the barrier key", "POST", "sys/rotate", json!({}), Permitted),
        attempt(
            "ask for others' capabilities",
            "POST",
            "sys/capabilities",
            json!({"token": "s.none", "path": "sys"}),
            Permitted,
        ),
        attempt("move a mount", "POST", "sys/remount", json!({"from": "subrosa", "to": "evil2"}), Works),
        attempt("unmount transit", "DELETE", "sys/mounts/transit", json!(null), Works),
        attempt("end logins", "POST", "sys/leases/revoke-prefix/auth/userpass", json!({}), Works),
        attempt("disable the auth method", "DELETE", "sys/auth/kubernetes", json!(null), Works),
        attempt("step down", "POST", "sys/step-down", json!({}), Spared),
        attempt("seal", "POST", "sys/seal", json!({}), Spared),
    ]
}
