//! What a Channel's record remembers of its backups.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The backups of one Channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// The UID of the worker's ServiceAccount, noted before it gets access in Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The store of which `success` is, by the word that reports repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The newest runs in stores of before: where one of them comes back, no fewer manifests may be in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<String, u64>,
    /// The schedule that is followed, with its time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Whether no run is started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Since when there are to be backups by this schedule and in this store: the first is late by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The newest run that backed up every volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<SuccessfulRun>,
    /// The newest run that did not, if no success came later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailedRun>,
    /// Its drills, since they are declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Box<DrillRecord>>,
}

/// The drills of one Channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillRecord {
    /// Since when there are to be drills, in this store.
    pub since: Timestamp,
    /// The newest restore that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<VerifiedRestore>,
    /// The newest drill that proved nothing, if no success came later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailedRun>,
}

/// A restore that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedRestore {
    /// When the drill began.
    pub started: Timestamp,
    /// The run that was restored.
    pub run: u64,
    /// When that run began.
    pub time: Timestamp,
    /// How many seconds it took until all was verified.
    pub recovery_seconds: u64,
    /// How many seconds old the run was when the drill began.
    pub recovery_point_seconds: u64,
}

/// A run that backed up every volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessfulRun {
    /// When it began.
    pub started: Timestamp,
    /// The number of its signed manifest.
    pub run: u64,
    /// The files in its snapshots.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A run that did not back up every volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRun {
    /// When it began.
    pub started: Timestamp,
    /// Why, as one word: a [`Reason`](subrosa_crds::Reason), unless a later release told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people, and what to do next.
    pub message: String,
}
