//! Subrosa as its users have it: the charts, the image, a ServiceAccount, and OpenBao in a pod.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;
use subrosa_e2e::{
    node::{PATIENCE, release::NAMESPACE},
    wait,
};

use crate::shared::{DOMAIN, subrosa};

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_runs_from_its_image_as_its_service_account() {
    let Some((node, release)) = subrosa().await else { return };
    // One that lost its Lease on a slow machine starts anew, and is not ready for a moment.
    let both = wait::until(PATIENCE, || async {
        let pods = node.ready_pods(NAMESPACE, "app.kubernetes.io/component=operator").await.unwrap();
        if pods.len() == 2 { Ok(pods) } else { Err(pods.iter().map(Pod::name_any).collect::<Vec<_>>()) }
    });
    let pods = both.await.unwrap();
    for pod in &pods {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.service_account_name.as_deref(), Some("subrosa"));
        assert_eq!(
            spec.containers[0].image.as_deref(),
            Some(&*format!("subrosa:{}", env!("CARGO_PKG_VERSION")))
        );
    }
    // `helm test` runs `subrosa status` in a pod of the same image.
    let helm = &release.helm;
    let said =
        tokio::task::block_in_place(|| helm.run(&["test", "subrosa", "--namespace", NAMESPACE])).unwrap();
    assert!(said.contains("Succeeded"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_becomes_ready_with_openbao_in_a_pod() {
    let Some((node, _)) = subrosa().await else { return };
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "cc-alone", "labels": {subrosa_crds::TRUST_DOMAIN_LABEL: DOMAIN}},
    });
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": "voice", "namespace": "cc-alone"},
        "spec": {"type": "Voice", "workload": {"selector": {"matchLabels": {"app": "voice"}}}},
    });
    node.apply(&namespace).await.unwrap();
    node.apply(&channel).await.unwrap();
    let client = node.client().unwrap();
    let ready = wait::channel(&client, "cc-alone", "voice", PATIENCE, wait::whole).await;
    let log = if ready.is_err() { node.operator_log().await.unwrap() } else { String::new() };
    ready.unwrap_or_else(|error| panic!("{error}\n{log}"));
}
