//! What a workload may do: its own keys, while its alias says so, and nothing else.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subrosa_e2e::wait;
use subrosa_records::vault::identity::{Aliases, auth_accessor};
use subrosa_records::vault::transit::{Transit, TransitKeyType};
use subrosa_records::vault::{AliasId, AliasName, TransitKeyName};

use crate::support::{FOREIGN, MEMBER, SYSTEM, World, metadata, mount};

const OWN: &str = "aaaaaaaaaaaaaaaa";
/// Begins like the own id: a prefix without the dot would reach it.
const OTHER: &str = "aaaaaaaaaaaaaaaab";

const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    world: World,
    aliases: Aliases,
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_have_what_was_granted_to_them_and_nothing_else() {
    let scene = Scene::start().await;
    a_workload_seals_with_its_own_keys_and_nothing_else(&scene).await;
    opening_needs_its_own_grant_and_follows_it_at_once(&scene).await;
    a_withdrawn_alias_stops_a_live_token(&scene).await;
    a_recreated_service_account_inherits_nothing(&scene).await;
    only_members_log_in_as_workloads_and_only_the_operator_as_operator(&scene).await;
}

impl Scene {
    /// Two channels with two keys each, made by the operator.
    async fn start() -> Self {
        let world = World::start().await;
        let vault = world.operator().await;
        let transit = Transit::new(vault.clone(), mount("transit"));
        for id in [OWN, OTHER] {
            for name in [format!("{id}.call-recording.2026w47"), format!("{id}.chat.2026")] {
                let name = TransitKeyName::new(name).unwrap();
                transit.create_key(&name, TransitKeyType::Aes256Gcm96, None).await.unwrap();
            }
        }
        let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
        Self { world, aliases: Aliases::new(vault, accessor) }
    }

    async fn grant(&self, uid: &AliasName, granted: &[(&str, &str)]) -> AliasId {
        self.aliases.grant(uid, &metadata(granted)).await.unwrap()
    }

    /// A workload's ServiceAccount, made again if there is one, and its token in Vault.
    async fn workload(&self, name: &str) -> (AliasName, String) {
        let (uid, jwt) = self.world.service_account(MEMBER, name).await;
        // For a moment the API server may judge the token by the ServiceAccount of this name that was there before.
        let log_in = || self.world.log_in("subrosa-workload", &jwt);
        (uid, wait::until(PATIENCE, log_in).await.unwrap())
    }

    async fn seal(&self, token: &str, key: &str) -> (u16, Value) {
        let body = json!({"plaintext": STANDARD.encode("a secret")});
        self.world.bao.raw(token, "POST", &format!("transit/encrypt/{key}"), body).await
    }

    async fn open(&self, token: &str, key: &str, ciphertext: &Value) -> u16 {
        let body = json!({"ciphertext": ciphertext});
        self.world.bao.raw(token, "POST", &format!("transit/decrypt/{key}"), body).await.0
    }
}

async fn a_workload_seals_with_its_own_keys_and_nothing_else(scene: &Scene) {
    let (uid, token) = scene.workload("sbc").await;
    scene.grant(&uid, &[("subrosa", OWN)]).await;

    let own = format!("{OWN}.call-recording.2026w47");
    let (status, sealed) = scene.seal(&token, &own).await;
    assert_eq!(status, 200, "{sealed}");
    let ciphertext = &sealed["data"]["ciphertext"];
    let datakey = format!("transit/datakey/plaintext/{OWN}.chat.2026");
    assert_eq!(scene.world.bao.raw(&token, "POST", &datakey, json!({})).await.0, 200);

    assert_eq!(scene.open(&token, &own, ciphertext).await, 403, "opening was not granted");
    let attempts = [
        ("another's key", "POST", format!("transit/encrypt/{OTHER}.chat.2026"), json!({"plaintext": "YQ=="})),
        ("another's data key", "POST", format!("transit/datakey/plaintext/{OTHER}.chat.2026"), json!({})),
        (
            "a key that is not there",
            "POST",
            format!("transit/encrypt/{OWN}.new.2026"),
            json!({"plaintext": "YQ=="}),
        ),
        ("its id without a key", "POST", format!("transit/encrypt/{OWN}"), json!({"plaintext": "YQ=="})),
        ("making a key", "POST", format!("transit/keys/{OWN}.new.2026"), json!({})),
        ("reading a key", "GET", format!("transit/keys/{own}"), json!(null)),
        ("listing keys", "LIST", "transit/keys".into(), json!(null)),
        ("rotating", "POST", format!("transit/keys/{own}/rotate"), json!({})),
        ("configuring", "POST", format!("transit/keys/{own}/config"), json!({"deletion_allowed": true})),
        ("deleting", "DELETE", format!("transit/keys/{own}"), json!(null)),
        ("rewrapping", "POST", format!("transit/rewrap/{own}"), json!({"ciphertext": ciphertext})),
        ("exporting", "GET", format!("transit/export/encryption-key/{own}"), json!(null)),
        ("signing as an authority", "POST", format!("transit-ca/sign/{OWN}"), json!({"input": "YQ=="})),
        (
            "signing as an authority of an earlier release",
            "POST",
            format!("transit/sign/{OWN}.ca"),
            json!({"input": "YQ=="}),
        ),
        ("reading an authority's key", "GET", format!("transit-ca/keys/{OWN}"), json!(null)),
        ("the record", "GET", format!("subrosa/data/channels/{OWN}"), json!(null)),
        ("its own alias", "POST", "identity/entity-alias".into(), json!({"name": uid.as_str()})),
        ("a child token", "POST", "auth/token/create".into(), json!({})),
        ("response wrapping", "POST", "sys/wrapping/wrap".into(), json!({"a": 1})),
        ("a cubbyhole", "POST", "cubbyhole/a".into(), json!({"a": 1})),
    ];
    for (name, method, path, body) in attempts {
        let (status, answer) = scene.world.bao.raw(&token, method, &path, body).await;
        assert_eq!(status, 403, "{name}: {method} {path}: {answer}");
    }
}

async fn opening_needs_its_own_grant_and_follows_it_at_once(scene: &Scene) {
    let (uid, token) = scene.workload("player").await;
    scene.grant(&uid, &[("subrosa", OWN)]).await;
    let own = format!("{OWN}.chat.2026");
    let ciphertext = scene.seal(&token, &own).await.1["data"]["ciphertext"].clone();
    assert_eq!(scene.open(&token, &own, &ciphertext).await, 403);
    scene.grant(&uid, &[("subrosa", OWN), ("subrosa_open", OWN)]).await;
    assert_eq!(scene.open(&token, &own, &ciphertext).await, 200, "a live token gains it");
    let others = scene
        .world
        .bao
        .admin("POST", &format!("transit/encrypt/{OTHER}.chat.2026"), json!({"plaintext": "YQ=="}))
        .await;
    assert_eq!(scene.open(&token, &format!("{OTHER}.chat.2026"), &others["data"]["ciphertext"]).await, 403);
    scene.grant(&uid, &[("subrosa", OWN)]).await;
    assert_eq!(scene.open(&token, &own, &ciphertext).await, 403, "a live token loses it");
}

async fn a_withdrawn_alias_stops_a_live_token(scene: &Scene) {
    let own = format!("{OWN}.chat.2026");
    // The login comes first, so Vault makes the alias; the grant finds it.
    let (uid, token) = scene.workload("late").await;
    assert_eq!(scene.seal(&token, &own).await.0, 403, "no alias metadata, no right");
    let id = scene.grant(&uid, &[("subrosa", OWN)]).await;
    assert_eq!(scene.seal(&token, &own).await.0, 200);
    scene.aliases.withdraw(&id).await.unwrap();
    assert_eq!(scene.seal(&token, &own).await.0, 403);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.seal(&token, &own).await.0, 403);
}

async fn a_recreated_service_account_inherits_nothing(scene: &Scene) {
    let own = format!("{OWN}.chat.2026");
    // Granted before anyone logged in: the login finds the alias.
    let (uid, jwt) = scene.world.service_account(MEMBER, "recreated").await;
    scene.grant(&uid, &[("subrosa", OWN)]).await;
    let first = scene.world.log_in("subrosa-workload", &jwt).await.unwrap();
    assert_eq!(scene.seal(&first, &own).await.0, 200);
    let (_, second) = scene.workload("recreated").await;
    assert_eq!(scene.seal(&second, &own).await.0, 403);
    // The API server remembers for some seconds that it has found a token good.
    let mut patience = 60;
    while scene.world.log_in("subrosa-workload", &jwt).await.is_ok() {
        patience -= 1;
        assert!(patience > 0, "the token of the deleted ServiceAccount still logs in after 30 s");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn only_members_log_in_as_workloads_and_only_the_operator_as_operator(scene: &Scene) {
    let world = &scene.world;
    let as_workload = async |jwt: &str| world.log_in("subrosa-workload", jwt).await;
    let as_operator = async |jwt: &str| world.log_in("subrosa", jwt).await;
    let (_, foreign) = world.service_account(FOREIGN, "sbc").await;
    assert!(as_workload(&foreign).await.is_err(), "a namespace of another domain");
    let (_, neighbour) = world.service_account(SYSTEM, "neighbour").await;
    assert!(as_workload(&neighbour).await.is_err(), "the operator's namespace");
    assert!(as_workload(&world.operator_jwt).await.is_err(), "the operator itself");
    assert!(as_operator(&neighbour).await.is_err(), "a neighbour of the operator");
    let (_, namesake) = world.service_account(MEMBER, "subrosa").await;
    assert!(as_operator(&namesake).await.is_err(), "a namesake of the operator");
    assert!(as_workload(&namesake).await.is_ok());
    world.unlabel(MEMBER).await;
    assert!(as_workload(&namesake).await.is_err(), "a namespace that lost its label");
    assert!(as_operator(&world.operator_jwt).await.is_ok());
}
