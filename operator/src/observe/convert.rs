//! From Kubernetes objects to the few facts that decisions need.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec, PodStatus, Service, Volume};
use kube::api::PartialObjectMeta;
use subrosa_crds::TRUST_DOMAIN_LABEL;
use subrosa_plan::world::{NamespaceFacts, PodFacts, ServiceFacts};

/// What matters of a namespace.
pub fn namespace(namespace: &PartialObjectMeta<Namespace>) -> NamespaceFacts {
    let metadata = &namespace.metadata;
    NamespaceFacts {
        uid: metadata.uid.clone().unwrap_or_default(),
        trust_domain: metadata.labels.as_ref().and_then(|labels| labels.get(TRUST_DOMAIN_LABEL)).cloned(),
        terminating: metadata.deletion_timestamp.is_some(),
    }
}

/// What matters of a pod.
pub fn pod(pod: Pod) -> PodFacts {
    let status = pod.status.unwrap_or_default();
    let secrets = pod.spec.as_ref().map(mounted_secrets).unwrap_or_default();
    PodFacts {
        sub_paths: pod.spec.as_ref().map(sub_paths).unwrap_or_default(),
        ip: status.pod_ip.as_ref().and_then(|ip| ip.parse().ok()),
        ready: is_ready(&status) && pod.metadata.deletion_timestamp.is_none(),
        running_since: running_since(&status),
        secrets,
        labels: pod.metadata.labels.unwrap_or_default(),
        host_network: pod.spec.and_then(|spec| spec.host_network).unwrap_or(false),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        started: status.start_time.map(|time| time.0),
    }
}

/// The Secrets in a pod's volumes, each once.
fn mounted_secrets(spec: &PodSpec) -> Vec<String> {
    let names: BTreeSet<_> = spec.volumes.iter().flatten().flat_map(secrets_of).collect();
    names.into_iter().collect()
}

/// The Secrets in a volume.
fn secrets_of(volume: &Volume) -> impl Iterator<Item = String> {
    let alone = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let projected = sources.filter_map(|source| source.secret.as_ref()).map(|secret| secret.name.clone());
    alone.into_iter().chain(projected)
}

/// The Secrets that a container mounts by `subPath`, each once.
fn sub_paths(spec: &PodSpec) -> Vec<String> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let volumes: BTreeSet<&str> = containers
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .filter(|mount| {
            let set = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
            set(&mount.sub_path) || set(&mount.sub_path_expr)
        })
        .map(|mount| mount.name.as_str())
        .collect();
    let by_path = |volume: &&Volume| volumes.contains(volume.name.as_str());
    let names: BTreeSet<_> = spec.volumes.iter().flatten().filter(by_path).flat_map(secrets_of).collect();
    names.into_iter().collect()
}

/// The condition Ready, as Services have it.
fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions.filter(|one| one.type_ == "Ready").any(|one| one.status == "True")
}

/// When the container that runs longest was started.
fn running_since(status: &PodStatus) -> Option<Timestamp> {
    let containers = status.container_statuses.iter().flatten();
    containers.filter_map(|one| Some(one.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)).min()
}

/// What matters of a Service.
pub fn service(service: Service) -> ServiceFacts {
    let spec = service.spec.unwrap_or_default();
    ServiceFacts {
        selector: spec.selector.unwrap_or_default(),
        headless: spec.cluster_ip.as_deref() == Some("None"),
    }
}
