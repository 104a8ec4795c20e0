//! The key that identifies a further authority of a Channel.

use serde::{Deserialize, Serialize};
use subrosa_crds::{channel::TrustDirection, common::ConfigMapKey};

/// Identifies an entry. The same name with another bundle or direction is another entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraTrustKey {
    /// The entry's name.
    pub name: String,
    /// For which direction it counts; both where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<TrustDirection>,
    /// Where its certificates are.
    pub ca_bundle: ConfigMapKey,
}
