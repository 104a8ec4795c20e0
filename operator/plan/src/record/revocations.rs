//! The granter's record of AccessRevocations.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::destroyer::SeenGuard;

/// The content of `revocations`. Only the granter writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevocationsRecord {
    /// The admission policy of Approvals and its binding, with the time they were first seen: earlier Approvals do not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// The release of each AccessRevocation that was released, by its UID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub released: BTreeMap<String, ReleaseMark>,
    /// The entities that the granter disabled, by id, with the UIDs of the AccessRevocations that name them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entities: BTreeMap<String, BTreeSet<String>>,
}

/// A release that counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseMark {
    /// When the Approval was made.
    pub at: Timestamp,
    /// Who approved.
    pub approver: String,
    /// The name of the Approval.
    pub approval: String,
    /// Its UID.
    pub uid: String,
}
