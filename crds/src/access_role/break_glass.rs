//! What an AccessRole lets people open in an emergency, and who did.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    channel::ExceptionStatus,
    destruction::{Approver, digest_of},
    rules,
};

/// How many people a status lists; the others follow when these were reviewed.
pub const MAX_LISTED: usize = 20;

/// Who may open what the role names after the login for emergencies (the TrustDomain's `spec.access.breakGlass`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleBreakGlass {
    /// One of the groups of the TrustDomain's `spec.access.breakGlass`.
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::GROUP_NAME))]
    pub group: String,
}

/// Who used break-glass and was not reviewed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassStatus {
    /// Who could open data of the role, oldest first: at most 20, and the others when these were reviewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub uses: Vec<BreakGlassUse>,
    /// How many people there are to review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<i32>,
    /// By when somebody else has to review the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due: Option<String>,
    /// SHA-256 of the listed uses: what an Approval of them repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The last review that counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Approver>,
    /// The exception by which it opens although nobody can read Vault's audit log; only while nobody can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionStatus>,
}

/// Somebody who logged in by break-glass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassUse {
    /// When first since the last review.
    pub first: String,
    /// When last.
    pub last: String,
    /// Who: the claim of the provider's tokens that names a person.
    pub person: String,
    /// With how many tokens, at least: logins between two looks of the granter count as one.
    pub logins: i32,
}

/// SHA-256 over the uses.
pub fn digest(uses: &[BreakGlassUse]) -> String {
    digest_of(&("break-glass", uses))
}
