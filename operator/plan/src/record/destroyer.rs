//! The destroyer's record of itself, beside its decisions about keys.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::retention_policy::DestructionMode;

/// The record at `destroyer`. It is written every few minutes, so its version in Vault only grows. A version lower
/// than the one in the cluster shows that Vault was restored, a higher one that the cluster was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestroyerRecord {
    /// When the destroyer last looked, by clocks that agreed with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_look: Option<Timestamp>,
    /// The rules of each RetentionPolicy that bind, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, BindingRules>,
    /// The admission policy of Approvals and its binding, as first seen: Approvals from before do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// What was set aside in the last hour: when, and how many keys of which Destruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Begun>,
    /// What was condemned in the last hour. It has a limit of its own, because many graces may end together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<Begun>,
    /// The UIDs of open lists for which the breaker tripped: people were asked about them, so it does not count them again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub asked: BTreeSet<String>,
    /// The freeze that stops all destruction until people approve going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// How a RetentionPolicy's data is destroyed. Weaker rules bind only after Approvals under these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingRules {
    /// How many people approve.
    pub approvals: i32,
    /// How long a key is set aside before it is deleted, such as `14d`.
    pub grace: String,
    /// Whether anything is destroyed.
    pub mode: DestructionMode,
    /// The longest periods of each class that ever bound. Shorter ones bind only after Approvals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub periods: BTreeMap<String, BoundPeriods>,
    /// The digest of the policy's spec whose changed periods were approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

/// How long data of a class is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundPeriods {
    /// From its anchor date on, such as `90d`.
    pub keep: String,
    /// How long data may wait for its anchor date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<String>,
}

/// One admission policy and its binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenGuard {
    /// UID and generation of both: a new object or an edit changes it.
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
    /// The reason, as in status.
    pub reason: String,
    /// What was seen.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// The digest that an Approval of its end repeats.
    pub digest: String,
}
