//! Whose an object is that has the name of a Channel's: the Channel's, one that lost its owner, or somebody else's.
//!
//! An object loses its owner when its Channel is deleted with `--cascade=orphan`, or when both come back from a
//! backup: the Channel has another UID then. What provably was the Channel's is taken back. Somebody else's never is:
//!
//! | object | proof |
//! | --- | --- |
//! | NetworkPolicy | the name that is kept for this Channel, and every label of its policy |
//! | Secret with a leaf | every label, and a leaf with the Channel's SPIFFE ID that its own authority signed, with its key |
//! | Secret with trust files alone | the name that is kept for this Channel, every label, and nothing else in it |
//!
//! A policy and trust files are written anew from what is declared, so who forges one of them gains nothing by it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::Secret,
        networking::v1::{NetworkPolicy, NetworkPolicySpec},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource as _;
use subrosa_crds::{Channel, GROUP, names::ChannelRef};

use crate::{
    certificate::{
        ObservedSecret,
        secrets::{self, Holds},
        trust_files::{NOBODY, is_trust_file},
    },
    network,
    world::{World, objects},
};

/// Who owns an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The Channel, as it lives.
    Channel,
    /// Nobody who lives: it has no owner, or only an earlier Channel of the same name.
    Nobody,
    /// Somebody else.
    Other,
}

/// Who owns an object of the Channel `name` with this UID; no UID where there is no such Channel any more.
pub fn owner(object: &ObjectMeta, name: &str, uid: Option<&str>) -> Owner {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    if uid.is_some_and(|uid| owners.iter().any(|owner| owner.uid == uid && owner.controller == Some(true))) {
        return Owner::Channel;
    }
    // A namespace has one Channel of a name: what names another UID is gone.
    let gone = |owner: &OwnerReference| is_a_channel(owner) && owner.name == name;
    if owners.iter().all(gone) { Owner::Nobody } else { Owner::Other }
}

fn is_a_channel(owner: &OwnerReference) -> bool {
    owner.kind == Channel::kind(&()) && owner.api_version.starts_with(&format!("{GROUP}/"))
}

/// Whether an object has every label of what Subrosa makes for the Channel `name`.
fn is_labelled(object: &ObjectMeta, name: &str) -> bool {
    let found = object.labels.as_ref();
    objects::channel_labels(name)
        .iter()
        .all(|(key, value)| found.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether `policy` is that of the Channel `name` and has lost its owner.
pub fn is_lost_policy(policy: &NetworkPolicy, name: &str, uid: Option<&str>) -> bool {
    policy.metadata.name.as_deref() == Some(network::policy_name(name).as_str())
        && is_labelled(&policy.metadata, name)
        && owner(&policy.metadata, name, uid) == Owner::Nobody
}

/// Whether `secret` is one of the Channel `name` and has lost its owner. `observed` is what was found in it, judged by
/// the Channel's own authorities, and `spiffe_id` is the Channel's.
pub fn is_lost_secret(
    secret: &Secret,
    observed: &ObservedSecret,
    spiffe_id: &str,
    name: &str,
    uid: Option<&str>,
) -> bool {
    let object = &secret.metadata;
    if !is_labelled(object, name) || owner(object, name, uid) != Owner::Nobody {
        return false;
    }
    match secrets::holds(object.name.as_deref().unwrap_or_default(), name) {
        Holds::Trust => {
            secret.type_.as_deref() == Some("Opaque")
                && secret.data.iter().flatten().all(|(file, _)| is_trust_file(file))
        }
        Holds::Everything => observed
            .leaf()
            .is_some_and(|leaf| leaf.issuer.is_some() && leaf.key_matches && leaf.uris.contains(spiffe_id)),
    }
}

/// The Channels of `namespace` that are gone and have left a policy that still opens something, and that policy. Before
/// it is closed the API server has to be asked whether they are gone.
pub fn left_open(namespace: &str, world: &World) -> Vec<(ChannelRef, Arc<NetworkPolicy>)> {
    let channels = world.channels.get(namespace);
    let gone = |name: &str| channels.is_none_or(|channels| !channels.contains_key(name));
    let policies = world.network_policies.get(namespace).into_iter().flatten();
    policies
        .filter_map(|(policy_name, policy)| {
            let name = policy_name.strip_prefix(&network::policy_name(""))?;
            let open = policy.spec.as_ref().is_some_and(|spec| closed(spec) != *spec);
            (gone(name) && open && is_lost_policy(policy, name, None))
                .then(|| (ChannelRef::new(namespace, name), Arc::clone(policy)))
        })
        .collect()
}

/// A policy of the same pods that opens nothing: deleting a Channel takes away, and never gives.
pub fn closed(spec: &NetworkPolicySpec) -> NetworkPolicySpec {
    let nothing = NetworkPolicySpec {
        pod_selector: spec.pod_selector.clone(),
        policy_types: Some(network::both_directions()),
        ..NetworkPolicySpec::default()
    };
    if network::same(&nothing, spec) { spec.clone() } else { nothing }
}

/// Trust files in the place of those found, which trust nobody.
pub fn trusting_nobody(found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    found.keys().filter(|file| is_trust_file(file)).map(|file| (file.clone(), NOBODY.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        certificate::{LeafFacts, SecretFacts},
        testing::{Scene, leaf, merge, named, network_policy, read},
    };

    const UID: &str = "uid-cc-front-voice";
    const ID: &str = "spiffe://oosterlinde/ns/cc-front/channel/voice";

    fn policy(patch: Value) -> NetworkPolicy {
        let scene = Scene::new().channel("cc-front/voice", json!({}));
        let mut policy = serde_json::to_value(scene.plan("cc-front/voice").policy).unwrap();
        merge(&mut policy, patch);
        read(policy)
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
        let owner = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true,
        });
        json!({"metadata": {"ownerReferences": [owner]}})
    }

    #[test]
    fn a_policy_that_lost_its_owner_is_told_from_somebody_elses() {
        let lost = |patch| is_lost_policy(&policy(patch), "voice", Some(UID));
        assert!(!lost(json!({})), "it has its owner");
        assert!(lost(json!({"metadata": {"ownerReferences": null}})));
        assert!(lost(owned_by("Channel", "voice", "an-earlier-uid")));
        assert!(!lost(owned_by("Channel", "chat", "uid-cc-front-chat")));
        assert!(!lost(owned_by("Deployment", "voice", "uid")));
        let without = |more| {
            let mut patch = json!({"metadata": {"ownerReferences": null}});
            merge(&mut patch, more);
            lost(patch)
        };
        assert!(!without(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}})));
        assert!(!without(json!({"metadata": {"labels": {"subrosa.dev/channel": null}}})));
        assert!(!without(json!({"metadata": {"name": "subrosa-channel-chat"}})));
        assert!(is_lost_policy(&policy(json!({})), "voice", None), "its Channel is gone");
    }

    #[test]
    fn what_a_channel_that_is_gone_left_open_is_closed_and_keeps_its_pods() {
        let voice = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]});
        let scene = Scene::new()
            .channel("cc-front/voice", voice)
            .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
            .in_force(&["cc-front/voice", "cc-front/ivr"]);
        assert_eq!(left_open("cc-front", &scene).len(), 0, "they are there");
        let scene = scene.without("cc-front/voice");
        let found = left_open("cc-front", &scene);
        let [(name, policy)] = found.as_slice() else { panic!("{}", found.len()) };
        assert_eq!(*name, named("cc-front/voice"));
        let before = policy.spec.as_ref().unwrap();
        let after = closed(before);
        assert_eq!(after.pod_selector, before.pod_selector);
        assert_eq!(after.policy_types, before.policy_types);
        assert!(after.ingress.is_none() && after.egress.is_none());
        let mut policy = NetworkPolicy::clone(policy);
        policy.spec = Some(after.clone());
        let scene = scene.policy("cc-front", policy);
        assert_eq!(left_open("cc-front", &scene).len(), 0, "once is enough");
        let theirs = network_policy("subrosa-channel-theirs", json!({"podSelector": {}, "ingress": [{}]}));
        assert_eq!(left_open("cc-front", &scene.policy("cc-front", theirs)).len(), 0, "it is not ours");
    }

    fn secret(name: &str, patch: Value) -> Secret {
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "labels": objects::channel_labels("voice")},
        });
        merge(&mut secret, patch);
        read(secret)
    }

    fn holding(change: impl Fn(&mut LeafFacts)) -> ObservedSecret {
        let mut leaf = LeafFacts { uris: [ID.to_owned()].into(), ..leaf() };
        change(&mut leaf);
        ObservedSecret::Present(Box::new(SecretFacts { leaf: Ok(leaf), trust: Default::default() }))
    }

    #[test]
    fn a_secret_is_taken_back_for_a_leaf_of_its_own_authority_with_its_identity() {
        let lost =
            |patch, observed| is_lost_secret(&secret("voice-mtls", patch), &observed, ID, "voice", Some(UID));
        assert!(lost(json!({}), holding(|_| ())));
        assert!(lost(owned_by("Channel", "voice", "an-earlier-uid"), holding(|_| ())));
        assert!(!lost(owned_by("Channel", "voice", UID), holding(|_| ())), "it has its owner");
        assert!(!lost(owned_by("Certificate", "voice", "uid"), holding(|_| ())));
        assert!(!lost(json!({"metadata": {"labels": null}}), holding(|_| ())));
        assert!(!lost(json!({}), holding(|leaf| leaf.issuer = None)), "anybody can write that name");
        assert!(!lost(json!({}), holding(|leaf| leaf.key_matches = false)));
        assert!(!lost(
            json!({}),
            holding(|leaf| leaf.uris = ["spiffe://oosterlinde/ns/cc-front/channel/chat".to_owned()].into())
        ));
        assert!(!lost(json!({}), ObservedSecret::Missing));
    }

    #[test]
    fn a_secret_with_trust_files_alone_has_nothing_else_in_it() {
        let lost = |name: &str, patch| {
            let whole = json!({"type": "Opaque", "data": {"ca.crt": "", "clients-ca.crt": ""}});
            let mut secret = serde_json::to_value(secret(name, whole)).unwrap();
            merge(&mut secret, patch);
            is_lost_secret(&read(secret), &ObservedSecret::Missing, ID, "voice", Some(UID))
        };
        assert!(lost("voice-trust", json!({})));
        assert!(!lost("voice-files", json!({})), "another name is anybody's");
        assert!(!lost("voice-trust", json!({"data": {"password": ""}})));
        assert!(!lost("voice-trust", json!({"type": "kubernetes.io/tls"})));
    }
}
