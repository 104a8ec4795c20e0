//! Mounts stay where they are; after a move within Vault they are named anew, and everything goes on as before. So it does
//! in another Vault that was given the whole storage.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{TrustDomain, condition, names::ChannelId};
use subrosa_e2e::{installation::AUDIENCE, openbao::OpenBao};

use crate::world::{DOMAIN, World, keys_of, says};

const NS: &str = "cc-front";

/// What there was before the move.
struct Before {
    id: ChannelId,
    key: String,
    ciphertext: Value,
    files: BTreeMap<String, String>,
    keys: BTreeSet<String>,
    store: String,
}

/// A Channel that seals, and something that it sealed.
async fn begin(world: &World) -> Before {
    world.governed(NS).await;
    let (_, id, key) = world.sealing(NS, "voice").await;
    let sealed = json!({"plaintext": "YQ=="});
    let sealed = world.env.openbao().request("POST", &format!("transit/encrypt/{key}"), Some(sealed)).await;
    let ciphertext = sealed.unwrap()["data"]["ciphertext"].clone();
    let files = world.files(NS, "voice").await.0;
    let keys = world.keys(&id).await;
    let store = store_id(&world.domain(|domain| says(domain, condition::READY).1 == "InForce").await);
    Before { id, key, ciphertext, files, keys, store }
}

/// Everything is as it was, in `bao` and in mounts with `suffix` at the end of their names.
async fn is_as_before(world: &World, before: &Before, bao: &OpenBao, suffix: &str) {
    let Before { id, key, ciphertext, files, keys, store } = before;
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let generation = domains.get(DOMAIN).await.unwrap().metadata.generation;
    let seen = |domain: &TrustDomain| {
        domain.status.as_ref().is_some_and(|status| status.observed_generation == generation)
            && says(domain, condition::READY).1 == "InForce"
    };
    assert_eq!(store_id(&world.domain(seen).await), *store);
    world.whole(NS, "voice").await;
    assert_eq!(world.files(NS, "voice").await.0, *files, "the same certificate");
    assert_eq!(keys_of(bao, id, suffix).await, *keys, "the same keys");
    let body = json!({ "ciphertext": ciphertext });
    let opened = bao.request("POST", &format!("transit{suffix}/decrypt/{key}"), Some(body)).await.unwrap();
    assert_eq!(opened["data"]["plaintext"], "YQ==");
    let jwt = world.env.service_account_token(NS, "voice", AUDIENCE).await.unwrap();
    let token = bao.kubernetes_login(&format!("kubernetes{suffix}"), "subrosa-workload", &jwt).await.unwrap();
    let look = || async {
        let body = json!({"plaintext": "YQ=="});
        let path = format!("transit{suffix}/encrypt/{key}");
        let (status, answer) = bao.request_as(&token, "POST", &path, Some(body)).await.unwrap();
        if status == 200 { Ok(()) } else { Err(format!("{status} {answer}")) }
    };
    world.until("the workload has its access", look).await;
}

/// All that Vault has goes to another server while neither it nor the operator runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_moves_to_another_vault_by_a_snapshot_is_the_same() {
    let mut world = World::start().await;
    let before = begin(&world).await;
    world.stop_operator();
    let snapshot = world.env.openbao().snapshot().await.unwrap();
    world.env.openbao().stop();
    let mut another = world.env.another_openbao().await.unwrap();
    another.restore(snapshot).await.unwrap();
    let address = json!({"spec": {"vault": {"address": another.url()}}});
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(address)).await.unwrap();
    world.start_operator().await;
    is_as_before(&world, &before, &another, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_moves_within_vault_is_the_same() {
    let mut world = World::start().await;
    let before = begin(&world).await;

    // Two empty engines beside the first would be another store.
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let elsewhere = json!({"spec": {"vault": {"mounts": {"kv": "subrosa2", "transit": "transit2"}}}});
    let refused = domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(elsewhere)).await.unwrap_err();
    assert!(refused.to_string().contains("mounts and the auth mount stay"), "{refused}");

    world.stop_operator();
    for (from, to) in [
        ("subrosa", "subrosa2"),
        ("transit", "transit2"),
        ("transit-ca", "transit2-ca"),
        ("auth/kubernetes", "auth/kubernetes2"),
    ] {
        remount(&world, from, to).await;
    }
    world.installed.set_up_vault(&world.env, DOMAIN, "2").await.unwrap();
    let mut moved = world.installed.further_domain(&world.env, DOMAIN, "2");
    moved["spec"]["vault"]["movedFrom"] = json!(before.store);
    world.apply(&moved).await;
    world.start_operator().await;
    is_as_before(&world, &before, world.env.openbao(), "2").await;

    // What was allowed once is not allowed again.
    let again = json!({"spec": {"vault": {"mounts": {"kv": "subrosa3"}}}});
    let refused = domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(again)).await.unwrap_err();
    assert!(refused.to_string().contains("mounts and the auth mount stay"), "{refused}");
}

fn store_id(domain: &TrustDomain) -> String {
    domain.status.as_ref().unwrap().vault.as_ref().unwrap().store_id.clone().unwrap()
}

async fn remount(world: &World, from: &str, to: &str) {
    let bao = world.env.openbao();
    let answer = bao.request("POST", "sys/remount", Some(json!({"from": from, "to": to}))).await.unwrap();
    let migration = answer["data"]["migration_id"].as_str().or(answer["migration_id"].as_str()).unwrap();
    let path = format!("sys/remount/status/{migration}");
    let done = || async {
        let answer: Value = bao.request("GET", &path, None).await.map_err(|error| error.to_string())?;
        if answer.to_string().contains("success") { Ok(()) } else { Err(answer.to_string()) }
    };
    world.until("the mount has moved", done).await;
}
