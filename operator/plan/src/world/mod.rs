//! Everything that the operator has seen of the cluster, as plain facts by namespace and name.
//!
//! Watches fill it in a running operator, files fill it in `subrosa render`; decisions cannot tell the difference.

pub mod answers;
pub mod bundle;
pub mod certificate;
pub mod declaration;
pub mod domain;
pub mod earlier;
pub mod fault;
pub mod key_fault;
pub mod key_findings;
pub mod objects;
pub mod packed;
pub mod pem;
pub mod policy;
pub mod request;
pub mod run;
pub mod selector;
pub mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::Timestamp;
use subrosa_crds::{ExternalParty, RetentionPolicy, TrustDomain, common::ConfigMapKey, names::ChannelRef};

use self::{
    bundle::Bundle, declaration::Declaration, earlier::EarlierChannels, key_findings::KeyFindings,
    policy::PolicyFacts, request::Request, run::EndedRun,
};

/// Objects by namespace, then by name.
pub type Namespaced<T> = BTreeMap<String, BTreeMap<String, T>>;

/// All facts that a decision may use beside the object it is about.
#[derive(Clone, Default)]
pub struct World {
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, NamespaceFacts>,
    /// How often the trust-domain label of any namespace changed.
    pub moves: u64,
    /// The deleted Channels of each trust domain.
    pub earlier: BTreeMap<String, EarlierChannels>,
    /// TrustDomains by name.
    pub domains: BTreeMap<String, Arc<TrustDomain>>,
    /// ExternalParties by name.
    pub parties: BTreeMap<String, Arc<ExternalParty>>,
    /// RetentionPolicies by name.
    pub retention: BTreeMap<String, Arc<RetentionPolicy>>,
    /// What Channels declare.
    pub channels: Namespaced<Declaration>,
    /// Pods.
    pub pods: Namespaced<PodFacts>,
    /// Services.
    pub services: Namespaced<ServiceFacts>,
    /// The UIDs of ServiceAccounts.
    pub service_accounts: Namespaced<String>,
    /// NetworkPolicies, ours and others'.
    pub network_policies: Namespaced<PolicyFacts>,
    /// The resource versions of the RoleBinding that lets the operator write, by namespace.
    pub own_bindings: BTreeMap<String, String>,
    /// The CA bundles in ConfigMaps of the operator's namespace.
    pub bundles: BTreeMap<ConfigMapKey, Bundle>,
    /// API groups of policy engines that may widen or replace NetworkPolicy.
    pub other_engines: BTreeSet<String>,
    /// Unanswered certificate requests of pods.
    pub requests: Namespaced<Request>,
    /// Whether the cluster serves such requests; `None` while unknown.
    pub pod_certificates: Option<bool>,
    /// Where probes come from; `None` where probes are off.
    pub probes: Option<answers::Source>,
    /// The image of this release, from which backup workers run; `None` where the operator was not told.
    pub worker_image: Option<String>,
    /// What probes saw at the pods of Channels.
    pub served: BTreeMap<ChannelRef, answers::Seen>,
    /// The known faults of the keys of each trust domain.
    pub key_findings: BTreeMap<String, KeyFindings>,
    /// An index: the Channels that name a Channel as their peer. Searching thousands of Channels would be too slow.
    naming: BTreeMap<ChannelRef, Vec<ChannelRef>>,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its UID, which no other namespace ever has.
    pub uid: String,
    /// The value of its trust-domain label.
    pub trust_domain: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its UID: another pod of the same name has another.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it uses the node's network, which a NetworkPolicy does not cover.
    pub host_network: bool,
    /// Whether it has ended.
    pub finished: bool,
    /// When it started.
    pub started: Option<Timestamp>,
    /// The Secrets that it mounts.
    pub secrets: Vec<String>,
    /// Those of them that a container mounts by `subPath`; such a mount is never updated.
    pub sub_paths: Vec<String>,
    /// Its address, from the API server.
    pub ip: Option<IpAddr>,
    /// Whether it is ready and not being deleted.
    pub ready: bool,
    /// When the container that runs longest was started.
    pub running_since: Option<Timestamp>,
    /// How it ended, where it is of a backup worker and has.
    pub run: Option<Box<EndedRun>>,
}

impl PodFacts {
    /// Whether it mounts the Secret.
    pub fn mounts(&self, secret: &str) -> bool {
        self.secrets.iter().any(|mounted| mounted == secret)
    }

    /// Whether a container mounts the Secret by `subPath`.
    pub fn mounts_sub_path(&self, secret: &str) -> bool {
        self.sub_paths.iter().any(|mounted| mounted == secret)
    }
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// The labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Whether each pod has a DNS name of its own below the Service's.
    pub headless: bool,
}

impl World {
    /// The Channel of that name.
    pub fn channel(&self, name: &ChannelRef) -> Option<&Declaration> {
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
    pub fn all_channels(&self) -> impl Iterator<Item = &Declaration> {
        self.channels.values().flat_map(BTreeMap::values)
    }

    /// The Channels of `namespace`, by name.
    pub fn channels_of(&self, namespace: &str) -> impl Iterator<Item = &Declaration> {
        self.channels.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// Replaces or removes a Channel; returns the previous one.
    pub fn put_channel(&mut self, name: &ChannelRef, new: Option<Declaration>) -> Option<Declaration> {
        let channels = self.channels.entry(name.namespace.clone()).or_default();
        let old = match &new {
            Some(new) => channels.insert(name.name.clone(), new.clone()),
            None => channels.remove(&name.name),
        };
        if new.is_none() {
            self.served.remove(name);
            if channels.is_empty() {
                self.channels.remove(&name.namespace);
            }
        }
        let same = match (&old, &new) {
            (Some(old), Some(new)) => old.declares_the_same(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if !same {
            for peer in old.iter().flat_map(Declaration::peers) {
                if let Some(naming) = self.naming.get_mut(&peer) {
                    naming.retain(|one| one != name);
                    if naming.is_empty() {
                        self.naming.remove(&peer);
                    }
                }
            }
            for peer in new.iter().flat_map(Declaration::peers).filter(|peer| peer != name) {
                let naming = self.naming.entry(peer).or_default();
                if !naming.contains(name) {
                    // Most Channels are named by one or two others, for which a set would take ten times the memory.
                    naming.reserve_exact(1);
                    naming.push(name.clone());
                }
            }
        }
        old
    }

    /// The other Channels that name this one as a peer, among those [put](Self::put_channel) here.
    pub fn naming(&self, name: &ChannelRef) -> impl Iterator<Item = &ChannelRef> {
        self.naming.get(name).into_iter().flatten()
    }

    /// How many Channels are named by others.
    pub fn named(&self) -> usize {
        self.naming.len()
    }

    /// Whether a pod of `namespace` that has not ended mounts the Secret.
    pub fn is_mounted(&self, namespace: &str, secret: &str) -> bool {
        self.running_pods(namespace).any(|(_, pod)| pod.mounts(secret))
    }

    /// The pods of `namespace` that have not ended.
    pub fn running_pods(&self, namespace: &str) -> impl Iterator<Item = (&String, &PodFacts)> {
        self.pods.get(namespace).into_iter().flatten().filter(|(_, pod)| !pod.finished)
    }

    /// The UIDs of the pods of `namespace` that have not ended.
    #[must_use]
    pub fn running_uids(&self, namespace: &str) -> BTreeSet<&str> {
        self.running_pods(namespace).map(|(_, pod)| pod.uid.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, named};

    #[test]
    fn who_names_a_channel_is_known_from_the_last_declaration() {
        let channel = |peers: &[&str]| {
            let peers: Vec<_> = peers.iter().map(|name| serde_json::json!({"name": name})).collect();
            let scene = Scene::new().channel("a/one", serde_json::json!({"connectsTo": peers}));
            scene.get("a/one").clone()
        };
        let mut world = World::default();
        let naming = |world: &World, name: &str| world.naming(&named(name)).cloned().collect::<Vec<_>>();
        let one = named("a/one");
        assert!(world.put_channel(&one, Some(channel(&["two", "three", "one"]))).is_none());
        assert_eq!(naming(&world, "a/two"), [named("a/one")]);
        assert!(naming(&world, "a/one").is_empty(), "itself is no other");
        assert!(world.put_channel(&one, Some(channel(&["three"]))).is_some());
        assert!(naming(&world, "a/two").is_empty());
        assert_eq!(naming(&world, "a/three"), [named("a/one")]);
        world.put_channel(&one, None);
        assert!(naming(&world, "a/three").is_empty() && world.channel(&one).is_none());
        assert!(world.channels.is_empty() && world.named() == 0, "nothing is left of it");
    }
}
