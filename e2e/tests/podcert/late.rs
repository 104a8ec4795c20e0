//! A watch of the operator tells nothing for minutes: no pod is denied its certificate for that.

use serde_json::json;
use subrosa_e2e::Tap;

use crate::{
    issued::town,
    kubelet::{self, Node},
    world::{World, channel},
};

/// Its request is older than what is waited for, and the watch has never told of the pod.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_the_watch_has_not_told_of_gets_its_certificate() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    tap.hold_back(Some("pods"));
    let pod = node.pod(&world, "cc-front", "voice-0", "voice", "sbc").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    asked.issued(&world).await;
}

/// A Deployment and its Channel get another ServiceAccount at once, and only the pod is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_declaration_that_the_watch_has_not_told_of_gets_its_certificate() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    tap.hold_back(Some("channels"));
    let edited = json!({
        "workload": {"serviceAccountName": "edge"},
        "connectsTo": [{"name": "db", "namespace": "cc-data"}],
        "tls": {"delivery": "PodCertificate", "duration": "7d", "renewBefore": "2d", "reload": "Workload"},
    });
    world.apply(&channel("cc-front", "voice", edited)).await;
    let pod = node.pod(&world, "cc-front", "voice-0", "voice", "edge").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    asked.issued(&world).await;
}
