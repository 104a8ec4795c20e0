//! OpenBao as a pod, as a cluster has it: reached by its Service, and asking the API server about tokens with its
//! own ServiceAccount.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Node;
use crate::{kubeconfig::Endpoint, openbao::OpenBao, wait};

/// Its namespace, Service and ServiceAccount.
pub const NAME: &str = "openbao";
/// As pods reach it.
pub const ADDRESS: &str = "https://openbao.openbao.svc:8200";
const HOST: &str = "openbao.openbao.svc";
const PORT: u16 = 8200;
const LIMIT: Duration = Duration::from_secs(60);

/// Everything is in memory, and every request in the pod's log.
const CONFIGURATION: &str = r#"
storage "inmem" {}
listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/tls/tls.crt"
  tls_key_file  = "/tls/tls.key"
}
audit "file" "stdout" {
  options {
    file_path = "stdout"
  }
}
api_addr = "https://openbao.openbao.svc:8200"
ui       = false
"#;

/// Starts OpenBao in a pod, initialises and unseals it.
///
/// # Errors
/// When it does not come up.
pub async fn start(node: &Node) -> Result<OpenBao> {
    let image = node.image(NAME).await?;
    let identity = node.servers().server(&[HOST, "openbao.openbao.svc.cluster.local"])?;
    let meta = json!({"name": NAME, "namespace": NAME, "labels": {"app": NAME}});
    let group = "rbac.authorization.k8s.io";
    let subject = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]);
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        // It reviews the tokens of those who log in, and looks at their namespaces' labels.
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "openbao"},
            "rules": [
                {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
                {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            ],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "openbao"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "openbao"}, "subjects": subject,
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": identity.certificate_pem, "tls.key": identity.key_pem},
        }),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"bao.hcl": CONFIGURATION}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}], "publishNotReadyAddresses": true},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {
                "selector": {"matchLabels": {"app": NAME}},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {
                        "serviceAccountName": NAME,
                        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                        "containers": [{
                            "name": NAME, "image": image, "args": ["server", "-config", "/config/bao.hcl"],
                            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                            "volumeMounts": [
                                {"name": "config", "mountPath": "/config"}, {"name": "tls", "mountPath": "/tls"},
                            ],
                        }],
                        "volumes": [
                            {"name": "config", "configMap": {"name": NAME}},
                            {"name": "tls", "secret": {"secretName": NAME, "defaultMode": 0o440}},
                        ],
                    },
                },
            },
        }),
    ];
    for object in &objects {
        node.apply(object).await?;
    }
    node.is_rolled_out(NAME, NAME).await?;
    let address = node.pod_address(NAME, "app=openbao").await?;
    let endpoint = Endpoint { url: ADDRESS.to_owned(), ca_pem: node.servers().certificate_pem().to_owned() };
    let socket = SocketAddr::new(address.parse().context("the pod's address")?, PORT);
    let http = endpoint.http_client_builder()?.pool_max_idle_per_host(0).resolve(HOST, socket).build()?;
    wait::until(LIMIT, || http.get(format!("{ADDRESS}/v1/sys/health")).send()).await?;
    OpenBao::adopt(endpoint, http).await
}
