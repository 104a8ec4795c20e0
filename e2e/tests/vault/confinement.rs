//! The operator cannot escalate: everything it might try with its own token is refused, while the same
//! request works for an administrator, so that no refusal is a mere mistake in the request.

use serde_json::{Value, json};
use subrosa_records::vault::identity::{Aliases, auth_accessor};

use crate::attempts::{Root, Try, all};
use crate::support::{Bao, World, metadata, mount};

/// What there is to gain, made by an administrator.
pub struct Prey {
    pub entity: String,
    pub alias: String,
    pub kubernetes: String,
    pub userpass: String,
    pub operator: String,
    pub operators_entity: String,
    pub operators_alias: String,
    pub ciphertext: Value,
    pub token: String,
    pub accessor: String,
}

pub const KEY: &str = "aaaaaaaaaaaaaaaa.call-recording.2026w47";

impl Prey {
    async fn prepare(world: &World) -> Self {
        let (bao, operator) = (&world.bao, world.operator_uid.to_string());
        bao.admin("POST", "sys/auth/userpass", json!({"type": "userpass"})).await;
        bao.admin(
            "POST",
            "sys/policies/acl/admin",
            json!({"policy": "path \"*\" { capabilities = [\"sudo\", \"read\"] }"}),
        )
        .await;
        let accessor = async |mount: &str| {
            let auth = bao.admin("GET", &format!("sys/auth/{mount}"), json!(null)).await;
            auth["data"]["accessor"].as_str().unwrap().to_owned()
        };
        let (kubernetes, userpass) = (accessor("kubernetes").await, accessor("userpass").await);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entity =
            bao.admin("POST", "identity/entity", json!({"name": "admin", "policies": ["admin"]})).await;
        let entity = text(&entity["data"]["id"]);
        let alias = json!({"name": "alice", "mount_accessor": userpass, "canonical_id": entity});
        let alias = text(&bao.admin("POST", "identity/entity-alias", alias).await["data"]["id"]);
        let find = json!({"alias_name": operator, "alias_mount_accessor": kubernetes});
        let own = bao.admin("POST", "identity/lookup/entity", find).await;
        bao.admin("POST", &format!("transit/keys/{KEY}"), json!({})).await;
        let sealed = bao.admin("POST", &format!("transit/encrypt/{KEY}"), json!({"plaintext": "YQ=="})).await;
        bao.admin("POST", "subrosa/data/channels/a", json!({"data": {"a": 1}, "options": {"cas": 0}})).await;
        bao.admin("POST", "subrosa/data/channels/a", json!({"data": {"a": 2}, "options": {"cas": 1}})).await;
        let token = bao.admin("POST", "auth/token/create", json!({"policies": ["admin"]})).await;
        Self {
            entity,
            alias,
            kubernetes,
            userpass,
            operator,
            operators_entity: text(&own["data"]["id"]),
            operators_alias: text(&own["data"]["aliases"][0]["id"]),
            ciphertext: sealed["data"]["ciphertext"].clone(),
            token: text(&token["auth"]["client_token"]),
            accessor: text(&token["auth"]["accessor"]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_cannot_escalate() {
    // OpenBao with raft storage: in memory, stepping down is granted to anyone because it does nothing.
    let world = World::start().await;
    let bao = &world.bao;
    let body = json!({"role": "subrosa", "jwt": world.operator_jwt});
    let login = bao.raw("", "POST", "auth/kubernetes/login", body).await.1;
    let token = login["auth"]["client_token"].as_str().unwrap();
    assert_eq!(login["auth"]["policies"], json!(["subrosa-operator"]), "no default policy");

    let prey = Prey::prepare(&world).await;
    let tries = all(&prey);
    assert!(tries.len() >= 30, "{}", tries.len());
    let before = state(bao, &prey).await;
    let mut allowed = Vec::new();
    for Try { name, method, path, body, .. } in &tries {
        let (status, answer) = bao.raw(token, method, path, body.clone()).await;
        if status != 403 {
            allowed.push(format!("{name}: {method} {path}: {status} {answer}"));
        }
    }
    assert!(allowed.is_empty(), "not refused:\n{}", allowed.join("\n"));
    assert_eq!(state(bao, &prey).await, before, "something changed");
    the_operator_gains_nothing_by_a_grant_to_itself(&world, &prey, token).await;

    let mut mistaken = Vec::new();
    for Try { name, method, path, body, root } in &tries {
        if *root == Root::Spared {
            continue;
        }
        let (status, answer) = bao.raw(bao.root_token(), method, path, body.clone()).await;
        let as_expected = if *root == Root::Works { (200..300).contains(&status) } else { status != 403 };
        if !as_expected {
            mistaken.push(format!("{name}: {method} {path}: {status} {answer}"));
        }
    }
    assert!(mistaken.is_empty(), "an administrator cannot either:\n{}", mistaken.join("\n"));
}

/// Granting is the operator's work, so nothing stops it from granting itself; but neither its policy nor any
/// role it can log in with reads what it granted.
async fn the_operator_gains_nothing_by_a_grant_to_itself(world: &World, prey: &Prey, token: &str) {
    let vault = world.operator().await;
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    let id = KEY.split('.').next().unwrap();
    let wanted = metadata(&[("subrosa", id), ("subrosa_open", id)]);
    Aliases::new(vault, accessor).grant(&world.operator_uid, &wanted).await.unwrap();
    let fresh = world.log_in("subrosa", &world.operator_jwt).await.unwrap();
    for token in [token, &fresh] {
        let open = json!({"ciphertext": prey.ciphertext});
        assert_eq!(world.bao.raw(token, "POST", &format!("transit/decrypt/{KEY}"), open).await.0, 403);
        let seal = json!({"plaintext": "YQ=="});
        assert_eq!(world.bao.raw(token, "POST", &format!("transit/encrypt/{KEY}"), seal).await.0, 403);
    }
    let as_workload = world.log_in("subrosa-workload", &world.operator_jwt).await;
    assert!(as_workload.is_err(), "the operator's namespace is no member of the trust domain");
}

/// What an escalation would have changed.
async fn state(bao: &Bao, prey: &Prey) -> Vec<Value> {
    let mut state = Vec::new();
    for path in [
        format!("transit/keys/{KEY}"),
        "subrosa/data/channels/a".to_owned(),
        "subrosa/metadata/channels/a".to_owned(),
        "sys/policies/acl/subrosa-operator".to_owned(),
        "auth/kubernetes/role/subrosa".to_owned(),
        format!("identity/entity/id/{}", prey.entity),
        format!("identity/entity/id/{}", prey.operators_entity),
        "sys/mounts".to_owned(),
        "sys/auth".to_owned(),
    ] {
        state.push(bao.admin("GET", &path, json!(null)).await["data"].clone());
    }
    state
}
