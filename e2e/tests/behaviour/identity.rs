//! A workload's identity in Vault, live: a real ServiceAccount logs in and has what its Channel says.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::{Channel, condition, names::ChannelId};
use subrosa_e2e::{installation::AUDIENCE, wait};

use crate::world::{World, channel};

const NS: &str = "cc-front";
/// What "at once" may take on a busy machine; less than the 15 seconds after which a TrustDomain is looked at anyway.
pub const AT_ONCE: Duration = Duration::from_secs(12);

fn recorder(more: Value) -> Value {
    let mut manifest = channel(
        NS,
        "recorder",
        json!({
            "workload": {"serviceAccountName": "recorder"}, "dataClasses": ["call-recording", "chat-log"],
        }),
    );
    if let (Some(spec), Value::Object(more)) = (manifest["spec"].as_object_mut(), more) {
        spec.extend(more);
    }
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_have_what_their_channels_say() {
    let mut world = World::start().await;
    world.governed(NS).await;
    for name in ["recorder", "other"] {
        world.service_account(NS, name).await;
    }
    world.apply(&recorder(json!({}))).await;
    world
        .apply(&channel(
            NS,
            "other",
            json!({"workload": {"serviceAccountName": "other"}, "dataClasses": ["call-recording"]}),
        ))
        .await;
    world.whole(NS, "recorder").await;
    world.whole(NS, "other").await;
    its_own_keys_and_nothing_else(&world).await;
    opening_is_granted_and_taken(&world).await;
    without_data_classes_it_has_nothing(&world).await;
    deleting_the_channel_takes_access_and_leaves_every_key(&world).await;
    a_channel_applied_again_at_once_has_access(&world).await;
    a_recreated_account_waits_for_the_operator(&mut world).await;
    a_recreated_namespace_is_another(&mut world).await;
}

/// For a moment the API server may judge a ServiceAccount's token by the one of its name that was there before.
pub async fn login(world: &World, namespace: &str, name: &str) -> String {
    let jwt = world.env.service_account_token(namespace, name, AUDIENCE).await.unwrap();
    world
        .until(&format!("the login of {namespace}/{name}"), || async {
            let token = world.env.openbao().kubernetes_login("kubernetes", "subrosa-workload", &jwt).await;
            token.map_err(|error| format!("{error:#}"))
        })
        .await
}

async fn ask(world: &World, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = (!body.is_null()).then_some(body);
    world.env.openbao().request_as(token, method, path, body).await.unwrap()
}

pub async fn seal(world: &World, token: &str, key: &str) -> (u16, Value) {
    ask(
        world,
        token,
        "POST",
        &format!("transit/encrypt/{key}"),
        json!({"plaintext": STANDARD.encode("a word")}),
    )
    .await
}

async fn opens(world: &World, token: &str, key: &str, ciphertext: &Value) -> u16 {
    ask(world, token, "POST", &format!("transit/decrypt/{key}"), json!({"ciphertext": ciphertext})).await.0
}

/// The key of the current cohort, by what status says.
async fn current(world: &World, name: &str, class: &str) -> String {
    let status = world.whole(NS, name).await;
    let key = status.keys.iter().find(|key| key.data_class == class && key.state == "Current");
    let key = key.unwrap_or_else(|| panic!("{:#?}", status.keys));
    format!("{}.{class}.{}", status.id.as_deref().unwrap(), key.cohort)
}

async fn becomes(world: &World, what: &str, token: &str, key: &str, expected: u16) {
    world
        .until(what, || async {
            let (status, answer) = seal(world, token, key).await;
            if status == expected { Ok(()) } else { Err(format!("{status} {answer}")) }
        })
        .await;
}

async fn its_own_keys_and_nothing_else(world: &World) {
    let token = login(world, NS, "recorder").await;
    let own = current(world, "recorder", "call-recording").await;
    let others = current(world, "other", "call-recording").await;
    let id = own.split('.').next().unwrap();
    let (status, sealed) = seal(world, &token, &own).await;
    assert_eq!(status, 200, "{sealed}");
    assert_eq!(seal(world, &token, &current(world, "recorder", "chat-log").await).await.0, 200);
    let ciphertext = &sealed["data"]["ciphertext"];
    let datakey = format!("transit/datakey/plaintext/{own}");
    assert_eq!(ask(world, &token, "POST", &datakey, json!({})).await.0, 200);
    for (what, method, path, body) in [
        ("opening", "POST", format!("transit/decrypt/{own}"), json!({"ciphertext": ciphertext})),
        ("another Channel's key", "POST", format!("transit/encrypt/{others}"), json!({"plaintext": "YQ=="})),
        (
            "a key that is not there",
            "POST",
            format!("transit/encrypt/{id}.call-recording.1999w01"),
            json!({"plaintext": "YQ=="}),
        ),
        ("making a key", "POST", format!("transit/keys/{id}.more.2026"), json!({})),
        ("configuring", "POST", format!("transit/keys/{own}/config"), json!({"deletion_allowed": true})),
        ("rotating", "POST", format!("transit/keys/{own}/rotate"), json!({})),
        ("deleting", "DELETE", format!("transit/keys/{own}"), json!(null)),
        (
            "signing as its authority",
            "POST",
            format!("transit-ca/sign/{id}/sha2-256"),
            json!({"input": "YQ=="}),
        ),
        ("its record", "GET", format!("subrosa/data/channels/{id}"), json!(null)),
    ] {
        let (status, answer) = ask(world, &token, method, &path, body).await;
        assert_eq!(status, 403, "{what}: {method} {path}: {answer}");
    }
    let stranger = world.env.service_account_token(NS, "default", AUDIENCE).await.unwrap();
    let stranger =
        world.env.openbao().kubernetes_login("kubernetes", "subrosa-workload", &stranger).await.unwrap();
    assert_eq!(seal(world, &stranger, &own).await.0, 403, "who is no Channel's workload has nothing");
}

async fn opening_is_granted_and_taken(world: &World) {
    let token = login(world, NS, "recorder").await;
    let own = current(world, "recorder", "call-recording").await;
    let ciphertext = seal(world, &token, &own).await.1["data"]["ciphertext"].clone();
    let others = current(world, "other", "call-recording").await;
    let foreign = login(world, NS, "other").await;
    let theirs = seal(world, &foreign, &others).await.1["data"]["ciphertext"].clone();
    let becomes = async |what: &str, expected: u16| {
        world
            .until(what, || async {
                let status = opens(world, &token, &own, &ciphertext).await;
                if status == expected { Ok(()) } else { Err(format!("{status}")) }
            })
            .await;
    };
    becomes("not granted", 403).await;
    world.apply(&recorder(json!({"encryption": {"workloadMay": ["Seal", "Open"]}}))).await;
    becomes("granted to the live token", 200).await;
    assert_eq!(opens(world, &token, &others, &theirs).await, 403, "its own only");
    world.apply(&recorder(json!({"encryption": {"workloadMay": ["Seal"]}}))).await;
    becomes("taken from the live token", 403).await;
    assert_eq!(seal(world, &token, &own).await.0, 200);
    world.event(NS, "recorder", "OpeningWithdrawn").await;
}

async fn without_data_classes_it_has_nothing(world: &World) {
    let token = login(world, NS, "recorder").await;
    let own = current(world, "recorder", "call-recording").await;
    let id = world.id(NS, "recorder").await;
    let keys = world.keys(&id).await;
    let mut bare = recorder(json!({}));
    bare["spec"].as_object_mut().unwrap().remove("dataClasses");
    let withdrawn = Instant::now();
    world.apply(&bare).await;
    becomes(world, "withdrawn", &token, &own, 403).await;
    assert!(withdrawn.elapsed() < AT_ONCE, "access ended after {:?}", withdrawn.elapsed());
    let status = world.whole(NS, "recorder").await;
    assert_eq!(wait::reason(&status, condition::KEYS_READY), "NothingSealed");
    world.event(NS, "recorder", "AccessWithdrawn").await;
    assert_eq!(world.keys(&id).await, keys, "no key goes with it");
    let kept = world.env.openbao().request("GET", &format!("transit/keys/{own}"), None).await.unwrap();
    assert_eq!(kept["data"]["auto_rotate_period"], 0, "a class that is not sealed any more does not rotate");
    world.apply(&recorder(json!({}))).await;
    world.whole(NS, "recorder").await;
    let again = login(world, NS, "recorder").await;
    becomes(world, "granted again", &again, &own, 200).await;
    assert_eq!(seal(world, &token, &own).await.0, 403, "what was stopped stays so: it has to log in again");
    world
        .until("rotating again", || async {
            let key = world.env.openbao().request("GET", &format!("transit/keys/{own}"), None).await;
            let key = key.map_err(|error| error.to_string())?;
            if key["data"]["auto_rotate_period"] != 0 { Ok(()) } else { Err(key.to_string()) }
        })
        .await;
    world.whole(NS, "recorder").await;
}

async fn deleting_the_channel_takes_access_and_leaves_every_key(world: &World) {
    let token = login(world, NS, "recorder").await;
    let own = current(world, "recorder", "call-recording").await;
    let before = world.whole(NS, "recorder").await;
    let id: ChannelId = before.id.clone().unwrap().parse().unwrap();
    let keys = world.keys(&id).await;
    assert!(keys.len() >= 5, "the authority's, and two classes' with their next cohorts: {keys:?}");
    let authority = world.files(NS, "recorder").await.authority().to_owned();
    let ciphertext = seal(world, &token, &own).await.1["data"]["ciphertext"].clone();
    let deleted = Instant::now();
    world.delete_channel(NS, "recorder").await;
    becomes(world, "the live token", &token, &own, 403).await;
    assert!(deleted.elapsed() < AT_ONCE, "access ended after {:?}", deleted.elapsed());
    assert_eq!(world.keys(&id).await, keys);
    assert!(world.policy(NS, "subrosa-default-deny").await.is_some(), "isolation stays");
    let domain =
        world.domain(|domain| domain.status.as_ref().is_some_and(|status| status.orphans.is_some())).await;
    let orphans = domain.status.unwrap().orphans.unwrap();
    assert_eq!((orphans.count, &orphans.first[..]), (1, &[format!("{id} {NS}/recorder")][..]));

    world.apply(&recorder(json!({}))).await;
    let after = world.whole(NS, "recorder").await;
    assert_eq!(after.id, before.id);
    assert_eq!(world.keys(&id).await, keys, "the same keys, and no more");
    assert_eq!(world.files(NS, "recorder").await.authority(), authority, "peers need not learn anything");
    assert_eq!(seal(world, &token, &own).await.0, 403, "what was stopped stays so");
    assert_eq!(seal(world, &login(world, NS, "recorder").await, &own).await.0, 200);
    let root = world.env.openbao().root_token();
    assert_eq!(opens(world, root, &own, &ciphertext).await, 200, "what was sealed before opens");
    world.domain(|domain| domain.status.as_ref().is_some_and(|status| status.orphans.is_none())).await;
}

/// The search for what is gone must not take from what came back meanwhile. Each is a Channel of its own,
/// because each coming back costs one of the three issuances an hour.
async fn a_channel_applied_again_at_once_has_access(world: &World) {
    let pauses = [0_u64, 50, 200, 450, 700, 1000];
    let name = |pause: u64| format!("again-{pause}");
    let manifest = |pause: u64| {
        channel(
            NS,
            &name(pause),
            json!({"workload": {"serviceAccountName": name(pause)}, "dataClasses": ["chat-log"]}),
        )
    };
    for pause in pauses {
        world.service_account(NS, &name(pause)).await;
        world.apply(&manifest(pause)).await;
    }
    for pause in pauses {
        let own = current(world, &name(pause), "chat-log").await;
        assert_eq!(seal(world, &login(world, NS, &name(pause)).await, &own).await.0, 200);
        world.delete_channel(NS, &name(pause)).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world
            .until("the Channel is gone", || async {
                let found = world.api::<Channel>(NS).get_opt(&name(pause)).await.unwrap();
                if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
            })
            .await;
        world.apply(&manifest(pause)).await;
        world.whole(NS, &name(pause)).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for pause in pauses {
        world.whole(NS, &name(pause)).await;
        let own = current(world, &name(pause), "chat-log").await;
        let (status, answer) = seal(world, &login(world, NS, &name(pause)).await, &own).await;
        assert_eq!(status, 200, "applied again after {pause} ms, and Ready: {answer}");
        world.delete_channel(NS, &name(pause)).await;
    }
}

async fn a_recreated_account_waits_for_the_operator(world: &mut World) {
    let own = current(world, "recorder", "call-recording").await;
    let first = world.account_uid(NS, "recorder").await;
    let old = login(world, NS, "recorder").await;
    assert_eq!(seal(world, &old, &own).await.0, 200);
    world.stop_operator();
    world.api::<ServiceAccount>(NS).delete("recorder", &DeleteParams::default()).await.unwrap();
    assert_ne!(world.service_account(NS, "recorder").await, first);
    let new = login(world, NS, "recorder").await;
    assert_eq!(seal(world, &new, &own).await.0, 403, "the name is the same, the identity is not");
    world.start_operator().await;
    becomes(world, "the new account's access", &new, &own, 200).await;
    becomes(world, "the old account's token", &old, &own, 403).await;
    world.whole(NS, "recorder").await;
}

async fn a_recreated_namespace_is_another(world: &mut World) {
    let own = current(world, "recorder", "call-recording").await;
    let id = world.id(NS, "recorder").await;
    let keys = world.keys(&id).await;
    let old = login(world, NS, "recorder").await;
    world.stop_operator();
    world.delete_namespace(NS).await;
    world.governed(NS).await;
    world.service_account(NS, "recorder").await;
    world.apply(&recorder(json!({}))).await;
    let new = login(world, NS, "recorder").await;
    assert_eq!(
        seal(world, &new, &own).await.0,
        403,
        "not the old namespace's keys, even with nobody watching"
    );
    world.start_operator().await;
    let status = world.whole(NS, "recorder").await;
    assert_ne!(status.id.as_deref(), Some(id.as_str()));
    let fresh = current(world, "recorder", "call-recording").await;
    becomes(world, "its own new keys", &new, &fresh, 200).await;
    assert_eq!(seal(world, &new, &own).await.0, 403);
    becomes(world, "the old account's token", &old, &own, 403).await;
    assert_eq!(world.keys(&id).await, keys, "every old key is there");
    // There are others already: those of the Channels that were deleted before.
    world
        .domain(|domain| {
            let orphans = domain.status.as_ref().and_then(|status| status.orphans.as_ref());
            orphans.is_some_and(|orphans| orphans.first.iter().any(|one| one.starts_with(id.as_str())))
        })
        .await;
}
