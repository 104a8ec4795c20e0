//! From a Secret to certificates of the pods' own and back: what pods mount stays as long as one does.

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use subrosa_crds::Channel;
use subrosa_e2e::installation::apply_object;

use crate::{
    handshake,
    issued::{town, volume},
    kubelet::{self, Node},
    world::World,
};

/// A pod that mounts one Secret, as pods did before.
async fn old_pod(world: &World, node: &str, name: &str, secret: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "cc-front", "labels": {"app": "voice"}},
        "spec": {
            "nodeName": node, "serviceAccountName": "sbc",
            "containers": [{"name": "main", "image": "example.org/none"}],
            "volumes": [{"name": "tls", "secret": {"secretName": secret}}],
        },
    });
    apply_object(&world.admin, &pod).await.unwrap();
}

async fn delete_pod(world: &World, name: &str) {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.api::<Pod>("cc-front").delete(name, &now).await.unwrap();
}

async fn set(world: &World, tls: Value) {
    let patch = kube::api::Patch::Merge(json!({"spec": {"tls": tls}}));
    world.api::<Channel>("cc-front").patch("voice", &Default::default(), &patch).await.unwrap();
}

async fn gone(world: &World, secret: &str) {
    world
        .until(&format!("{secret} is gone"), || async {
            world.secret("cc-front", secret).await.map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_mounts_stays_until_none_does() {
    let world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    world.service_account("cc-front", "sbc").await;
    set(&world, json!({"delivery": null})).await;
    world.whole("cc-front", "voice").await;
    gone(&world, "voice-trust").await;
    old_pod(&world, "node-1", "voice-old", "voice-mtls").await;
    let before = world.files("cc-front", "voice").await;

    set(&world, json!({"delivery": "PodCertificate"})).await;
    world.whole("cc-front", "voice").await;
    let pod = node.pod(&world, "cc-front", "voice-new", "voice", "sbc").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    let new = volume(&world, &asked).await;
    let old = world.files("cc-front", "voice").await;
    assert_eq!(old.get("tls.crt"), before.get("tls.crt"), "a pod mounts it: it stays as it is");
    let db = world.files("cc-data", "db").await;
    handshake::between(&old, &db, "db.cc-data.svc").expect("the pod from before");
    handshake::between(&new, &db, "db.cc-data.svc").expect("the new pod");

    // A connection that is withdrawn leaves both.
    let declared = world.api::<Channel>("cc-front").get("voice").await.unwrap().spec.connects_to;
    let patch = |peers: Value| kube::api::Patch::Merge(json!({"spec": {"connectsTo": peers}}));
    let api: Api<Channel> = world.api("cc-front");
    api.patch("voice", &Default::default(), &patch(json!([]))).await.unwrap();
    let authority = db.authority().to_owned();
    for secret in ["voice-mtls", "voice-trust"] {
        world
            .until(&format!("{secret} trusts db no more"), || async {
                let found = world.secret("cc-front", secret).await.ok_or("there is none")?;
                let trusting = crate::files::files(&found).trusting(&authority).len();
                if trusting == 0 { Ok(()) } else { Err(format!("{trusting} files")) }
            })
            .await;
    }
    api.patch("voice", &Default::default(), &patch(serde_json::to_value(declared).unwrap())).await.unwrap();
    world.whole("cc-front", "voice").await;

    // A damaged one is healed as long as it is mounted: it is not merely left over.
    let damage = kube::api::Patch::Merge(json!({"data": {"tls.key": null, "tls.crt": null}}));
    let broken = world.api::<k8s_openapi::api::core::v1::Secret>("cc-front");
    let refused = broken.patch("voice-mtls", &Default::default(), &damage).await;
    assert!(refused.is_err(), "the API server itself keeps both in a Secret of this type");
    delete_pod(&world, "voice-old").await;
    gone(&world, "voice-mtls").await;
    assert!(world.secret("cc-front", "voice-trust").await.is_some());

    // And back: the pod that has a certificate of its own keeps getting them, and its trust files stay.
    set(&world, json!({"delivery": null})).await;
    world.files_where("cc-front", "voice", |files| !files.get("tls.key").is_empty()).await;
    world.whole("cc-front", "voice").await;
    node.ask(&world, &pod, kubelet::key()).await.issued(&world).await;
    let trust = world.secret("cc-front", "voice-trust").await.expect("it is mounted");
    assert_eq!(crate::files::files(&trust).trusting(&authority), ["ca.crt", "servers-ca.crt"]);
    delete_pod(&world, &pod.name_any()).await;
    gone(&world, "voice-trust").await;
}
