//! What only the operator can see to be wrong: a stable reason, the next step, nothing lost, and healed by
//! putting it right.

use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::{TRUST_DOMAIN_LABEL, condition};
use subrosa_e2e::{installation::retention_policy, wait};

use crate::{
    openssl,
    world::{DOMAIN, World, channel, connection, opened, tcp},
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_around_a_channel() {
    let world = World::start().await;
    let pid = world.operator_pid();
    world.governed(NS).await;
    a_namespace_that_lost_its_label_is_frozen(&world).await;
    foreign_policies_that_widen_are_named(&world).await;
    pods_on_the_nodes_network_are_named(&world).await;
    pods_of_two_channels_are_the_olders(&world).await;
    a_staged_namespace_is_only_reported(&world).await;
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
    let ledger = world.ledger(NS, "voice").await;
    world.service_account(NS, "another").await;
    let bad = voice(json!({"dataClasses": ["call-recordings"], "tls": {"secretName": "moved"},
        "workload": {"selector": {"matchLabels": {"app": "voice"}}, "serviceAccountName": "another"}}));
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
    assert_eq!(world.ledger(NS, "voice").await["access"], ledger["access"]);
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
    world.delete_secret(NS, "voice-mtls").await;
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
    assert_eq!(world.ledger(NS, "scribe").await["access"]["serviceAccountUid"], uid);
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
        assert!(told.message.contains("Channel voice is older"), "{told:?}");
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

async fn pods_of_two_channels_are_the_olders(world: &World) {
    world
        .apply(&channel(NS, "edge", json!({"workload": {"selector": {"matchLabels": {"app": "edge"}}}})))
        .await;
    world.whole(NS, "edge").await;
    // The API server tells age by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let newer = json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "tier", "namespace": NS},
        "spec": {"workload": {"selector": {"matchLabels": {"tier": "front"}}}}});
    world.apply(&newer).await;
    world.whole(NS, "tier").await;
    let (policy, files) = (world.channel_policy(NS, "tier").await, world.files(NS, "tier").await);
    let mut both = pod(NS, "edge-0", "edge", false);
    both["metadata"]["labels"]["tier"] = json!("front");
    world.apply(&both).await;
    let told = world.stalled(NS, "tier", "WorkloadConflict").await;
    assert!(told.message.contains("Channel edge is older and selects pod edge-0 too"), "{told:?}");
    world.whole(NS, "edge").await;
    assert_eq!(world.channel_policy(NS, "tier").await, policy, "what protects it stays");
    assert_eq!(world.files(NS, "tier").await.0, files.0);
    world.api::<Pod>(NS).delete("edge-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    world.whole(NS, "tier").await;
}

async fn a_namespace_that_lost_its_label_is_frozen(world: &World) {
    const COLD: &str = "cc-cold";
    world.governed(COLD).await;
    for name in ["server", "kept", "withdrawn"] {
        world.service_account(COLD, name).await;
    }
    let server = |accepts: Value| {
        channel(
            COLD,
            "server",
            json!({
                "listeners": [{"name": "https", "port": 443}], "accepts": accepts,
                "workload": {"serviceAccountName": "server"}, "dataClasses": ["chat-log"],
            }),
        )
    };
    let client = |name: &str| channel(COLD, name, json!({"connectsTo": [{"name": "server"}]}));
    world.apply(&server(json!([{"name": "kept"}, {"name": "withdrawn"}]))).await;
    world.apply(&client("kept")).await;
    world.apply(&client("withdrawn")).await;
    world.whole(COLD, "server").await;
    let withdrawn = world.files(COLD, "withdrawn").await.authority().to_owned();
    let before = world.files(COLD, "server").await;

    world.label(COLD, json!({TRUST_DOMAIN_LABEL: null})).await;
    let told = world.not_ready(COLD, "server", "NamespaceFrozen").await;
    assert!(told.message.contains("label it again"), "{told:?}");
    world.not_ready(COLD, "kept", "NamespaceFrozen").await;
    let (kept, gone) = ("from cc-cold:app=kept TCP/443", "from cc-cold:app=withdrawn TCP/443");
    world.opens(COLD, "server", &[kept, gone]).await;
    assert!(world.policy(COLD, "subrosa-default-deny").await.is_some());
    // Renewals go on, withdrawals go on, nothing new opens.
    world.delete_secret(COLD, "server-mtls").await;
    world.files_where(COLD, "server", |files| files.authority() == before.authority()).await;
    world.apply(&server(json!([{"name": "kept"}, {"name": "new"}]))).await;
    world.apply(&client("new")).await;
    world.opens(COLD, "server", &[kept]).await;
    world.opens(COLD, "withdrawn", &[]).await;
    world.files_where(COLD, "server", |files| files.trusting(&withdrawn).is_empty()).await;
    world.not_ready(COLD, "server", "NamespaceFrozen").await;
    assert!(world.secret(COLD, "new-mtls").await.is_none());
    assert!(world.policy(COLD, "subrosa-channel-new").await.is_none_or(|policy| opened(&policy).is_empty()));
    assert!(world.ledger(COLD, "server").await["access"].is_object());

    world.label(COLD, json!({TRUST_DOMAIN_LABEL: DOMAIN})).await;
    world.whole(COLD, "server").await;
    world.whole(COLD, "new").await;
    world.opens(COLD, "server", &[kept, "from cc-cold:app=new TCP/443"]).await;
}

async fn foreign_policies_that_widen_are_named(world: &World) {
    let listening = channel(
        NS,
        "voice",
        json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]}),
    );
    world.apply(&listening).await;
    world.apply(&ivr()).await;
    world.whole(NS, "voice").await;
    let foreign = |name: &str, spec: Value| json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": NS}, "spec": spec});
    let within = json!({"from": [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NS}}, "podSelector": {"matchLabels": {"app": "ivr"}},
    }], "ports": [tcp(5061)]});
    world
        .apply(&foreign(
            "same",
            json!({"podSelector": {"matchLabels": {"app": "voice"}}, "ingress": [within]}),
        ))
        .await;
    world
        .apply(&foreign(
            "elsewhere",
            json!({"podSelector": {"matchLabels": {"app": "other"}}, "ingress": [{}]}),
        ))
        .await;
    world
        .apply(&foreign(
            "monitoring",
            json!({
                "podSelector": {"matchLabels": {"app": "voice"}}, "policyTypes": ["Ingress"],
                "ingress": [within, {"from": [{"namespaceSelector": {}}], "ports": [tcp(9090)]}],
            }),
        ))
        .await;
    let told = world.not_ready(NS, "voice", "ForeignPolicy").await;
    assert!(
        told.message.contains("monitoring ingress[1]")
            && told.message.contains("delete NetworkPolicy monitoring"),
        "{told:?}"
    );
    assert!(
        !told.message.contains("same")
            && !told.message.contains("elsewhere")
            && !told.message.contains("ingress[0]"),
        "{told:?}"
    );
    let status = world
        .channel(NS, "voice", |status| wait::reason(status, condition::ISOLATED) == "ForeignPolicy")
        .await;
    let isolated = condition::find(&status.conditions, condition::ISOLATED).unwrap();
    assert_eq!(isolated.status, "False");
    world.event(NS, "voice", "ForeignPolicy").await;
    let still = world.policy(NS, "monitoring").await;
    assert!(
        still.is_some_and(|policy| policy.ingress.unwrap_or_default().len() == 2),
        "others' policies are theirs"
    );
    world.ready(NS, "ivr").await;
    world.api::<NetworkPolicy>(NS).delete("monitoring", &DeleteParams::default()).await.unwrap();
    let status = world.whole(NS, "voice").await;
    assert_eq!(wait::reason(&status, condition::ISOLATED), "PoliciesApplied");
    assert_eq!(wait::reason(&status, condition::READY), "InForceUnproven");
    assert_eq!(condition::find(&status.conditions, condition::ISOLATED).unwrap().status, "Unknown");
    assert_eq!(wait::reason(&status, condition::SERVED), "NotProbed");
    assert!(condition::find(&status.conditions, condition::RECONCILING).is_none());
    assert!(condition::find(&status.conditions, condition::STALLED).is_none());
}

fn pod(namespace: &str, name: &str, app: &str, host: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {"hostNetwork": host, "containers": [{"name": "main", "image": "none"}]},
    })
}

async fn pods_on_the_nodes_network_are_named(world: &World) {
    world.apply(&pod(NS, "voice-0", "voice", false)).await;
    world.apply(&pod(NS, "voice-1", "voice", true)).await;
    let told = world.not_ready(NS, "voice", "HostNetworkPods").await;
    assert!(told.message.contains("voice-1") && !told.message.contains("voice-0"), "{told:?}");
    world.api::<Pod>(NS).delete("voice-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    world.whole(NS, "voice").await;
}

async fn a_staged_namespace_is_only_reported(world: &World) {
    const OLD: &str = "cc-legacy";
    let staged = |mode: &str| {
        let mut domain = world.installed.trust_domain(&world.env);
        domain["spec"]["network"]["staged"] =
            json!([{"namespace": OLD, "mode": mode, "until": "2099-01-31"}]);
        domain
    };
    world.apply(&staged("Audit")).await;
    world.governed(OLD).await;
    world.apply(&pod(OLD, "mail-0", "mail", false)).await;
    world.apply(&pod(OLD, "fax-0", "fax", false)).await;
    world
        .apply(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "as-it-was", "namespace": OLD},
            "spec": {"podSelector": {}, "ingress": [{"ports": [tcp(25)]}]},
        }))
        .await;
    let mail = || {
        channel(
            OLD,
            "mail",
            json!({
                "listeners": [{"name": "smtps", "port": 465}], "accepts": [{"name": "voice", "namespace": NS}],
            }),
        )
    };
    world.apply(&mail()).await;
    let told = world.not_ready(OLD, "mail", "AuditMode").await;
    assert!(!told.message.is_empty());
    let status =
        world.channel(OLD, "mail", |status| wait::reason(status, condition::ISOLATED) == "AuditMode").await;
    let isolated = condition::find(&status.conditions, condition::ISOLATED).unwrap();
    assert_eq!(isolated.status, "False");
    for part in ["1 pods belong to no Channel (fax-0)", "as-it-was ingress[0]", "Traffic cannot be seen"] {
        assert!(isolated.message.contains(part), "{part}: {isolated:?}");
    }
    assert!(status.certificate.is_some(), "certificates are issued all the same");
    assert!(world.secret(OLD, "mail-mtls").await.is_some());
    let policies = world.api::<NetworkPolicy>(OLD).list(&Default::default()).await.unwrap().items;
    assert_eq!(policies.len(), 1, "only theirs: {policies:?}");

    world.api::<NetworkPolicy>(OLD).delete("as-it-was", &DeleteParams::default()).await.unwrap();
    world.apply(&staged("Enforce")).await;
    world.ready(OLD, "mail").await;
    assert!(world.policy(OLD, "subrosa-default-deny").await.is_some());
    world.opens(OLD, "mail", &[]).await;
    // Back to Audit: what exists stays, and withdrawals still apply.
    let voice = channel(
        NS,
        "voice",
        json!({
            "listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}],
            "connectsTo": [{"name": "mail", "namespace": OLD}],
        }),
    );
    world.apply(&voice).await;
    world.whole(NS, "voice").await;
    world.opens(OLD, "mail", &["from cc-front:app=voice TCP/465"]).await;
    world.apply(&staged("Audit")).await;
    world.not_ready(OLD, "mail", "AuditMode").await;
    world.opens(OLD, "mail", &["from cc-front:app=voice TCP/465"]).await;
    assert!(world.policy(OLD, "subrosa-default-deny").await.is_some());
    world.apply(&channel(OLD, "mail", json!({"listeners": [{"name": "smtps", "port": 465}]}))).await;
    world.opens(OLD, "mail", &[]).await;
}
