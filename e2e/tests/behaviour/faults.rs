//! What only the operator can see to be wrong: a stable reason, the next step, nothing lost, and healed by
//! putting it right.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use subrosa::execute::certificate::{self, Leaf};
use subrosa_crds::{Channel, Reason, TRUST_DOMAIN_LABEL, condition};
use subrosa_e2e::{installation::retention_policy, wait};
use subrosa_plan::{
    certificate::{TrustSources, trust_files},
    world::declaration::Declaration,
};

use crate::{
    openssl,
    world::{DOMAIN, World, channel, connection},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn declarations_that_cannot_be_followed() {
    let world = World::start().await;
    let pid = world.operator_pid();
    world.governed(NS).await;
    world.service_account(NS, "voice").await;
    a_namespace_needs_a_trust_domain(&world).await;
    a_bad_edit_loses_nothing(&world).await;
    retention_has_to_be_allowed_and_there(&world).await;
    a_missing_account_is_named(&world).await;
    names_have_to_be_allowed(&world).await;
    the_older_of_two_keeps_what_both_want(&world).await;
    assert_eq!(world.operator_pid(), pid, "all of it healed without a restart");
}

async fn a_namespace_needs_a_trust_domain(world: &World) {
    world.env.create_namespace("cc-new", &[]).await.unwrap();
    world.apply(&channel("cc-new", "chat", json!({}))).await;
    let told = world.stalled("cc-new", "chat", "NamespaceNotGoverned").await;
    assert!(told.message.contains("label it subrosa.dev/trust-domain="), "{told:?}");
    assert!(world.secret("cc-new", "chat-mtls").await.is_none());
    assert!(world.policy("cc-new", "subrosa-channel-chat").await.is_none());
    world.label("cc-new", json!({TRUST_DOMAIN_LABEL: "nowhere"})).await;
    let told = world.stalled("cc-new", "chat", "TrustDomainNotFound").await;
    assert!(told.message.contains("no TrustDomain nowhere"), "{told:?}");
    assert!(world.policy("cc-new", "subrosa-default-deny").await.is_none());
    world.label("cc-new", json!({TRUST_DOMAIN_LABEL: DOMAIN})).await;
    world.whole("cc-new", "chat").await;
    assert!(world.secret("cc-new", "chat-mtls").await.is_some());
    assert!(world.policy("cc-new", "subrosa-default-deny").await.is_some());
}

fn voice(more: Value) -> Value {
    let mut manifest = channel(
        NS,
        "voice",
        json!({
            "workload": {"serviceAccountName": "voice"}, "dataClasses": ["call-recording"],
            "listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}],
        }),
    );
    if let (Some(spec), Value::Object(more)) = (manifest["spec"].as_object_mut(), more) {
        spec.extend(more);
    }
    manifest
}

fn ivr() -> Value {
    channel(NS, "ivr", json!({"connectsTo": [{"name": "voice"}]}))
}

async fn a_bad_edit_loses_nothing(world: &World) {
    world.apply(&voice(json!({}))).await;
    world.apply(&ivr()).await;
    world.whole(NS, "voice").await;
    world.whole(NS, "ivr").await;
    let (files, policy) = (world.files(NS, "voice").await, world.channel_policy(NS, "voice").await);
    let others = (world.files(NS, "ivr").await, world.channel_policy(NS, "ivr").await);
    let record = world.record(NS, "voice").await;
    world.service_account(NS, "another").await;
    let bad = voice(
        json!({"dataClasses": ["call-recordings"], "tls": {"secretName": "moved", "commonName": "moved", "keyAlgorithm": "ECDSA-P384"},
        "workload": {"selector": {"matchLabels": {"app": "voice"}}, "serviceAccountName": "another"}}),
    );
    world.apply(&bad).await;
    let told = world.stalled(NS, "voice", "UnknownDataClass").await;
    assert!(
        told.message.contains("spec.dataClasses") && told.message.contains("call-recording, chat-log"),
        "{told:?}"
    );
    assert_eq!(world.files(NS, "voice").await.0, files.0);
    assert_eq!(world.channel_policy(NS, "voice").await, policy);
    assert_eq!(world.files(NS, "ivr").await.0, others.0.0, "nor does the peer lose it");
    assert_eq!(world.channel_policy(NS, "ivr").await, others.1);
    assert_eq!(world.record(NS, "voice").await["access"], record["access"]);
    let status = world.channel(NS, "ivr", |_| true).await;
    assert_eq!(connection(&status, "voice"), Some("Open"));

    // What it takes back is closed all the same, and nothing new opens.
    world.apply(&voice(json!({"dataClasses": ["call-recordings"], "accepts": [{"name": "chat"}]}))).await;
    world.apply(&channel(NS, "chat", json!({"connectsTo": [{"name": "voice"}]}))).await;
    world.opens(NS, "voice", &[]).await;
    world.opens(NS, "ivr", &[]).await;
    let ca = others.0.authority().to_owned();
    world.files_where(NS, "voice", |files| files.trusting(&ca).is_empty()).await;
    let status = world.connection(NS, "chat", "voice", "AwaitingConsent").await;
    assert!(
        status.connections[0].reason.as_deref().is_some_and(|reason| reason.contains("Stalled")),
        "{status:?}"
    );
    world.opens(NS, "chat", &[]).await;

    // While Stalled the leaf is kept alive.
    let deleted = world.secret(NS, "voice-mtls").await.unwrap();
    world.delete_secret(NS, "voice-mtls").await;
    its_private_key_does_not_come_back(world, &deleted).await;
    world
        .files_where(NS, "voice", |now| {
            now.authority() == files.authority() && now.get("tls.crt") != files.get("tls.crt")
        })
        .await;
    world.stalled(NS, "voice", "UnknownDataClass").await;
    world.delete_channel(NS, "chat").await;
    world.apply(&voice(json!({}))).await;
    world.whole(NS, "voice").await;
    world.whole(NS, "ivr").await;
}

/// A reconcile that read a Secret before somebody deleted it writes its trust files a moment later.
async fn its_private_key_does_not_come_back(world: &World, deleted: &Secret) {
    let channel = world.api::<Channel>(NS).get("voice").await.unwrap();
    let (declared, secrets) = (Declaration::of(Arc::new(channel)), world.api(NS));
    let (files, _) = trust_files(&TrustSources::default());
    let written = certificate::write(&secrets, &declared, "voice-mtls", Leaf::Kept(deleted), &files).await;
    assert_eq!(written.map(drop).unwrap_err().reason, Reason::KubernetesConflict);
    let now = world.secret(NS, "voice-mtls").await;
    assert_ne!(now.and_then(|now| now.metadata.uid), deleted.metadata.uid);
}

async fn retention_has_to_be_allowed_and_there(world: &World) {
    let before = world.channel_policy(NS, "voice").await;
    world.apply(&voice(json!({"retentionPolicy": "clinic"}))).await;
    let told = world.stalled(NS, "voice", "RetentionPolicyForbidden").await;
    assert!(told.message.contains("allows contactcenter, not clinic"), "{told:?}");
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["retentionPolicies"] = json!(["contactcenter", "clinic"]);
    world.apply(&domain).await;
    let told = world.stalled(NS, "voice", "RetentionPolicyNotFound").await;
    assert!(told.message.contains("no RetentionPolicy clinic"), "{told:?}");
    let mut clinic = retention_policy();
    clinic["metadata"]["name"] = json!("clinic");
    clinic["spec"]["classes"] = json!([{"name": "dossier", "keep": "20y"}]);
    world.apply(&clinic).await;
    let told = world.stalled(NS, "voice", "UnknownDataClass").await;
    assert!(told.message.contains("RetentionPolicy clinic"), "{told:?}");
    clinic["spec"]["classes"] =
        json!([{"name": "dossier", "keep": "20y"}, {"name": "call-recording", "keep": "30d"}]);
    world.apply(&clinic).await;
    world.whole(NS, "voice").await;
    assert_eq!(world.channel_policy(NS, "voice").await, before);
    world.apply(&voice(json!({}))).await;
    world.whole(NS, "voice").await;
}

async fn a_missing_account_is_named(world: &World) {
    let spec = json!({"workload": {"serviceAccountName": "scribe"}, "dataClasses": ["chat-log"]});
    world.apply(&channel(NS, "scribe", spec)).await;
    let told = world.not_ready(NS, "scribe", "ServiceAccountNotFound").await;
    assert!(told.message.contains("ServiceAccount scribe in namespace cc-front: create it"), "{told:?}");
    let status = world.channel(NS, "scribe", |status| wait::is(status, condition::KEYS_READY)).await;
    assert!(status.certificate.is_some(), "the rest of it does not wait");
    assert!(world.policy(NS, "subrosa-channel-scribe").await.is_some());
    let uid = world.service_account(NS, "scribe").await;
    world.whole(NS, "scribe").await;
    assert_eq!(world.record(NS, "scribe").await["access"]["serviceAccountUid"], uid);
}

async fn names_have_to_be_allowed(world: &World) {
    let web = || {
        channel(
            NS,
            "web",
            json!({"tls": {"dnsNames": ["chat.oosterlinde.example", "*.edge.oosterlinde.example"]}}),
        )
    };
    world.apply(&web()).await;
    let told = world.stalled(NS, "web", "DNSNameNotAllowed").await;
    assert!(
        told.message.contains("chat.oosterlinde.example") && told.message.contains("allowedDNSSuffixes"),
        "{told:?}"
    );
    assert!(world.secret(NS, "web-mtls").await.is_none(), "nothing is made for it");
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["certificateAuthority"] = json!({"allowedDNSSuffixes": ["oosterlinde.example"]});
    domain["spec"]["retentionPolicies"] = json!(["contactcenter", "clinic"]);
    world.apply(&domain).await;
    world.whole(NS, "web").await;
    let directory = world.mounted(NS, "web").await;
    let path = directory.join("tls.crt");
    let (_, text) =
        openssl::run(&["x509", "-noout", "-ext", "subjectAltName", "-in", path.to_str().unwrap()]);
    assert!(
        text.contains("DNS:chat.oosterlinde.example") && text.contains("DNS:*.edge.oosterlinde.example"),
        "{text}"
    );

    let named = |name: &str| channel(NS, "named", json!({"tls": {"commonName": name}}));
    world.apply(&named("bank.example")).await;
    let told = world.stalled(NS, "named", "CommonNameNotAllowed").await;
    assert!(
        told.message.contains("spec.tls.commonName: bank.example") && told.message.contains("cc-front.svc"),
        "{told:?}"
    );
    assert!(world.secret(NS, "named-mtls").await.is_none());
    world.apply(&named("named.cc-front.svc")).await;
    world.whole(NS, "named").await;
    world.apply(&named("bank.example")).await;
    world.stalled(NS, "named", "CommonNameNotAllowed").await;
    world.apply(&named("named")).await;
    world.whole(NS, "named").await;
    assert_eq!(
        world.issuances(NS, "named").await,
        ["Missing", "NamesChanged"],
        "what is refused costs no issuance"
    );

    let long = channel(NS, "long", json!({"tls": {"duration": "100d"}}));
    world.apply(&long).await;
    let told = world.stalled(NS, "long", "DurationTooLong").await;
    assert!(told.message.contains("write at most 91d"), "{told:?}");
}

async fn the_older_of_two_keeps_what_both_want(world: &World) {
    let older = world.whole(NS, "voice").await;
    let (files, policy) = (world.files(NS, "voice").await, world.channel_policy(NS, "voice").await);
    let rivals = [
        (
            "pods",
            "WorkloadConflict",
            json!({"workload": {"selector": {"matchLabels": {"app": "voice", "tier": "edge"}}}}),
        ),
        (
            "account",
            "ServiceAccountConflict",
            json!({"workload": {"serviceAccountName": "voice"}, "dataClasses": ["chat-log"]}),
        ),
        ("secret", "SecretConflict", json!({"tls": {"secretName": "voice-mtls"}})),
    ];
    for (name, reason, spec) in &rivals {
        world.apply(&channel(NS, name, spec.clone())).await;
        let told = world.stalled(NS, name, reason).await;
        assert!(
            told.message.contains("Channel voice ") && told.message.contains("the older one keeps"),
            "{told:?}"
        );
        assert!(world.policy(NS, &format!("subrosa-channel-{name}")).await.is_none(), "{name}");
        assert!(world.secret(NS, &format!("{name}-mtls")).await.is_none(), "{name}");
    }
    let status = world.whole(NS, "voice").await;
    assert_eq!(status.certificate.unwrap().serial, older.certificate.unwrap().serial);
    assert_eq!(world.files(NS, "voice").await.0, files.0);
    assert_eq!(world.channel_policy(NS, "voice").await, policy);
    world.delete_channel(NS, "ivr").await;
    world.delete_channel(NS, "voice").await;
    for (name, _, _) in &rivals {
        world.whole(NS, name).await;
        assert!(world.policy(NS, &format!("subrosa-channel-{name}")).await.is_some(), "{name}");
    }
    assert!(world.secret(NS, "voice-mtls").await.is_some(), "now the other's");
}
