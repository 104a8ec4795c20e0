//! The granter's record of Approvals of AccessRoles: reviews, and that somebody gives one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::destroyer::SeenGuard;

/// The content of `reviews`. Only the granter writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewsRecord {
    /// The admission policy of Approvals and its binding, with the time they were first seen: earlier Approvals do not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// The last review of each AccessRole, by its UID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, ReviewMark>,
    /// The Approval by which each AccessRole is given that its author does not give, by its UID. One without a digest gives nothing:
    /// it was taken back then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, ReviewMark>,
}

/// An Approval that counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewMark {
    /// When the Approval was made.
    pub at: Timestamp,
    /// Who approved.
    pub approver: String,
    /// The name of the Approval.
    pub approval: String,
    /// Its UID.
    pub uid: String,
    /// What was approved.
    pub digest: String,
}
