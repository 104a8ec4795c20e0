//! How often what somebody was given was opened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often something was opened, by the audit log of Vault as far as the granter reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenUses {
    /// `UsesCounted`; or why nobody counts them.
    pub reason: String,
    /// What that means.
    pub message: String,
    /// How often since `since`, at least; absent while nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// When last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// When what is read of the log begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
