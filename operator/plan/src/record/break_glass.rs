//! The granter's record of who used break-glass.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{destroyer::SeenGuard, reviews::ReviewMark};

/// The content of `break-glass`. Only the granter writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassRecord {
    /// The admission policy of Approvals and its binding, with the time they were first seen: earlier Approvals do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// The last login of each person that was seen, by the id of their alias in Vault.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, SeenLogin>,
    /// Who was not reviewed yet, by the UID of an AccessRole and the id of the alias. The empty UID has those of no role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uses: BTreeMap<String, BTreeMap<String, OpenUse>>,
    /// The last review of each AccessRole's uses, by its UID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reviewed: BTreeMap<String, ReviewMark>,
    /// Since when Vault's audit log could not be read, where it was given; only while it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_unread_since: Option<Timestamp>,
}

/// A login that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenLogin {
    /// The id of the provider's token: another one is another login.
    pub token: String,
    /// When it was.
    pub at: Timestamp,
    /// The UIDs of the AccessRoles for which it was told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
}

/// What one person did since the last review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenUse {
    /// Who, as the provider's tokens name them.
    pub person: String,
    /// The first login.
    pub first: Timestamp,
    /// The last login.
    pub last: Timestamp,
    /// How many logins, at least.
    pub logins: i32,
}
