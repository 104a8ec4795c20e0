//! Both ends decide: what either withdraws closes on both, policy and trust; what both mean opens.

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::condition;
use subrosa_e2e::wait;

use crate::{
    handshake,
    world::{DOMAIN, World, channel, connection},
};

const FRONT: &str = "cc-front";
const DATA: &str = "cc-data";
const TO_DB: &str = "to cc-data:app=db TCP/5432";
const TO_LOG: &str = "to cc-data:app=log TCP/6514";
const FROM_PORTAL: &str = "from cc-front:app=portal TCP/5432";

fn portal(connects_to: Value) -> Value {
    channel(FRONT, "portal", json!({"connectsTo": connects_to}))
}

fn both() -> Value {
    json!([{"name": "db", "namespace": DATA}, {"name": "log", "namespace": DATA}])
}

fn db(accepts: Value) -> Value {
    channel(
        DATA,
        "db",
        json!({
            "listeners": [{"name": "sql", "port": 5432}, {"name": "admin", "port": 9000}], "accepts": accepts,
        }),
    )
}

fn consent() -> Value {
    json!([{"name": "portal", "namespace": FRONT, "listeners": ["sql"]}])
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_what_both_ends_say() {
    let world = World::start().await;
    world.governed(FRONT).await;
    world.governed(DATA).await;
    world.apply(&portal(both())).await;
    world.apply(&db(consent())).await;
    world
        .apply(&channel(DATA, "log", json!({
            "listeners": [{"name": "syslog", "port": 6514}], "accepts": [{"name": "portal", "namespace": FRONT}],
        })))
        .await;
    world.whole(FRONT, "portal").await;
    world.whole(DATA, "db").await;
    world.whole(DATA, "log").await;
    withdrawing_closes_both_sides(&world).await;
    consenting_again_opens_both_sides(&world).await;
    listeners_are_the_intersection(&world).await;
    a_peer_that_is_not_there_is_named(&world).await;
    a_deleted_peer_is_closed(&world).await;
    replicas_are_peers_where_it_says_so(&world).await;
    another_trust_domain_is_refused(&world).await;
}

async fn withdrawing_closes_both_sides(world: &World) {
    let pod = |name: &str, host: bool| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": FRONT, "labels": {"app": "portal"}},
            "spec": {"hostNetwork": host, "containers": [{"name": "portal", "image": "portal"}]},
        })
    };
    world.apply(&pod("portal-0", false)).await;
    // Status tells of a pod on the node's network: with it the operator has seen the one before.
    world.apply(&pod("portal-1", true)).await;
    world.not_ready(FRONT, "portal", "HostNetworkPods").await;
    world.api::<Pod>(FRONT).delete("portal-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    let (portal_ca, db_ca) = (
        world.files(FRONT, "portal").await.authority().to_owned(),
        world.files(DATA, "db").await.authority().to_owned(),
    );
    let serial = world.whole(FRONT, "portal").await.certificate.unwrap().serial;

    world.apply(&db(json!([]))).await;
    world.opens(DATA, "db", &[]).await;
    world.opens(FRONT, "portal", &[TO_LOG]).await;
    let server = world.files_where(DATA, "db", |files| files.trusting(&portal_ca).is_empty()).await;
    let client = world.files_where(FRONT, "portal", |files| files.trusting(&db_ca).is_empty()).await;
    assert!(handshake::between(&client, &server, "db.cc-data.svc").is_err());
    let log = world.files(DATA, "log").await;
    handshake::between(&client, &log, "log.cc-data.svc").expect("the other connection is as it was");

    let status = world.connection(FRONT, "portal", "db", "Closing").await;
    assert_eq!(wait::reason(&status, condition::CONNECTED), "Closing", "its pod may still hold a connection");
    assert_eq!(connection(&status, "log"), Some("Open"));
    assert!(
        wait::is(&world.ready(FRONT, "portal").await, condition::READY),
        "what others withdraw is no fault of its own"
    );
    world.api::<Pod>(FRONT).delete("portal-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    let status = world.connection(FRONT, "portal", "db", "AwaitingConsent").await;
    world.event(FRONT, "portal", "ConnectionClosed").await;
    let entry = status.connections.iter().find(|one| one.name == "db").unwrap();
    let next = entry.next_step.as_deref().unwrap_or_default();
    assert!(
        next.contains("spec.accepts") && next.contains("{name: portal, namespace: cc-front}"),
        "{entry:?}"
    );
    assert_eq!(status.connection_summary.as_deref(), Some("1/2"));
    assert_eq!(status.certificate.unwrap().serial, serial, "nobody's leaf is spent on it");
}

async fn consenting_again_opens_both_sides(world: &World) {
    world.apply(&db(consent())).await;
    world.whole(DATA, "db").await;
    world.whole(FRONT, "portal").await;
    world.opens(DATA, "db", &[FROM_PORTAL]).await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG]).await;
    let (client, server) = (world.files(FRONT, "portal").await, world.files(DATA, "db").await);
    handshake::between(&client, &server, "db.cc-data.svc").unwrap();
}

async fn listeners_are_the_intersection(world: &World) {
    let to = |listeners: Value| {
        portal(
            json!([{"name": "db", "namespace": DATA, "listeners": listeners}, {"name": "log", "namespace": DATA}]),
        )
    };
    let portal_ca = world.files(FRONT, "portal").await.authority().to_owned();
    world.apply(&to(json!(["admin"]))).await;
    for (namespace, name, peer) in [(FRONT, "portal", "db"), (DATA, "db", "portal")] {
        let status = world.connection(namespace, name, peer, "ListenerMismatch").await;
        let entry = status.connections.iter().find(|one| one.name == peer).unwrap();
        let reason = entry.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("admin") && reason.contains("sql"), "{entry:?}");
        assert!(entry.next_step.is_some());
    }
    world.opens(DATA, "db", &[]).await;
    world.opens(FRONT, "portal", &[TO_LOG]).await;
    world.files_where(DATA, "db", |files| files.trusting(&portal_ca).is_empty()).await;

    world.apply(&db(json!([{"name": "portal", "namespace": FRONT}]))).await;
    world.whole(FRONT, "portal").await;
    world.opens(DATA, "db", &["from cc-front:app=portal TCP/9000"]).await;
    world.opens(FRONT, "portal", &["to cc-data:app=db TCP/9000", TO_LOG]).await;
    let status = world.whole(DATA, "db").await;
    assert_eq!(status.connections[0].listeners, ["admin"]);
    world.apply(&portal(both())).await;
    world.apply(&db(consent())).await;
    world.whole(DATA, "db").await;
    world.whole(FRONT, "portal").await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG]).await;
}

async fn a_peer_that_is_not_there_is_named(world: &World) {
    let mut peers = both();
    peers.as_array_mut().unwrap().push(json!({"name": "archive", "namespace": DATA}));
    world.apply(&portal(peers)).await;
    let status = world.connection(FRONT, "portal", "archive", "NotFound").await;
    let entry = status.connections.iter().find(|one| one.name == "archive").unwrap();
    assert!(
        entry.next_step.as_deref().is_some_and(|next| next.contains("Channel cc-data/archive")),
        "{entry:?}"
    );
    assert_eq!(wait::reason(&status, condition::CONNECTED), "NotFound");
    world.ready(FRONT, "portal").await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG]).await;
    world
        .apply(&channel(DATA, "archive", json!({
            "listeners": [{"name": "https", "port": 443}], "accepts": [{"name": "portal", "namespace": FRONT}],
        })))
        .await;
    world.whole(FRONT, "portal").await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG, "to cc-data:app=archive TCP/443"]).await;
}

async fn a_deleted_peer_is_closed(world: &World) {
    let archive_ca = world.files(DATA, "archive").await.authority().to_owned();
    assert_eq!(world.files(FRONT, "portal").await.trusting(&archive_ca), ["ca.crt", "servers-ca.crt"]);
    world.delete_channel(DATA, "archive").await;
    world.connection(FRONT, "portal", "archive", "NotFound").await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG]).await;
    world.files_where(FRONT, "portal", |files| files.trusting(&archive_ca).is_empty()).await;
    world.apply(&portal(both())).await;
    world.whole(FRONT, "portal").await;
}

async fn replicas_are_peers_where_it_says_so(world: &World) {
    let log = |connects: Value| {
        channel(
            DATA,
            "log",
            json!({
                "listeners": [{"name": "syslog", "port": 6514}], "accepts": [{"name": "portal", "namespace": FRONT}],
                "connectsTo": connects,
            }),
        )
    };
    let own = world.files(DATA, "log").await.authority().to_owned();
    world.apply(&log(json!([{"name": "log"}]))).await;
    let from_portal = "from cc-front:app=portal TCP/6514";
    let (from_itself, to_itself) = ("from cc-data:app=log TCP/6514", "to cc-data:app=log TCP/6514");
    world.opens(DATA, "log", &[from_portal, from_itself, to_itself]).await;
    let files = world
        .files_where(DATA, "log", |files| {
            files.trusting(&own) == ["ca.crt", "clients-ca.crt", "servers-ca.crt"]
        })
        .await;
    handshake::between(&files, &files, "log.cc-data.svc").unwrap();
    world.apply(&log(json!([]))).await;
    world.opens(DATA, "log", &[from_portal]).await;
    world.files_where(DATA, "log", |files| files.trusting(&own).is_empty()).await;
}

async fn another_trust_domain_is_refused(world: &World) {
    world.installed.set_up_vault(&world.env, "westerlicht", "-west").await.unwrap();
    world.apply(&world.installed.further_domain(&world.env, "westerlicht", "-west")).await;
    let label = [(subrosa_crds::TRUST_DOMAIN_LABEL, "westerlicht")];
    world.env.create_namespace("cc-west", &label).await.unwrap();
    world
        .apply(&channel("cc-west", "api", json!({
            "listeners": [{"name": "https", "port": 443}], "accepts": [{"name": "portal", "namespace": FRONT}],
        })))
        .await;
    // Ready, so the operator knows the namespace's domain before the Channel is named from here.
    world.ready("cc-west", "api").await;
    let mut peers = both();
    peers.as_array_mut().unwrap().push(json!({"name": "api", "namespace": "cc-west"}));
    world.apply(&portal(peers)).await;
    let status = world.connection(FRONT, "portal", "api", "Refused").await;
    let entry = status.connections.iter().find(|one| one.name == "api").unwrap();
    let reason = entry.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("westerlicht") && reason.contains(DOMAIN), "{entry:?}");
    assert!(entry.next_step.as_deref().is_some_and(|next| next.contains("ExternalParty")), "{entry:?}");
    world.connection("cc-west", "api", "portal", "Refused").await;
    let api = world.ready("cc-west", "api").await;
    assert_eq!(api.trust_domain.as_deref(), Some("westerlicht"));
    assert_eq!(api.certificate.unwrap().spiffe_id, "spiffe://westerlicht/ns/cc-west/channel/api");
    world.opens("cc-west", "api", &[]).await;
    world.opens(FRONT, "portal", &[TO_DB, TO_LOG]).await;
    let api_ca = world.files("cc-west", "api").await.authority().to_owned();
    assert_eq!(world.files(FRONT, "portal").await.trusting(&api_ca), [""; 0]);

    // A namespace that comes over: consent was there already.
    world.label("cc-west", json!({subrosa_crds::TRUST_DOMAIN_LABEL: DOMAIN})).await;
    world.whole(FRONT, "portal").await;
    world.opens("cc-west", "api", &["from cc-front:app=portal TCP/443"]).await;
}
