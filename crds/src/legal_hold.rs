//! `LegalHold`: data that must not be destroyed even when it is due.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{destruction::digest_of, rules};

/// Keeps keys from destruction. In force when condition Effective is True; it ends only by Approvals, never by deletion.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "LegalHold",
    plural = "legalholds",
    shortname = "hold",
    category = "subrosa",
    status = "LegalHoldStatus",
    derive = "PartialEq",
    cel,
    doc = "Keeps data keys from destruction until its release is approved.",
    printcolumn(name = "Effective", type_ = "string", json_path = ".status.conditions[?(@.type==\"Effective\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Effective\")].reason"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.held"),
    printcolumn(name = "Too Late", type_ = "integer", json_path = ".status.tooLateCount"),
    printcolumn(name = "Review By", type_ = "string", json_path = ".status.reviewBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "a LegalHold's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.selector == oldSelf.selector")
        .message("a LegalHold's selector stays: make another LegalHold for more, and have this one released for less")
        .field_path(".selector"),
    validation = Rule::new("!(has(oldSelf.released) && oldSelf.released) || (has(self.released) && self.released)")
        .message("what was released stays released: make another LegalHold")
        .field_path(".released")
)]
pub struct LegalHoldSpec {
    /// Which keys: those that every list given here names.
    pub selector: HoldSelector,
    /// The matter, as an opaque reference such as `2026-114`. Never a person.
    #[schemars(length(min = 1, max = 256), regex(pattern = rules::FREE_TEXT))]
    pub matter: String,
    /// How often somebody looks whether it is still needed, such as `6mo`. Overdue it is shown, and holds all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub review_every: Option<String>,
    /// When somebody last looked whether it is still needed: who writes it says so, and the API server's audit log has who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub reviewed_on: Option<String>,
    /// Asks for its end, which comes when enough people approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<bool>,
}

/// Which keys are held. A list that is absent names all; at least one has to be given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.namespaces) && self.namespaces.size() > 0, has(self.channels) && self.channels.size() > 0, has(self.dataClasses) && self.dataClasses.size() > 0, has(self.cohorts) && self.cohorts.size() > 0].exists(given, given)")
    .message("write at least one of namespaces, channels, dataClasses and cohorts"))]
pub struct HoldSelector {
    /// Namespaces of Channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
    /// Names of Channels, in each of the namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub channels: Vec<String>,
    /// Classes of data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub data_classes: Vec<String>,
    /// Periods of anchor dates, such as `2026m11`. Each covers every cohort that shares a day with it, and every open
    /// cohort: the dates of its data are not known yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 4, max = 16), regex(pattern = rules::COHORT)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cohorts: Vec<String>,
}

/// What is so, as the destroyer found or made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LegalHoldStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many keys it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<i64>,
    /// Keys that it names and that were past the point of no return before it came, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub too_late: Vec<String>,
    /// How many such keys there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_late_count: Option<i64>,
    /// By which day somebody looks at it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// What an Approval of its release repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_digest: Option<String>,
    /// How many people approved its release, of how many that are needed, such as `1/2`; while `released` is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<String>,
    /// Ready, Effective; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl LegalHoldSpec {
    /// Whether its end is asked for.
    pub fn is_released(&self) -> bool {
        self.released.unwrap_or(false)
    }

    /// The digest that Approvals of its release repeat: SHA-256 of what is held and why.
    pub fn release_digest(&self) -> String {
        digest_of(&("release", &self.selector, &self.matter))
    }
}
