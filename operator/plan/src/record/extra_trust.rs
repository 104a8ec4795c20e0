//! What tells a further authority that a Channel trusts from its others.

use serde::{Deserialize, Serialize};
use subrosa_crds::{channel::TrustDirection, common::ConfigMapKey};

/// What an entry has trusted. The same name with another bundle or direction is something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraTrustKey {
    /// The entry's name.
    pub name: String,
    /// Whom it vouches for; both where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<TrustDirection>,
    /// Where its certificates are.
    pub ca_bundle: ConfigMapKey,
}
