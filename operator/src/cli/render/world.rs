//! The world described by the given files. Missing objects are assumed, and every assumption is reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;
use subrosa_crds::{RetentionPolicy, TrustDomain, common::ConfigMapKey, names::ChannelRef};
use subrosa_plan::{
    certificate::trust_files::NOBODY,
    world::{NamespaceFacts, World, bundle::Bundle},
};

use super::given::Given;
use crate::{cli::finding::Finding, pki};

/// The placeholder for the name of an unknown trust domain.
pub const UNKNOWN_DOMAIN: &str = "<trust-domain>";
/// The placeholder for the retention policy of an unknown trust domain.
pub const UNKNOWN_POLICY: &str = "<retention-policy>";

/// A world, and what of it was not given.
#[derive(Default)]
pub struct Imagined {
    /// The world.
    pub world: World,
    /// TrustDomains that were not given.
    pub domains: BTreeSet<String>,
    /// RetentionPolicies that were not given.
    pub policies: BTreeSet<String>,
    /// CA bundles that were not given.
    pub bundles: BTreeSet<ConfigMapKey>,
}

/// The world of `given`; `operator` is the operator's namespace.
pub fn imagine(given: &Given, operator: &str, findings: &mut Vec<Finding>) -> Imagined {
    let mut imagined = Imagined { world: facts(given), ..Imagined::default() };
    imagined.namespaces(given, findings);
    imagined.domains(given, findings);
    imagined.policies(given, findings);
    imagined.bundles(given, operator, findings);
    imagined.service_accounts(given, findings);
    imagined
}

fn facts(given: &Given) -> World {
    let mut world = World::default();
    world.namespaces = by_name(&given.namespaces, |(facts, _)| facts.clone());
    world.domains = by_name(&given.domains, |one| Arc::clone(&one.object));
    world.parties = by_name(&given.parties, |one| Arc::clone(&one.object));
    world.retention = by_name(&given.retention, |one| Arc::clone(&one.object));
    for (name, one) in &given.channels {
        world.put_channel(name, Some(one.object.as_ref().clone()));
    }
    for (name, pod) in &given.pods {
        put(&mut world.pods, name, pod.clone());
    }
    for (name, service) in &given.services {
        put(&mut world.services, name, service.clone());
    }
    for (name, policy) in &given.policies {
        put(&mut world.network_policies, name, policy.as_ref().into());
    }
    world
}

fn by_name<T, F>(objects: &BTreeMap<String, T>, fact: impl Fn(&T) -> F) -> BTreeMap<String, F> {
    objects.iter().map(|(name, object)| (name.clone(), fact(object))).collect()
}

fn put<T>(place: &mut BTreeMap<String, BTreeMap<String, T>>, name: &ChannelRef, object: T) {
    place.entry(name.namespace.clone()).or_default().insert(name.name.clone(), object);
}

impl Imagined {
    /// A namespace that was not given belongs to the only given trust domain.
    fn namespaces(&mut self, given: &Given, findings: &mut Vec<Finding>) {
        let domain = match given.domains.keys().collect::<Vec<_>>().as_slice() {
            [only] => (*only).clone(),
            _ => UNKNOWN_DOMAIN.to_owned(),
        };
        let channels = given.channels.iter().map(|(name, channel)| (name, &channel.manifest));
        let roles = given.roles.iter().map(|(name, role)| (name, &role.manifest));
        let grants = given.grants.iter().map(|(name, grant)| (name, &grant.manifest));
        for (name, manifest) in channels.chain(roles).chain(grants) {
            if self.world.namespaces.contains_key(&name.namespace) {
                continue;
            }
            let message = if domain == UNKNOWN_DOMAIN {
                format!(
                    "namespace {} is not among the files, so its trust domain is not known",
                    name.namespace
                )
            } else {
                format!(
                    "namespace {} is not among the files: taken to belong to TrustDomain {domain}",
                    name.namespace
                )
            };
            findings.push(manifest.note("metadata.namespace", message));
            let facts = NamespaceFacts { trust_domain: Some(domain.clone()), ..NamespaceFacts::default() };
            self.world.namespaces.insert(name.namespace.clone(), facts);
        }
    }

    fn domains(&mut self, given: &Given, findings: &mut Vec<Finding>) {
        for (name, facts) in &self.world.namespaces {
            let Some(label) = facts.trust_domain.as_ref() else { continue };
            let Some(domain) = empty_domain(label).filter(|_| !self.world.domains.contains_key(label)) else {
                continue;
            };
            if let Some((_, manifest)) = given.namespaces.get(name)
                && !is_unreadable(given, "TrustDomain", label)
            {
                let message = format!(
                    "TrustDomain {label} is not among the files: its services, DNS, time zone and allowed names are not known"
                );
                findings.push(manifest.note("metadata.labels", message));
            }
            self.world.domains.insert(label.clone(), Arc::new(domain));
            self.domains.insert(label.clone());
        }
    }

    fn policies(&mut self, given: &Given, findings: &mut Vec<Finding>) {
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for domain in given.domains.values() {
            for (index, policy) in domain.object.spec.retention_policies.iter().enumerate() {
                if !self.world.retention.contains_key(policy) && wanted.insert(policy.clone()) {
                    let message =
                        format!("RetentionPolicy {policy} is not among the files: its periods are not known");
                    let field = format!("spec.retentionPolicies[{index}]");
                    if !is_unreadable(given, "RetentionPolicy", policy) {
                        findings.push(domain.manifest.note(&field, message));
                    }
                }
            }
        }
        // A trust domain that was not given allows whatever its Channels choose.
        for (name, channel) in &given.channels {
            let label =
                self.world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.as_ref());
            let Some(label) = label.filter(|label| self.domains.contains(*label)) else { continue };
            if !channel.object.seals() {
                continue;
            }
            let chosen =
                channel.object.retention_policy().cloned().unwrap_or_else(|| UNKNOWN_POLICY.to_owned());
            if !self.world.retention.contains_key(&chosen) {
                let message =
                    "its RetentionPolicy is not among the files: the periods of its data are not known";
                findings.push(channel.manifest.note("spec.dataClasses", message));
                wanted.insert(chosen.clone());
            }
            if let Some(domain) = self.world.domains.get_mut(label)
                && !domain.spec.retention_policies.contains(&chosen)
            {
                Arc::make_mut(domain).spec.retention_policies.push(chosen);
            }
        }
        let classes: BTreeSet<&String> =
            given.channels.values().flat_map(|channel| channel.object.data_classes()).collect();
        for name in wanted {
            if let Some(policy) = policy_of(&name, &classes) {
                self.world.retention.insert(name.clone(), Arc::new(policy));
                self.policies.insert(name);
            }
        }
    }

    /// A bundle that was not given is assumed to contain a certificate.
    fn bundles(&mut self, given: &Given, operator: &str, findings: &mut Vec<Finding>) {
        let domains = given.domains.values().filter_map(|domain| {
            Some((&domain.manifest, "spec.vault.caBundle", domain.object.spec.vault.ca_bundle.as_ref()?))
        });
        let parties = given.parties.values().filter_map(|party| {
            Some((&party.manifest, "spec.tls.caBundle", party.object.spec.tls.ca_bundle.as_ref()?))
        });
        for (manifest, field, key) in domains.chain(parties) {
            let wanted = ChannelRef::new(operator, &key.config_map);
            if let Some(data) = given.config_maps.get(&wanted) {
                if let Some(text) = data.get(&key.key) {
                    self.world.bundles.insert(key.clone(), Bundle::read(text.clone(), pki::is_authority));
                }
                continue;
            }
            let elsewhere = given.config_maps.keys().find(|name| name.name == key.config_map);
            let message = match elsewhere {
                Some(name) => format!(
                    "ConfigMap {wanted} is not among the files, but {name} is: the operator reads it in its own namespace"
                ),
                None => format!("ConfigMap {wanted} is not among the files: taken to hold the CA"),
            };
            findings.push(manifest.note(field, message));
            self.world
                .bundles
                .insert(key.clone(), Bundle::read(NOBODY.to_owned(), |_| Ok(jiff::Timestamp::MAX)));
            self.bundles.insert(key.clone());
        }
    }

    /// Only the cluster knows the UID of a ServiceAccount, which names its alias in Vault.
    fn service_accounts(&mut self, given: &Given, findings: &mut Vec<Finding>) {
        for (name, uid) in &given.service_accounts {
            let uid = uid.clone().unwrap_or_else(|| placeholder(name));
            put(&mut self.world.service_accounts, name, uid);
        }
        for (name, channel) in &given.channels {
            let Some(account) = channel.object.service_account() else { continue };
            let account = ChannelRef::new(&name.namespace, account);
            if !channel.object.seals() || given.service_accounts.contains_key(&account) {
                continue;
            }
            let message = format!("ServiceAccount {account} is not among the files");
            findings.push(channel.manifest.note("spec.workload.serviceAccountName", message));
            put(&mut self.world.service_accounts, &account, placeholder(&account));
        }
    }
}

fn placeholder(account: &ChannelRef) -> String {
    format!("<uid of ServiceAccount {account}>")
}

/// Whether an object of that name was given but cannot be parsed, which was reported already.
fn is_unreadable(given: &Given, kind: &str, name: &str) -> bool {
    given.unreadable.contains(&(kind.to_owned(), ChannelRef::new("", name)))
}

/// A trust domain of which only the name is known.
fn empty_domain(name: &str) -> Option<TrustDomain> {
    let spec = json!({
        "organisation": {"name": "", "country": ""},
        "jurisdictions": [],
        "timeZone": "UTC",
        "vault": {"address": "", "auth": {}},
        "retentionPolicies": [],
        "network": {"clusterCIDRs": []},
    });
    Some(TrustDomain::new(name, serde_json::from_value(spec).ok()?))
}

/// A retention policy of which only the classes are known; nothing derived from its periods may be shown.
fn policy_of(name: &str, classes: &BTreeSet<&String>) -> Option<RetentionPolicy> {
    let classes: Vec<_> = classes.iter().map(|class| json!({"name": class, "keep": "1d"})).collect();
    Some(RetentionPolicy::new(name, serde_json::from_value(json!({ "classes": classes })).ok()?))
}
