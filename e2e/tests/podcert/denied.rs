//! Who gets no certificate: another node, another pod, another account, somebody without the key.

use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::{
    issued::town,
    kubelet::{self, Changes, Node, proof},
    world::World,
};

fn code(refused: kube::Result<kubelet::Asked>) -> u16 {
    match refused {
        Err(kube::Error::Api(status)) => status.code,
        Ok(_) => 0,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_the_channels_pod_on_its_node_gets_none() {
    let world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    let other = Node::register(&world.env, "node-2").await;
    let pod = node.pod(&world, "cc-front", "voice-0", "voice", "sbc").await;
    world.service_account("cc-front", "default").await;

    by_the_api_server(&world, &node, &other, &pod).await;
    by_the_channel(&world, &node, &pod).await;
}

/// What never comes to Subrosa: NodeRestriction and the API server's own rules.
async fn by_the_api_server(world: &World, node: &Node, other: &Node, pod: &k8s_openapi::api::core::v1::Pod) {
    let truth = Changes::default();
    let elsewhere = node.try_ask(world, pod, kubelet::key(), &truth, other.client()).await;
    assert_eq!(code(elsewhere), 403, "another node's kubelet");
    let uid = Changes { pod_uid: Some("00000000-0000-0000-0000-000000000000".into()), ..truth.clone() };
    let refused = node.try_ask(world, pod, kubelet::key(), &uid, node.client()).await;
    assert!(code(refused) >= 400, "a pod of before");
    let default = ("default".to_owned(), world.account_uid("cc-front", "default").await);
    let account = Changes { service_account: Some(default), ..truth.clone() };
    // For good only once the API server's own watches have come to the pod.
    world
        .until("an account that the pod does not have is refused", || async {
            let refused = node.try_ask(world, pod, kubelet::key(), &account, node.client()).await;
            match code(refused) {
                403 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;

    // A key whose other half the node does not have: the request of somebody else, tampered with.
    let mut stolen = base64_decode(&proof(&kubelet::key()));
    *stolen.last_mut().unwrap() ^= 1;
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
        "metadata": {"name": "stolen", "namespace": "cc-front"},
        "spec": {
            "signerName": kubelet::SIGNER, "podName": "voice-0", "podUID": pod.metadata.uid,
            "serviceAccountName": "sbc", "serviceAccountUID": world.account_uid("cc-front", "sbc").await,
            "nodeName": "node-1", "nodeUID": "any", "stubPKCS10Request": base64_encode(&stolen),
        },
    });
    let api: Api<k8s_openapi::api::certificates::v1::PodCertificateRequest> = world.api("cc-front");
    let refused = api.create(&PostParams::default(), &serde_json::from_value(request).unwrap()).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("stubPKCS10Request"), "{message}");
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn base64_encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What Subrosa denies, also where an administrator asks, whom no NodeRestriction holds back.
async fn by_the_channel(world: &World, node: &Node, pod: &k8s_openapi::api::core::v1::Pod) {
    let uid = "00000000-0000-0000-0000-000000000000";
    let before = Changes { pod_uid: Some(uid.into()), ..Changes::default() };
    let before = node.try_ask(world, pod, kubelet::key(), &before, world.admin.clone()).await.unwrap();
    let stranger = node.pod(world, "cc-front", "stranger", "stranger", "sbc").await;
    let stranger = node.ask(world, &stranger, kubelet::key()).await;
    // What may still come is waited for, half a minute long.
    stranger.waits(world, Duration::from_secs(2)).await;
    let account = node.pod(world, "cc-front", "voice-1", "voice", "default").await;
    let account = node.ask(world, &account, kubelet::key()).await;
    let annotated = Changes { annotations: Some(json!({"example.org/role": "admin"})), ..Changes::default() };
    let annotated = node.try_ask(world, pod, kubelet::key(), &annotated, node.client()).await.unwrap();
    let in_secret = node.pod(world, "cc-data", "db-0", "db", "default").await;
    let in_secret = node.ask(world, &in_secret, kubelet::key()).await;

    let (reason, message) = account.denied(world).await;
    assert_eq!(reason, "ServiceAccountMismatch");
    assert!(message.contains("Channel cc-front/voice") && message.contains("sbc"), "{message}");
    assert_eq!(annotated.denied(world).await.0, "InvalidUnverifiedUserAnnotations");
    let (reason, message) = stranger.denied(world).await;
    assert_eq!(reason, "NoChannel");
    assert!(message.contains("apply one"), "{message}");
    let (reason, message) = before.denied(world).await;
    assert_eq!(reason, "PodNotFound");
    assert!(message.contains(uid), "{message}");
    let (reason, message) = in_secret.denied(world).await;
    assert_eq!(reason, "DeliveredInSecret");
    assert!(message.contains("Secret db-mtls"), "{message}");

    // None of them left anything.
    let record = world.record("cc-front", "voice").await;
    assert_eq!(record["pods"]["pods"], serde_json::Value::Null, "{record}");
    // And who is right still gets one.
    node.ask(world, pod, kubelet::key()).await.issued(world).await;
}
