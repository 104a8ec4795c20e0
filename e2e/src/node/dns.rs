//! The cluster's names: CoreDNS as a Deployment, and where the API server is.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::network::DNS;
use crate::kubeconfig::Endpoint;

/// Only the cluster's own names: what is beyond it is not reached from here anyway.
const COREFILE: &str = ".:1053 {\n  errors\n  ready :8181\n  kubernetes cluster.local in-addr.arpa\n}\n";
/// As every cluster labels its DNS; network policies select by it.
const APP: &str = "kube-dns";

/// Everything that makes names work.
pub fn manifests(image: &str) -> Vec<Value> {
    let meta = json!({"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": APP}});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        }),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}}),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": APP}},
            "spec": {
                "clusterIP": DNS,
                "selector": {"k8s-app": APP},
                "ports": [
                    {"name": "dns", "port": 53, "targetPort": 1053, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "targetPort": 1053, "protocol": "TCP"},
                ],
            },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {
                "selector": {"matchLabels": {"k8s-app": APP}},
                "template": {
                    "metadata": {"labels": {"k8s-app": APP}},
                    "spec": {
                        "serviceAccountName": "coredns",
                        "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": true},
                        "containers": [{
                            "name": "coredns",
                            "image": image,
                            "args": ["-conf", "/etc/coredns/Corefile"],
                            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
                        }],
                        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
                    },
                },
            },
        }),
    ]
}

/// Where the Service `kubernetes` leads: the API server does not say so itself, see its arguments.
///
/// # Errors
/// When the endpoint's URL has no address and port.
pub fn api_server(endpoint: &Endpoint) -> Result<Value> {
    let address = endpoint.url.trim_start_matches("https://");
    let (host, port) = address.rsplit_once(':').with_context(|| format!("no port in {}", endpoint.url))?;
    let port: u16 = port.parse().with_context(|| format!("no port in {}", endpoint.url))?;
    Ok(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }))
}
