//! What a backup worker is told, and what it reports.
//!
//! The operator writes the settings into the ConfigMap `<channel>-backup`, which the worker's pod mounts. The worker
//! writes its report as the termination message of its container, from which the operator reads it. As with
//! [`sealing`](crate::sealing), a new field must not change the meaning of others.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cohort::{Cohort, CohortPeriod},
    names::{ChannelId, ChannelRef},
    sealing::SealingVault,
};

/// The key of the ConfigMap under which the settings stand, and the file's name where that is mounted.
pub const FILE: &str = "backup.yaml";
/// The period whose snapshots share a repository and a key: a window.
pub const WINDOW: CohortPeriod = CohortPeriod::Month;
/// The most bytes of a report: what Kubernetes keeps of a termination message.
pub const REPORT_LIMIT: usize = 4096;

/// All that a worker is told. Nothing in it is secret: the key is in Vault, and the store's credentials are in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSettings {
    /// The Channel whose data it is. Its name is the host name of every snapshot.
    pub channel: ChannelRef,
    /// Its identity in Vault, and the first part of every object's name in the store.
    pub id: ChannelId,
    /// Where the keys are, and how the worker logs in.
    pub vault: SealingVault,
    /// The time zone in which a window begins.
    pub time_zone: String,
    /// Where the repositories are.
    pub store: BackupStore,
    /// The volumes, by the name of their claim. Each is mounted, read-only, as a directory of this name.
    pub volumes: Vec<String>,
    /// The databases whose dumps other containers of the pod give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DumpSource>,
    /// The number of the newest manifest that is known: with fewer in the store, some were removed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_least: u64,
    /// The windows whose keys were destroyed, such as `2026m11`: nothing of them is read any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroyed: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The databases of one server, of which each gives a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpSource {
    /// What the server is called in the backups.
    pub name: String,
    /// Its databases.
    pub names: Vec<String>,
}

/// A bucket of an S3 service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStore {
    /// `https://host:port`, or `file:///path` for development.
    pub endpoint: String,
    /// Whether the endpoint may be http or a path: for development only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// PEM certificates; where there are any, the only authorities that are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// By which word the operator remembers this bucket: the numbers of manifests are of one store. Reports repeat it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How objects are locked; absent where the store has no object lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<ObjectLock>,
}

/// The lock that every object gets (S3 Object Lock). The bucket's default is not relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectLock {
    /// Whether anybody may lift it.
    pub mode: LockMode,
    /// For how many days from when the object was written.
    pub days: u32,
}

/// Whether a lock can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LockMode {
    /// By who has the right to bypass it.
    Governance,
    /// By nobody.
    Compliance,
}

impl LockMode {
    /// As S3 has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// The number of its signed manifest; absent where none was written, so nothing of this run counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// The store it went to, as the settings name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The window whose repository it wrote to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Why it does not count, as one word; absent where every volume was backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people: what is so and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was restored and verified, where this was a drill that proved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillReport>,
    /// Each volume that was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeReport>,
}

/// A run that was restored, and is what was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// Its number.
    pub run: u64,
    /// When it began.
    pub time: Timestamp,
    /// How long it took until all was there and verified.
    pub recovery_seconds: u64,
    /// How old the run was when recovery began.
    pub recovery_point_seconds: u64,
    /// The files that were compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was read of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReport {
    /// Its claim.
    pub name: String,
    /// The snapshot's id in the repository.
    pub snapshot: String,
    /// The files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and directories that could not be read.
    #[serde(default)]
    pub unreadable: u64,
}

impl BackupSettings {
    /// As the file has it. The same settings give the same bytes.
    ///
    /// # Errors
    /// None that depends on the settings: they have nothing that YAML cannot say.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(self)
    }

    /// Settings as a file has them.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn from_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text)
    }

    /// The name of the key of a window.
    pub fn key(&self, window: Cohort) -> String {
        self.id.data_key(crate::names::BACKUP_CLASS, &window.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back() {
        let text = "\
channel: {namespace: cc-front, name: voice}
id: abcdefghijklmnop
vault: {address: 'https://openbao.security.svc:8200', transit: transit, auth: kubernetes, role: subrosa-workload, audience: vault}
timeZone: Europe/Amsterdam
store: {endpoint: 'https://s3.example.org', region: eu-central-1, bucket: cc-backups, lock: {mode: Compliance, days: 35}}
volumes: [recordings]
";
        let settings = BackupSettings::from_yaml(text).unwrap();
        assert_eq!(BackupSettings::from_yaml(&settings.to_yaml().unwrap()).unwrap(), settings);
        let window = Cohort::of(jiff::civil::date(2026, 12, 1), WINDOW);
        assert_eq!(settings.key(window), "abcdefghijklmnopb.subrosa-backup.2026m12");
    }
}
