//! What the operator has seen of the cluster, as plain facts by namespace and name.
//!
//! Watches feed it in a running operator, files feed it in `subrosa render`; decisions cannot tell
//! the difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use subrosa_crds::{
    Channel, ExternalParty, RetentionPolicy, TrustDomain, common::ConfigMapKey, names::ChannelRef,
};

/// Objects by namespace, then by name.
pub type Namespaced<T> = BTreeMap<String, BTreeMap<String, T>>;

/// Everything a decision may look at beside the object it is about.
#[derive(Clone, Default)]
pub struct World {
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, NamespaceFacts>,
    /// TrustDomains by name.
    pub domains: BTreeMap<String, Arc<TrustDomain>>,
    /// ExternalParties by name.
    pub parties: BTreeMap<String, Arc<ExternalParty>>,
    /// RetentionPolicies by name.
    pub retention: BTreeMap<String, Arc<RetentionPolicy>>,
    /// Channels.
    pub channels: Namespaced<Arc<Channel>>,
    /// Pods.
    pub pods: Namespaced<PodFacts>,
    /// Services.
    pub services: Namespaced<ServiceFacts>,
    /// UIDs of ServiceAccounts.
    pub service_accounts: Namespaced<String>,
    /// NetworkPolicies, ours and others'.
    pub network_policies: Namespaced<Arc<NetworkPolicy>>,
    /// Versions of the RoleBinding by which the operator may write, by namespace.
    pub own_bindings: BTreeMap<String, String>,
    /// PEM texts of ConfigMaps in the operator's namespace.
    pub bundles: BTreeMap<ConfigMapKey, String>,
    /// API groups of policy engines that may widen or replace NetworkPolicy.
    pub other_engines: BTreeSet<String>,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its UID, which outlives no deletion.
    pub uid: String,
    /// The value of its trust-domain label.
    pub trust_domain: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it uses the node's network, which no NetworkPolicy reaches.
    pub host_network: bool,
    /// Whether it has ended.
    pub finished: bool,
    /// When it started.
    pub started: Option<Timestamp>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// The labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Whether each pod has a name of its own below it.
    pub headless: bool,
}

impl World {
    /// The Channel of that name.
    pub fn channel(&self, name: &ChannelRef) -> Option<&Arc<Channel>> {
        self.channels.get(&name.namespace)?.get(&name.name)
    }

    /// The trust domain that governs `namespace`: the one its label names, where it exists.
    pub fn domain_of(&self, namespace: &str) -> Option<&Arc<TrustDomain>> {
        let label = self.namespaces.get(namespace)?.trust_domain.as_ref()?;
        self.domains.get(label)
    }

    /// The namespaces whose label names `domain`.
    pub fn namespaces_of<'a>(
        &'a self,
        domain: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a NamespaceFacts)> {
        self.namespaces.iter().filter(move |(_, facts)| facts.trust_domain.as_deref() == Some(domain))
    }

    /// Every Channel, by namespace and name.
    pub fn all_channels(&self) -> impl Iterator<Item = (ChannelRef, &Arc<Channel>)> {
        self.channels.iter().flat_map(|(namespace, channels)| {
            channels.iter().map(move |(name, channel)| (ChannelRef::new(namespace, name), channel))
        })
    }

    /// The pods of `namespace` that have not ended.
    pub fn running_pods(&self, namespace: &str) -> impl Iterator<Item = (&String, &PodFacts)> {
        self.pods.get(namespace).into_iter().flatten().filter(|(_, pod)| !pod.finished)
    }
}
