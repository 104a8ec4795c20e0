//! A pod's request for a certificate (PodCertificateRequest).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::Reason;

use super::certificate::KeyAlgorithm;

/// An unanswered request. The API server has checked that it comes from the kubelet of the pod's node
/// (NodeRestriction), and that the kubelet has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its UID.
    pub uid: String,
    /// The resource version that was seen, to which the answer belongs.
    pub version: String,
    /// When it was made.
    pub created: Timestamp,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// The ServiceAccount the pod runs as.
    pub service_account: String,
    /// The key to certify; `None` where Subrosa does not sign for its type.
    pub key: Option<RequestedKey>,
    /// The longest life that the pod asks for.
    pub max_life: SignedDuration,
    /// The names of the annotations that the pod's author added.
    pub annotations: BTreeSet<String>,
    /// The reason that was last reported for its waiting, so that nothing is reported twice.
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
