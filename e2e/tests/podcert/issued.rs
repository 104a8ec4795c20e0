//! A pod gets a certificate for the key of its node; the key stands nowhere else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt as _, api::ListParams};
use rcgen::PublicKeyData as _;
use serde_json::json;
use subrosa_e2e::wait;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    etcd,
    files::Files,
    handshake,
    kubelet::{self, Asked, Node},
    world::{World, channel},
};

/// `voice` asks for its certificates, `db` has its in a Secret; voice connects to db.
pub async fn town(world: &World) {
    world.governed("cc-front").await;
    world.governed("cc-data").await;
    let to_db = json!([{"name": "db", "namespace": "cc-data"}]);
    let voice = json!({
        "workload": {"serviceAccountName": "sbc"},
        "connectsTo": to_db,
        "tls": {"delivery": "PodCertificate", "duration": "7d", "renewBefore": "2d", "reload": "Workload"},
    });
    let db = json!({
        "listeners": [{"name": "sql", "port": 5432}], "accepts": [{"name": "voice", "namespace": "cc-front"}],
    });
    world.apply(&channel("cc-front", "voice", voice)).await;
    world.apply(&channel("cc-data", "db", db)).await;
    world.whole("cc-data", "db").await;
    world.whole("cc-front", "voice").await;
}

/// What the pod has in its volume: its key, the chain and the trust files.
pub async fn volume(world: &World, asked: &Asked) -> Files {
    let chain = asked.issued(world).await;
    let trust = world.secret("cc-front", "voice-trust").await.expect("the Secret with the trust files");
    let mut files = crate::files::files(&trust);
    files.0.extend([("tls.crt".to_owned(), chain), ("tls.key".to_owned(), asked.key.serialize_pem())]);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_a_certificate_for_a_key_that_stands_nowhere() {
    let world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    let pod = node.pod(&world, "cc-front", "voice-0", "voice", "sbc").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    let voice = volume(&world, &asked).await;
    assert_eq!(node.sees().await.len(), 1, "the node sees the request of its pod");

    the_certificate_is_the_channels_for_the_key_of_the_request(&world, &voice, &asked).await;
    let db = world.files("cc-data", "db").await;
    handshake::between(&voice, &db, "db.cc-data.svc").expect("declared");
    handshake::between(&db, &voice, "voice.cc-front.svc").expect_err("never declared in this direction");
    no_secret_has_a_key(&world).await;
    the_key_is_not_in_etcd(&world, &asked, &db).await;
}

async fn the_certificate_is_the_channels_for_the_key_of_the_request(
    world: &World,
    voice: &Files,
    asked: &Asked,
) {
    let (_, pem) = x509_parser::pem::parse_x509_pem(voice.get("tls.crt").as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&pem.contents).unwrap();
    assert_eq!(
        leaf.public_key().raw,
        asked.key.subject_public_key_info(),
        "the key of the request, not ours"
    );
    assert!(!leaf.is_ca());
    let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value.general_names);
    assert!(names.contains("spiffe://oosterlinde/ns/cc-front/channel/voice"), "{names}");
    assert!(names.contains("\"voice.cc-front.svc\""), "{names}");
    // A day is what the API server writes in where the pod asks for nothing.
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert_eq!(life, 24 * 3600);

    let serial = leaf.serial.to_bytes_be().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let record = world.record("cc-front", "voice").await;
    let pods = record["pods"]["pods"].as_object().unwrap();
    let noted: Vec<_> = pods.values().map(|pod| pod["last"]["serial"].as_str().unwrap()).collect();
    assert_eq!(noted, [serial.as_str()]);
    let status = world.channel("cc-front", "voice", |status| status.certificate.is_some()).await;
    let told = status.certificate.unwrap();
    assert_eq!((told.serial.as_str(), told.secret_name, told.pods), (serial.as_str(), None, Some(1)));
    assert!(wait::is(&world.whole("cc-front", "voice").await, "Ready"));
}

async fn no_secret_has_a_key(world: &World) {
    let secrets = world.api::<Secret>("cc-front").list(&ListParams::default()).await.unwrap();
    let ours: BTreeMap<_, _> =
        secrets.items.iter().map(|secret| (secret.name_any(), secret.type_.clone().unwrap())).collect();
    assert_eq!(ours, [("voice-trust".to_owned(), "Opaque".to_owned())].into());
    let trust = crate::files::files(&secrets.items[0]);
    assert_eq!(trust.names(), ["ca.crt", "clients-ca.crt", "servers-ca.crt"]);
}

async fn the_key_is_not_in_etcd(world: &World, asked: &Asked, db: &Files) {
    let dump = etcd::dump(&world.env).await;
    assert!(dump.len() > 100, "{} entries", dump.len());
    // The same search finds a key that stands in a Secret, so what it does not find is not there.
    let (_, pem) = x509_parser::pem::parse_x509_pem(db.get("tls.key").as_bytes()).unwrap();
    let control = etcd::Traces::of(&pem.contents);
    assert_eq!(etcd::places(&dump, &control), ["/registry/secrets/cc-data/db-mtls"]);
    let files = etcd::files(&world.env, &control);
    assert!(
        files.iter().any(|name| name == "db") && files.iter().any(|name| name.ends_with(".wal")),
        "{files:?}"
    );

    let key = etcd::of_pair(&asked.key);
    assert_eq!(etcd::places(&dump, &key), Vec::<&str>::new());
    assert_eq!(etcd::files(&world.env, &key), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pods_get_theirs_and_one_that_asks_too_often_waits() {
    let world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    let mut asked = Vec::new();
    for number in 0..50 {
        let pod = node.pod(&world, "cc-front", &format!("voice-{number}"), "voice", "sbc").await;
        asked.push(node.ask(&world, &pod, kubelet::key()).await);
    }
    for one in &asked {
        one.issued(&world).await;
    }
    let status = world.channel("cc-front", "voice", |status| pods(status) == Some(50)).await;
    assert!(wait::is(&status, "Ready"), "{status:?}");

    let pod = node.pod(&world, "cc-front", "voice-7", "voice", "sbc").await;
    for _ in 0..2 {
        node.ask(&world, &pod, kubelet::key()).await.issued(&world).await;
    }
    let fourth = node.ask(&world, &pod, kubelet::key()).await;
    let other = node.pod(&world, "cc-front", "voice-51", "voice", "sbc").await;
    node.ask(&world, &other, kubelet::key()).await.issued(&world).await;
    fourth.waits(&world, std::time::Duration::from_secs(5)).await;
    let told = world.event("cc-front", "voice-7", "CertificateWaits").await;
    assert!(told.contains("IssuanceLimited") && told.contains(&fourth.name), "{told}");
}

fn pods(status: &subrosa_crds::ChannelStatus) -> Option<i64> {
    status.certificate.as_ref()?.pods
}
