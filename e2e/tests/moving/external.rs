//! A certificate that somebody else issues: what is wrong with it is said, what is theirs is never touched, and
//! what is ours stays as long as a pod mounts it.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::condition;
use subrosa_e2e::wait;
use subrosa_plan::certificate::trust_files::NOBODY;

use crate::{
    enforce::assert_untouched,
    files::files,
    foreign::Issuer,
    world::{World, channel},
};

const NS: &str = "cc-front";

/// Another's Secret is not watched: until it is looked at again, two minutes may pass after several failures.
const UNASKED: Duration = Duration::from_secs(180);

fn voice(tls: Value) -> Value {
    let listeners = json!([{"name": "sips", "port": 5061}]);
    channel(NS, "voice", json!({"listeners": listeners, "accepts": [{"name": "chat"}], "tls": tls}))
}

/// Its own authority issues it.
fn own() -> Value {
    json!({"issuance": "Subrosa"})
}

fn external() -> Value {
    voice(json!({"issuance": "External", "secretName": "voice-tls"}))
}

/// A change of the Channel has the Secret read now: it accepts somebody more, who is not there.
fn looks_again(because: &str) -> Value {
    let mut changed = external();
    changed["spec"]["accepts"] = json!([{"name": "chat"}, {"name": because}]);
    changed
}

/// The Secret with a leaf of one issuance and the key of another.
fn mismatched(issuer: &Issuer) -> Value {
    let mut one = issuer.secret(NS, "voice-tls", "voice.cc-front.svc");
    let other = issuer.secret(NS, "voice-tls", "voice.cc-front.svc");
    one["stringData"]["tls.key"] = other["stringData"]["tls.key"].clone();
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_anothers_certificate_is_said_and_nothing_of_it_is_written() {
    let world = World::start().await;
    world.governed(NS).await;
    let issuer = Issuer::new("another issuer");
    world.apply(&external()).await;
    world.apply(&channel(NS, "chat", json!({"connectsTo": [{"name": "voice"}]}))).await;
    world.not_ready(NS, "voice", "ExternalSecretNotFound").await;
    // Its own authority is there nevertheless, and the peer trusts it: what comes later interrupts nothing.
    let authority = world.channel(NS, "voice", |status| status.authority.is_some()).await.authority.unwrap();
    world.ready(NS, "chat").await;
    let trusted = world.files_where(NS, "chat", |files| files.get("servers-ca.crt") != NOBODY).await;
    let before = trusted.get("servers-ca.crt").to_owned();
    let ours = files(&world.secret(NS, "voice-trust").await.unwrap());
    assert_eq!(ours.names(), ["ca.crt", "clients-ca.crt", "servers-ca.crt"], "no key, no certificate");

    world.apply(&mismatched(&issuer)).await;
    let by_itself = wait::channel(&world.admin, NS, "voice", UNASKED, |status| {
        wait::reason(status, condition::READY) == "ExternalKeyMismatch"
    });
    if let Err(error) = by_itself.await {
        panic!("{error:#}\n{}", world.log());
    }
    let told = world.not_ready(NS, "voice", "ExternalKeyMismatch").await;
    assert!(told.message.contains("voice-tls"), "{}", told.message);
    let mut torn = issuer.secret(NS, "voice-tls", "voice.cc-front.svc");
    torn["stringData"]["tls.crt"] = json!("-----BEGIN CERTIFICATE-----\n");
    world.apply(&torn).await;
    world.apply(&looks_again("one-more")).await;
    world.not_ready(NS, "voice", "ExternalSecretMalformed").await;
    world.apply(&issuer.secret_valid(NS, "voice-tls", "voice.cc-front.svc", -80, 10)).await;
    world.apply(&looks_again("yet-another")).await;
    let told = world.not_ready(NS, "voice", "ExternalCertificateExpiring").await;
    assert!(told.message.contains("voice-tls"), "{}", told.message);
    world.connection(NS, "voice", "chat", "Open").await;
    assert_untouched(&world.secret(NS, "voice-tls").await.unwrap());

    // Subrosa issues: the same authority, and not the other's Secret even if it is the one that is named.
    world.apply(&voice(json!({"secretName": "voice-tls"}))).await;
    world.not_ready(NS, "voice", "ForeignObject").await;
    assert!(
        world.secret(NS, "voice-trust").await.is_some(),
        "what is mounted stays while nothing replaces it"
    );
    assert_untouched(&world.secret(NS, "voice-tls").await.unwrap());
    world.apply(&voice(own())).await;
    let status = world.whole(NS, "voice").await;
    assert_eq!(status.authority.unwrap().fingerprint, authority.fingerprint);
    let after = world.files(NS, "chat").await;
    assert_eq!(after.get("servers-ca.crt"), before, "the peer trusted it already");
    assert_eq!(before.trim(), world.files(NS, "voice").await.authority());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_ours_stays_and_is_kept_true_while_a_pod_mounts_it() {
    let world = World::start().await;
    world.governed(NS).await;
    let issuer = Issuer::new("another issuer");
    world.apply(&issuer.secret(NS, "voice-tls", "voice.cc-front.svc")).await;
    world.apply(&voice(own())).await;
    world.apply(&channel(NS, "chat", json!({"connectsTo": [{"name": "voice"}]}))).await;
    world.whole(NS, "voice").await;
    world.whole(NS, "chat").await;
    let chat = world.files(NS, "chat").await.authority().to_owned();
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = world.api(NS);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "voice-1", "namespace": NS, "labels": {"app": "voice"}},
        "spec": {
            "containers": [{"name": "voice", "image": "voice"}],
            "volumes": [{"name": "tls", "projected": {"sources": [{"secret": {"name": "voice-mtls"}}]}}],
        },
    });
    world
        .until("a pod", || async {
            subrosa_e2e::installation::apply_object(&world.admin, &pod)
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}"))
        })
        .await;

    // Another issues from now on. What the pod mounts stays, and nothing new comes into it.
    let leaf = world.files(NS, "voice").await.get("tls.crt").to_owned();
    world.apply(&external()).await;
    let status = world
        .channel(NS, "voice", |status| {
            status
                .certificate
                .as_ref()
                .is_some_and(|certificate| certificate.secret_name.as_deref() == Some("voice-tls"))
        })
        .await;
    assert!(wait::is(&status, condition::CONNECTED), "{status:?}");
    let told = world.event(NS, "voice", "SecretKept").await;
    assert!(told.contains("voice-mtls") && told.contains("not renewed"), "{told}");
    let kept = world.files(NS, "voice").await;
    assert_eq!(kept.get("tls.crt"), leaf);
    assert_eq!(kept.trusting(&chat), ["ca.crt", "clients-ca.crt"]);

    // A withdrawal reaches both Secrets.
    world.apply(&channel(NS, "chat", json!({}))).await;
    world.files_where(NS, "voice", |files| files.trusting(&chat).is_empty()).await;
    world
        .until("voice-trust trusts chat no more", || async {
            let found = files(&world.secret(NS, "voice-trust").await.ok_or("there is none")?);
            if found.trusting(&chat).is_empty() { Ok(()) } else { Err("it does".to_owned()) }
        })
        .await;

    // The last pod that mounts it goes, and so does it.
    pods.delete("voice-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    world
        .until("voice-mtls is gone", || async {
            if world.secret(NS, "voice-mtls").await.is_none() {
                Ok(())
            } else {
                Err("it is there".to_owned())
            }
        })
        .await;
    assert_untouched(&world.secret(NS, "voice-tls").await.unwrap());

    // And back. The other's Secret is left to whoever made it.
    world.apply(&voice(own())).await;
    world
        .channel(NS, "voice", |status| {
            status
                .certificate
                .as_ref()
                .is_some_and(|certificate| certificate.secret_name.as_deref() == Some("voice-mtls"))
        })
        .await;
    world
        .until("voice-trust is gone", || async {
            if world.secret(NS, "voice-trust").await.is_none() {
                Ok(())
            } else {
                Err("it is there".to_owned())
            }
        })
        .await;
    assert_untouched(&world.secret(NS, "voice-tls").await.unwrap());
}
