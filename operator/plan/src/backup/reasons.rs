//! The words of reports that status takes over as reasons.

use subrosa_crds::Reason;

/// Why a run did not count, or a backup could not be restored, in the words of a report.
const REASONS: &[Reason] = &[
    Reason::AnotherRun,
    Reason::ClockWentBack,
    Reason::ConfigInvalid,
    Reason::CredentialsMissing,
    Reason::CredentialsRefused,
    Reason::DumpFailed,
    Reason::DumpVersion,
    Reason::KeyMissing,
    Reason::LockNotKept,
    Reason::ManifestForged,
    Reason::NoSuchRun,
    Reason::OwnershipNotKept,
    Reason::RepositoryDamaged,
    Reason::RestoreDiffers,
    Reason::RunFailed,
    Reason::StoreFull,
    Reason::StoreRefused,
    Reason::StoreUnreachable,
    Reason::TargetFailed,
    Reason::VaultRefused,
    Reason::VaultUnavailable,
    Reason::VolumeEmpty,
    Reason::VolumeMissing,
    Reason::VolumeNotMounted,
    Reason::VolumeShrank,
    Reason::VolumeUnreadable,
];

/// The reason with the word of a report; none where it is no such reason, whatever else the word means.
pub fn read(word: &str) -> Option<Reason> {
    Reason::read(word).filter(|reason| REASONS.contains(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_means_something_else_is_no_reason_of_a_run() {
        assert_eq!(read("StoreRefused"), Some(Reason::StoreRefused));
        for other in ["InForce", "RestoreUnproven", "Nonsense", ""] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
