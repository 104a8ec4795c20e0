//! The versions of declarations from which a record was written, so that an outdated view never opens what a newer
//! one closed.

use serde::{Deserialize, Serialize};

/// The version of a Channel's declaration that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The Channel's UID: a recreated Channel of the same name has another.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
}

/// The version of another Channel's declaration whose consent was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// The declaration.
    #[serde(flatten)]
    pub view: View,
    /// The UID of its namespace. Consent does not extend to a later namespace of the same name.
    pub namespace_uid: String,
}

impl View {
    /// Whether this is an older view of the same Channel than `recorded`.
    pub fn is_older_than(&self, recorded: &Self) -> bool {
        self.uid == recorded.uid && self.generation < recorded.generation
    }
}
