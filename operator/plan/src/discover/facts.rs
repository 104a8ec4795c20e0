//! The facts that drafts are based on.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::NetworkPolicySpec,
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use subrosa_crds::{
    ExternalParty, TrustDomain,
    common::{PortRange, Protocol},
    names::ChannelRef,
};

use crate::world::declaration::Declaration;

/// Everything that a draft may use.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The namespaces to draft for.
    pub surveyed: BTreeMap<String, Surveyed>,
    /// The labels of every namespace, as far as they may be read.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Existing Channels, with their presets filled in.
    pub channels: BTreeMap<ChannelRef, Declaration>,
    /// TrustDomains, as far as they may be read.
    pub domains: Vec<TrustDomain>,
    /// ExternalParties, as far as they may be read.
    pub parties: Vec<ExternalParty>,
}

/// A namespace to draft for.
#[derive(Clone, Debug, Default)]
pub struct Surveyed {
    /// The value of its trust-domain label.
    pub trust_domain: Option<String>,
    /// The workloads in it.
    pub workloads: Vec<RunningWorkload>,
    /// Its Services.
    pub services: Vec<Service>,
    /// Its NetworkPolicies by name, without those of the operator.
    pub policies: BTreeMap<String, NetworkPolicySpec>,
}

/// A workload.
#[derive(Clone, Debug, Default)]
pub struct RunningWorkload {
    /// Its kind, such as `Deployment`; `Pod` for a pod without a controller.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its pod selector.
    pub selector: LabelSelector,
    /// The labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// The ServiceAccount of its pods.
    pub service_account: Option<String>,
    /// The images of its containers, in order.
    pub images: Vec<String>,
    /// The ports that its containers declare.
    pub ports: Vec<ContainerPort>,
    /// Whether its pods use the node's network.
    pub host_network: bool,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name.
    pub name: Option<String>,
    /// The port.
    pub range: PortRange,
}

/// A Service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// How it is reachable from outside the cluster, such as `LoadBalancer`.
    pub outside: Option<String>,
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// Its name.
    pub name: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
    /// The pod's port, by number or name.
    pub target: IntOrString,
}
