//! A withdrawn connection is told closed when it is: not while its policy still has it, and not before the certificates
//! that are really presented have ended.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    tampering::Impostor,
    world::{DOMAIN, World, channel, connection},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_told_closed_when_it_is() {
    let world = World::start().await;
    world.governed(NS).await;
    a_policy_that_cannot_be_narrowed_is_no_closed_connection(&world).await;
    a_certificate_of_somebody_else_is_waited_for(&world).await;
}

async fn closed(world: &World, name: &str) -> bool {
    let events = world.api::<Event>(NS).list(&Default::default()).await.unwrap();
    let of_it = |event: &&Event| event.regarding.as_ref().and_then(|one| one.name.as_deref()) == Some(name);
    events.items.iter().filter(of_it).any(|event| event.reason.as_deref() == Some("ConnectionClosed"))
}

fn voice() -> Value {
    channel(NS, "voice", json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]}))
}

/// Whether nobody may change the policy of voice.
async fn frozen(world: &World, frozen: bool) {
    const NAME: &str = "frozen-voice";
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.admin.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    if frozen {
        let rule = json!({
            "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["networkpolicies"], "resourceNames": ["subrosa-channel-voice"],
        });
        world
            .apply(&json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": NAME},
                "spec": {
                    "matchConstraints": {"resourceRules": [rule]},
                    "validations": [{"expression": "false", "message": "frozen by a test"}],
                },
            }))
            .await;
        world
            .apply(&json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": NAME}, "spec": {"policyName": NAME, "validationActions": ["Deny"]},
            }))
            .await;
    } else {
        bindings.delete(NAME, &DeleteParams::default()).await.unwrap();
        policies.delete(NAME, &DeleteParams::default()).await.unwrap();
    }
    let tried = Patch::Merge(json!({"metadata": {"annotations": {"tried": "once"}}}));
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    world
        .until("the policy of voice is frozen, or not", || async {
            let refused =
                world.api::<NetworkPolicy>(NS).patch("subrosa-channel-voice", &params, &tried).await.is_err();
            if refused == frozen { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
}

async fn a_policy_that_cannot_be_narrowed_is_no_closed_connection(world: &World) {
    let from_ivr = "from cc-front:app=ivr TCP/5061";
    world.apply(&voice()).await;
    world.apply(&channel(NS, "ivr", json!({"connectsTo": [{"name": "voice"}]}))).await;
    world.whole(NS, "voice").await;
    world.whole(NS, "ivr").await;
    frozen(world, true).await;
    world.apply(&channel(NS, "ivr", json!({}))).await;
    let status = world.channel(NS, "voice", |status| connection(status, "ivr") == Some("Closing")).await;
    let reason = status.connections[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("still have it"), "{reason}");
    world.opens(NS, "voice", &[from_ivr]).await;
    let record = world.record(NS, "voice").await;
    assert_eq!(record["open"][0]["name"], json!("ivr"), "{record:#}");
    assert_eq!(record.get("closing"), None, "{record:#}");
    assert!(!closed(world, "voice").await, "its policy lets ivr in");

    frozen(world, false).await;
    world.opens(NS, "voice", &[]).await;
    let note = world.event(NS, "voice", "ConnectionClosed").await;
    assert!(note.ends_with("ivr with Channel cc-front/ivr: no pod of this Channel runs"), "{note}");
    let record = world.record(NS, "voice").await;
    assert_eq!((record.get("open"), record.get("closing")), (None, None), "{record:#}");
}

async fn a_certificate_of_somebody_else_is_waited_for(world: &World) {
    let theirs = Impostor::of(NS, "desk", DOMAIN);
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": NS},
            "stringData": {"tls.crt": theirs.chain, "tls.key": theirs.key},
        })
    };
    let desk = |accepts: &[&str]| {
        let accepts: Vec<_> = accepts.iter().map(|name| json!({"name": name})).collect();
        let listeners = json!([{"name": "https", "port": 8443}]);
        let tls = json!({"issuance": "External", "secretName": "desk-tls"});
        channel(NS, "desk", json!({"listeners": listeners, "accepts": accepts, "tls": tls}))
    };
    world.apply(&secret("desk-tls")).await;
    world.service_account(NS, "default").await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "desk-0", "namespace": NS, "labels": {"app": "desk"}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }))
        .await;
    world.apply(&desk(&["sms", "mail"])).await;
    for name in ["sms", "mail"] {
        world.apply(&channel(NS, name, json!({"connectsTo": [{"name": "desk"}]}))).await;
    }
    let status = world.whole(NS, "desk").await;
    let ends = status.certificate.unwrap().not_after;

    world.apply(&desk(&["mail"])).await;
    world.connection(NS, "desk", "sms", "Closing").await;
    let record = world.record(NS, "desk").await;
    assert_eq!(record["closing"][0]["until"], json!(ends), "{record:#}");

    // Which certificate is presented is not known: that is waited for, too.
    world.delete_secret(NS, "desk-tls").await;
    world.apply(&desk(&[])).await;
    world.connection(NS, "desk", "mail", "Closing").await;
    let record = world.record(NS, "desk").await;
    let closing = record["closing"].as_array().unwrap();
    assert_eq!((closing.len(), closing[1].get("until")), (2, None), "{record:#}");
    assert!(!closed(world, "desk").await);
}
