//! Restarts for a renewed certificate: once a serial, within budgets, one annotation and nothing else.
//!
//! The deployment and the disruption controller do not run here, so these tests write what they would count.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    policy::v1::PodDisruptionBudget,
};
use serde_json::{Value, json};

use crate::{
    server::Server,
    stage::{Mount, NS, Stage, serial, served},
};

const ANNOTATION: &str = "subrosa.dev/restarted-for";

fn ip(number: u8) -> IpAddr {
    [127, 0, 8, number].into()
}

fn workload(kind: &str, name: &str, more: Value) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}, "annotations": {"team": "voice"}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        },
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": NS}, "spec": spec})
}

/// As the deployment controller counts; `updated` of `web`'s pods are of the newest template.
async fn rolled_out(stage: &Stage, updated: i32) {
    counted(stage, updated, 2).await;
}

async fn counted(stage: &Stage, updated: i32, ready: i32) {
    let generation = stage.api::<Deployment>().get("web").await.unwrap().metadata.generation;
    let status = json!({"status": {
        "observedGeneration": generation, "replicas": 2, "updatedReplicas": updated, "readyReplicas": ready,
        "availableReplicas": ready,
    }});
    stage.patch_status::<Deployment>("web", status).await;
}

/// A pod fails its readiness probe, after the controller has counted so.
async fn unready(stage: &Stage, pod: &str) {
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    stage.patch_status::<k8s_openapi::api::core::v1::Pod>(pod, status).await;
}

/// As the disruption controller counts.
async fn allows(stage: &Stage, disruptions: i32) {
    let status = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": disruptions, "currentHealthy": 2, "desiredHealthy": 1,
        "expectedPods": 2,
    }});
    stage.patch_status::<PodDisruptionBudget>("web-pdb", status).await;
}

async fn restarted_for(stage: &Stage) -> (Option<String>, Option<i64>) {
    let found = stage.api::<Deployment>().get("web").await.unwrap();
    let annotations = found.spec.template.metadata.unwrap().annotations.unwrap_or_default();
    (annotations.get(ANNOTATION).cloned(), found.metadata.generation)
}

fn spec(port: u16, common_name: &str) -> Value {
    json!({
        "workload": {"ref": {"kind": "Deployment", "name": "web"}},
        "listeners": [{"name": "tls", "port": port}],
        "tls": {"reload": "Restart", "commonName": common_name},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_restarts_the_workload_once_and_within_its_budget() {
    let mut stage = Stage::set().await;
    let (first, port) = Server::listen(ip(1), 0).await;
    let (second, _) = Server::listen(ip(2), port).await;
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    stage.apply(&workload("Deployment", "web", json!({"replicas": 2, "strategy": strategy}))).await;
    stage
        .apply(&json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web-pdb", "namespace": NS},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    rolled_out(&stage, 2).await;
    allows(&stage, 0).await;

    // The first certificate restarts nobody, though the pods were there before it.
    let long_ago = Timestamp::now() - SignedDuration::from_hours(1);
    for number in [1, 2] {
        stage.pod(&format!("web-{number}"), "web", ip(number), Mount::Whole, long_ago).await;
    }
    stage.channel("web", spec(port, "web")).await;
    let issued = stage.files("web", None).await;
    [&first, &second].iter().for_each(|server| server.load(&issued));
    stage.served("web", "True", "CurrentEverywhere").await;
    assert_eq!(restarted_for(&stage).await.0, None);

    // A renewal waits for the budget, which is told once.
    stage.channel("web", spec(port, "portal")).await;
    let renewed = stage.files("web", Some(&issued)).await;
    let held = stage.served("web", "False", "RestartHeld").await;
    assert!(served(&held).message.contains("PodDisruptionBudget web-pdb allows 0 disruptions"), "{held:?}");
    assert_eq!(restarted_for(&stage).await.0, None);
    let before = stage.api::<Deployment>().get("web").await.unwrap();
    allows(&stage, 1).await;
    let second_serial = serial(&held);
    stage
        .until("the restart", || async {
            let found = restarted_for(&stage).await.0;
            if found.as_ref() == Some(&second_serial) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    only_the_annotation_was_written(&before, &stage.api::<Deployment>().get("web").await.unwrap());
    let under_way = stage.served("web", "False", "StaleCertificate").await;
    assert!(served(&under_way).message.contains("Deployment web is being restarted"), "{under_way:?}");
    assert_eq!(stage.events("web", "RestartHeld").await.len(), 1);
    assert_eq!(stage.events("web", "WorkloadRestarted").await.len(), 1);

    // It is told once, wherever the operator ends.
    let generation = restarted_for(&stage).await;
    stage.kill_operator();
    stage.start_operator().await;
    stage.served("web", "False", "StaleCertificate").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(restarted_for(&stage).await, generation, "told again");

    // The controller's part: new pods with the new files.
    for number in [1, 2] {
        stage.delete_pod(&format!("web-{number}")).await;
    }
    [&first, &second].iter().for_each(|server| server.load(&renewed));
    for number in [1, 2] {
        let name = format!("web-new-{number}");
        stage.pod(&name, "web", ip(number), Mount::Whole, Timestamp::now()).await;
    }
    rolled_out(&stage, 2).await;
    stage.served("web", "True", "CurrentEverywhere").await;

    // Not while another rollout is under way.
    rolled_out(&stage, 1).await;
    stage.channel("web", spec(port, "front")).await;
    stage.files("web", Some(&renewed)).await;
    let held = stage.served("web", "False", "RestartAwaitsRollout").await;
    assert!(served(&held).message.contains("a rollout of Deployment web is under way"), "{held:?}");
    assert!(served(&held).message.contains("awaited until 20"), "{held:?}");

    // One that is not ready is waited for, until a time that is told.
    counted(&stage, 2, 1).await;
    unready(&stage, "web-new-1").await;
    let held = stage.served("web", "False", "RestartAwaitsPods").await;
    assert!(served(&held).message.contains("1 of 2 pods of Deployment web are ready"), "{held:?}");
    assert!(served(&held).message.contains("awaited until 20"), "{held:?}");

    // Where none is ready, as when the certificate of all has ended, no budget has anything to lose.
    allows(&stage, 0).await;
    counted(&stage, 2, 0).await;
    unready(&stage, "web-new-2").await;
    let third_serial = serial(&held);
    stage
        .until("the second restart", || async {
            let found = restarted_for(&stage).await.0;
            if found.as_ref() == Some(&third_serial) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
}

/// Everything but the annotation is as it was, and that is all the operator manages there.
fn only_the_annotation_was_written(before: &Deployment, after: &Deployment) {
    let without = |deployment: &Deployment| {
        let mut spec = serde_json::to_value(&deployment.spec).unwrap();
        spec["template"]["metadata"]["annotations"].as_object_mut().unwrap().remove(ANNOTATION);
        spec
    };
    assert_eq!(without(before), without(after));
    assert_eq!(before.metadata.annotations, after.metadata.annotations);
    let fields = after.metadata.managed_fields.clone().unwrap_or_default();
    let ours = fields
        .iter()
        .find(|one| one.manager.as_deref() == Some("subrosa"))
        .expect("an entry of the operator");
    let expected =
        json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {format!("f:{ANNOTATION}"): {}}}}}});
    assert_eq!(ours.fields_v1.as_ref().unwrap().0, expected);
}

/// The other kinds, and what may not be restarted by a Channel. No listener: the start of the containers tells.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_restarted_and_what_is_not_the_channels_is_not() {
    let stage = Stage::set().await;
    let long_ago = Timestamp::now() - SignedDuration::from_hours(1);
    let kinds = [
        ("StatefulSet", "db", json!({"replicas": 1, "serviceName": "db"})),
        ("DaemonSet", "sbc", json!({})),
        ("Deployment", "others", json!({"replicas": 1})),
    ];
    for (kind, name, more) in kinds {
        stage.apply(&workload(kind, name, more)).await;
    }
    let counted = json!({"status": {
        "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "currentRevision": "db-1", "updateRevision": "db-1", "currentReplicas": 1,
    }});
    stage.patch_status::<StatefulSet>("db", counted).await;
    let counted = json!({"status": {
        "observedGeneration": 1, "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberReady": 1,
        "updatedNumberScheduled": 1, "numberMisscheduled": 0, "numberAvailable": 1,
    }});
    stage.patch_status::<DaemonSet>("sbc", counted).await;
    let spec = |kind: &str, named: &str, common_name: &str| {
        json!({
            "workload": {"ref": {"kind": kind, "name": named}}, "tls": {"reload": "Restart", "commonName": common_name},
        })
    };
    let channels =
        [("db", "StatefulSet", "db"), ("sbc", "DaemonSet", "sbc"), ("thief", "Deployment", "others")];
    for (number, (channel, kind, named)) in (1..).zip(channels) {
        stage.pod(&format!("{channel}-0"), channel, ip(10 + number), Mount::Whole, long_ago).await;
        stage.channel(channel, spec(kind, named, "first")).await;
    }
    for (channel, kind, named) in channels {
        let issued = stage.files(channel, None).await;
        stage.channel(channel, spec(kind, named, "second")).await;
        stage.files(channel, Some(&issued)).await;
    }
    let told = |template: &k8s_openapi::api::core::v1::PodTemplateSpec| {
        let metadata = template.metadata.clone().unwrap_or_default();
        metadata.annotations.and_then(|annotations| annotations.get(ANNOTATION).cloned())
    };
    let current = async |name: &str| Some(serial(&stage.status(name, |_| true).await));
    stage
        .until("the StatefulSet's restart", || async {
            let found = told(&stage.api::<StatefulSet>().get("db").await.unwrap().spec.template);
            if found == current("db").await { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    stage
        .until("the DaemonSet's restart", || async {
            let found = told(&stage.api::<DaemonSet>().get("sbc").await.unwrap().spec.template);
            if found == current("sbc").await { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    let held = stage.served("thief", "False", "RestartHeld").await;
    assert!(served(&held).message.contains("are not selected by this Channel (app=thief)"), "{held:?}");
    let others = stage.api::<Deployment>().get("others").await.unwrap();
    assert_eq!(told(&others.spec.template), None);
}
