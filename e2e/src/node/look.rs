//! Waiting for what runs on a node, and saying why it does not.

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::{apps::v1::Deployment, core::v1 as core};
use kube::{Api, ResourceExt as _, api::ListParams};

use super::{Node, PATIENCE};
use crate::wait;

impl Node {
    /// Waits until a Deployment runs as it was last described, with every replica available.
    ///
    /// # Errors
    /// When time is up; the error says how its namespace's pods are.
    pub async fn is_rolled_out(&self, namespace: &str, name: &str) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client()?, namespace);
        let waited = wait::until(PATIENCE, || async {
            let deployment = api.get(name).await?;
            let generation = deployment.metadata.generation;
            let wanted = deployment.spec.replicas.unwrap_or(1);
            let status = deployment.status.unwrap_or_default();
            let all = [status.replicas, status.updated_replicas, status.available_replicas];
            let there =
                status.observed_generation == generation && all.iter().all(|count| *count == Some(wanted));
            if there { Ok(()) } else { Err(anyhow!("Deployment {namespace}/{name} has {all:?} of {wanted}")) }
        });
        self.explained(waited.await, namespace).await
    }

    /// Waits until a pod is ready.
    ///
    /// # Errors
    /// When time is up; the error says how its namespace's pods are.
    pub async fn pod_is_ready(&self, namespace: &str, name: &str) -> Result<core::Pod> {
        let api: Api<core::Pod> = Api::namespaced(self.client()?, namespace);
        let waited = wait::until(PATIENCE, || async {
            let pod = api.get(name).await?;
            if is_ready(&pod) { Ok(pod) } else { Err(anyhow!("Pod {namespace}/{name} is not ready")) }
        });
        self.explained(waited.await, namespace).await
    }

    /// The ready pods that a label selects, those that are ending left out.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn ready_pods(&self, namespace: &str, label: &str) -> Result<Vec<core::Pod>> {
        let api: Api<core::Pod> = Api::namespaced(self.client()?, namespace);
        let mut pods = api.list(&ListParams::default().labels(label)).await?.items;
        pods.retain(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// The address of the one ready pod that a label selects.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub async fn pod_address(&self, namespace: &str, label: &str) -> Result<String> {
        let pods = self.ready_pods(namespace, label).await?;
        let [pod] = pods.as_slice() else { bail!("{} ready pods in {namespace} with {label}", pods.len()) };
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        address.with_context(|| format!("{} has no address", pod.name_any()))
    }

    async fn explained<T>(&self, result: Result<T>, namespace: &str) -> Result<T> {
        let Err(error) = result else { return result };
        let mut text = String::new();
        for arguments in [
            &["get", "pods", "--namespace", namespace, "--output", "wide"][..],
            &["get", "events", "--namespace", namespace, "--sort-by=.lastTimestamp"],
        ] {
            text.push_str(&self.kubectl(arguments).await?.all());
        }
        let pods: Api<core::Pod> = Api::namespaced(self.client()?, namespace);
        for pod in pods.list(&ListParams::default()).await?.items.iter().filter(|pod| !is_ready(pod)) {
            let name = pod.name_any();
            let log = ["logs", "--namespace", namespace, &name, "--all-containers", "--tail=20"];
            text.push_str(&format!("{name} says:\n{}", self.kubectl(&log).await?.all()));
        }
        Err(error).context(text)
    }
}

fn is_ready(pod: &core::Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the kubelet says that pods can run, and the node is let be used.
pub fn node_is_ready(node: &core::Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready =
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && node.spec.as_ref().is_none_or(|spec| spec.taints.iter().flatten().next().is_none())
}
