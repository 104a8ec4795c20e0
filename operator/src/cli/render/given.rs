//! The content of the given files: objects of this API, each validated by itself, and facts about others.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subrosa_crds::{
    AccessGrant, AccessRole, Channel, ExternalParty, GROUP, RetentionPolicy, TRUST_DOMAIN_LABEL, TrustDomain,
    VERSION, names::ChannelRef,
};
use subrosa_plan::world::{NamespaceFacts, PodFacts, ServiceFacts, declaration::Declaration};

use crate::cli::{
    finding::{Finding, any_error},
    manifest::Manifest,
};

/// An object of this API and its place in a file.
#[derive(Clone)]
pub struct FromFile<T> {
    /// The object.
    pub object: Arc<T>,
    /// Its text.
    pub manifest: Arc<Manifest>,
    /// Whether the API server would take it.
    pub sound: bool,
}

/// Kinds of the whole cluster that are only checked.
const NOT_SHOWN: [&str; 5] = ["AccessRevocation", "LegalHold", "Destruction", "Adoption", "Approval"];

/// Everything that was given.
#[derive(Default)]
pub struct Given {
    /// TrustDomains by name.
    pub domains: BTreeMap<String, FromFile<TrustDomain>>,
    /// ExternalParties by name.
    pub parties: BTreeMap<String, FromFile<ExternalParty>>,
    /// RetentionPolicies by name.
    pub retention: BTreeMap<String, FromFile<RetentionPolicy>>,
    /// Channels.
    pub channels: BTreeMap<ChannelRef, FromFile<Declaration>>,
    /// AccessRoles.
    pub roles: BTreeMap<ChannelRef, FromFile<AccessRole>>,
    /// AccessGrants.
    pub grants: BTreeMap<ChannelRef, FromFile<AccessGrant>>,
    /// Objects of this API that are so wrong that they cannot be read, by kind and name.
    pub unreadable: BTreeSet<(String, ChannelRef)>,
    /// Namespaces by name, and where they were written.
    pub namespaces: BTreeMap<String, (NamespaceFacts, Arc<Manifest>)>,
    /// Services.
    pub services: BTreeMap<ChannelRef, ServiceFacts>,
    /// Pods, and what workloads make.
    pub pods: BTreeMap<ChannelRef, PodFacts>,
    /// ServiceAccounts and their UIDs, where they have one.
    pub service_accounts: BTreeMap<ChannelRef, Option<String>>,
    /// NetworkPolicies.
    pub policies: BTreeMap<ChannelRef, Arc<NetworkPolicy>>,
    /// The data of ConfigMaps.
    pub config_maps: BTreeMap<ChannelRef, BTreeMap<String, String>>,
}

/// Sorts `manifests` by kind; `namespace` is for those without one.
pub fn sort(manifests: Vec<Manifest>, namespace: &str, findings: &mut Vec<Finding>) -> Given {
    let mut given = Given::default();
    let mut seen: BTreeMap<(String, String, ChannelRef), Arc<Manifest>> = BTreeMap::new();
    for mut manifest in manifests {
        let cluster_wide = is_cluster_wide(&manifest);
        if !cluster_wide && manifest.namespace.is_none() {
            manifest.settle(namespace);
        }
        let manifest = Arc::new(manifest);
        let group = manifest.api_version.split_once('/').map(|(group, _)| group).unwrap_or_default();
        let name = manifest.name_in(namespace);
        match seen.entry((group.to_owned(), manifest.kind.clone(), name)) {
            Entry::Occupied(first) => {
                let first = first.get().place("metadata.name");
                findings.push(
                    manifest.error("metadata.name", format!("is also given at {first}: leave one out")),
                );
            }
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&manifest));
                given.take(&manifest, findings);
            }
        }
    }
    given
}

// For unknown kinds the namespace does not matter.
fn is_cluster_wide(manifest: &Manifest) -> bool {
    match manifest.kind.as_str() {
        "Namespace" => manifest.api_version == "v1",
        "TrustDomain" | "ExternalParty" | "RetentionPolicy" => manifest.is_ours(),
        kind if NOT_SHOWN.contains(&kind) => manifest.is_ours(),
        _ => false,
    }
}

impl Given {
    fn take(&mut self, manifest: &Arc<Manifest>, findings: &mut Vec<Finding>) {
        if manifest.is_ours() {
            return self.take_ours(manifest, findings);
        }
        let name = manifest.name_in("");
        match (manifest.api_version.as_str(), manifest.kind.as_str()) {
            ("v1", "Namespace") => {
                let label = texts(&manifest.value, "/metadata/labels").remove(TRUST_DOMAIN_LABEL);
                let uid = manifest.text("/metadata/uid").unwrap_or_default().to_owned();
                let facts = NamespaceFacts { uid, trust_domain: label, terminating: false };
                self.namespaces.insert(manifest.name.clone(), (facts, Arc::clone(manifest)));
            }
            ("v1", "Service") => {
                let headless = manifest.text("/spec/clusterIP") == Some("None");
                let selector = texts(&manifest.value, "/spec/selector");
                self.services.insert(name, ServiceFacts { selector, headless });
            }
            ("v1", "ServiceAccount") => {
                self.service_accounts.insert(name, manifest.text("/metadata/uid").map(str::to_owned));
            }
            ("v1", "ConfigMap") => {
                self.config_maps.insert(name, texts(&manifest.value, "/data"));
            }
            ("v1", "Pod") => self.take_pods(manifest, name, ""),
            ("batch/v1", "CronJob") => self.take_pods(manifest, name, "/spec/jobTemplate/spec/template"),
            ("batch/v1", "Job") | ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
                self.take_pods(manifest, name, "/spec/template");
            }
            ("networking.k8s.io/v1", "NetworkPolicy") => {
                match serde_json::from_value::<NetworkPolicy>(manifest.value.clone()) {
                    Ok(policy) => {
                        self.policies.insert(name, Arc::new(policy));
                    }
                    Err(problem) => findings.push(manifest.error("", problem.to_string())),
                }
            }
            _ => {}
        }
    }

    fn take_pods(&mut self, manifest: &Manifest, name: ChannelRef, template: &str) {
        let host_network = manifest.value.pointer(&format!("{template}/spec/hostNetwork"));
        let facts = PodFacts {
            labels: texts(&manifest.value, &format!("{template}/metadata/labels")),
            host_network: host_network.and_then(Value::as_bool).unwrap_or_default(),
            ..PodFacts::default()
        };
        // Two workloads of different kinds may have the same name.
        let name = ChannelRef::new(name.namespace, format!("of {} {}", manifest.kind, name.name));
        self.pods.insert(name, facts);
    }

    fn take_ours(&mut self, manifest: &Arc<Manifest>, findings: &mut Vec<Finding>) {
        let expected = format!("{GROUP}/{VERSION}");
        if manifest.api_version != expected {
            let message = format!("there is no such version: write {expected}");
            return findings.push(manifest.error_at("apiVersion", message));
        }
        let name = manifest.name.clone();
        let read = match manifest.kind.as_str() {
            "TrustDomain" => store(&mut self.domains, name, declare(manifest, findings)),
            "ExternalParty" => store(&mut self.parties, name, declare(manifest, findings)),
            "RetentionPolicy" => store(&mut self.retention, name, declare(manifest, findings)),
            "Channel" => {
                let declared = declare(manifest, findings).map(|given: FromFile<Channel>| FromFile {
                    object: Arc::new(Declaration::of(given.object)),
                    manifest: given.manifest,
                    sound: given.sound,
                });
                store(&mut self.channels, manifest.name_in(""), declared)
            }
            "AccessRole" => store(&mut self.roles, manifest.name_in(""), declare(manifest, findings)),
            "AccessGrant" => store(&mut self.grants, manifest.name_in(""), declare(manifest, findings)),
            kind if NOT_SHOWN.contains(&kind) => {
                declare::<Value>(manifest, findings);
                let message = "it is checked, and what it would do is not shown: that depends on the cluster";
                return findings.push(manifest.note("", message));
            }
            _ => {
                let kinds: Vec<_> = subrosa_crds::all().into_iter().map(|crd| crd.spec.names.kind).collect();
                let message = format!("{GROUP} has no such kind: it has {}", kinds.join(", "));
                return findings.push(manifest.error_at("kind", message));
            }
        };
        if !read {
            self.unreadable.insert((manifest.kind.clone(), manifest.name_in("")));
        }
    }
}

fn store<K: Ord, T>(place: &mut BTreeMap<K, FromFile<T>>, key: K, found: Option<FromFile<T>>) -> bool {
    found.map(|found| place.insert(key, found)).is_some()
}

/// Validates one object as the API server would; `None` when it cannot be parsed.
fn declare<T: DeserializeOwned>(
    manifest: &Arc<Manifest>,
    findings: &mut Vec<Finding>,
) -> Option<FromFile<T>> {
    let mut wrong = Vec::new();
    for violation in
        subrosa_crds::validate::validate_kind(&manifest.kind, &manifest.value).unwrap_or_default()
    {
        wrong.push(Finding { value: violation.value, ..manifest.error(&violation.field, violation.message) });
    }
    let object = serde_json::from_value(manifest.value.clone());
    if let (Err(problem), false) = (&object, any_error(&wrong)) {
        wrong.push(manifest.error("", problem.to_string()));
    }
    let sound = wrong.is_empty();
    findings.extend(wrong);
    Some(FromFile { object: Arc::new(object.ok()?), manifest: Arc::clone(manifest), sound })
}

fn texts(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    let fields = value.pointer(pointer).and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    fields.into_iter().flatten().filter_map(text).collect()
}
