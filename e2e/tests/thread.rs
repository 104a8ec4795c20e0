//! The thinnest thread through everything: one Channel with a peer becomes a certificate, a key, a
//! policy and a truthful status, on a real cluster with a real OpenBao.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::Api;
use serde_json::json;
use subrosa_crds::{Channel, condition};
use subrosa_e2e::{
    Environment, Installation,
    installation::{apply_object, governed_namespace, retention_policy},
};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_becomes_a_certificate_a_key_a_policy_and_a_status() {
    let _ = tracing_subscriber::fmt().with_env_filter("subrosa=debug,warn").with_test_writer().try_init();
    let env = Environment::start().await.unwrap();
    let installed = Installation::install(&env, "oosterlinde").await.unwrap();
    let admin = env.admin().unwrap();
    let stop = CancellationToken::new();
    let settings = subrosa::run::Settings {
        namespace: installed.names.namespace().into(),
        service_account: installed.names.service_account().into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        concurrency: 8,
        pod: None,
    };
    let operator = tokio::spawn(subrosa::run::run(
        env.client_for_token(&installed.token).unwrap(),
        settings,
        stop.clone(),
    ));
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
    let channels: Api<Channel> = Api::namespaced(admin.clone(), "cc-front");
    let mut last = None;
    for _ in 0..100 {
        let channel = channels.get("voice").await.unwrap();
        let conditions = channel.status.clone().unwrap_or_default().conditions;
        if condition::is_true(&conditions, condition::READY) && condition::is_true(&conditions, condition::CONNECTED) {
            last = None;
            break;
        }
        last = Some(channel.status);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(last.is_none(), "not ready: {}", serde_json::to_string_pretty(&last).unwrap());
    let secret = Api::<Secret>::namespaced(admin.clone(), "cc-front").get("voice-mtls").await.unwrap();
    println!("{:?}", secret.data.unwrap().keys());
    let policies = Api::<NetworkPolicy>::namespaced(admin.clone(), "cc-front").list(&Default::default()).await.unwrap();
    assert_eq!(policies.items.len(), 2);
    let status = channels.get("voice").await.unwrap().status.unwrap();
    println!("{}", serde_json::to_string_pretty(&status).unwrap());
    stop.cancel();
    operator.await.unwrap().unwrap();
}
