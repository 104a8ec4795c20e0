//! One generation of an authority follows another, on a real cluster, while both ends keep connecting.

use kube::api::DeleteParams;
use serde_json::json;
use subrosa_crds::{TrustDomain, condition};
use subrosa_e2e::openbao::key_path;
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::{
    files::Files,
    generations::{self, count, next},
    handshake, upgrade,
    world::{World, channel},
};

const NS: &str = "cc-front";
const SERVER: &str = "server.cc-front.svc";

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_rotates_and_both_ends_keep_connecting() {
    let mut world = World::start().await;
    world.governed(NS).await;
    world
        .apply(&channel(
            NS,
            "server",
            json!({
                "listeners": [{"name": "tls", "port": 8443}], "accepts": [{"name": "client"}],
            }),
        ))
        .await;
    world.apply(&channel(NS, "client", json!({"connectsTo": [{"name": "server"}]}))).await;
    world.whole(NS, "server").await;
    let before = world.whole(NS, "client").await;
    let first = files(&world).await;
    let old = first.1.authority().to_owned();
    handshake::between(&first.0, &first.1, SERVER).unwrap();

    generations::ask_for_another(&mut world, NS, "server").await;
    let published = world.channel(NS, "server", |status| next(status) == Some(2)).await;
    assert_eq!(published.authority.unwrap().generation, 1, "it is published, and does not sign yet");
    let client = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 2).await;
    assert_eq!(client.trusting(&old), ["ca.crt", "servers-ca.crt"], "the old one is trusted still");
    let server = world.files(NS, "server").await;
    assert_eq!(server.authority(), old, "the leaf is the old one's");
    handshake::between(&client, &server, SERVER).unwrap();
    handshake::between(&first.0, &server, SERVER).unwrap();

    // The peer holds it, and has certainly loaded it.
    generations::let_it_sign(&mut world, NS, "server").await;
    let server = world.files(NS, "server").await;
    assert_eq!(server.authority(), old, "a leaf of a retiring generation is good until its renewal");
    handshake::between(&client, &server, SERVER).unwrap();

    world
        .api::<k8s_openapi::api::core::v1::Secret>(NS)
        .delete("server-mtls", &DeleteParams::default())
        .await
        .unwrap();
    let renewed = world
        .files_where(NS, "server", |files| count(files.get("tls.crt")) == 2 && files.authority() != old)
        .await;
    handshake::between(&client, &renewed, SERVER).unwrap();
    let refused = handshake::between(&first.0, &renewed, SERVER);
    assert!(refused.is_err(), "files from before the rotation know nothing of generation 2");

    // Its last leaf has expired: nobody trusts the old one any more.
    generations::expire_the_first(&mut world, NS, "server").await;
    let after = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 1).await;
    assert!(after.trusting(&old).is_empty());
    handshake::between(&after, &renewed, SERVER).unwrap();
    assert_eq!(world.record(NS, "server").await["authority"].as_array().unwrap().len(), 1);
    assert_eq!(world.id(NS, "client").await.to_string(), before.id.unwrap(), "nothing else changed");
}

/// What an installation of an earlier release has: the authority's key beside the keys of data. Once `vault-setup` was run
/// again, the next generation gets its key on the mount for authorities, and both ends keep connecting.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_moves_out_of_the_destroyers_reach() {
    let mut world = World::start().await;
    let policy = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let whole = world.env.openbao().request("GET", &policy, None).await.unwrap()["data"]["policy"].clone();
    let outdated = upgrade::earlier(whole.as_str().unwrap());
    world.env.openbao().request("POST", &policy, Some(json!({"policy": outdated}))).await.unwrap();
    // Nothing that was seen of Vault before counts.
    world.restart_operator().await;
    world.governed(NS).await;
    let listens = json!({"listeners": [{"name": "tls", "port": 8443}], "accepts": [{"name": "client"}]});
    world.apply(&channel(NS, "server", listens)).await;
    world.apply(&channel(NS, "client", json!({"connectsTo": [{"name": "server"}]}))).await;
    world.connection(NS, "server", "client", "Open").await;
    let outdated = |domain: &TrustDomain| {
        let found = condition::find(&domain.status.as_ref()?.conditions, condition::SETUP_CURRENT)?;
        Some(found.message.clone())
    };
    world.domain(|domain| outdated(domain).is_some()).await;
    let id = world.id(NS, "server").await;
    assert_eq!(world.keys(&id).await, [id.earlier_authority_key()].into());
    let first = files(&world).await;
    handshake::between(&first.0, &first.1, SERVER).unwrap();

    // The records alone are within its rights now: what is missing is named.
    let mount = whole.as_str().unwrap().replace("transit-ca/", "transit-elsewhere/");
    world.env.openbao().request("POST", &policy, Some(json!({"policy": mount}))).await.unwrap();
    world.domain(|domain| outdated(domain).is_some_and(|said| said.contains("transit-ca"))).await;

    world.env.openbao().request("POST", &policy, Some(json!({"policy": whole}))).await.unwrap();
    generations::ask_for_another(&mut world, NS, "server").await;
    world.channel(NS, "server", |status| next(status) == Some(2)).await;
    world.domain(|domain| outdated(domain).is_none()).await;
    let record = world.record(NS, "server").await;
    assert!(record["authority"][0].get("keyVersion").is_none(), "{record}");
    assert_eq!(record["authority"][1]["keyVersion"], 1);
    assert_eq!(world.keys(&id).await, [id.authority_key(), id.earlier_authority_key()].into());
    let client = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 2).await;
    handshake::between(&client, &first.1, SERVER).unwrap();

    generations::let_it_sign(&mut world, NS, "server").await;
    world.delete_secret(NS, "server-mtls").await;
    let old = first.1.authority().to_owned();
    let renewed = world
        .files_where(NS, "server", |files| count(files.get("tls.crt")) == 2 && files.authority() != old)
        .await;
    handshake::between(&client, &renewed, SERVER).unwrap();
    generations::expire_the_first(&mut world, NS, "server").await;
    let client = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 1).await;
    handshake::between(&client, &renewed, SERVER).unwrap();

    // The key of then is of no more use: a person may delete it, and nobody misses it.
    let bao = world.env.openbao();
    let earlier = key_path(&id.earlier_authority_key());
    bao.request("POST", &format!("{earlier}/config"), Some(json!({"deletion_allowed": true}))).await.unwrap();
    bao.request("DELETE", &earlier, None).await.unwrap();
    world.restart_operator().await;
    world.delete_secret(NS, "server-mtls").await;
    world.files_where(NS, "server", |files| files.authority() == renewed.authority()).await;
    world.whole(NS, "server").await;
}

async fn files(world: &World) -> (Files, Files) {
    (world.files(NS, "client").await, world.files(NS, "server").await)
}
