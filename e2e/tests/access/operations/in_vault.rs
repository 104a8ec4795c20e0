//! Operations in Vault, with the session of somebody whose role opens or seals the recordings of one Channel.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use subrosa_crds::access_role::AccessAction;

use super::{Member, Operation, Tried, compare};
use crate::world::{CHAT, RECORDING, World};

/// Something of Vault that the session knows.
struct Known {
    /// The key that it opens with, another class's, and that of the same class of another Channel.
    keys: [String; 3],
    ciphertext: String,
    /// The Channel's id.
    id: String,
    session: String,
    entity: String,
    alias: String,
    people: String,
}

pub async fn tried(world: &World, of: &Member<'_>) -> Tried {
    let known = Known::of(world, of).await;
    let all: Vec<Operation> = [
        on_keys(&known),
        on_other_names(&known),
        on_authorities(&known),
        on_transit(),
        on_identities(&known),
        on_logins(&known),
        on_tokens(&known),
        on_records(&known),
        on_the_server(&known),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut allowed = BTreeSet::new();
    for one in &all {
        let body = (!one.body.is_null()).then(|| one.body.clone());
        let bao = world.env.openbao();
        let (status, answer) = bao.request_as(&known.session, one.method, &one.path, body).await.unwrap();
        // Anything but 403 came past the policies, whatever became of it then.
        if status != 403 {
            println!("{}: {status} {}", one.name(), answer["errors"]);
            allowed.insert(one.name());
        }
    }
    let own = &known.keys[0];
    let mut expected = vec![
        "GET auth/token/lookup-self".to_owned(),
        // What OpenBao tells everybody, without a token too.
        "GET sys/health".to_owned(),
        "GET sys/seal-status".to_owned(),
        "GET sys/leader".to_owned(),
        "GET sys/init".to_owned(),
    ];
    if of.actions.contains(&AccessAction::Open) {
        expected.extend([
            format!("POST transit/decrypt/{own}"),
            format!("PUT transit/decrypt/{own}"),
            // A cohort of the same class that is not there.
            format!("POST transit/decrypt/{}.{RECORDING}.19990101", known.id),
        ]);
    }
    if of.actions.contains(&AccessAction::Seal) {
        expected.extend([
            format!("POST transit/encrypt/{own}"),
            format!("POST transit/datakey/plaintext/{own}"),
            format!("POST transit/datakey/plaintext/{}.{RECORDING}.19990101", known.id),
        ]);
    }
    compare("Vault", all.len(), allowed, &expected)
}

impl Known {
    async fn of(world: &World, of: &Member<'_>) -> Self {
        let (own, ciphertext) = world.sealed("voice", RECORDING).await;
        let keys = [own, world.sealed("voice", CHAT).await.0, world.sealed("video", RECORDING).await.0];
        let claims = json!({"amr": ["mfa"], "groups": [of.group]});
        let session = world.login(of.login, "tess", claims).await.unwrap();
        let opens = world.opens(&session, &(keys[0].clone(), ciphertext.clone())).await;
        assert_eq!(opens, of.actions.contains(&AccessAction::Open));
        let bao = world.env.openbao();
        let own = bao.request_as(&session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
        let entity = own["data"]["entity_id"].as_str().unwrap().to_owned();
        let found = bao.request("GET", &format!("identity/entity/id/{entity}"), None).await.unwrap();
        let mounts = bao.request("GET", "sys/auth", None).await.unwrap();
        Self {
            id: keys[0].split('.').next().unwrap().to_owned(),
            keys,
            ciphertext,
            session,
            entity,
            alias: found["data"]["aliases"][0]["id"].as_str().unwrap().to_owned(),
            people: mounts["data"]["subrosa-people/"]["accessor"].as_str().unwrap().to_owned(),
        }
    }
}

/// Everything that can be done with a key.
fn with_key(mount: &str, key: &str, ciphertext: &str) -> Vec<Operation> {
    let sealed = || json!({"ciphertext": ciphertext});
    let text = || json!({"plaintext": "YQ==", "input": "YQ=="});
    let batch = json!({"batch_input": [{"ciphertext": ciphertext}]});
    let at = |what: &str| format!("{mount}/{what}/{key}");
    let of = |what: &str| format!("{mount}/keys/{key}/{what}");
    vec![
        Operation::new("POST", at("decrypt"), sealed()),
        Operation::new("PUT", at("decrypt"), batch),
        Operation::new("GET", at("decrypt"), Value::Null),
        Operation::new("DELETE", at("decrypt"), Value::Null),
        Operation::new("POST", at("encrypt"), text()),
        Operation::new("POST", at("rewrap"), sealed()),
        Operation::new("POST", at("datakey/plaintext"), json!({})),
        Operation::new("POST", at("datakey/wrapped"), json!({})),
        Operation::new("POST", at("hmac"), text()),
        Operation::new("POST", at("sign"), text()),
        Operation::new("POST", at("verify"), text()),
        Operation::new("GET", at("export/encryption-key"), Value::Null),
        Operation::new("GET", at("export/hmac-key"), Value::Null),
        Operation::new("GET", at("backup"), Value::Null),
        Operation::new("POST", at("restore"), json!({"backup": "YQ==", "force": true})),
        Operation::new("GET", at("keys"), Value::Null),
        Operation::new("POST", at("keys"), json!({"exportable": true})),
        Operation::new("POST", of("config"), json!({"deletion_allowed": true})),
        Operation::new("POST", of("rotate"), json!({})),
        Operation::new("POST", of("trim"), json!({"min_available_version": 1})),
        Operation::new("DELETE", of("soft-delete"), Value::Null),
        Operation::new("POST", of("soft-delete-restore"), json!({})),
        Operation::new("POST", of("import"), json!({"ciphertext": "YQ=="})),
        Operation::new("POST", of("import_version"), json!({"ciphertext": "YQ=="})),
        Operation::new("POST", of("csr"), json!({})),
        Operation::new("DELETE", at("keys"), Value::Null),
    ]
}

fn on_keys(known: &Known) -> Vec<Operation> {
    known.keys.iter().flat_map(|key| with_key("transit", key, &known.ciphertext)).collect()
}

/// Names that are near.
fn on_other_names(known: &Known) -> Vec<Operation> {
    let (id, own) = (&known.id, &known.keys[0]);
    let names = [
        format!("{id}.{RECORDING}.19990101"),
        format!("{id}.{RECORDING}"),
        format!("{id}.{RECORDING}-2.20260101"),
        format!("{id}.call-recordin.20260101"),
        id.clone(),
        format!("{id}.%2A"),
        "%2A".to_owned(),
        "%2B".to_owned(),
        own.to_uppercase(),
        format!("x{own}"),
        format!("x/{own}"),
        format!("{CHAT}.{own}"),
    ];
    let sealed = || json!({"ciphertext": known.ciphertext});
    let each = names.iter().flat_map(|name| {
        [
            Operation::new("POST", format!("transit/decrypt/{name}"), sealed()),
            Operation::new("POST", format!("transit/encrypt/{name}"), json!({"plaintext": "YQ=="})),
            Operation::new("POST", format!("transit/datakey/plaintext/{name}"), json!({})),
        ]
    });
    each.chain([Operation::new("POST", "transit/decrypt", sealed())]).collect()
}

fn on_authorities(known: &Known) -> Vec<Operation> {
    let (id, input) = (&known.id, json!({"input": "YQ=="}));
    vec![
        Operation::new("POST", format!("transit-ca/sign/{id}"), input.clone()),
        Operation::new("POST", format!("transit-ca/verify/{id}"), input),
        Operation::new("GET", format!("transit-ca/keys/{id}"), Value::Null),
        Operation::new("GET", format!("transit-ca/export/signing-key/{id}"), Value::Null),
        Operation::new("POST", format!("transit-ca/keys/{id}/csr"), json!({})),
        Operation::new("POST", format!("transit-ca/keys/{id}/rotate"), json!({})),
        Operation::new("LIST", "transit-ca/keys", Value::Null),
    ]
}

fn on_transit() -> Vec<Operation> {
    vec![
        Operation::new("LIST", "transit/keys", Value::Null),
        Operation::new("GET", "transit/wrapping_key", Value::Null),
        Operation::new("GET", "transit/cache-config", Value::Null),
        Operation::new("POST", "transit/cache-config", json!({"size": 10})),
        Operation::new("GET", "transit/config/keys", Value::Null),
        Operation::new("POST", "transit/config/keys", json!({"disable_upsert": false})),
        Operation::new("POST", "transit/random", json!({"bytes": 8})),
        Operation::new("POST", "transit/hash", json!({"input": "YQ=="})),
        Operation::new("POST", "transit/restore", json!({"backup": "YQ=="})),
        Operation::new("POST", "transit/keys/mine", json!({})),
    ]
}

fn on_identities(known: &Known) -> Vec<Operation> {
    let Known { keys, entity, alias, people, .. } = known;
    let mut all = Vec::new();
    let mut slots: Vec<String> =
        (0..3).map(|number| format!("subrosa_oosterlinde_open_strong_00{number}")).collect();
    slots.extend(
        ["open_break-glass_000", "open_night_000", "open_clerk_000", "seal_clerk_000"]
            .map(|slot| format!("subrosa_oosterlinde_{slot}")),
    );
    for slot in &slots {
        let path = format!("identity/group/name/{slot}");
        all.extend([
            Operation::new("GET", path.clone(), Value::Null),
            Operation::new("POST", path.clone(), json!({"member_entity_ids": [entity]})),
            Operation::new("POST", path, json!({"metadata": {"open": keys[2], "seal": keys[2]}})),
        ]);
    }
    let group = "identity/group/name/subrosa_oosterlinde_group_000";
    let other = json!({"name": "other", "mount_accessor": people, "canonical_id": entity});
    let own = format!("identity/entity/id/{entity}");
    all.extend([
        Operation::new("GET", group, Value::Null),
        Operation::new("POST", group, json!({"member_entity_ids": [entity]})),
        Operation::new("DELETE", group, Value::Null),
        Operation::new("LIST", "identity/group/name", Value::Null),
        Operation::new("LIST", "identity/group/id", Value::Null),
        Operation::new("POST", "identity/group", json!({"name": "mine", "policies": ["default"]})),
        Operation::new(
            "POST",
            "identity/group-alias",
            json!({"name": "cc-quality", "mount_accessor": people}),
        ),
        Operation::new("LIST", "identity/group-alias/id", Value::Null),
        Operation::new("GET", own.clone(), Value::Null),
        Operation::new("POST", own.clone(), json!({"policies": ["default"], "metadata": {"open": keys[2]}})),
        Operation::new("POST", own.clone(), json!({"disabled": false})),
        Operation::new("DELETE", own, Value::Null),
        Operation::new("LIST", "identity/entity/id", Value::Null),
        Operation::new("LIST", "identity/entity/name", Value::Null),
        Operation::new("POST", "identity/entity", json!({"name": "mine"})),
        Operation::new(
            "POST",
            "identity/entity/merge",
            json!({"from_entity_ids": [entity], "to_entity_id": entity}),
        ),
        Operation::new("POST", "identity/entity/batch-delete", json!({"entity_ids": [entity]})),
        Operation::new("POST", "identity/entity-alias", other),
        Operation::new("LIST", "identity/entity-alias/id", Value::Null),
        Operation::new("GET", format!("identity/entity-alias/id/{alias}"), Value::Null),
        Operation::new("DELETE", format!("identity/entity-alias/id/{alias}"), Value::Null),
        Operation::new("POST", "identity/lookup/entity", json!({"id": entity})),
        Operation::new("POST", "identity/lookup/group", json!({"name": slots[0]})),
        Operation::new("POST", "identity/persona", json!({"entity_id": entity})),
        Operation::new("POST", "identity/oidc/key/mine", json!({"allowed_client_ids": ["*"]})),
        Operation::new("POST", "identity/oidc/role/mine", json!({"key": "mine"})),
        Operation::new("GET", "identity/oidc/token/mine", Value::Null),
        Operation::new("LIST", "identity/mfa/method", Value::Null),
    ]);
    all
}

fn on_logins(known: &Known) -> Vec<Operation> {
    let mut all = Vec::new();
    for (mount, role) in [
        ("subrosa-people", "strong"),
        ("subrosa-people-break-glass", "break-glass"),
        ("kubernetes", "subrosa"),
    ] {
        let of = |rest: &str| format!("auth/{mount}/{rest}");
        all.extend([
            Operation::new("GET", of("config"), Value::Null),
            Operation::new("POST", of("config"), json!({"bound_issuer": ""})),
            Operation::new("LIST", of("role"), Value::Null),
            Operation::new("GET", of(&format!("role/{role}")), Value::Null),
            Operation::new(
                "POST",
                of(&format!("role/{role}")),
                json!({"token_ttl": "24h", "bound_claims": {}}),
            ),
            Operation::new("POST", of("role/mine"), json!({"token_policies": ["root"]})),
            Operation::new("DELETE", of(&format!("role/{role}")), Value::Null),
            Operation::new("GET", format!("sys/auth/{mount}"), Value::Null),
            Operation::new("POST", format!("sys/auth/{mount}/tune"), json!({"max_lease_ttl": "24h"})),
            Operation::new("DELETE", format!("sys/auth/{mount}"), Value::Null),
        ]);
    }
    let policy = "sys/policies/acl/subrosa-login.oosterlinde.strong";
    all.extend([
        Operation::new("GET", policy, Value::Null),
        Operation::new("POST", policy, json!({"policy": "path \"*\" { capabilities = [\"read\"] }"})),
        Operation::new("DELETE", policy, Value::Null),
        Operation::new("LIST", "sys/policies/acl", Value::Null),
        Operation::new("POST", "sys/policies/acl/mine", json!({"policy": ""})),
        Operation::new("POST", "sys/auth/mine", json!({"type": "jwt"})),
        Operation::new(
            "POST",
            "sys/capabilities-self",
            json!({"paths": [format!("transit/keys/{}", known.keys[0])]}),
        ),
        Operation::new("POST", "sys/capabilities", json!({"token": known.session, "paths": ["sys"]})),
    ]);
    all
}

fn on_tokens(known: &Known) -> Vec<Operation> {
    let token = || json!({"token": known.session});
    vec![
        Operation::new("GET", "auth/token/lookup-self", Value::Null),
        Operation::new("POST", "auth/token/lookup-self", json!({})),
        Operation::new("POST", "auth/token/renew-self", json!({"increment": "24h"})),
        Operation::new("POST", "auth/token/revoke-self", json!({})),
        Operation::new("POST", "auth/token/lookup", token()),
        Operation::new("POST", "auth/token/renew", token()),
        Operation::new("POST", "auth/token/revoke", token()),
        Operation::new("POST", "auth/token/revoke-orphan", token()),
        Operation::new("POST", "auth/token/revoke-accessor", json!({"accessor": "x"})),
        Operation::new("POST", "auth/token/lookup-accessor", json!({"accessor": "x"})),
        Operation::new("POST", "auth/token/renew-accessor", json!({"accessor": "x"})),
        Operation::new("LIST", "auth/token/accessors", Value::Null),
        Operation::new("POST", "auth/token/create", json!({"policies": ["default"]})),
        Operation::new("POST", "auth/token/create-orphan", json!({"ttl": "24h"})),
        Operation::new("POST", "auth/token/roles/mine", json!({})),
        Operation::new("LIST", "auth/token/roles", Value::Null),
        Operation::new("POST", "auth/token/tidy", json!({})),
        Operation::new("POST", "sys/leases/lookup", json!({"lease_id": "x"})),
        Operation::new("LIST", "sys/leases/lookup/auth", Value::Null),
        Operation::new("POST", "sys/leases/renew", json!({"lease_id": "x"})),
        Operation::new("POST", "sys/leases/revoke", json!({"lease_id": "x"})),
        Operation::new("POST", "sys/leases/revoke-prefix/auth", json!({})),
        Operation::new("POST", "sys/wrapping/wrap", json!({"a": "b"})),
        Operation::new("GET", "cubbyhole/mine", Value::Null),
    ]
}

fn on_records(known: &Known) -> Vec<Operation> {
    let mut all = Vec::new();
    let channel = format!("channels/{}", known.id);
    for record in
        ["domain", "reviews", "revocations", "break-glass", "destroyer", "key-findings", channel.as_str()]
    {
        let data = json!({"data": {}, "options": {"cas": 0}});
        all.extend([
            Operation::new("GET", format!("subrosa/data/{record}"), Value::Null),
            Operation::new("POST", format!("subrosa/data/{record}"), data),
            Operation::new("DELETE", format!("subrosa/metadata/{record}"), Value::Null),
        ]);
    }
    all.extend([
        Operation::new("LIST", "subrosa/metadata/", Value::Null),
        Operation::new("LIST", "subrosa/metadata/channels", Value::Null),
        Operation::new("POST", "subrosa/destroy/reviews", json!({"versions": [1]})),
        Operation::new("POST", "subrosa/undelete/reviews", json!({"versions": [1]})),
        Operation::new("GET", "subrosa/config", Value::Null),
        Operation::new("POST", "subrosa/config", json!({"max_versions": 1})),
    ]);
    all
}

fn on_the_server(known: &Known) -> Vec<Operation> {
    let reads = [
        "sys/health",
        "sys/seal-status",
        "sys/leader",
        "sys/init",
        "sys/mounts",
        "sys/auth",
        "sys/audit",
        "sys/key-status",
        "sys/host-info",
        "sys/metrics",
        "sys/in-flight-req",
        "sys/config/cors",
        "sys/config/state/sanitized",
        "sys/storage/raft/configuration",
        "sys/storage/raft/snapshot",
        "sys/plugins/catalog",
        "sys/quotas/config",
        "sys/rate-limit/config",
        "sys/internal/counters/tokens",
        "sys/internal/ui/resultant-acl",
        "sys/locked-users",
        "sys/pprof/goroutine",
        "sys/raw/core",
    ];
    let reads = reads.into_iter().map(|path| Operation::new("GET", path, Value::Null));
    let writes = [
        ("POST", "sys/mounts/mine", json!({"type": "kv"})),
        ("DELETE", "sys/mounts/transit", Value::Null),
        ("POST", "sys/mounts/transit/tune", json!({"max_lease_ttl": "24h"})),
        ("POST", "sys/remount", json!({"from": "transit", "to": "mine"})),
        ("POST", "sys/audit/mine", json!({"type": "file", "options": {"file_path": "stdout"}})),
        ("POST", "sys/audit-hash/file", json!({"input": known.ciphertext})),
        ("POST", "sys/rotate", json!({})),
        ("POST", "sys/seal", json!({})),
        ("POST", "sys/step-down", json!({})),
        ("POST", "sys/storage/raft/snapshot-force", json!({})),
        ("POST", "sys/config/cors", json!({"enabled": true, "allowed_origins": "*"})),
        ("POST", "sys/plugins/reload/backend", json!({"plugin": "transit"})),
        ("POST", "sys/quotas/rate-limit/mine", json!({"rate": 1})),
        ("POST", "sys/tools/random", json!({"bytes": 8})),
        ("POST", "sys/tools/hash", json!({"input": "YQ=="})),
        ("LIST", "sys/namespaces", Value::Null),
        ("POST", "sys/namespaces/mine", json!({})),
        ("LIST", "sys/policies/password", Value::Null),
        ("LIST", "sys/version-history", Value::Null),
        ("POST", "sys/internal/inspect/router/root", json!({})),
    ];
    reads.chain(writes.into_iter().map(|(method, path, body)| Operation::new(method, path, body))).collect()
}
