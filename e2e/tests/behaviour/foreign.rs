//! What others own keeps its name: it is never taken over, and nothing else waits for it.

use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::ResourceExt as _;
use serde_json::json;
use subrosa_crds::condition;
use subrosa_e2e::wait;

use crate::{
    files::files,
    world::{World, channel},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn foreign_objects_are_never_taken_over() {
    let world = World::start().await;
    world.governed(NS).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "voice-mtls", "namespace": NS},
        "type": "Opaque", "stringData": {"password": "theirs"},
    });
    // Labels are no proof of ownership: anybody can write them.
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "subrosa-channel-chat", "namespace": NS, "labels": {"app.kubernetes.io/managed-by": "subrosa"}},
        "spec": {"podSelector": {"matchLabels": {"app": "else"}}, "policyTypes": ["Ingress"]},
    });
    world.apply(&secret).await;
    world.apply(&policy).await;
    let theirs = (
        world.api::<Secret>(NS).get("voice-mtls").await.unwrap().resource_version(),
        world.api::<NetworkPolicy>(NS).get("subrosa-channel-chat").await.unwrap().resource_version(),
    );
    let voice = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "chat"}], "dataClasses": ["call-recording"], "workload": {"serviceAccountName": "voice"}});
    world.service_account(NS, "voice").await;
    world.apply(&channel(NS, "voice", voice)).await;
    world.apply(&channel(NS, "chat", json!({"connectsTo": [{"name": "voice"}]}))).await;

    let told = world.not_ready(NS, "voice", "ForeignObject").await;
    assert!(
        told.message.contains("Secret cc-front/voice-mtls") && told.message.contains("rename or delete"),
        "{told:?}"
    );
    let told = world.not_ready(NS, "chat", "ForeignObject").await;
    assert!(told.message.contains("NetworkPolicy cc-front/subrosa-channel-chat"), "{told:?}");
    // Everything else of the Channel is in force.
    let status = world.channel(NS, "voice", |status| wait::is(status, condition::KEYS_READY)).await;
    assert!(status.certificate.is_none(), "there is no certificate to speak of");
    assert!(world.keys(&world.id(NS, "voice").await).await.len() >= 3);
    assert!(world.policy(NS, "subrosa-channel-voice").await.is_some());
    assert!(world.secret(NS, "chat-mtls").await.is_some(), "a policy's name does not hold up a certificate");
    assert_ne!(crate::world::connection(&status, "chat"), Some("Open"), "not with that policy");
    let still = (
        world.api::<Secret>(NS).get("voice-mtls").await.unwrap().resource_version(),
        world.api::<NetworkPolicy>(NS).get("subrosa-channel-chat").await.unwrap().resource_version(),
    );
    assert_eq!(still, theirs, "never touched");
    // Creating the Secret told that the name is taken: the one certificate that was to stand in it is nobody's.
    assert_eq!(world.issuances(NS, "voice").await, ["Missing"], "and nothing more is issued for it");

    world.delete_secret(NS, "voice-mtls").await;
    world.delete_policy(NS, "subrosa-channel-chat").await;
    world.whole(NS, "voice").await;
    world.whole(NS, "chat").await;
    let files = world.files(NS, "voice").await;
    assert_eq!(files.trusting(world.files(NS, "chat").await.authority()), ["ca.crt", "clients-ca.crt"]);
    world.opens(NS, "chat", &["to cc-front:app=voice TCP/5061"]).await;
    world.opens(NS, "voice", &["from cc-front:app=chat TCP/5061"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_renamed_and_nothing_is_left_behind() {
    let world = World::start().await;
    world.governed(NS).await;
    let taken = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "taken", "namespace": NS}, "stringData": {"a": "theirs"},
    });
    world.apply(&taken).await;
    let voice = |tls: serde_json::Value| {
        channel(
            NS,
            "voice",
            json!({
                "listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "chat"}, {"name": "sms"}], "tls": tls,
            }),
        )
    };
    let client = |name: &str| channel(NS, name, json!({"connectsTo": [{"name": "voice"}]}));
    world.apply(&voice(json!({}))).await;
    world.apply(&client("chat")).await;
    world.apply(&client("sms")).await;
    for name in ["voice", "chat", "sms"] {
        world.whole(NS, name).await;
    }
    let first = world.files(NS, "voice").await;
    let chat = world.files(NS, "chat").await.authority().to_owned();
    let sms = world.files(NS, "sms").await.authority().to_owned();

    world.apply(&voice(json!({"secretName": "taken"}))).await;
    world.not_ready(NS, "voice", "ForeignObject").await;
    assert_eq!(world.files(NS, "voice").await.0, first.0, "what is mounted stays");
    // A withdrawal reaches the Secret that is mounted, whatever the new name does.
    world.apply(&channel(NS, "chat", json!({}))).await;
    let narrowed = world.files_where(NS, "voice", |files| files.trusting(&chat).is_empty()).await;
    assert_eq!(narrowed.trusting(&sms), ["ca.crt", "clients-ca.crt"]);
    world.opens(NS, "voice", &["from cc-front:app=sms TCP/5061"]).await;

    world.apply(&voice(json!({"secretName": "fresh"}))).await;
    let status = world.ready(NS, "voice").await;
    assert_eq!(status.certificate.unwrap().secret_name.as_deref(), Some("fresh"));
    let fresh = files(&world.secret(NS, "fresh").await.unwrap());
    assert_eq!(fresh.authority(), first.authority());
    assert_eq!(fresh.trusting(&sms), ["ca.crt", "clients-ca.crt"]);
    world
        .until("the old Secret is gone", || async {
            if world.secret(NS, "voice-mtls").await.is_none() {
                Ok(())
            } else {
                Err("it is there".to_owned())
            }
        })
        .await;
    let untouched = files(&world.secret(NS, "taken").await.unwrap());
    assert_eq!(untouched.get("a"), "theirs");
}
