//! The operator and the destroyer cannot escalate: everything they might try with their own tokens is refused, while the
//! same request works for an administrator, so that no refusal is a mere mistake in the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subrosa_records::vault::identity::{Aliases, auth_accessor};
use subrosa_records::vault::{AliasName, canary};

use crate::attempts::{self, Refusal, Root, Try};
use crate::support::{Bao, MEMBER, World, metadata, mount};

/// What there is to gain, made by an administrator.
pub struct Prey {
    pub entity: String,
    pub alias: String,
    pub kubernetes: String,
    pub userpass: String,
    /// Who tries.
    pub holder: String,
    pub holders_entity: String,
    pub holders_alias: String,
    /// Sealed without associated data.
    pub ciphertext: Value,
    /// Sealed by a workload for an item.
    pub item: Value,
    pub item_associated_data: String,
    /// Sealed as the destroyer does it.
    pub canary: Value,
    /// The name of a key that can be backed up, and its backup.
    pub backed_up: String,
    pub backup: Value,
    pub token: String,
    pub accessor: String,
    /// Logins in the role of the other, with the holder's JWT.
    pub as_operator: Value,
    pub as_destroyer: Value,
}

pub const ID: &str = "aaaaaaaaaaaaaaaa";
pub const COHORT: &str = "2026w47";
pub const KEY: &str = "aaaaaaaaaaaaaaaa.call-recording.2026w47";

impl Prey {
    async fn prepare(world: &World, holder: &AliasName, jwt: &str) -> Self {
        let (bao, holder) = (&world.bao, holder.to_string());
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
        let find = json!({"alias_name": holder, "alias_mount_accessor": kubernetes});
        let own = bao.admin("POST", "identity/lookup/entity", find).await;

        let backed_up = format!("{ID}.backup.2026");
        for (name, settings) in [
            (KEY.to_owned(), json!({})),
            (format!("{ID}.ca"), json!({"type": "ecdsa-p256"})),
            (backed_up.clone(), json!({"exportable": true, "allow_plaintext_backup": true})),
        ] {
            bao.admin("POST", &format!("transit/keys/{name}"), settings).await;
        }
        bao.admin("POST", &format!("transit-ca/keys/{ID}"), json!({"type": "ecdsa-p256"})).await;
        bao.admin("POST", &format!("transit/keys/{KEY}/rotate"), json!({})).await;
        let backup = bao.admin("GET", &format!("transit/backup/{backed_up}"), json!(null)).await;
        let item_associated_data = "subrosa/v1 item 4711".to_owned();
        let bound = json!({
            "plaintext": STANDARD.encode(canary::PLAINTEXT), "associated_data": STANDARD.encode(canary::ASSOCIATED_DATA),
        });
        let seal = format!("transit/encrypt/{KEY}");
        let sealed = async |body: Value| bao.admin("POST", &seal, body).await["data"]["ciphertext"].clone();
        for path in [
            format!("channels/{ID}"),
            format!("keys/{ID}/call-recording/2026m11"),
            format!("decisions/{ID}/call-recording/{COHORT}"),
            "domain".to_owned(),
            "destroyer".to_owned(),
        ] {
            for version in [0, 1] {
                let body = json!({"data": {"a": version}, "options": {"cas": version}});
                bao.admin("POST", &format!("subrosa/data/{path}"), body).await;
            }
        }
        let item = sealed_by_a_workload(world, &item_associated_data).await;
        let token = bao.admin("POST", "auth/token/create", json!({"policies": ["admin"]})).await;
        Self {
            entity,
            alias,
            kubernetes,
            userpass,
            holder,
            holders_entity: text(&own["data"]["id"]),
            holders_alias: text(&own["data"]["aliases"][0]["id"]),
            ciphertext: sealed(json!({"plaintext": "YQ=="})).await,
            item,
            item_associated_data,
            canary: sealed(bound).await,
            backed_up,
            backup: backup["data"]["backup"].clone(),
            token: text(&token["auth"]["client_token"]),
            accessor: text(&token["auth"]["accessor"]),
            as_operator: json!({"role": "subrosa", "jwt": jwt}),
            as_destroyer: json!({"role": "subrosa-destroyer", "jwt": jwt}),
        }
    }

    /// The body that puts the other key in a key's place.
    pub fn forced(&self) -> Value {
        json!({"backup": self.backup, "force": true})
    }
}

async fn sealed_by_a_workload(world: &World, associated_data: &str) -> Value {
    let vault = world.operator().await;
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    let (uid, jwt) = world.service_account(MEMBER, "recorder").await;
    Aliases::new(vault, accessor).grant(&uid, &metadata(&[("subrosa", ID)])).await.unwrap();
    let token = world.log_in("subrosa-workload", &jwt).await.unwrap();
    let body = json!({"plaintext": "YQ==", "associated_data": STANDARD.encode(associated_data)});
    let (status, answer) = world.bao.raw(&token, "POST", &format!("transit/encrypt/{KEY}"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["ciphertext"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_cannot_escalate() {
    // OpenBao with raft storage: in memory, stepping down is granted to anyone because it does nothing.
    let world = World::start().await;
    let body = json!({"role": "subrosa", "jwt": world.operator_jwt});
    let login = world.bao.raw("", "POST", "auth/kubernetes/login", body).await.1;
    let token = login["auth"]["client_token"].as_str().unwrap();
    assert_eq!(login["auth"]["policies"], json!(["subrosa-operator"]), "no default policy");

    let prey = Prey::prepare(&world, &world.operator_uid, &world.operator_jwt).await;
    let tries = attempts::of_the_operator(&prey);
    let destroying = attempts::of_destruction(&prey).len();
    assert!(tries.len() - destroying >= 40 && destroying >= 40, "{} and {destroying}", tries.len());
    all_are_refused(&world.bao, &prey, token, &tries).await;
    the_operator_gains_nothing_by_a_grant_to_itself(&world, &prey, token).await;
    an_administrator_may(&world.bao, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_destroyer_can_do_nothing_else() {
    let world = World::start().await;
    let (uid, jwt, login) = world.destroyer().await;
    let token = login["auth"]["client_token"].as_str().unwrap();
    assert_eq!(login["auth"]["policies"], json!(["subrosa-destroyer"]), "no default policy");

    let prey = Prey::prepare(&world, &uid, &jwt).await;
    let tries = attempts::of_the_destroyer(&prey);
    assert!(tries.len() >= 100, "{}", tries.len());
    all_are_refused(&world.bao, &prey, token, &tries).await;
    an_administrator_may(&world.bao, &tries).await;
}

async fn all_are_refused(bao: &Bao, prey: &Prey, token: &str, tries: &[Try]) {
    let before = state(bao, prey).await;
    let mut allowed = Vec::new();
    for Try { name, method, path, body, refusal, .. } in tries {
        let (status, answer) = bao.verbatim(token, method, path, body).await;
        let refused = match refusal {
            Refusal::NoRight => status == 403,
            Refusal::Anyhow => status >= 300,
        };
        if !refused {
            allowed.push(format!("{name}: {method} {path} {body}: {status} {answer}"));
        }
    }
    assert!(allowed.is_empty(), "not refused:\n{}", allowed.join("\n"));
    for (before, after) in before.iter().zip(state(bao, prey).await) {
        assert_eq!(*before, after, "something changed");
    }
}

async fn an_administrator_may(bao: &Bao, tries: &[Try]) {
    let mut mistaken = Vec::new();
    for Try { name, method, path, body, root, .. } in tries {
        if *root == Root::Spared {
            continue;
        }
        let (status, answer) = bao.verbatim(bao.root_token(), method, path, body).await;
        let as_expected = if *root == Root::Works { (200..300).contains(&status) } else { status != 403 };
        if !as_expected {
            mistaken.push(format!("{name}: {method} {path} {body}: {status} {answer}"));
        }
    }
    assert!(mistaken.is_empty(), "an administrator cannot either:\n{}", mistaken.join("\n"));
}

/// Granting is the operator's work, so nothing stops it from granting itself; but neither its policy nor any
/// role it can log in with reads what it granted.
async fn the_operator_gains_nothing_by_a_grant_to_itself(world: &World, prey: &Prey, token: &str) {
    let vault = world.operator().await;
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    let wanted = metadata(&[("subrosa", ID), ("subrosa_open", ID)]);
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

/// What an escalation or a destruction would have changed.
async fn state(bao: &Bao, prey: &Prey) -> Vec<Value> {
    let mut paths = vec![
        ("LIST", "transit/keys".to_owned()),
        ("GET", "transit/config/keys".to_owned()),
        ("GET", "subrosa/config".to_owned()),
        ("LIST", "subrosa/metadata".to_owned()),
        ("LIST", "subrosa/metadata/channels".to_owned()),
        ("LIST", format!("subrosa/metadata/keys/{ID}/call-recording")),
        ("LIST", format!("subrosa/metadata/decisions/{ID}/call-recording")),
        ("LIST", "sys/policies/acl".to_owned()),
        ("LIST", "auth/kubernetes/role".to_owned()),
        ("LIST", "auth/token/accessors".to_owned()),
        ("LIST", "identity/entity/id".to_owned()),
        ("LIST", "identity/entity-alias/id".to_owned()),
        ("GET", "auth/kubernetes/config".to_owned()),
        ("GET", "sys/mounts".to_owned()),
        ("GET", "sys/auth".to_owned()),
    ];
    for key in [KEY, &format!("{ID}.ca"), &prey.backed_up] {
        paths.push(("GET", format!("transit/keys/{key}")));
    }
    paths.push(("GET", format!("transit-ca/keys/{ID}")));
    paths.push(("LIST", "transit-ca/keys".to_owned()));
    for record in [
        &format!("channels/{ID}"),
        &format!("keys/{ID}/call-recording/2026m11"),
        &format!("decisions/{ID}/call-recording/{COHORT}"),
        "domain",
        "destroyer",
    ] {
        paths.push(("GET", format!("subrosa/data/{record}")));
        paths.push(("GET", format!("subrosa/metadata/{record}")));
    }
    for name in ["subrosa-operator", "subrosa-workload", "subrosa-destroyer"] {
        paths.push(("GET", format!("sys/policies/acl/{name}")));
    }
    for name in ["subrosa", "subrosa-workload", "subrosa-destroyer"] {
        paths.push(("GET", format!("auth/kubernetes/role/{name}")));
    }
    for entity in [&prey.entity, &prey.holders_entity] {
        paths.push(("GET", format!("identity/entity/id/{entity}")));
    }
    let mut state = Vec::new();
    for (method, path) in paths {
        let answer = bao.admin(method, &path, json!(null)).await["data"].clone();
        state.push(json!({ "path": path, "is": answer }));
    }
    // Whatever came of it, what was sealed still opens.
    let open = format!("transit/decrypt/{KEY}");
    let item =
        json!({"ciphertext": prey.item, "associated_data": STANDARD.encode(&prey.item_associated_data)});
    state.push(bao.admin("POST", &open, item).await["data"].clone());
    state
}

/// The operator withdraws aliases of the mount, and the destroyer has one there: its rights do not depend on it.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_cannot_keep_the_destroyer_out() {
    let world = World::start().await;
    let (uid, jwt, login) = world.destroyer().await;
    let token = login["auth"]["client_token"].as_str().unwrap();
    // Where it may read and nothing is there, Vault answers 404.
    let reads =
        async |token: &str| world.bao.raw(token, "GET", "subrosa/data/destroyer", json!(null)).await.0;
    assert_eq!(reads(token).await, 404);
    let vault = world.operator().await;
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    let aliases = Aliases::new(vault, accessor);
    let alias = aliases.find(&uid).await.unwrap().unwrap();
    aliases.withdraw(&alias.id).await.unwrap();
    assert_eq!(reads(token).await, 404, "without an alias");
    aliases.grant(&uid, &metadata(&[("subrosa", ID), ("subrosa_open", "*")])).await.unwrap();
    assert_eq!(reads(token).await, 404, "with an alias of the operator's");
    let fresh = world.log_in("subrosa-destroyer", &jwt).await.unwrap();
    assert_eq!(reads(&fresh).await, 404, "after a login");
}
