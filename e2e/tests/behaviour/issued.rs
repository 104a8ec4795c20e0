//! What is issued proves itself to OpenSSL and rustls: who is declared gets through, in that direction.

use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use subrosa_crds::{Channel, condition};
use subrosa_e2e::wait;

use crate::{
    files::Files,
    handshake,
    openssl::{self, Client, talk, verifies},
    world::{World, channel},
};

const SERVER: &str = "db.cc-data.svc";
const CLIENT: &str = "portal.cc-front.svc";
const DB_NAMES: [&str; 9] = [
    "URI:spiffe://oosterlinde/ns/cc-data/channel/db",
    "DNS:db.cc-data.svc",
    "DNS:db.cc-data.svc.cluster.local",
    "DNS:sql.cc-data.svc",
    "DNS:sql.cc-data.svc.cluster.local",
    "DNS:replicas.cc-data.svc",
    "DNS:*.replicas.cc-data.svc",
    "DNS:*.replicas.cc-data.svc.cluster.local",
    "DNS:replicas.cc-data.svc.cluster.local",
];
const PORTAL_NAMES: [&str; 1] = ["URI:spiffe://oosterlinde/ns/cc-front/channel/portal"];

#[tokio::test(flavor = "multi_thread")]
async fn issued_files_let_through_who_is_declared_and_nobody_else() {
    let world = World::start().await;
    world.governed("cc-front").await;
    world.governed("cc-data").await;
    for manifest in [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sql", "namespace": "cc-data"},
            "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "replicas", "namespace": "cc-data"},
            "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "portal", "namespace": "cc-front"},
            "spec": {"selector": {"app": "somebody-else"}, "ports": [{"port": 443}]}}),
        channel(
            "cc-data",
            "db",
            json!({
                "type": "Database", "listeners": [{"name": "sql", "port": 5432}],
                "accepts": [{"name": "portal", "namespace": "cc-front"}],
                "tls": {"keyAlgorithm": "ECDSA-P384", "commonName": "sql-db"},
            }),
        ),
        channel(
            "cc-front",
            "portal",
            json!({"type": "Chat", "connectsTo": [{"name": "db", "namespace": "cc-data"}]}),
        ),
        channel(
            "cc-front",
            "stranger",
            json!({
                "listeners": [{"name": "sql", "port": 5432}], "connectsTo": [{"name": "db", "namespace": "cc-data"}],
            }),
        ),
    ] {
        world.apply(&manifest).await;
    }
    world.whole("cc-data", "db").await;
    world.whole("cc-front", "portal").await;
    let alone = world.connection("cc-front", "stranger", "db", "AwaitingConsent").await;
    assert!(wait::is(&world.ready("cc-front", "stranger").await, condition::READY), "{alone:?}");
    assert_eq!(wait::reason(&alone, condition::CONNECTED), "AwaitingConsent");

    is_named(&world, "cc-data", "db", &DB_NAMES).await;
    is_named(&world, "cc-front", "portal", &PORTAL_NAMES).await;
    the_secret_is_what_was_promised(&world).await;
    let db = world.mounted("cc-data", "db").await;
    let portal = world.mounted("cc-front", "portal").await;
    let stranger = world.mounted("cc-front", "stranger").await;
    the_certificate_says_who_it_is(&db, &portal);
    let (_, serial) =
        openssl::run(&["x509", "-noout", "-serial", "-in", portal.join("tls.crt").to_str().unwrap()]);
    let number = serial.trim().trim_start_matches("serial=").trim_start_matches('0').to_lowercase();
    // Status names the serial that is there.
    let status = world
        .channel("cc-front", "portal", |status| {
            let told = status.certificate.as_ref();
            wait::whole(status) && told.is_some_and(|told| told.serial.trim_start_matches('0') == number)
        })
        .await;
    let told = status.certificate.unwrap();
    assert_eq!(told.spiffe_id, "spiffe://oosterlinde/ns/cc-front/channel/portal");

    openssl_agrees(&db, &portal, &stranger).await;
    let files = |found: Vec<Files>| -> [Files; 3] { found.try_into().ok().unwrap() };
    let [db, portal, stranger] = files(vec![
        world.files("cc-data", "db").await,
        world.files("cc-front", "portal").await,
        world.files("cc-front", "stranger").await,
    ]);
    rustls_agrees(&db, &portal, &stranger);
}

/// Waits until a certificate has these names: Services have a watch of their own, so a first one may be issued before
/// they are seen.
async fn is_named(world: &World, namespace: &str, name: &str, names: &[&str]) {
    world
        .until(&format!("the names of {namespace}/{name}"), || async {
            let found = alternatives(&shown(&world.mounted(namespace, name).await));
            if found == sorted(names) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
}

fn shown(directory: &Path) -> String {
    let path = directory.join("tls.crt");
    openssl::run(&["x509", "-noout", "-text", "-nameopt", "RFC2253", "-in", path.to_str().unwrap()]).1
}

async fn the_secret_is_what_was_promised(world: &World) {
    let secret = world.secret("cc-data", "db-mtls").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    let files = world.files("cc-data", "db").await;
    assert_eq!(files.names(), ["ca.crt", "clients-ca.crt", "servers-ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(files.get("ca.crt"), files.get("clients-ca.crt"), "it listens");
    let portal = world.files("cc-front", "portal").await;
    assert_eq!(portal.get("ca.crt"), portal.get("servers-ca.crt"), "it only connects");
    assert_eq!(files.trusting(portal.authority()), ["ca.crt", "clients-ca.crt"]);
    assert_eq!(portal.trusting(files.authority()), ["ca.crt", "servers-ca.crt"]);
    assert_eq!(files.trusting(files.authority()), [""; 0], "nobody is its own peer undeclared");
    owned_by_its_channel(world, &secret).await;
}

async fn owned_by_its_channel(world: &World, secret: &Secret) {
    let uid = world.api::<Channel>("cc-data").get("db").await.unwrap().metadata.uid.unwrap();
    let owners = secret.metadata.owner_references.clone().unwrap();
    assert_eq!(owners.len(), 1);
    assert_eq!(
        (owners[0].uid.as_str(), owners[0].controller, owners[0].block_owner_deletion),
        (&*uid, Some(true), Some(false))
    );
    let labels = secret.metadata.labels.clone().unwrap();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "subrosa");
    assert!(!labels.contains_key("app.kubernetes.io/instance"), "Argo CD would take it for its own");
    let managers: Vec<_> =
        secret.metadata.managed_fields.iter().flatten().filter_map(|one| one.manager.clone()).collect();
    assert!(managers.iter().all(|manager| manager == "subrosa"), "{managers:?}");
}

fn the_certificate_says_who_it_is(db: &Path, portal: &Path) {
    let text = shown(db);
    // RFC 2253 shows the last first: O, then OU, then CN.
    assert!(text.contains("Subject: CN=sql-db,OU=cc-data,O=oosterlinde"), "{text}");
    assert_eq!(alternatives(&text), sorted(&DB_NAMES));
    assert!(
        text.contains("TLS Web Server Authentication, TLS Web Client Authentication")
            || text.contains("TLS Web Client Authentication, TLS Web Server Authentication"),
        "{text}"
    );
    assert!(text.contains("NIST CURVE: P-384") && text.contains("CA:FALSE"), "{text}");
    let text = shown(portal);
    assert!(text.contains("Subject: CN=portal,OU=cc-front,O=oosterlinde"), "{text}");
    assert_eq!(alternatives(&text), PORTAL_NAMES, "the Service of that name has other pods");
    assert!(text.contains("NIST CURVE: P-256"), "{text}");

    let chain = std::fs::read_to_string(db.join("tls.crt")).unwrap();
    let second = chain.match_indices("-----BEGIN").nth(1).unwrap().0;
    let authority = db.join("authority.pem");
    std::fs::write(&authority, &chain[second..]).unwrap();
    let (_, text) = openssl::run(&["x509", "-noout", "-text", "-in", authority.to_str().unwrap()]);
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
    assert!(text.contains("Name Constraints: critical") && text.contains("DNS:cc-data.svc"), "{text}");
    assert!(text.contains("Certificate Sign") && text.contains("X509v3 Subject Key Identifier"), "{text}");
}

fn alternatives(text: &str) -> Vec<String> {
    let line = text.split("X509v3 Subject Alternative Name:").nth(1).unwrap().lines().nth(1).unwrap();
    sorted(&line.trim().split(", ").collect::<Vec<_>>())
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

async fn openssl_agrees(db: &Path, portal: &Path, stranger: &Path) {
    assert!(verifies(&db.join("tls.crt"), &portal.join("servers-ca.crt"), "sslserver"));
    assert!(verifies(&portal.join("tls.crt"), &db.join("clients-ca.crt"), "sslclient"));
    for (certificate, trust) in [
        (portal, portal.join("servers-ca.crt")),
        (db, db.join("clients-ca.crt")),
        (db, portal.join("clients-ca.crt")),
        (portal, db.join("servers-ca.crt")),
        (stranger, db.join("clients-ca.crt")),
        (stranger, portal.join("servers-ca.crt")),
        (db, stranger.join("servers-ca.crt")),
    ] {
        assert!(!verifies(&certificate.join("tls.crt"), &trust, "any"), "{certificate:?} by {trust:?}");
    }
    let nobody = stranger.join("clients-ca.crt");
    let (valid, text) = openssl::run(&["x509", "-noout", "-checkend", "0", "-in", nobody.to_str().unwrap()]);
    assert!(!valid && text.contains("will expire"), "the built-in certificate has expired: {text}");

    talk(portal, Client::Checking(SERVER), db).await.expect("the declared direction");
    talk(portal, Client::Checking("sql.cc-data.svc.cluster.local"), db).await.expect("by the Service's name");
    talk(portal, Client::Careless, db).await.expect("the server checks only the client");
    for (name, client, how, server) in [
        ("another name", portal, Client::Checking("db.cc-other.svc"), db),
        ("the other direction", db, Client::Checking(CLIENT), portal),
        ("the other direction, where only the server checks", db, Client::Careless, portal),
        ("a third, undeclared", stranger, Client::Checking(SERVER), db),
        ("a third, where only the server checks", stranger, Client::Careless, db),
        ("nobody accepted, but asked by a peer of others", portal, Client::Careless, stranger),
        ("no certificate", portal, Client::Anonymous, db),
        ("no certificate where nobody is accepted", portal, Client::Anonymous, stranger),
    ] {
        assert!(talk(client, how, server).await.is_err(), "{name}: they talked");
    }
}

fn rustls_agrees(db: &Files, portal: &Files, stranger: &Files) {
    handshake::between(portal, db, SERVER).expect("the declared direction");
    for (name, client, server, host) in [
        ("another name", portal, db, "db.cc-other.svc"),
        ("the other direction", db, portal, CLIENT),
        ("a third, undeclared", stranger, db, SERVER),
        ("a third as the server", portal, stranger, "stranger.cc-front.svc"),
    ] {
        assert!(handshake::between(client, server, host).is_err(), "{name}: they talked");
    }
    // Only one end refuses: the client's own check, the server's own check.
    let lenient = |files: &Files, name: &str, trust: &str| {
        let mut changed = files.0.clone();
        changed.insert(name.to_owned(), trust.to_owned());
        Files(changed)
    };
    let careless = lenient(stranger, "servers-ca.crt", portal.get("servers-ca.crt"));
    let refused = handshake::between(&careless, db, SERVER).unwrap_err();
    assert!(refused.starts_with("the server refuses"), "{refused}");
    let careless = lenient(stranger, "clients-ca.crt", db.get("clients-ca.crt"));
    let refused = handshake::between(portal, &careless, "stranger.cc-front.svc").unwrap_err();
    assert!(refused.starts_with("the client refuses"), "{refused}");
}
