//! What the destroyer remembers of itself, beside its decisions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::retention_policy::DestructionMode;

/// What stands at `destroyer`. It is written at least every few minutes, so its version in Vault is a count that only
/// grows: one that is lower than the one in the cluster tells that Vault was restored, and the other way around.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestroyerRecord {
    /// When the destroyer last looked, by clocks that agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_look: Option<Timestamp>,
    /// The rules of each RetentionPolicy that bind, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, BindingRules>,
    /// The admission policy of Approvals and its binding, as they were seen first: an Approval from before does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// What was set aside in the last hour: when, and how many keys of which Destruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Begun>,
    /// What was condemned in the last hour: what cannot be called back is limited by itself, for graces may end together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<Begun>,
    /// What stopped all destruction until people said that it may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// How a RetentionPolicy's data is destroyed. Weaker rules bind only after Approvals under these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingRules {
    /// How many people approve.
    pub approvals: i32,
    /// How long a key is only set aside, such as `14d`.
    pub grace: String,
    /// Whether anything is destroyed.
    pub mode: DestructionMode,
    /// The longest periods of each class that ever bound: shorter ones bind after Approvals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub periods: BTreeMap<String, BoundPeriods>,
    /// The digest of the policy's spec whose periods were approved, where they were changed since the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

/// How long data of a class is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundPeriods {
    /// From its anchor date on, such as `90d`.
    pub keep: String,
    /// How long it may wait for that date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<String>,
}

/// One admission policy and its binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenGuard {
    /// UID and generation of both: deleted and made again, or edited, it is another.
    pub version: String,
    /// When it was seen first.
    pub since: Timestamp,
}

/// Keys that were set aside, or condemned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// When the first of them was.
    pub at: Timestamp,
    /// The UID of the Destruction.
    pub destruction: String,
    /// How many.
    pub keys: u64,
}

/// Why nothing is destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// In one word, as status has it.
    pub reason: String,
    /// What was seen.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// What an Approval that ends it repeats.
    pub digest: String,
}
