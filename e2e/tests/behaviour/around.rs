//! What stands around a Channel: its namespace's label, others' policies, pods on the node's network, staging.

use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use subrosa_crds::{TRUST_DOMAIN_LABEL, condition};
use subrosa_e2e::wait;

use crate::{
    policies::{opened, tcp},
    world::{DOMAIN, World, channel},
};

const NS: &str = "cc-front";

fn ivr() -> Value {
    channel(NS, "ivr", json!({"connectsTo": [{"name": "voice"}]}))
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
    assert!(
        told.message.contains("Channel edge selects pod edge-0 too, and the older one keeps them"),
        "{told:?}"
    );
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
    for name in ["server", "kept", "withdrawn"] {
        world.whole(COLD, name).await;
    }
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
    assert!(world.record(COLD, "server").await["access"].is_object());

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
    // Each kind has a watch of its own: a namespace that is seen before this would be enforced for a moment.
    world
        .domain(|domain| {
            domain.status.as_ref().and_then(|status| status.observed_generation) == domain.metadata.generation
        })
        .await;
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
    // Pods and policies may be seen after the Channel: what is reported follows.
    let reported = ["1 pods belong to no Channel (fax-0)", "as-it-was ingress[0]", "Traffic cannot be seen"];
    let status = world
        .channel(OLD, "mail", |status| {
            wait::reason(status, condition::READY) == "AuditMode"
                && condition::find(&status.conditions, condition::ISOLATED).is_some_and(|isolated| {
                    isolated.reason == "AuditMode"
                        && reported.iter().all(|part| isolated.message.contains(*part))
                })
        })
        .await;
    let isolated = condition::find(&status.conditions, condition::ISOLATED).unwrap();
    assert_eq!(isolated.status, "False");
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
