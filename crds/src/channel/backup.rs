//! What of a [`Channel`](super::Channel) is backed up, and when.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DatabaseDump;
use crate::rules;

/// Scheduled backups of volumes and databases, encrypted under keys of their own in Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.volumes) && self.volumes.size() > 0) || (has(self.databases) && self.databases.size() > 0)")
    .message("name volumes or databases that are backed up, or leave backup out"))]
#[x_kube(validation = Rule::new("!has(self.volumes) || !has(self.databases) || self.databases.all(d, !(d.name in self.volumes))")
    .message("has the name of a volume: name the database otherwise")
    .field_path(".databases"))]
pub struct Backup {
    /// When, as five fields of cron: minute, hour, day of the month, month, day of the week, such as `15 2 * * *`.
    #[schemars(length(max = 128), regex(pattern = rules::CRON))]
    pub schedule: String,
    /// The IANA time zone of the schedule; the trust domain's unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = rules::TIME_ZONE))]
    pub time_zone: Option<String>,
    /// Whether no backup is started for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// The PersistentVolumeClaims of this namespace that are backed up; they are mounted read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub volumes: Vec<String>,
    /// The databases that are dumped into the backups. They are those of the Channel's own pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub databases: Vec<DatabaseDump>,
    /// The Secret of this namespace with `accessKeyId` and `secretAccessKey` of the store, of somebody who may write there
    /// and not delete.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub write_secret: String,
    /// The user who reads the volumes, as whom their files can be read; 65532 unless said otherwise. Never root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_000_000_000))]
    pub run_as_user: Option<i32>,
    /// The group beside that user; 65532 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_000_000_000))]
    pub run_as_group: Option<i32>,
    /// Restores that prove the backups. Without them BackedUp is never True.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<BackupDrill>,
}

/// Scheduled restores of the newest backup into a throwaway place, verified against what was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupDrill {
    /// When, as five fields of cron, such as `0 4 1 * *`. The first follows the first backup.
    #[schemars(length(max = 128), regex(pattern = rules::CRON))]
    pub schedule: String,
    /// The IANA time zone of the schedule; that of the backups unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = rules::TIME_ZONE))]
    pub time_zone: Option<String>,
    /// For how long a verified restore proves the backups; 35 days unless said otherwise, or until the next drill is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = rules::DURATION))]
    pub within: Option<String>,
    /// How much room the restored data may take; `10Gi` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = rules::SIZE))]
    pub size: Option<String>,
    /// The storage class of a volume that lives as long as the drill's pod. Absent: a directory of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub storage_class: Option<String>,
}

/// What became of the backups of a Channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When the newest run began that backed up every volume (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// The number of that run's signed manifest in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// The files in its snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<i64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// When the newest run began that did not (RFC 3339); absent after a later success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When the last restore was verified (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<String>,
    /// The number of the run that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_run: Option<i64>,
    /// How many seconds that took, from the start of the pod's command until all was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<i64>,
    /// How many seconds old that run was when the drill began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point_seconds: Option<i64>,
    /// When the newest drill began that failed (RFC 3339); absent after a later success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill_failure: Option<String>,
}
