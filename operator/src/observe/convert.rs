//! From Kubernetes objects to the few facts that decisions need.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::{Pod, Service};
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
    PodFacts {
        labels: pod.metadata.labels.unwrap_or_default(),
        host_network: pod.spec.and_then(|spec| spec.host_network).unwrap_or(false),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        started: status.start_time.map(|time| time.0),
    }
}

/// What matters of a Service.
pub fn service(service: Service) -> ServiceFacts {
    let spec = service.spec.unwrap_or_default();
    ServiceFacts {
        selector: spec.selector.unwrap_or_default(),
        headless: spec.cluster_ip.as_deref() == Some("None"),
    }
}
