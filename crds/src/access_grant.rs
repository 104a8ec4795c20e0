//! `AccessGrant`: one person gets what an AccessRole names, for a limited time, after others approved.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access_role::{ChannelClass, SeenUses},
    destruction::{Approver, digest_of},
    rules,
};

/// How many other people approve a grant unless said otherwise.
const DEFAULT_APPROVALS: i32 = 1;

/// Asks that one person gets what an AccessRole of its namespace names, for a limited time. Others approve. Vault ends it by its own
/// clock, whether or not anything else runs. It is never edited, and stays as a record of what was given.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "AccessGrant",
    plural = "accessgrants",
    shortname = "agrant",
    category = "subrosa",
    namespaced,
    status = "AccessGrantStatus",
    derive = "PartialEq",
    cel,
    doc = "Gives one person what an AccessRole names, for a limited time, after others approved.",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "User", type_ = "string", json_path = ".spec.subject.user"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".spec.duration"),
    printcolumn(name = "Approvals", type_ = "string", json_path = ".status.approvals"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Ends", type_ = "string", json_path = ".status.endsAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an AccessGrant's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("an AccessGrant is never edited: make another one for more, and delete this one for less"))]
pub struct AccessGrantSpec {
    /// The AccessRole of the same namespace. It has to have `spec.grants`.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub role: String,
    /// Who gets it.
    pub subject: GrantSubject,
    /// Why, such as the number of an incident. Never a client's or patient's name.
    #[schemars(length(min = 1, max = 256), regex(pattern = rules::FREE_TEXT))]
    pub reason: String,
    /// For how long, from when it begins: at most `spec.grants.max` of the AccessRole.
    pub duration: GrantDuration,
    /// Who asks, exactly as the API server knows them: `kubectl auth whoami`. Neither they nor the subject approve it.
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: String,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantSubject {
    /// The person, as the identity provider's tokens have them: the claim `spec.access.provider.userClaim` of the TrustDomain. Upper
    /// and lower case are the same.
    #[schemars(length(min = 1, max = 256))]
    pub user: String,
}

/// How long a grant lasts. There are no others: the granter's rights in Vault name each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum GrantDuration {
    /// A quarter of an hour.
    #[serde(rename = "15m")]
    Quarter,
    /// Half an hour.
    #[serde(rename = "30m")]
    Half,
    /// One hour.
    #[serde(rename = "1h")]
    One,
    /// Two hours.
    #[serde(rename = "2h")]
    Two,
    /// Four hours.
    #[serde(rename = "4h")]
    Four,
    /// Eight hours.
    #[serde(rename = "8h")]
    Eight,
    /// Twelve hours.
    #[serde(rename = "12h")]
    Twelve,
    /// A day and a night.
    #[serde(rename = "24h")]
    Day,
}

impl GrantDuration {
    /// Every duration, from the shortest.
    pub const ALL: [Self; 8] =
        [Self::Quarter, Self::Half, Self::One, Self::Two, Self::Four, Self::Eight, Self::Twelve, Self::Day];

    /// As the API and Vault have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Half => "30m",
            Self::One => "1h",
            Self::Two => "2h",
            Self::Four => "4h",
            Self::Eight => "8h",
            Self::Twelve => "12h",
            Self::Day => "24h",
        }
    }

    /// In minutes.
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Quarter => 15,
            Self::Half => 30,
            Self::One => 60,
            Self::Two => 120,
            Self::Four => 240,
            Self::Eight => 480,
            Self::Twelve => 720,
            Self::Day => 1440,
        }
    }
}

/// That an AccessRole may be given to single persons for a time, by AccessGrants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleGrants {
    /// The longest time.
    pub max: GrantDuration,
    /// How many other people have to approve each grant; 1 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub approvals: Option<i32>,
}

impl RoleGrants {
    /// How many other people have to approve.
    pub fn approvals(&self) -> i32 {
        self.approvals.unwrap_or(DEFAULT_APPROVALS).max(1)
    }
}

/// What is so, as the granter made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrantStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many people approved, of how many that are needed, such as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<String>,
    /// Whose Approvals count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["approver".into()]))]
    pub approved_by: Vec<Approver>,
    /// SHA-256 of who gets what for how long: what an Approval of it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When Vault ends it, or when it ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// How often the person opened what it gives while it was in force, by a group of theirs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<SeenUses>,
    /// Ready; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl AccessGrantSpec {
    /// SHA-256 of who gets what for how long, and why. `role` is the UID of the AccessRole, `login` and `opens` are what it says.
    pub fn digest(&self, role: &str, login: &str, opens: &BTreeSet<ChannelClass>) -> String {
        digest_of(&("grant", self, role, login, opens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for duration in GrantDuration::ALL {
            assert_eq!(serde_json::to_value(duration).unwrap(), duration.as_str());
            let (number, unit) = duration.as_str().split_at(duration.as_str().len() - 1);
            let minutes = number.parse::<i64>().unwrap() * if unit == "h" { 60 } else { 1 };
            assert_eq!(minutes, duration.minutes());
        }
        assert!(GrantDuration::ALL.is_sorted());
    }
}
