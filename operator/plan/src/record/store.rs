//! The record of the store itself: which key-value engine it is, and of which cluster and trust domain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The record at `domain` in a trust domain's key-value engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreRecord {
    /// A random text that identifies the store.
    pub store_id: String,
    /// The name of the trust domain.
    pub trust_domain: String,
    /// The last UID of the TrustDomain.
    pub trust_domain_uid: String,
    /// The cluster: the UID of its namespace kube-system.
    pub cluster: String,
    /// When the cluster began to use it.
    pub adopted_at: Timestamp,
    /// The store that this one replaced, by a person's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}
