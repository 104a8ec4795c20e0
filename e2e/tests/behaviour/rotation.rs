//! One generation of an authority follows another, on a real cluster, while both ends keep connecting.

use kube::api::DeleteParams;
use serde_json::json;

use crate::{
    files::Files,
    generations::{self, count, next},
    handshake,
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

async fn files(world: &World) -> (Files, Files) {
    (world.files(NS, "client").await, world.files(NS, "server").await)
}
