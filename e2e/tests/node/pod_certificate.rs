//! A key that the node makes and keeps: the real kubelet asks, Subrosa signs, and both ends of a connection use it.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use subrosa_crds::{ChannelStatus, condition};
use subrosa_e2e::{
    node::{Node, PATIENCE, Said},
    wait,
};

use crate::shared::{DOMAIN, NGINX, servers};

const NS: &str = "cc-own-keys";
const SERVER: &str = "portal";
const CLIENT: &str = "caller";
const PORT: u16 = 8443;

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_talk_with_keys_that_never_left_the_node() {
    let Some(node) = servers().await else { return };
    let client = node.client().unwrap();
    for object in declared() {
        node.apply(&object).await.unwrap();
    }
    // nginx reads once whom it trusts.
    for name in [SERVER, CLIENT] {
        let connected = |status: &ChannelStatus| wait::is(status, condition::CONNECTED);
        wait::channel(&client, NS, name, PATIENCE, connected).await.unwrap();
    }
    for object in workloads(node).await {
        node.apply(&object).await.unwrap();
    }
    for name in [SERVER, CLIENT] {
        node.is_rolled_out(NS, name).await.unwrap();
    }
    let served = wait::channel(&client, NS, SERVER, PATIENCE, |status| {
        wait::is(status, condition::SERVED) && wait::is(status, condition::CONNECTED)
    });
    let certificate = served.await.unwrap().certificate.unwrap();
    assert_eq!((certificate.pods, certificate.secret_name), (Some(1), None));

    let answered = wait::until(PATIENCE, || async {
        let said = ask(node, NS, CLIENT, CLIENT).await;
        let welcome = said.out.contains("200 OK") && said.out.contains("CN=caller,OU=cc-own-keys");
        if welcome { Ok(()) } else { Err(said) }
    });
    if let Err(error) = answered.await {
        let log = node.kubectl(&["logs", "--namespace", NS, "deploy/portal"]).await.unwrap();
        panic!("{error:#}\n{}", log.all());
    }
    // One with a certificate of Subrosa's that nobody declared gets nothing.
    let said = ask(node, "cc-desk", "stranger", "openssl").await;
    assert!(said.out.contains("400 Bad Request") && !said.out.contains("you are"), "{said:?}");

    let secrets = Api::<Secret>::namespaced(client, NS).list(&Default::default()).await.unwrap();
    assert!(secrets.items.len() >= 2, "the trust files of both");
    for secret in secrets {
        let (name, data) = (secret.name_any(), secret.data.unwrap_or_default());
        assert!(data.values().all(|value| !contains(&value.0, b"PRIVATE KEY")), "{name} holds a key");
    }
    let key = node.exec(NS, "deploy/caller", &["cat", "/tls/tls.key"]).await.unwrap();
    assert!(key.out.contains("PRIVATE KEY"), "the pod has one: {:?}", key.err);
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What the server says to one who asks from a container of `who`.
async fn ask(node: &Node, namespace: &str, who: &str, container: &str) -> Said {
    let script = format!(
        "(printf 'GET / HTTP/1.1\\r\\nHost: portal\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | timeout 15 openssl s_client \
         -quiet -connect {SERVER}.{NS}.svc:{PORT} -servername {SERVER}.{NS}.svc -cert /tls/tls.crt -key /tls/tls.key \
         -CAfile /tls/servers-ca.crt{}",
        if who == CLIENT { " -verify_return_error" } else { "" }
    );
    node.exec_in(namespace, &format!("deploy/{who}"), container, &["sh", "-c", &script]).await.unwrap()
}

fn declared() -> [Value; 3] {
    let serves = json!({"listeners": [{"name": "https", "port": PORT}], "accepts": [{"name": CLIENT}]});
    [
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NS, "labels": {subrosa_crds::TRUST_DOMAIN_LABEL: DOMAIN}},
        }),
        channel(SERVER, serves),
        channel(CLIENT, json!({"connectsTo": [{"name": SERVER}]})),
    ]
}

async fn workloads(node: &Node) -> [Value; 4] {
    let (nginx, openssl) = (node.image("nginx").await.unwrap(), node.image("client").await.unwrap());
    let server = json!({
        "name": SERVER, "image": nginx, "command": ["nginx", "-c", "/config/nginx.conf"],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    });
    let client = json!({"name": CLIENT, "image": openssl, "command": ["sleep", "infinity"]});
    let metadata = json!({"name": SERVER, "namespace": NS});
    [
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nginx.conf": NGINX},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": SERVER}, "ports": [{"name": "https", "port": PORT}]},
        }),
        deployment(SERVER, server),
        deployment(CLIENT, client),
    ]
}

fn channel(name: &str, more: Value) -> Value {
    let mut spec = json!({
        "workload": {"selector": {"matchLabels": {"app": name}}},
        "tls": {"delivery": "PodCertificate", "reload": "Workload"},
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS}, "spec": spec,
    })
}

fn deployment(name: &str, mut container: Value) -> Value {
    container["volumeMounts"] = json!([
        {"name": "config", "mountPath": "/config"},
        {"name": "tls", "mountPath": "/tls", "readOnly": true},
        {"name": "tmp", "mountPath": "/tmp"},
    ]);
    let own = json!({
        "signerName": "subrosa.dev/channel", "keyType": "ECDSAP256",
        "keyPath": "tls.key", "certificateChainPath": "tls.crt",
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext":
                        {"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                    "containers": [container],
                    "volumes": [
                        {"name": "config", "configMap": {"name": SERVER}},
                        {"name": "tls", "projected": {"defaultMode": 288, "sources": [
                            {"podCertificate": own}, {"secret": {"name": format!("{name}-trust")}},
                        ]}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}
