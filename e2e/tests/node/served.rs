//! What the operator's own pod sees of real servers, and a restart for a certificate that a server does not reload.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{Channel, ChannelStatus, condition};
use subrosa_e2e::{
    node::{
        Node, PATIENCE,
        servers::{SERVERS, SERVERS_NAMESPACE},
    },
    wait,
};

use crate::shared::{DOMAIN, NGINX, servers, subrosa};

const NS: &str = "cc-restart";
const NAME: &str = "edge";

#[tokio::test(flavor = "multi_thread")]
async fn probes_see_what_real_servers_serve() {
    let Some(node) = servers().await else { return };
    let client = node.client().unwrap();
    for server in SERVERS {
        // Another test may be renewing it: then it is seen when it has taken that.
        let seen = |status: &ChannelStatus| wait::is(status, condition::SERVED);
        let found = wait::channel(&client, SERVERS_NAMESPACE, server.name, PATIENCE * 2, seen).await;
        let status = found.unwrap_or_else(|error| panic!("{}: {error:#}", server.software));
        let certificate = status.certificate.unwrap();
        let served = certificate.served.unwrap();
        assert_eq!((served.serial, &*served.pods), (certificate.serial, "1/1"), "{}", server.software);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_reload_is_restarted_within_its_budget() {
    let Some((node, _)) = subrosa().await else { return };
    let image = node.image("nginx").await.unwrap();
    for object in manifests(&image) {
        node.apply(&object).await.unwrap();
    }
    node.is_rolled_out(NS, NAME).await.unwrap();
    let first = serves(node, "True", "CurrentEverywhere", both).await;
    let before = pods(node).await;
    assert_eq!(before.len(), 2, "{before:?}");

    // Both pods have to stay: the restart is held back, and the old certificate is served on.
    let channels: Api<Channel> = Api::namespaced(node.client().unwrap(), NS);
    let other = json!({"spec": {"tls": {"keyAlgorithm": "ECDSA-P384"}}});
    channels.patch(NAME, &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    // A pod whose probe had no answer in time holds it back too, for a moment.
    serves(node, "False", "RestartHeld", |status| {
        let served = condition::find(&status.conditions, condition::SERVED).unwrap();
        served.message.contains("PodDisruptionBudget edge allows 0 disruptions")
    })
    .await;
    assert_eq!(pods(node).await, before);

    node.apply(&budget(1)).await.unwrap();
    let old = first.certificate.unwrap().serial;
    let renewed = serves(node, "True", "CurrentEverywhere", |status| {
        status.certificate.as_ref().is_some_and(|certificate| certificate.serial != old) && both(status)
    })
    .await;
    node.is_rolled_out(NS, NAME).await.unwrap();
    let after = pods(node).await;
    assert!(after.is_disjoint(&before) && after.len() == 2, "{before:?}, {after:?}");
    let deployment = Api::<Deployment>::namespaced(node.client().unwrap(), NS).get(NAME).await.unwrap();
    let annotations = deployment.spec.template.metadata.unwrap().annotations.unwrap();
    assert_eq!(annotations["subrosa.dev/restarted-for"], renewed.certificate.unwrap().serial);
}

async fn serves(
    node: &Node,
    status: &str,
    reason: &str,
    holds: impl Fn(&ChannelStatus) -> bool,
) -> ChannelStatus {
    let client = node.client().unwrap();
    let found = wait::channel(&client, NS, NAME, PATIENCE * 2, |found| {
        let served = condition::find(&found.conditions, condition::SERVED);
        served.is_some_and(|one| one.status == status && one.reason == reason) && holds(found)
    });
    match found.await {
        Ok(found) => found,
        Err(error) => panic!("{error:#}\n{}", node.operator_log().await.unwrap()),
    }
}

/// Whether both pods were asked: one alone may have been ready first.
fn both(status: &ChannelStatus) -> bool {
    let served = status.certificate.as_ref().and_then(|certificate| certificate.served.as_ref());
    served.is_some_and(|served| served.pods == "2/2")
}

async fn pods(node: &Node) -> BTreeSet<String> {
    let pods = node.ready_pods(NS, "app=edge").await.unwrap();
    pods.iter().map(|pod| pod.name_any()).collect()
}

fn budget(least: i32) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": NAME, "namespace": NS},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": NAME}}},
    })
}

fn manifests(image: &str) -> [Value; 5] {
    let labels = json!({"app": NAME});
    let metadata = json!({"name": NAME, "namespace": NS});
    [
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NS, "labels": {subrosa_crds::TRUST_DOMAIN_LABEL: DOMAIN}},
        }),
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": metadata,
            "spec": {
                "workload": {"selector": {"matchLabels": labels}, "ref": {"kind": "Deployment", "name": NAME}},
                "listeners": [{"name": "https", "port": 8443}],
                "tls": {"reload": "Restart"},
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nginx.conf": NGINX},
        }),
        budget(2),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": 2,
                "strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": false,
                        "terminationGracePeriodSeconds": 2,
                        "securityContext":
                            {"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                        "containers": [{
                            "name": "nginx", "image": image, "command": ["nginx", "-c", "/config/nginx.conf"],
                            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                            "volumeMounts": [
                                {"name": "config", "mountPath": "/config"},
                                {"name": "tls", "mountPath": "/tls", "readOnly": true},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }],
                        "volumes": [
                            {"name": "config", "configMap": {"name": NAME}},
                            {"name": "tls", "secret": {"secretName": "edge-mtls", "defaultMode": 288}},
                            {"name": "tmp", "emptyDir": {}},
                        ],
                    },
                },
            },
        }),
    ]
}
