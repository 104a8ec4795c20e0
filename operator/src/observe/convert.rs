//! Extracts the facts that decisions need from Kubernetes objects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    certificates::v1::PodCertificateRequest,
    core::v1::{Namespace, Pod, PodSpec, PodStatus, Service, Volume},
};
use kube::api::PartialObjectMeta;
use subrosa_crds::TRUST_DOMAIN_LABEL;
use subrosa_plan::{
    backup,
    pod_certificate::SIGNER,
    world::{
        NamespaceFacts, PodFacts, ServiceFacts,
        request::{Request, RequestedKey},
        run::EndedRun,
    },
};

use crate::pki;

/// The default maximum lifetime, which the API server fills in where the pod asks for none.
const DEFAULT_SECONDS: i32 = 86_400;

/// The facts of a namespace.
pub fn namespace(namespace: &PartialObjectMeta<Namespace>) -> NamespaceFacts {
    let metadata = &namespace.metadata;
    NamespaceFacts {
        uid: metadata.uid.clone().unwrap_or_default(),
        trust_domain: metadata.labels.as_ref().and_then(|labels| labels.get(TRUST_DOMAIN_LABEL)).cloned(),
        terminating: metadata.deletion_timestamp.is_some(),
    }
}

/// The facts of a pod.
pub fn pod(pod: Pod) -> PodFacts {
    let status = pod.status.unwrap_or_default();
    let secrets = pod.spec.as_ref().map(mounted_secrets).unwrap_or_default();
    PodFacts {
        sub_paths: pod.spec.as_ref().map(sub_paths).unwrap_or_default(),
        ip: status.pod_ip.as_ref().and_then(|ip| ip.parse().ok()),
        ready: is_ready(&status) && pod.metadata.deletion_timestamp.is_none(),
        running_since: running_since(&status),
        run: worker_run(pod.metadata.labels.as_ref(), &status).map(Box::new),
        uid: pod.metadata.uid.unwrap_or_default(),
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

/// The condition Ready, as Services evaluate it.
fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions.filter(|one| one.type_ == "Ready").any(|one| one.status == "True")
}

/// When the container that runs longest was started.
fn running_since(status: &PodStatus) -> Option<Timestamp> {
    let containers = status.container_statuses.iter().flatten();
    containers.filter_map(|one| Some(one.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)).min()
}

/// How the pod of a backup worker ended; `None` for any other pod, and while it runs.
fn worker_run(labels: Option<&BTreeMap<String, String>>, status: &PodStatus) -> Option<EndedRun> {
    labels?.get(backup::WORKER_LABEL)?;
    let ended = status.phase.as_deref().filter(|phase| ["Succeeded", "Failed"].contains(phase))?;
    let containers = status.container_statuses.iter().flatten();
    let container = containers.filter(|one| one.name == backup::CONTAINER);
    let left = container.filter_map(|one| one.state.as_ref()?.terminated.as_ref()).next();
    let report = left.and_then(|left| serde_json::from_str(left.message.as_deref()?).ok());
    // A pod that was evicted may have no container.
    let why = || left.and_then(|left| left.reason.clone()).or_else(|| status.reason.clone());
    Some(report.map_or_else(
        || EndedRun::Silent {
            exit_code: left.map_or(-1, |left| left.exit_code),
            reason: why().unwrap_or_else(|| ended.to_owned()),
        },
        EndedRun::Reported,
    ))
}

/// The facts of an unanswered certificate request; `None` for an answered one.
pub fn request(request: &PodCertificateRequest) -> Option<Request> {
    let answered = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    if answered.is_some_and(|conditions| !conditions.is_empty()) || request.spec.signer_name != SIGNER {
        return None;
    }
    let (metadata, spec) = (&request.metadata, &request.spec);
    let key = match pki::requested_key(&spec.stub_pkc_s10_request.0) {
        Ok(key) => Some(RequestedKey { algorithm: key.algorithm(), spki: key.spki().to_vec() }),
        Err(problem) => {
            let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
            tracing::debug!(namespace, name, %problem, "a PodCertificateRequest has no key to sign for");
            None
        }
    };
    Some(Request {
        uid: metadata.uid.clone().unwrap_or_default(),
        version: metadata.resource_version.clone().unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0),
        pod: spec.pod_name.clone(),
        pod_uid: spec.pod_uid.clone(),
        service_account: spec.service_account_name.clone(),
        key,
        max_life: SignedDuration::from_secs(spec.max_expiration_seconds.unwrap_or(DEFAULT_SECONDS).into()),
        annotations: spec
            .unverified_user_annotations
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect(),
        told: None,
    })
}

/// The facts of a Service.
pub fn service(service: Service) -> ServiceFacts {
    let spec = service.spec.unwrap_or_default();
    ServiceFacts {
        selector: spec.selector.unwrap_or_default(),
        headless: spec.cluster_ip.as_deref() == Some("None"),
    }
}
