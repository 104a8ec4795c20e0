//! One generation of an authority follows another, on a real cluster, while both ends keep connecting.
//!
//! Half a year is not waited for: what the ledger says about *when* is moved into the past with the
//! root token while the operator is stopped. Every certificate and every step is the operator's own.

use jiff::{SignedDuration, Timestamp};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{
    handshake,
    world::{DOMAIN, Files, World, channel},
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

    // Other name constraints ask for another generation, once the present one has stood for a while.
    rewrite(&mut world, |ledger| back(&mut ledger["authority"][0]["publishedAt"], 1)).await;
    grant_suffix(&world).await;
    let published = world.channel(NS, "server", |status| next(status) == Some(2)).await;
    assert_eq!(published.authority.unwrap().generation, 1, "it is published, and does not sign yet");
    let client = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 2).await;
    assert_eq!(client.trusting(&old), ["ca.crt", "servers-ca.crt"], "the old one is trusted still");
    let server = world.files(NS, "server").await;
    assert_eq!(server.authority(), old, "the leaf is the old one's");
    handshake::between(&client, &server, SERVER).unwrap();
    handshake::between(&first.0, &server, SERVER).unwrap();

    // The peer holds it; when every leaf it had then has expired, it has certainly loaded it.
    world
        .until("the ledger notes who holds generation 2", || async {
            let ledger = world.ledger(NS, "server").await;
            let holders = ledger["authority"][1]["loadedBy"].as_object().cloned().unwrap_or_default();
            if holders.is_empty() { Err(ledger.to_string()) } else { Ok(()) }
        })
        .await;
    rewrite(&mut world, |ledger| {
        let holders = ledger["authority"][1]["loadedBy"].as_object_mut().unwrap();
        holders.values_mut().for_each(|at| back(at, 24 * 40));
    })
    .await;
    world
        .channel(NS, "server", |status| status.authority.as_ref().is_some_and(|one| one.generation == 2))
        .await;
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
    rewrite(&mut world, |ledger| back(&mut ledger["authority"][0]["lastLeafNotAfter"], 24 * 40)).await;
    let after = world.files_where(NS, "client", |files| count(files.get("servers-ca.crt")) == 1).await;
    assert!(after.trusting(&old).is_empty());
    handshake::between(&after, &renewed, SERVER).unwrap();
    assert_eq!(world.ledger(NS, "server").await["authority"].as_array().unwrap().len(), 1);
    assert_eq!(world.id(NS, "client").await.to_string(), before.id.unwrap(), "nothing else changed");
}

fn next(status: &subrosa_crds::ChannelStatus) -> Option<i64> {
    status.authority.as_ref()?.next
}

fn count(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}

async fn files(world: &World) -> (Files, Files) {
    (world.files(NS, "client").await, world.files(NS, "server").await)
}

/// Moves a time of the ledger back by `hours`.
fn back(at: &mut Value, hours: i64) {
    let then: Timestamp = at.as_str().unwrap().parse().unwrap();
    *at = json!(then - SignedDuration::from_hours(hours));
}

/// Changes the server's ledger while no operator runs that remembers another.
async fn rewrite(world: &mut World, change: impl FnOnce(&mut Value)) {
    world.stop_operator();
    let path = format!("subrosa/data/channels/{}", world.id(NS, "server").await);
    let found = world.env.openbao().request("GET", &path, None).await.unwrap();
    let mut ledger = found["data"]["data"].clone();
    change(&mut ledger);
    let body = json!({"options": {"cas": found["data"]["metadata"]["version"]}, "data": ledger});
    world.env.openbao().request("POST", &path, Some(body)).await.unwrap();
    world.start_operator().await;
}

/// Lets Channels of the domain be named below one more suffix.
async fn grant_suffix(world: &World) {
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["certificateAuthority"] = json!({"allowedDNSSuffixes": ["oosterlinde.example"]});
    assert_eq!(domain["metadata"]["name"], DOMAIN);
    world.apply(&domain).await;
}
