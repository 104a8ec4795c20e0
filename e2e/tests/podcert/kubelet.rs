//! A kubelet as far as certificates are concerned: a Node, its identity, keys that stay here, and requests.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{certificates::v1::PodCertificateRequest, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use subrosa_e2e::{Environment, installation::apply_object, wait};

use crate::world::{PATIENCE, World};

/// The signer that pods name.
pub const SIGNER: &str = "subrosa.dev/channel";

/// A node that no machine is behind.
pub struct Node {
    name: String,
    uid: String,
    client: Client,
}

/// What kubelet writes into a request, where a test wants something else than the truth.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub pod_uid: Option<String>,
    pub service_account: Option<(String, String)>,
    pub max_seconds: Option<i32>,
    pub annotations: Option<Value>,
}

/// A request that was made, and the private key of it.
pub struct Asked {
    pub name: String,
    pub key: KeyPair,
    namespace: String,
}

/// A new key.
pub fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// As kubelet makes it: an empty request that shows that the key is there.
pub fn proof(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    STANDARD.encode(params.serialize_request(key).unwrap().der())
}

impl Node {
    pub async fn register(env: &Environment, name: &str) -> Self {
        let admin = env.admin().unwrap();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let uid = apply_object(&admin, &node).await.unwrap().uid().unwrap();
        let user = format!("system:node:{name}");
        let client = env.client_as(&user, &["system:nodes", "system:authenticated"]).unwrap();
        Self { name: name.to_owned(), uid, client }
    }

    /// A pod on this node with the projected volume.
    pub async fn pod(&self, world: &World, namespace: &str, name: &str, app: &str, account: &str) -> Pod {
        world.service_account(namespace, account).await;
        let source = json!({"podCertificate": {
            "signerName": SIGNER, "keyType": "ECDSAP256", "keyPath": "tls.key", "certificateChainPath": "tls.crt",
        }});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
            "spec": {
                "nodeName": self.name, "serviceAccountName": account,
                "containers": [{"name": "main", "image": "example.org/none", "volumeMounts": [{"name": "tls", "mountPath": "/tls"}]}],
                "volumes": [{"name": "tls", "projected": {"sources": [
                    source, {"secret": {"name": format!("{app}-trust")}},
                ]}}],
            },
        });
        apply_object(&world.admin, &pod).await.unwrap();
        Api::<Pod>::namespaced(world.admin.clone(), namespace).get(name).await.unwrap()
    }

    /// Asks for a certificate of `pod`, as this node's kubelet: again where the API server's own watches have not
    /// come to the pod yet.
    pub async fn ask(&self, world: &World, pod: &Pod, key: KeyPair) -> Asked {
        let (namespace, request) = self.request(world, pod, &key, &Changes::default()).await;
        let api: Api<PodCertificateRequest> = Api::namespaced(self.client.clone(), &namespace);
        let made = world
            .until("a request is taken", || async {
                api.create(&PostParams::default(), &request).await.map_err(|error| error.to_string())
            })
            .await;
        Asked { name: made.name_any(), key, namespace }
    }

    /// The same with something changed, as whoever `client` is.
    pub async fn try_ask(
        &self,
        world: &World,
        pod: &Pod,
        key: KeyPair,
        changes: &Changes,
        client: Client,
    ) -> kube::Result<Asked> {
        let (namespace, request) = self.request(world, pod, &key, changes).await;
        let api: Api<PodCertificateRequest> = Api::namespaced(client, &namespace);
        let made = api.create(&PostParams::default(), &request).await?;
        Ok(Asked { name: made.name_any(), key, namespace })
    }

    /// What is asked, and in which namespace.
    async fn request(
        &self,
        world: &World,
        pod: &Pod,
        key: &KeyPair,
        changes: &Changes,
    ) -> (String, PodCertificateRequest) {
        let (namespace, name) = (pod.namespace().unwrap(), pod.name_any());
        let (account, account_uid) = match &changes.service_account {
            Some(changed) => changed.clone(),
            None => {
                let account = pod.spec.as_ref().unwrap().service_account_name.clone().unwrap();
                let uid = world.account_uid(&namespace, &account).await;
                (account, uid)
            }
        };
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": {
                "generateName": "req-", "namespace": namespace,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.uid().unwrap()}],
            },
            "spec": {
                "signerName": SIGNER, "podName": name,
                "podUID": changes.pod_uid.clone().unwrap_or_else(|| pod.uid().unwrap()),
                "serviceAccountName": account, "serviceAccountUID": account_uid,
                "nodeName": self.name, "nodeUID": self.uid,
                "maxExpirationSeconds": changes.max_seconds,
                "stubPKCS10Request": proof(key),
                "unverifiedUserAnnotations": changes.annotations,
            },
        });
        (namespace, serde_json::from_value(request).unwrap())
    }

    /// This node's client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The requests that this node may see: those of its pods.
    pub async fn sees(&self) -> Vec<PodCertificateRequest> {
        let own = ListParams::default().fields(&format!("spec.nodeName={}", self.name));
        Api::<PodCertificateRequest>::all(self.client.clone()).list(&own).await.unwrap().items
    }
}

impl Asked {
    /// The request as it is.
    pub async fn now(&self, world: &World) -> PodCertificateRequest {
        world.api::<PodCertificateRequest>(&self.namespace).get(&self.name).await.unwrap()
    }

    /// Waits until it is answered.
    pub async fn answered(&self, world: &World) -> PodCertificateRequest {
        world
            .until(&format!("an answer to {}", self.name), || async {
                let request = self.now(world).await;
                let conditions = request.status.clone().unwrap_or_default().conditions.unwrap_or_default();
                if conditions.is_empty() { Err("nobody answered") } else { Ok(request) }
                    .map_err(str::to_owned)
            })
            .await
    }

    /// Waits until it is issued; the chain in PEM.
    pub async fn issued(&self, world: &World) -> String {
        let request = self.answered(world).await;
        let status = request.status.unwrap();
        let condition = &status.conditions.as_ref().unwrap()[0];
        assert_eq!(condition.type_, "Issued", "{condition:?}");
        status.certificate_chain.unwrap()
    }

    /// Waits until it is denied; reason and message.
    pub async fn denied(&self, world: &World) -> (String, String) {
        let request = self.answered(world).await;
        let status = request.status.unwrap();
        assert!(status.certificate_chain.is_none());
        let condition = status.conditions.unwrap().remove(0);
        assert_eq!(condition.type_, "Denied", "{condition:?}");
        (condition.reason, condition.message)
    }

    /// That it is still not answered after this long.
    pub async fn waits(&self, world: &World, long: Duration) {
        let early = wait::until(long, || async {
            let conditions = self.now(world).await.status.unwrap_or_default().conditions.unwrap_or_default();
            conditions.into_iter().next().ok_or(())
        })
        .await;
        assert!(early.is_err(), "{early:?}");
        assert!(long < PATIENCE);
    }
}
