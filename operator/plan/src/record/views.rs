//! By which declarations a record was written: an older view of them never opens what a newer one did not.

use serde::{Deserialize, Serialize};

/// A Channel's declaration, as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The Channel's UID: one of the same name that was made anew has another.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
}

/// The declaration of another Channel whose consent was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// The declaration.
    #[serde(flatten)]
    pub view: View,
    /// The UID of its namespace. Consent is to this one, and not to another that gets its name later.
    pub namespace_uid: String,
}

impl View {
    /// Whether this is an older view of the same Channel than `recorded`.
    pub fn is_older_than(&self, recorded: &Self) -> bool {
        self.uid == recorded.uid && self.generation < recorded.generation
    }
}
