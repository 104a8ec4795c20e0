//! The thinnest thread through everything: one Channel with a peer becomes a certificate, a key, a
//! policy and a truthful status, on a real cluster with a real OpenBao.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{apply_object, governed_namespace, retention_policy},
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_becomes_a_certificate_a_key_a_policy_and_a_status() {
    let env = Environment::start().await.unwrap();
    let installed = Installation::install(&env, "oosterlinde").await.unwrap();
    let admin = env.admin().unwrap();
    let operator = Operator::start(&installed).await.unwrap();
    apply_object(&admin, &installed.trust_domain(&env)).await.unwrap();
    apply_object(&admin, &retention_policy()).await.unwrap();
    governed_namespace(&env, "cc-front", "oosterlinde").await.unwrap();
    governed_namespace(&env, "cc-data", "oosterlinde").await.unwrap();
    for manifest in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sbc", "namespace": "cc-front"}}),
        json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "voice", "namespace": "cc-front"}, "spec": {
            "type": "Voice",
            "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
            "connectsTo": [{"name": "db", "namespace": "cc-data"}],
            "dataClasses": ["call-recording"],
        }}),
        json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "db", "namespace": "cc-data"}, "spec": {
            "type": "Database",
            "workload": {"selector": {"matchLabels": {"app": "db"}}},
            "listeners": [{"name": "sql", "port": 5432}],
            "accepts": [{"name": "voice", "namespace": "cc-front"}],
        }}),
    ] {
        apply_object(&admin, &manifest).await.unwrap();
    }
    let status = wait::channel(&admin, "cc-front", "voice", Duration::from_secs(60), wait::whole).await;
    let status = status.unwrap_or_else(|error| panic!("{error:#}\n{}", operator.log().unwrap()));
    let secret = Api::<Secret>::namespaced(admin.clone(), "cc-front").get("voice-mtls").await.unwrap();
    let files: Vec<_> = secret.data.unwrap().into_keys().collect();
    assert_eq!(files, ["ca.crt", "clients-ca.crt", "servers-ca.crt", "tls.crt", "tls.key"]);
    let policies = Api::<NetworkPolicy>::namespaced(admin.clone(), "cc-front")
        .list(&ListParams::default())
        .await
        .unwrap();
    let policies: Vec<_> = policies.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(policies, ["subrosa-channel-voice", "subrosa-default-deny"]);
    let keys = env.openbao().request("LIST", "transit/keys", None).await.unwrap();
    let id = status.id.unwrap();
    assert!(keys.to_string().contains(&format!("{id}.call-recording.")), "{keys}");
    assert_eq!(status.connection_summary.as_deref(), Some("1/1"));
}
