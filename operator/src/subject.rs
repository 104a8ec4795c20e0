//! An object to reconcile, by its kind and name: changes name it, queues hold it, and the controller of its kind takes it.

use k8s_openapi::api::{certificates::v1::PodCertificateRequest, core::v1::Namespace};
use kube::{Resource, ResourceExt as _, api::PartialObjectMeta};
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain, names::ChannelRef};

/// Namespaces, of which only metadata is needed.
pub type NamespaceMeta = PartialObjectMeta<Namespace>;

/// A kind whose objects are reconciled.
pub trait NamedKind {
    /// Its name in manifests.
    const KIND: &'static str;
}

impl NamedKind for NamespaceMeta {
    const KIND: &'static str = "Namespace";
}

impl NamedKind for TrustDomain {
    const KIND: &'static str = "TrustDomain";
}

impl NamedKind for ExternalParty {
    const KIND: &'static str = "ExternalParty";
}

impl NamedKind for RetentionPolicy {
    const KIND: &'static str = "RetentionPolicy";
}

impl NamedKind for Channel {
    const KIND: &'static str = "Channel";
}

impl NamedKind for PodCertificateRequest {
    const KIND: &'static str = "PodCertificateRequest";
}

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl From<ChannelRef> for ObjectKey {
    fn from(channel: ChannelRef) -> Self {
        Self { namespace: channel.namespace, name: channel.name }
    }
}

/// The key of a cluster-scoped object.
impl From<String> for ObjectKey {
    fn from(name: String) -> Self {
        Self { namespace: String::new(), name }
    }
}

impl ObjectKey {
    /// The key as the name of a Channel.
    #[must_use]
    pub fn channel(&self) -> ChannelRef {
        ChannelRef::new(&self.namespace, &self.name)
    }

    /// The key of `object`.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// An object to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind, as in manifests.
    pub kind: &'static str,
    /// Where it is.
    pub key: ObjectKey,
}

impl Subject {
    /// The object of kind `K` with this key.
    pub fn of<K: NamedKind>(key: impl Into<ObjectKey>) -> Self {
        Self { kind: K::KIND, key: key.into() }
    }

    /// Whether it is of kind `K`.
    pub fn is<K: NamedKind>(&self) -> bool {
        self.kind == K::KIND
    }
}
