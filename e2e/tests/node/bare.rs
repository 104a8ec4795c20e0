//! The node itself.

use serde_json::json;
use subrosa_e2e::{node::PATIENCE, wait};

use crate::shared::node;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_and_mounts_a_secret() {
    let Some(node) = node().await else { return };
    let image = node.image("client").await.unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word", "namespace": "default"},
        "stringData": {"word": "rosebud"},
    });
    node.apply(&secret).await.unwrap();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader", "namespace": "default"},
        "spec": {
            "containers": [{
                "name": "reader", "image": image, "command": ["sleep", "infinity"],
                "volumeMounts": [{"name": "word", "mountPath": "/word"}],
            }],
            "volumes": [{"name": "word", "secret": {"secretName": "word"}}],
            "terminationGracePeriodSeconds": 0,
        },
    });
    node.apply(&pod).await.unwrap();
    node.pod_is_ready("default", "reader").await.unwrap();
    let said = node.exec("default", "reader", &["cat", "/word/word"]).await.unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "rosebud"), "{said:?}");
    // kube-proxy may come to know later than the API server where CoreDNS is.
    wait::until(PATIENCE, || async {
        let asked = ["nslookup", "kubernetes.default.svc.cluster.local"];
        let said = node.exec("default", "reader", &asked).await.unwrap();
        if said.out.contains("10.96.0.1") { Ok(()) } else { Err(said) }
    })
    .await
    .unwrap();
}
