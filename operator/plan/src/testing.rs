//! A small hospital for tests: worlds are built from the YAML people would write, as JSON.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subrosa_crds::{
    Channel, ExternalParty, RetentionPolicy, TrustDomain, common::ConfigMapKey, names::ChannelRef,
};

use crate::{
    certificate::{AuthoritySpec, LeafFacts, LeafSpec},
    channel::{self, Plan},
    record::channel::ChannelRecord,
    world::{
        NamespaceFacts, PodFacts, ServiceFacts, World,
        bundle::Bundle,
        certificate::{Fingerprint, KeyAlgorithm, Validity},
        declaration::Declaration,
        key_findings::KeyFindings,
        pem,
        policy::PolicyFacts,
    },
};

/// The trust domain of every test that does not name another.
pub const DOMAIN: &str = "oosterlinde";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A Sunday at noon, UTC.
pub fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

/// The leaf that a generation issues for `spec`.
pub fn issued(spec: &LeafSpec, serial: String, validity: Validity, issuer: u32) -> LeafFacts {
    LeafFacts {
        fingerprint: fingerprint(&serial),
        serial,
        subject: Some(spec.subject()),
        issuer_name: None,
        uris: [spec.spiffe_id()].into(),
        dns_names: spec.dns_names.clone(),
        other_names: false,
        key_algorithm: Some(spec.key_algorithm),
        usage_as_built: true,
        key_problem: None,
        key_matches: true,
        validity,
        issuer: Some(issuer),
        chain_complete: true,
    }
}

/// The authority of `cc-front/voice`.
pub fn authority_spec(duration: SignedDuration, permitted: &[&str]) -> AuthoritySpec {
    AuthoritySpec {
        trust_domain: DOMAIN.into(),
        namespace: "cc-front".into(),
        channel: "voice".into(),
        id: "abcdefgh23456789".into(),
        duration,
        permitted_dns: permitted.iter().map(ToString::to_string).collect(),
    }
}

/// `namespace/name`.
pub fn named(text: &str) -> ChannelRef {
    let (namespace, name) = text.split_once('/').unwrap();
    ChannelRef::new(namespace, name)
}

pub fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// RFC 7386: null removes, objects merge, everything else replaces.
pub fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch,
    }
}

pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What a Channel declares that the API server returns so; its pods are `app: <name>` unless `spec` says otherwise.
pub fn channel(name: &str, spec: Value) -> Declaration {
    let name = named(name);
    let mut whole = json!({"workload": {"selector": {"matchLabels": {"app": name.name}}}});
    merge(&mut whole, spec);
    declaration(json!({
        "metadata": {
            "name": name.name, "namespace": name.namespace, "generation": 3,
            "uid": format!("uid-{}-{}", name.namespace, name.name),
            "creationTimestamp": "2026-11-01T00:00:00Z",
        },
        "spec": whole,
    }))
}

/// The Channel with what `edit` changes of its object.
pub fn edited(channel: &Declaration, edit: impl FnOnce(&mut Channel)) -> Declaration {
    let mut object = channel.object();
    edit(&mut object);
    Declaration::of(Arc::new(object))
}

/// What a Channel of this manifest declares.
pub fn declaration(manifest: Value) -> Declaration {
    Declaration::of(Arc::new(read(manifest)))
}

pub fn domain(name: &str, patch: Value) -> TrustDomain {
    let mut spec = json!({
        "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"},
        "jurisdictions": ["NL", "EU"],
        "timeZone": "Europe/Amsterdam",
        "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
        "retentionPolicies": ["contactcenter"],
        "network": {"clusterCIDRs": ["10.0.0.0/8", "fd00::/8"]},
    });
    merge(&mut spec, patch);
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain",
        "metadata": {"name": name, "generation": 2}, "spec": spec,
    }))
}

pub fn party(name: &str, patch: Value) -> ExternalParty {
    let mut spec = json!({
        "role": "Carrier",
        "addresses": {"cidrs": ["203.0.113.0/28"]},
        "tls": {"mode": "OneWay"},
    });
    merge(&mut spec, patch);
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "ExternalParty",
        "metadata": {"name": name, "generation": 4}, "spec": spec,
    }))
}

pub fn retention(name: &str, spec: Value) -> RetentionPolicy {
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": name, "generation": 5}, "spec": spec,
    }))
}

/// A policy of somebody else, or one of ours as found.
pub fn network_policy(name: &str, spec: Value) -> NetworkPolicy {
    read(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name}, "spec": spec,
    }))
}

/// A certificate as far as bundles are concerned.
pub fn certificate(number: u8) -> String {
    pem::encode(&[0x30, 1, number])
}

/// The fingerprint of a certificate of which no more is known than its serial.
pub fn fingerprint(serial: &str) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(serial.bytes()).for_each(|(to, from)| *to = from);
    Fingerprint(bytes)
}

/// A leaf made a day ago that lives for thirty.
pub fn leaf() -> LeafFacts {
    LeafFacts {
        serial: "0badcafe".into(),
        fingerprint: fingerprint("0badcafe"),
        subject: None,
        issuer_name: None,
        uris: [].into(),
        dns_names: [].into(),
        other_names: false,
        key_algorithm: Some(KeyAlgorithm::EcdsaP256),
        usage_as_built: true,
        key_problem: None,
        key_matches: true,
        validity: Validity { not_before: at("2026-11-21T12:00:00Z"), not_after: at("2026-12-21T12:00:00Z") },
        issuer: Some(1),
        chain_complete: true,
    }
}

/// A world under construction.
#[derive(Clone, Default)]
pub struct Scene {
    pub world: World,
}

impl Deref for Scene {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Scene {
    /// The trust domain with its retention policy, and three of its namespaces.
    pub fn new() -> Self {
        Self::default()
            .domain(DOMAIN, json!({}))
            .retention(
                "contactcenter",
                json!({"classes": [{"name": "call-recording", "keep": "90d", "cohort": "Week"}]}),
            )
            .namespace("cc-front", Some(DOMAIN))
            .namespace("cc-data", Some(DOMAIN))
            .namespace("cc-web", Some(DOMAIN))
    }

    pub fn domain(mut self, name: &str, patch: Value) -> Self {
        self.world.domains.insert(name.into(), Arc::new(domain(name, patch)));
        let seen = KeyFindings { all_seen: Some(now()), ..KeyFindings::default() };
        self.world.key_findings.insert(name.into(), seen);
        self
    }

    pub fn namespace(mut self, name: &str, trust_domain: Option<&str>) -> Self {
        let facts = NamespaceFacts {
            uid: format!("uid-{name}"),
            trust_domain: trust_domain.map(str::to_owned),
            terminating: false,
        };
        self.world.namespaces.insert(name.into(), facts);
        self
    }

    pub fn channel(self, name: &str, spec: Value) -> Self {
        self.given(channel(name, spec))
    }

    /// A Channel made by hand, such as one of another age.
    pub fn given(mut self, channel: Declaration) -> Self {
        let ChannelRef { namespace, name } = channel.name().clone();
        self.world.channels.entry(namespace).or_default().insert(name, channel);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        let name = named(name);
        self.world.channels.get_mut(&name.namespace).unwrap().remove(&name.name);
        self
    }

    pub fn party(mut self, name: &str, patch: Value) -> Self {
        self.world.parties.insert(name.into(), Arc::new(party(name, patch)));
        self
    }

    pub fn retention(mut self, name: &str, spec: Value) -> Self {
        self.world.retention.insert(name.into(), Arc::new(retention(name, spec)));
        self
    }

    pub fn pod<const N: usize>(self, name: &str, pairs: [(&str, &str); N]) -> Self {
        self.pod_with(name, PodFacts { labels: labels(pairs), ..PodFacts::default() })
    }

    pub fn pod_with(mut self, name: &str, facts: PodFacts) -> Self {
        let name = named(name);
        self.world.pods.entry(name.namespace).or_default().insert(name.name, facts);
        self
    }

    pub fn service<const N: usize>(mut self, name: &str, headless: bool, pairs: [(&str, &str); N]) -> Self {
        let name = named(name);
        let facts = ServiceFacts { selector: labels(pairs), headless };
        self.world.services.entry(name.namespace).or_default().insert(name.name, facts);
        self
    }

    pub fn account(mut self, name: &str, uid: &str) -> Self {
        let name = named(name);
        self.world.service_accounts.entry(name.namespace).or_default().insert(name.name, uid.into());
        self
    }

    pub fn bundle(mut self, config_map: &str, text: &str) -> Self {
        let key = ConfigMapKey { config_map: config_map.into(), key: "ca.crt".into() };
        self.world.bundles.insert(key, Bundle::read(text.into(), |_| Ok(Timestamp::MAX)));
        self
    }

    pub fn policy(mut self, namespace: &str, policy: NetworkPolicy) -> Self {
        let name = policy.metadata.name.clone().unwrap();
        self.world
            .network_policies
            .entry(namespace.into())
            .or_default()
            .insert(name, PolicyFacts::from(&policy));
        self
    }

    pub fn get(&self, name: &str) -> &Declaration {
        self.world.channel(&named(name)).unwrap()
    }

    pub fn plan(&self, name: &str) -> Plan {
        self.plan_with(name, None)
    }

    pub fn plan_with(&self, name: &str, record: Option<&ChannelRecord>) -> Plan {
        match channel::plan(self.get(name), &self.world, record, now()) {
            Ok(plan) => plan,
            Err(problem) => panic!("{name}: {problem:?}"),
        }
    }

    /// What the operator would have noted once the plan of `name` is in force.
    pub fn record(&self, name: &str) -> ChannelRecord {
        let plan = self.plan(name);
        plan.remember(self.first_record(name), true, None, now())
    }

    pub fn first_record(&self, name: &str) -> ChannelRecord {
        let name = named(name);
        let uid = self.namespaces[&name.namespace].uid.clone();
        ChannelRecord::new(name, &uid, DOMAIN)
    }

    /// As if the plans of these Channels had been carried out: their policies are there.
    pub fn in_force(mut self, names: &[&str]) -> Self {
        for name in names {
            let policy = self.plan(name).policy;
            self = self.policy(&named(name).namespace, policy);
        }
        self
    }
}

/// The spec of a plan's policy.
pub fn spec(plan: &Plan) -> NetworkPolicySpec {
    plan.policy.spec.clone().unwrap()
}
