//! The status of a [`TrustDomain`](super::TrustDomain).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustDomainStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many namespaces belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<i64>,
    /// How many Channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelCount>,
    /// Vault as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultStatus>,
    /// Records whose Channel is gone; their access is withdrawn, their keys are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
    /// Ready, VaultReachable, Guarded, KeysIntact; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How many Channels a trust domain has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelCount {
    /// All.
    pub total: i64,
    /// Those that are Ready.
    pub ready: i64,
    /// Those that someone should look at.
    pub attention: i64,
}

/// Vault as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultStatus {
    /// Its version.
    pub version: String,
    /// Whether it is sealed.
    pub sealed: bool,
    /// The store in its key-value engine: what is remembered there is this TrustDomain's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// What the annotation `subrosa.dev/adopt-store` must say for the store that is there now to be used; only while it is
    /// not this TrustDomain's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt_store: Option<String>,
    /// Whether it is reached without TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// Records whose Channel is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Orphans {
    /// How many.
    pub count: i64,
    /// The first fifty, as `id namespace/channel`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}
