//! Who owns an object with the name of a Channel's: the Channel, nobody any more, or somebody else.
//!
//! An object loses its owner when its Channel is deleted with `--cascade=orphan`, or when both are restored from a
//! backup, after which the Channel has another UID. The operator takes back what provably was the Channel's, and
//! never what is somebody else's:
//!
//! | object | proof |
//! | --- | --- |
//! | NetworkPolicy | the name that is kept for this Channel, and every label of its policy |
//! | Secret with a leaf | every label, and a leaf with the Channel's SPIFFE ID that its own authority signed, with its key |
//! | Secret with trust files alone | the name that is kept for this Channel, every label, and nothing else in it |
//! | ConfigMap with settings | the name that is kept for this Channel, and every label |
//!
//! Everything but the leaf is generated again from the declaration, so forging an object gains nothing.

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
    /// The existing Channel.
    Channel,
    /// Nobody: it has no owner reference, or only to an earlier Channel of the same name.
    Nobody,
    /// Somebody else.
    Other,
}

/// Who owns an object of the Channel `name` with this UID; `None` where the Channel does not exist.
pub fn owner(object: &ObjectMeta, name: &str, uid: Option<&str>) -> Owner {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    if uid.is_some_and(|uid| owners.iter().any(|owner| owner.uid == uid && owner.controller == Some(true))) {
        return Owner::Channel;
    }
    // A namespace has one Channel of a name, so an owner reference with another UID is outdated.
    let gone = |owner: &OwnerReference| is_a_channel(owner) && owner.name == name;
    if owners.iter().all(gone) { Owner::Nobody } else { Owner::Other }
}

fn is_a_channel(owner: &OwnerReference) -> bool {
    owner.kind == Channel::kind(&()) && owner.api_version.starts_with(&format!("{GROUP}/"))
}

/// Whether an object has every label of Subrosa's objects for the Channel `name`.
fn is_labelled(object: &ObjectMeta, name: &str) -> bool {
    let found = object.labels.as_ref();
    objects::channel_labels(name)
        .iter()
        .all(|(key, value)| found.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether `policy` belongs to the Channel `name` and has lost its owner.
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

/// Whether `secret` belongs to the Channel `name` and has lost its owner. `observed` is its content, checked against
/// the Channel's own authorities; `spiffe_id` is the Channel's.
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

/// The deleted Channels of `namespace` whose policies still open something, with the policies. Ask the API server
/// whether the Channels are gone before closing them.
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

/// A policy for the same pods that opens nothing: deleting a Channel must only take away.
pub fn closed(spec: &NetworkPolicySpec) -> NetworkPolicySpec {
    let nothing = NetworkPolicySpec {
        pod_selector: spec.pod_selector.clone(),
        policy_types: Some(network::both_directions()),
        ..NetworkPolicySpec::default()
    };
    if network::same(&nothing, spec) { spec.clone() } else { nothing }
}

/// The found trust files, emptied.
pub fn trusting_nobody(found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    found.keys().filter(|file| is_trust_file(file)).map(|file| (file.clone(), NOBODY.to_owned())).collect()
}

#[cfg(test)]
mod tests;
