//! Reads the facts for drafts from the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Result, bail};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{Namespace, Pod, PodSpec, PodTemplateSpec, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt as _;
use subrosa_crds::{
    Channel, ExternalParty, TRUST_DOMAIN_LABEL, TrustDomain,
    common::{PortRange, Protocol},
};
use subrosa_plan::{
    discover::{ContainerPort, RunningWorkload, ServicePort, Survey, Surveyed},
    world::{declaration::Declaration, objects::is_our_policy, selector},
};

use crate::cli::cluster::ClusterClient;

/// Labels that controllers add to pods, which differ between pods of one workload.
const GENERATED: [&str; 9] = [
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "job-name",
    "controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/controller-uid",
];

/// What a namespace holds.
#[derive(Default)]
pub struct Objects {
    /// Its Deployments.
    pub deployments: Vec<Deployment>,
    /// Its StatefulSets.
    pub stateful_sets: Vec<StatefulSet>,
    /// Its DaemonSets.
    pub daemon_sets: Vec<DaemonSet>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Its Services.
    pub services: Vec<Service>,
    /// Its NetworkPolicies.
    pub policies: Vec<NetworkPolicy>,
}

/// Everything that drafts need, and the kinds that could not be read.
///
/// # Errors
/// When a namespace does not exist, or its content cannot be read.
pub async fn found(cluster: &ClusterClient, namespaces: &[String]) -> Result<(Survey, Vec<&'static str>)> {
    let mut hidden = Vec::new();
    let mut found = Survey::default();
    match cluster.list_known::<Namespace>().await? {
        None => hidden.push("Namespaces"),
        Some(all) => {
            for namespace in namespaces {
                if !all.iter().any(|one| &one.name_any() == namespace) {
                    bail!("there is no namespace {namespace}: kubectl get namespaces shows those there are");
                }
            }
            found.labels = all.into_iter().map(|one| (one.name_any(), one.labels().clone())).collect();
        }
    }
    match cluster.list_known::<Channel>().await? {
        None => hidden.push("Channels"),
        Some(channels) => {
            let named = |channel: Channel| {
                let channel = Declaration::of(Arc::new(channel));
                (channel.name().clone(), channel)
            };
            found.channels = channels.into_iter().map(named).collect();
        }
    }
    match cluster.list_known::<TrustDomain>().await? {
        None => hidden.push("TrustDomains"),
        Some(domains) => found.domains = domains,
    }
    match cluster.list_known::<ExternalParty>().await? {
        None => hidden.push("ExternalParties"),
        Some(parties) => found.parties = parties,
    }
    for namespace in namespaces {
        let objects = Objects {
            deployments: cluster.list_in(namespace).await?,
            stateful_sets: cluster.list_in(namespace).await?,
            daemon_sets: cluster.list_in(namespace).await?,
            pods: cluster.list_in(namespace).await?,
            services: cluster.list_in(namespace).await?,
            policies: cluster.list_in(namespace).await?,
        };
        let trust_domain =
            found.labels.get(namespace).and_then(|labels| labels.get(TRUST_DOMAIN_LABEL)).cloned();
        found.surveyed.insert(namespace.clone(), Surveyed { trust_domain, ..survey(objects) });
    }
    Ok((found, hidden))
}

/// The facts of a namespace's objects.
pub fn survey(objects: Objects) -> Surveyed {
    let mut workloads = Vec::new();
    for one in objects.deployments {
        let spec = one.spec;
        workloads.extend(workload("Deployment", one.metadata, spec.selector, spec.template));
    }
    for one in objects.stateful_sets {
        let spec = one.spec;
        workloads.extend(workload("StatefulSet", one.metadata, spec.selector, spec.template));
    }
    for one in objects.daemon_sets {
        let spec = one.spec;
        workloads.extend(workload("DaemonSet", one.metadata, spec.selector, spec.template));
    }
    let lone = lone_pods(objects.pods, &workloads);
    workloads.extend(lone);
    workloads.sort_by(|one, other| (&one.name, &one.kind).cmp(&(&other.name, &other.kind)));
    let policies = objects.policies.into_iter().filter(|policy| !is_our_policy(policy));
    Surveyed {
        trust_domain: None,
        workloads,
        services: objects.services.into_iter().map(service).collect(),
        policies: policies.filter_map(|policy| Some((policy.name_any(), policy.spec?))).collect(),
    }
}

fn workload(
    kind: &str,
    metadata: ObjectMeta,
    selector: LabelSelector,
    template: PodTemplateSpec,
) -> Option<RunningWorkload> {
    let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    let facts = of_pod(&template.spec.unwrap_or_default());
    Some(RunningWorkload { kind: kind.to_owned(), name: metadata.name?, selector, labels, ..facts })
}

fn of_pod(spec: &PodSpec) -> RunningWorkload {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let port = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let number = u16::try_from(port.container_port).ok().filter(|number| *number > 0)?;
        let protocol = protocol(port.protocol.as_deref())?;
        Some(ContainerPort {
            name: port.name.clone(),
            range: PortRange { protocol, start: number, end: number },
        })
    };
    RunningWorkload {
        service_account: spec.service_account_name.clone().filter(|name| !name.is_empty()),
        images: spec.containers.iter().filter_map(|container| container.image.clone()).collect(),
        ports: ports.filter_map(port).collect(),
        host_network: spec.host_network.unwrap_or_default(),
        ..RunningWorkload::default()
    }
}

/// Pods that none of the `known` workloads runs, grouped by owner.
fn lone_pods(pods: Vec<Pod>, known: &[RunningWorkload]) -> Vec<RunningWorkload> {
    let mut owned: BTreeMap<(String, String), RunningWorkload> = BTreeMap::new();
    for pod in pods {
        let finished = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
        let labels = pod.labels().clone();
        if finished || known.iter().any(|one| selector::matches(&one.selector, &labels)) {
            continue;
        }
        let controller = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
        let owner = match controller {
            None => ("Pod".to_owned(), pod.name_any()),
            // A CronJob's Jobs have its name with a suffix for the minute.
            Some(owner) if owner.kind == "Job" => {
                let name = owner.name.trim_end_matches(|letter: char| letter.is_ascii_digit());
                (owner.kind.clone(), name.trim_end_matches('-').to_owned())
            }
            Some(owner) => (owner.kind.clone(), owner.name.clone()),
        };
        let labels: BTreeMap<_, _> =
            labels.into_iter().filter(|(key, _)| !GENERATED.contains(&key.as_str())).collect();
        let workload = owned.entry(owner.clone()).or_insert_with(|| RunningWorkload {
            kind: owner.0,
            name: owner.1,
            labels: labels.clone(),
            ..of_pod(&pod.spec.unwrap_or_default())
        });
        // Only the labels that all of them have.
        workload.labels.retain(|key, value| labels.get(key) == Some(value));
        workload.selector =
            LabelSelector { match_labels: Some(workload.labels.clone()), match_expressions: None };
    }
    owned.into_values().collect()
}

fn service(service: Service) -> subrosa_plan::discover::Service {
    let name = service.name_any();
    let spec = service.spec.unwrap_or_default();
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        Some(ServicePort { name: port.name.clone(), protocol: protocol(port.protocol.as_deref())?, target })
    };
    let mut outside: BTreeSet<String> =
        spec.type_.into_iter().filter(|kind| matches!(kind.as_str(), "LoadBalancer" | "NodePort")).collect();
    outside.extend(spec.external_ips.iter().flatten().next().map(|_| "externalIPs".to_owned()));
    subrosa_plan::discover::Service {
        name,
        selector: spec.selector.unwrap_or_default(),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        outside: (!outside.is_empty()).then(|| outside.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}
