//! Nothing outlives its reason, whatever else of that person is renewed: two logins, two mounts, batch and service tokens.
//!
//! A renewal writes the groups of its own login into the person again, for every session. So the sessions of Subrosa cannot be
//! renewed, and a token of another mount brings back that mount's groups only.

use std::time::Duration;

use serde_json::{Value, json};
use subrosa_e2e::wait;

use super::{
    provider::{AUDIENCE, ISSUER},
    world::{RECORDING, World, ready, reason},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// An administrator's mount for the same people, with tokens that can be renewed.
const STAFF: &str = "auth/staff";
const PEOPLE: &str = "auth/subrosa-people";

/// Role `reviewer` lets group `cc-quality` open recordings of `voice`.
pub async fn nothing_outlives_its_reason_whatever_else_is_renewed(world: &World) {
    staff(world).await;
    another_mount_brings_nothing_back(world).await;
    a_session_ends_while_everything_else_is_renewed(world).await;
    a_login_of_others_on_the_mount_is_told_since_it_could(world).await;
    root(world, "DELETE", "sys/auth/staff", Value::Null).await;
}

/// Taken out of the group at the provider, and logged in by either mount.
async fn another_mount_brings_nothing_back(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    let quality = || json!({"amr": ["mfa"], "groups": ["cc-quality", "all"]});
    let without = || json!({"amr": ["mfa"], "groups": ["all"]});
    let first = world.login("strong", "nora", quality()).await.unwrap();
    assert!(world.opens(&first, &recording).await);
    cannot_be_renewed(world, &first).await;
    same_person(world, &first, "nora").await;
    let desk = enter(world, STAFF, "desk", "nora", quality()).await.unwrap();
    let (own, other) = (looked_up(world, &first).await, looked_up(world, &desk).await);
    assert_eq!(own["entity_id"], other["entity_id"]);
    assert_eq!((other["type"].as_str(), other["renewable"].as_bool()), (Some("service"), Some(true)));

    // A login or a renewal elsewhere neither takes nor gives what this provider's groups give here.
    enter(world, STAFF, "desk", "nora", without()).await.unwrap();
    assert!(world.opens(&first, &recording).await, "a login by another mount takes nothing here");
    let second = world.login("strong", "nora", without()).await.unwrap();
    assert!(!world.opens(&first, &recording).await && !world.opens(&second, &recording).await);
    for _ in 0..2 {
        renewed(world, &desk).await.unwrap();
        enter(world, STAFF, "desk", "nora", quality()).await.unwrap();
        let third = world.login("strong", "nora", without()).await.unwrap();
        renewed(world, &desk).await.unwrap();
        for session in [&first, &second, &third] {
            assert!(!world.opens(session, &recording).await, "a renewal elsewhere brought the group back");
            assert!(renewed(world, session).await.is_err());
        }
    }
}

/// Nobody logs in here again after the provider took the person out: the session ends with its time.
async fn a_session_ends_while_everything_else_is_renewed(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    let claims = || json!({"amr": ["mfa"], "groups": ["cc-quality"]});
    let role = format!("{PEOPLE}/role/strong");
    let before = root(world, "GET", &role, Value::Null).await["data"]["token_ttl"].clone();
    assert_eq!(before, json!(900), "15m, as it says");
    root(world, "POST", &role, json!({"role_type": "jwt", "token_ttl": 5, "token_max_ttl": 5})).await;
    let opened = world.login("strong", "olga", claims()).await;
    let session = opened.unwrap();
    assert!(world.opens(&session, &recording).await);
    root(world, "POST", &role, json!({"role_type": "jwt", "token_ttl": before, "token_max_ttl": before}))
        .await;
    same_person(world, &session, "olga").await;
    let desk = enter(world, STAFF, "desk", "olga", claims()).await.unwrap();
    let ended = wait::until(PATIENCE, || async {
        renewed(world, &desk).await.unwrap();
        enter(world, STAFF, "desk", "olga", claims()).await.unwrap();
        if world.opens(&session, &recording).await { Err("it opens") } else { Ok(()) }
    });
    ended.await.unwrap();
}

/// A login that `vault-setup` did not make, on the people's own mount: its tokens, renewed, bring a group back. So each role says
/// that it is there, and it is over when it is gone.
async fn a_login_of_others_on_the_mount_is_told_since_it_could(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    let without = || json!({"amr": ["mfa"], "groups": ["all"]});
    let path = format!("{PEOPLE}/role/desk");
    root(world, "POST", &path, desk_role()).await;
    let quality = json!({"amr": ["mfa"], "groups": ["cc-quality"]});
    let desk = enter(world, PEOPLE, "desk", "nora", quality).await.unwrap();
    let session = world.login("strong", "nora", without()).await.unwrap();
    assert!(!world.opens(&session, &recording).await);
    renewed(world, &desk).await.unwrap();
    assert!(world.opens(&session, &recording).await, "this is why the mount is Subrosa's alone");
    let status = world.role("reviewer", |status| reason(status).0 == "ForeignLogin").await;
    assert!(!ready(&status) && reason(&status).1.contains("desk"), "{status:?}");

    root(world, "DELETE", &path, Value::Null).await;
    let session = world.login("strong", "nora", without()).await.unwrap();
    assert!(renewed(world, &desk).await.is_err(), "a token of a role that is gone is not renewed");
    assert!(!world.opens(&session, &recording).await);
    world.role("reviewer", ready).await;
}

/// Neither by itself nor by an administrator.
pub async fn cannot_be_renewed(world: &World, session: &str) {
    let found = looked_up(world, session).await;
    assert_eq!(
        (found["type"].as_str(), found["renewable"].as_bool()),
        (Some("batch"), Some(false)),
        "{found}"
    );
    assert!(renewed(world, session).await.is_err());
    let by_root = world.env.openbao().root_token();
    let body = Some(json!({"token": session, "increment": "24h"}));
    let (status, answer) =
        world.env.openbao().request_as(by_root, "POST", "auth/token/renew", body).await.unwrap();
    assert!(status >= 400, "{status} {answer}");
}

/// JWT auth of the same provider, made by an administrator for something else.
async fn staff(world: &World) {
    root(world, "POST", "sys/auth/staff", json!({"type": "jwt"})).await;
    let config = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [world.provider.public_key()]});
    root(world, "POST", "auth/staff/config", config).await;
    root(world, "POST", "auth/staff/role/desk", desk_role()).await;
    // It has a group of that name too.
    let group =
        root(world, "POST", "identity/group", json!({"name": "staff-quality", "type": "external"})).await;
    let alias = json!({
        "name": "cc-quality", "mount_accessor": accessor(world, "staff").await, "canonical_id": group["data"]["id"],
    });
    root(world, "POST", "identity/group-alias", alias).await;
}

fn desk_role() -> Value {
    json!({
        "role_type": "jwt", "user_claim": "sub", "groups_claim": "groups", "bound_audiences": [AUDIENCE],
        "token_type": "service", "token_ttl": "1h", "token_max_ttl": "24h", "token_policies": ["default"],
    })
}

/// Makes who holds a session of Subrosa the same person at the administrator's mount.
async fn same_person(world: &World, session: &str, name: &str) {
    let entity = looked_up(world, session).await["entity_id"].clone();
    let accessor = accessor(world, "staff").await;
    let alias = json!({"name": name, "mount_accessor": accessor, "canonical_id": entity});
    root(world, "POST", "identity/entity-alias", alias).await;
}

async fn accessor(world: &World, mount: &str) -> Value {
    root(world, "GET", "sys/auth", Value::Null).await["data"][format!("{mount}/")]["accessor"].clone()
}

async fn enter(
    world: &World,
    mount: &str,
    role: &str,
    subject: &str,
    claims: Value,
) -> Result<String, String> {
    let body = json!({"role": role, "jwt": world.provider.token(subject, claims)});
    let path = format!("{mount}/login");
    let (status, answer) = world.env.openbao().request_as("", "POST", &path, Some(body)).await.unwrap();
    match answer["auth"]["client_token"].as_str() {
        Some(token) if status == 200 => Ok(token.to_owned()),
        _ => Err(format!("{status} {}", answer["errors"])),
    }
}

/// Renews a token by itself.
async fn renewed(world: &World, token: &str) -> Result<(), String> {
    let bao = world.env.openbao();
    let (status, answer) =
        bao.request_as(token, "POST", "auth/token/renew-self", Some(json!({}))).await.unwrap();
    if status == 200 { Ok(()) } else { Err(format!("{status} {}", answer["errors"])) }
}

async fn looked_up(world: &World, token: &str) -> Value {
    let bao = world.env.openbao();
    bao.request_as(token, "GET", "auth/token/lookup-self", None).await.unwrap().1["data"].clone()
}

async fn root(world: &World, method: &str, path: &str, body: Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    world.env.openbao().request(method, path, body).await.unwrap()
}
