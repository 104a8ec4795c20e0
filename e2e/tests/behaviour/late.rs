//! Watches that lag behind others: what cannot be taken back does not rest on what they have not told yet.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use subrosa_crds::Channel;
use subrosa_e2e::Tap;

use crate::world::{World, channel};

const NS: &str = "cc-legacy";

async fn policies(world: &World) -> usize {
    world.api::<NetworkPolicy>(NS).list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_staged_and_labelled_at_once_is_audited() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    world.governed("cc-other").await;
    world.apply(&channel("cc-other", "first", json!({}))).await;
    world.ready("cc-other", "first").await;

    tap.hold_back(Some("trustdomains"));
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["network"]["staged"] = json!([{"namespace": NS, "mode": "Audit", "until": "2099-01-01"}]);
    world.apply(&domain).await;
    world.governed(NS).await;
    world.apply(&channel(NS, "voice", json!({}))).await;
    world.not_ready(NS, "voice", "NamespacePending").await;
    assert_eq!(policies(&world).await, 0);
    let bindings = world.api::<RoleBinding>(NS).list(&ListParams::default()).await.unwrap();
    assert!(bindings.items.is_empty(), "{bindings:?}");

    tap.hold_back(None);
    world.not_ready(NS, "voice", "AuditMode").await;
    assert_eq!(policies(&world).await, 0, "it runs, and nobody has decided to enforce anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_stays_for_a_pod_that_was_just_made() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    world.governed(NS).await;
    world.apply(&channel(NS, "voice", json!({}))).await;
    world.ready(NS, "voice").await;

    tap.hold_back(Some("pods"));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "voice-0", "namespace": NS, "labels": {"app": "voice"}},
        "spec": {
            "containers": [{"name": "main", "image": "none"}],
            "volumes": [{"name": "tls", "secret": {"secretName": "voice-mtls"}}],
        },
    });
    world.service_account(NS, "default").await;
    world.apply(&pod).await;
    world.apply(&channel(NS, "voice", json!({"tls": {"secretName": "voice-other"}}))).await;
    world.ready(NS, "voice").await;
    world.event(NS, "voice", "SecretKept").await;
    assert!(world.secret(NS, "voice-mtls").await.is_some(), "without it the pod never starts");

    // As soon as its end is seen, the Secret goes.
    tap.hold_back(None);
    world.api::<Pod>(NS).delete("voice-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    world
        .until("voice-mtls is gone", || async {
            let found = world.api::<Secret>(NS).get_opt("voice-mtls").await.unwrap();
            found.map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_again_for_a_channel_that_is_gone() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    world.governed(NS).await;
    world.apply(&channel(NS, "voice", json!({}))).await;
    world.ready(NS, "voice").await;
    let issued = world.issuances(NS, "voice").await;

    // The garbage collector takes the Secret and the policy; that the Channel is gone is told last.
    tap.hold_back(Some("channels"));
    tap.reset();
    world.delete_channel(NS, "voice").await;
    world
        .until("the Secret and the policy are gone", || async {
            let secret = world.secret(NS, "voice-mtls").await.is_some();
            let policy = world.policy(NS, "subrosa-channel-voice").await.is_some();
            if secret || policy { Err(format!("Secret: {secret}, policy: {policy}")) } else { Ok(()) }
        })
        .await;
    world
        .until("the operator has looked at what is missing", || async {
            let log = world.log();
            if log.contains("not the one that the API server has") { Ok(()) } else { Err(log) }
        })
        .await;
    assert_eq!(world.issuances(NS, "voice").await, issued, "a certificate for one that is gone");
    let mut made = tap.writes();
    made.retain(|write| write.path.contains(NS));
    assert!(made.is_empty(), "{made:#?}");

    tap.hold_back(None);
    world.metrics_with("\nsubrosa_channels 0\n").await;
    assert!(world.secret(NS, "voice-mtls").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_told_closed_while_a_pod_has_it_that_no_watch_has_shown() {
    let tap = Tap::new();
    let world = World::start_behind(&tap).await;
    world.governed(NS).await;
    let listens = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "desk"}]});
    world.apply(&channel(NS, "voice", listens)).await;
    world.apply(&channel(NS, "desk", json!({"connectsTo": [{"name": "voice"}]}))).await;
    world.whole(NS, "voice").await;
    world.whole(NS, "desk").await;

    tap.hold_back(Some("pods"));
    world.service_account(NS, "default").await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "voice-0", "namespace": NS, "labels": {"app": "voice"}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }))
        .await;
    world.apply(&channel(NS, "desk", json!({}))).await;
    world.connection(NS, "voice", "desk", "Closing").await;
    world.opens(NS, "voice", &[]).await;
    let record = world.record(NS, "voice").await;
    assert_eq!(record["closing"].as_array().map(Vec::len), Some(1), "{record:#}");

    // Once it has ended, no pod has it.
    tap.hold_back(None);
    world.api::<Pod>(NS).delete("voice-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    let note = world.event(NS, "voice", "ConnectionClosed").await;
    assert!(note.contains("no pod of this Channel runs"), "{note}");
}

/// The garbage collector comes late, and finds that what the Channel that is gone left is the new one's.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_channel_left_is_taken_back_before_the_garbage_collector_comes() {
    let world = World::start().await;
    world.governed(NS).await;
    world.service_account(NS, "voice").await;
    let sealing = json!({"workload": {"serviceAccountName": "voice"}, "dataClasses": ["call-recording"]});
    let voice = channel(NS, "voice", sealing);
    world.apply(&voice).await;
    world.whole(NS, "voice").await;
    let before = (world.files(NS, "voice").await, world.api::<Channel>(NS).get("voice").await.unwrap().uid());

    let collector = world.env.control_plane().unwrap().pids()["kube-controller-manager"];
    let collector = Pid::from_raw(i32::try_from(collector).unwrap()).unwrap();
    kill_process(collector, Signal::STOP).unwrap();
    world.delete_channel(NS, "voice").await;
    world.apply(&voice).await;
    world.whole(NS, "voice").await;
    let uid = world.api::<Channel>(NS).get("voice").await.unwrap().uid().unwrap();
    assert_ne!(Some(&uid), before.1.as_ref());
    let secret = world.api::<Secret>(NS).get("voice-mtls").await.unwrap();
    let settings = world.api::<ConfigMap>(NS).get("voice-sealing").await.unwrap();
    let policy = world.api::<NetworkPolicy>(NS).get("subrosa-channel-voice").await.unwrap();
    for owners in [secret.owner_references(), settings.owner_references(), policy.owner_references()] {
        assert!(matches!(owners, [owner] if owner.uid == uid), "Ready, and it is another's: {owners:?}");
    }

    kill_process(collector, Signal::CONT).unwrap();
    // It deletes what it would, as it does with an object whose owner never was.
    let orphan = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "of-nobody", "namespace": NS,
            "ownerReferences": [{"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "name": "voice", "uid": before.1}],
        },
    });
    world.apply(&orphan).await;
    world
        .until("the garbage collector has come", || async {
            let found = world.api::<ConfigMap>(NS).get_opt("of-nobody").await.unwrap();
            found.map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;
    world.whole(NS, "voice").await;
    let after = world.api::<Secret>(NS).get("voice-mtls").await.unwrap();
    assert_eq!(after.uid(), secret.uid(), "it was not made again");
    assert_eq!(world.files(NS, "voice").await.get("tls.crt"), before.0.get("tls.crt"));
}
