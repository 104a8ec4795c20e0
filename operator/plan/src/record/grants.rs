//! The granter's record of AccessGrants.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::access_grant::GrantDuration;

use super::destroyer::SeenGuard;

/// The content of `grants`. Only the granter writes it, and before anything of a grant is written elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantsRecord {
    /// The admission policy of Approvals and its binding, with the time they were first seen: earlier Approvals do not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<SeenGuard>,
    /// The grants that use slots, by the UID of the AccessGrant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<String, OpenGrant>,
    /// The grants that are over, by the UID of the AccessGrant: none of them begins again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub over: BTreeMap<String, GrantEnd>,
}

/// A grant that uses slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenGrant {
    /// The namespace of the AccessGrant.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The login of its AccessRole.
    pub login: String,
    /// What was approved.
    pub digest: String,
    /// The person's entity in Vault.
    pub entity: String,
    /// How long it lasts.
    pub duration: GrantDuration,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// What it opens, and in which slot.
    pub slots: Vec<UsedSlot>,
    /// When the slots were taken.
    pub decided: Timestamp,
    /// When the granter first wrote its policies. They are written again for a minute after that, and never later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When Vault ends it, as Vault said when every policy was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// That it is over; its slots are being emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<GrantEnd>,
}

/// A slot of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedSlot {
    /// The name of the group in Vault.
    pub slot: String,
    /// The Channel.
    pub channel: String,
    /// The class.
    pub data_class: String,
}

/// That a grant is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantEnd {
    /// When.
    pub at: Timestamp,
    /// Why, as one word.
    pub reason: String,
    /// When it began; none where nothing was ever given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
}
