//! A pod gets a certificate for the key of its node; the key stands nowhere else.

use rcgen::PublicKeyData as _;
use serde_json::json;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
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

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_a_certificate_for_a_key_of_its_node() {
    let world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    let pod = node.pod(&world, "cc-front", "voice-0", "voice", "sbc").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    let chain = asked.issued(&world).await;
    assert_eq!(node.sees().await.len(), 1, "the node sees the request of its pod");
    the_certificate_is_the_channels_for_the_key_of_the_request(&world, &chain, &asked).await;
}

async fn the_certificate_is_the_channels_for_the_key_of_the_request(
    world: &World,
    chain: &str,
    asked: &Asked,
) {
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap();
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
    let ledger = world.ledger("cc-front", "voice").await;
    let pods = ledger["pods"]["pods"].as_object().unwrap();
    let noted: Vec<_> = pods.values().map(|pod| pod["last"]["serial"].as_str().unwrap()).collect();
    assert_eq!(noted, [serial.as_str()]);
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
    let pod = node.pod(&world, "cc-front", "voice-7", "voice", "sbc").await;
    for _ in 0..2 {
        node.ask(&world, &pod, kubelet::key()).await.issued(&world).await;
    }
    let fourth = node.ask(&world, &pod, kubelet::key()).await;
    let other = node.pod(&world, "cc-front", "voice-51", "voice", "sbc").await;
    node.ask(&world, &other, kubelet::key()).await.issued(&world).await;
    fourth.waits(&world, std::time::Duration::from_secs(5)).await;
}
