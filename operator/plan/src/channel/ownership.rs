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
//! | ConfigMap with settings | the name that is kept for this Channel, and every label |
//!
//! All but the leaf is written anew from what is declared, so forging one of them gains nothing.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Secret},
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
    network, sealing,
    world::{World, objects},
};

/// Who owns an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The Channel, as it lives.
    Channel,
    /// Nobody: it has no owner, or only an earlier Channel of the same name.
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

/// Whether `found` has the settings of the Channel `name` and has lost its owner.
pub fn is_lost_config_map(found: &ConfigMap, name: &str, uid: Option<&str>) -> bool {
    found.metadata.name.as_deref() == Some(sealing::config_map_name(name).as_str())
        && is_labelled(&found.metadata, name)
        && owner(&found.metadata, name, uid) == Owner::Nobody
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
pub fn left_open(namespace: &str, world: &World) -> Vec<(ChannelRef, NetworkPolicy)> {
    let channels = world.channels.get(namespace);
    let gone = |name: &str| channels.is_none_or(|channels| !channels.contains_key(name));
    let policies = world.network_policies.get(namespace).into_iter().flatten();
    policies
        .filter_map(|(policy_name, policy)| {
            let name = policy_name.strip_prefix(&network::policy_name(""))?;
            let policy = gone(name).then(|| policy.object())?;
            let open = policy.spec.as_ref().is_some_and(|spec| closed(spec) != *spec);
            (open && is_lost_policy(&policy, name, None)).then(|| (ChannelRef::new(namespace, name), policy))
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

/// Empty trust files in the place of those found.
pub fn trusting_nobody(found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    found.keys().filter(|file| is_trust_file(file)).map(|file| (file.clone(), NOBODY.to_owned())).collect()
}

#[cfg(test)]
mod tests;
