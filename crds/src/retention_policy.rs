//! `RetentionPolicy`: how long each class of data lives, from when, and what the law asks.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{cohort::CohortPeriod, rules};

/// How long each class of data lives.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "RetentionPolicy",
    plural = "retentionpolicies",
    shortname = "rtp",
    category = "subrosa",
    status = "RetentionPolicyStatus",
    derive = "PartialEq",
    cel,
    doc = "How long each class of data lives, from when, and what the law asks.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "a RetentionPolicy's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicySpec {
    /// The classes of data.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub classes: Vec<DataClass>,
    /// How data is destroyed when it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destruction: Option<DestructionRules>,
}

/// A class of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.anchor) && self.anchor != 'CreatedAt') == has(self.openFor)")
        .message("openFor bounds how long data may wait for its anchor date: write it, such as 5y, with every anchor but CreatedAt, and only there")
        .field_path(".openFor"),
    validation = Rule::new("self.name != 'subrosa-backup' || !has(self.cohort) || self.cohort == 'Month'")
        .message("the keys of backups are of a month each: leave cohort out for class subrosa-backup")
        .field_path(".cohort"),
    validation = Rule::new("self.name != 'subrosa-backup' || !has(self.anchor) || self.anchor == 'CreatedAt'")
        .message("backups are kept from the month in which they were made: leave anchor out for class subrosa-backup")
        .field_path(".anchor")
)]
pub struct DataClass {
    /// Its name, such as `call-recording`. It is part of the names of its keys, so it has no dots. Class `subrosa-backup` says
    /// how long backups are kept, of every Channel with this policy.
    #[schemars(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// How long data is kept after its anchor date, such as `90d`, `18mo` or `20y`.
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub keep: String,
    /// The longest it may exist, such as `130d`: `keep`, one cohort and the grace must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub max: Option<String>,
    /// The period of the anchor date that shares a key; Month unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortPeriod>,
    /// The date from which `keep` runs; CreatedAt unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// How long data may wait in an open cohort for its anchor date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub open_for: Option<String>,
    /// What the law asks at least.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["jurisdiction".into()]))]
    pub minimums: Vec<Minimum>,
}

/// The date from which `keep` runs; CreatedAt unless said otherwise. With any other, data is sealed into an
/// open cohort, and waits there until it is resealed with its date, at most `openFor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Anchor {
    /// When the datum was made: known when it is sealed.
    #[default]
    CreatedAt,
    /// When the case was closed.
    CaseClosed,
    /// When the dossier last changed (NL: BW 7:454(3)).
    LastChange,
    /// When the person came of age.
    Majority,
}

/// What the law of one jurisdiction asks at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Minimum {
    /// One of the trust domain's jurisdictions.
    #[schemars(length(min = 2, max = 8), regex(pattern = rules::JURISDICTION))]
    pub jurisdiction: String,
    /// The shortest period.
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub period: String,
    /// Where it is written, such as `BW 7:454(3)`.
    #[schemars(length(min = 1, max = 256), regex(pattern = rules::FREE_TEXT))]
    pub basis: String,
}

/// How data is destroyed when it is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestructionRules {
    /// How many people approve; 2 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub approvals: Option<i32>,
    /// How long a key is only set aside before it is destroyed; `14d` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub grace: Option<String>,
    /// Enforce unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DestructionMode>,
}

/// Enforce, unless said otherwise: due data is destroyed, after approval and grace. Report: it is only
/// reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DestructionMode {
    /// Destroyed, after approval and grace.
    #[default]
    Enforce,
    /// Reported.
    Report,
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
