//! A NetworkPolicy, packed.
//!
//! Every Channel has one, and each of its selectors takes more than half a KiB as an object. So policies are kept
//! packed and unpacked where a decision reads one: for the Channel itself and its peers.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicySpec},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::{
    declaration::Declaration,
    objects,
    packed::{self, Packed},
};

/// A NetworkPolicy: its name, labels, owners and spec, and its UID and resource version.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    uid: Box<str>,
    version: Box<str>,
    /// The UIDs of its owners.
    owners: Box<[Box<str>]>,
    ours: bool,
    /// Its content: a packed [`Text`].
    text: Packed,
}

/// The content of a policy.
#[derive(Default, Serialize, Deserialize)]
struct Text {
    metadata: ObjectMeta,
    spec: Option<NetworkPolicySpec>,
}

/// Only the spec; the rest is skipped without parsing.
#[derive(Deserialize)]
struct SpecOfText {
    spec: Option<NetworkPolicySpec>,
}

/// Only the pod selector.
#[derive(Deserialize)]
struct PodsOfText {
    spec: Option<PodsOfSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodsOfSpec {
    pod_selector: Option<LabelSelector>,
}

impl From<&NetworkPolicy> for PolicyFacts {
    fn from(policy: &NetworkPolicy) -> Self {
        let ObjectMeta { name, namespace, labels, owner_references, .. } = &policy.metadata;
        let text = Text {
            metadata: ObjectMeta {
                name: name.clone(),
                namespace: namespace.clone(),
                labels: labels.clone(),
                owner_references: owner_references.clone(),
                ..ObjectMeta::default()
            },
            spec: policy.spec.clone(),
        };
        let boxed = |text: Option<String>| text.unwrap_or_default().into_boxed_str();
        Self {
            uid: boxed(policy.uid()),
            version: boxed(policy.resource_version()),
            owners: policy.owner_references().iter().map(|owner| owner.uid.as_str().into()).collect(),
            ours: objects::is_our_policy(policy),
            text: Packed::like(packed::POLICY, &text),
        }
    }
}

impl PolicyFacts {
    /// Its spec.
    pub fn spec(&self) -> Option<NetworkPolicySpec> {
        self.text.read::<SpecOfText>()?.spec
    }

    /// The selector of the pods that it protects.
    pub fn pod_selector(&self) -> Option<LabelSelector> {
        self.text.read::<PodsOfText>()?.spec?.pod_selector
    }

    /// The whole object, without fields that the operator never reads.
    pub fn object(&self) -> NetworkPolicy {
        let Text { mut metadata, spec } = self.text.read().unwrap_or_default();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        metadata.uid = some(&self.uid);
        metadata.resource_version = some(&self.version);
        NetworkPolicy { metadata, spec }
    }

    /// Whether its labels say that the operator wrote it. Good for recognising its own; never a reason to delete.
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether the object with this UID is one of its owners, controller or not.
    pub fn has_owner(&self, uid: &str) -> bool {
        self.owners.iter().any(|owner| **owner == *uid)
    }

    /// Whether the operator made it for `channel`. Compares the owner's UID, because names and labels prove nothing.
    pub fn is_of(&self, channel: &Declaration) -> bool {
        channel.uid().is_some_and(|uid| self.has_owner(uid))
    }

    /// Its owners.
    pub fn owners(&self) -> Vec<OwnerReference> {
        self.object().metadata.owner_references.unwrap_or_default()
    }

    /// Whether both have the same content, even as different objects or versions.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Whether it is an older version of the same object than `other`. Resource versions of one object are growing
    /// numbers (documented since Kubernetes 1.35).
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |one: &Self| one.version.parse::<u64>().ok();
        self.uid == other.uid && number(self) < number(other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Scene, named, spec};

    fn kept(scene: &Scene) -> (NetworkPolicy, PolicyFacts) {
        let name = named("cc-front/voice");
        let mut policy = scene.plan("cc-front/voice").policy;
        policy.metadata.uid = Some("5d2c".into());
        policy.metadata.resource_version = Some("17".into());
        assert_eq!(policy.metadata.namespace.as_deref(), Some(&*name.namespace));
        (policy.clone(), PolicyFacts::from(&policy))
    }

    fn scene(port: u16) -> Scene {
        Scene::new()
            .channel("cc-front/voice", json!({"connectsTo": [{"name": "db", "namespace": "cc-data"}]}))
            .channel(
                "cc-data/db",
                json!({
                    "listeners": [{"name": "sql", "port": port}],
                    "accepts": [{"name": "voice", "namespace": "cc-front"}],
                }),
            )
    }

    #[test]
    fn what_is_kept_is_the_policy() {
        let scene = scene(5432);
        let (policy, facts) = kept(&scene);
        assert_eq!(facts.object(), policy);
        assert_eq!(facts.spec(), Some(spec(&scene.plan("cc-front/voice"))));
        assert_eq!(facts.pod_selector(), spec(&scene.plan("cc-front/voice")).pod_selector);
        assert!(facts.pod_selector().is_some());
        assert!(facts.is_ours() && facts.is_of(scene.get("cc-front/voice")));
        assert!(!facts.is_of(scene.get("cc-data/db")));
        assert!(facts.has_owner(scene.get("cc-front/voice").uid().unwrap()));
        assert_eq!(facts.owners(), policy.metadata.owner_references.unwrap());
    }

    #[test]
    fn versions_are_compared_and_what_is_said() {
        let (mut policy, facts) = kept(&scene(5432));
        policy.metadata.resource_version = Some("9".into());
        policy.metadata.generation = Some(4);
        let older = PolicyFacts::from(&policy);
        assert!(older.says_the_same(&facts) && older.is_older_than(&facts) && !facts.is_older_than(&older));
        policy.metadata.uid = Some("another".into());
        assert!(!PolicyFacts::from(&policy).is_older_than(&facts), "another object of that name");
        policy.spec.as_mut().unwrap().ingress = Some(vec![Default::default()]);
        assert!(!PolicyFacts::from(&policy).says_the_same(&facts));
        let (_, other) = kept(&scene(5433));
        assert!(!other.says_the_same(&facts));
    }

    /// Of an object it was 4,500 bytes.
    #[test]
    fn a_policy_takes_little() {
        let (_, facts) = kept(&scene(5432));
        let owners: usize = facts.owners.iter().map(|uid| uid.len() + size_of_val(uid)).sum();
        let bytes = size_of_val(&facts) + facts.uid.len() + facts.version.len() + owners + facts.text.bytes();
        assert!(bytes < 1000, "{bytes}");
    }
}
