//! The mark of an adoption, kept in the records of both Channels.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::{destruction::Approver, names::ChannelId};

/// One adoption. The adopter's record names the earlier identity and the earlier Channel's record names the adopter,
/// written by compare-and-set so that only one Channel can adopt.
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
