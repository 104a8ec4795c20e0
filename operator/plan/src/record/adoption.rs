//! That a Channel took over the keys of an earlier one of its name, as the records of both have it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::{destruction::Approver, names::ChannelId};

/// An adoption. The record of the Channel that adopts has the earlier identity in it, and the record of the earlier one has
/// the identity that adopted it: by compare-and-set, so that one alone does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionMark {
    /// The other identity.
    pub id: ChannelId,
    /// The name of the Adoption that people approved.
    pub adoption: String,
    /// Its UID.
    pub uid: String,
    /// When.
    pub at: Timestamp,
    /// Whose Approvals counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Approver>,
}
