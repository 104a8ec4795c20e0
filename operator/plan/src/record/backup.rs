//! What a Channel's record remembers of its backups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The backups of one Channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// The UID of the worker's ServiceAccount, noted before it gets access in Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Since when there are to be backups: the first is late by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The newest run that backed up every volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<SuccessfulRun>,
    /// The newest run that did not, if no success came later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailedRun>,
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
    /// Why, and what to do next.
    pub message: String,
}
