//! The record of the store itself: which key-value engine this is, and for which cluster and trust domain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What stands at `domain` in a trust domain's key-value engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreRecord {
    /// A random text by which the store is known again.
    pub store_id: String,
    /// The name of the trust domain.
    pub trust_domain: String,
    /// The UID that the TrustDomain had last.
    pub trust_domain_uid: String,
    /// The cluster: the UID of its namespace kube-system.
    pub cluster: String,
    /// When the cluster began to use it.
    pub adopted_at: Timestamp,
    /// The store that status named until this one was adopted in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}
