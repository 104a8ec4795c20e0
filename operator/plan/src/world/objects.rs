//! Labels and owner references of the objects that the operator makes.
//!
//! Source: Kubernetes, "Recommended Labels". `app.kubernetes.io/instance` is left out, because Argo CD would treat
//! the object as its own.

use std::collections::BTreeMap;

use k8s_openapi::{api::networking::v1::NetworkPolicy, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::Resource;
use subrosa_crds::{ACCESS_ROLE_LABEL, CHANNEL_LABEL, Channel, TRUST_DOMAIN_LABEL};

use super::declaration::Declaration;

/// Who manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the name of the operator's field manager.
pub const MANAGER: &str = "subrosa";

/// The labels of a Channel's objects.
pub fn channel_labels(channel: &str) -> BTreeMap<String, String> {
    labels([("app.kubernetes.io/component", "channel"), (CHANNEL_LABEL, channel)])
}

/// The labels of what is made for the backups of a Channel, with `label` naming the Channel.
pub fn backup_labels(channel: &str, label: &str) -> BTreeMap<String, String> {
    labels([("app.kubernetes.io/component", "backup"), (label, channel)])
}

/// The labels of objects in a governed namespace.
pub fn domain_labels(domain: &str) -> BTreeMap<String, String> {
    labels([("app.kubernetes.io/component", "namespace"), (TRUST_DOMAIN_LABEL, domain)])
}

/// The labels of what an AccessRole becomes.
pub fn access_role_labels(role: &str) -> BTreeMap<String, String> {
    labels([("app.kubernetes.io/component", "access"), (ACCESS_ROLE_LABEL, role)])
}

fn labels<const N: usize>(more: [(&str, &str); N]) -> BTreeMap<String, String> {
    [(MANAGED_BY, MANAGER), ("app.kubernetes.io/part-of", "subrosa")]
        .into_iter()
        .chain(more)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The owner reference to `channel`; `None` before the API server gave it a UID.
///
/// `blockOwnerDeletion` is false, because it needs a right on the owner's finalizers.
pub fn owner(channel: &Declaration) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: Channel::api_version(&()).into_owned(),
        kind: Channel::kind(&()).into_owned(),
        name: channel.name().name.clone(),
        uid: channel.uid()?.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    })
}

/// Whether the labels say that the operator wrote this policy. Good for recognising its own; never a reason to
/// delete.
pub fn is_our_policy(policy: &NetworkPolicy) -> bool {
    let labels = policy.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
        && policy.metadata.name.as_deref().is_some_and(|name| name.starts_with("subrosa-"))
}
