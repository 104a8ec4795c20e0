//! A pod's request for a certificate (PodCertificateRequest), as a fact.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::Reason;

use super::certificate::KeyAlgorithm;

/// A request that nobody has answered yet. The API server has checked that it comes from the kubelet of the
/// pod's node (NodeRestriction), and that kubelet has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its UID.
    pub uid: String,
    /// The version that was seen: an answer is for this one.
    pub version: String,
    /// When it was made.
    pub created: Timestamp,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// The ServiceAccount the pod runs as.
    pub service_account: String,
    /// The key to be certified; none where it is not one that Subrosa signs for.
    pub key: Option<RequestedKey>,
    /// The longest life that the pod asks for.
    pub max_life: SignedDuration,
    /// The names of annotations that the pod's author gave along.
    pub annotations: BTreeSet<String>,
    /// Why it waits, as was last told: nothing is told twice.
    pub told: Option<Reason>,
}

/// The public key in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedKey {
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// The DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
}
