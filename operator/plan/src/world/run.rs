//! How the run of a backup worker's pod ended.

use subrosa_crds::backup::BackupReport;

/// What a finished pod left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one stands behind a Box in the facts of its pod")]
pub enum EndedRun {
    /// Its report.
    Reported(BackupReport),
    /// No report that can be read: it was killed, or never began.
    Silent {
        /// The exit code of its container.
        exit_code: i32,
        /// Why it ended, as the kubelet says.
        reason: String,
    },
}
