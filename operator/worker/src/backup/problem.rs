//! Why a backup or a restore did not do all of its work: one stable word each, and a sentence for people.

use std::{error::Error, fmt};

use subrosa_records::vault::{KeyRefusal, VaultError};

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One stable word for a cause. What a report may say is a [`Reason`](subrosa_crds::Reason) too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum BackupProblem {
            $($(#[$doc])* $name,)*
        }

        impl BackupProblem {
            /// Every problem.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

problems! {
    /// Another run wrote the manifest of this number meanwhile.
    AnotherRun,
    /// The newest manifest is of a time that has not come yet, so one of the clocks is wrong.
    ClockWentBack,
    /// The settings, or an argument, cannot be followed.
    ConfigInvalid,
    /// The files with the store's credentials are missing or empty.
    CredentialsMissing,
    /// The store knows the credentials not, or they may not do this.
    CredentialsRefused,
    /// A dump of a database is not whole.
    DumpFailed,
    /// What dumps a database is older than its server.
    DumpVersion,
    /// The window's key in Vault, or the wrapped key of its repository, is gone.
    KeyMissing,
    /// Vault has a key that is said to be destroyed.
    KeyStillThere,
    /// An object does not carry the lock that it was written with.
    LockNotKept,
    /// Manifests were changed, moved, exchanged or removed.
    ManifestForged,
    /// No run fits what was asked for.
    NoSuchRun,
    /// There is something where it would be restored to.
    NotEmpty,
    /// Files got other owners than they had.
    OwnershipNotKept,
    /// Objects of a repository were changed or removed, or do not belong to it.
    RepositoryDamaged,
    /// What was restored is not what was backed up.
    RestoreDiffers,
    /// Something that is told in the message.
    RunFailed,
    /// The store has no room left.
    StoreFull,
    /// The store refuses a request.
    StoreRefused,
    /// The store does not answer, or fails.
    StoreUnreachable,
    /// Something could not be written where it is restored to.
    TargetFailed,
    /// Vault refuses a request.
    VaultRefused,
    /// Vault does not answer, or is sealed.
    VaultUnavailable,
    /// A volume holds no file.
    VolumeEmpty,
    /// A volume's directory is missing.
    VolumeMissing,
    /// A volume's directory is there, and nothing is mounted on it.
    VolumeNotMounted,
    /// A volume holds much less than the last time.
    VolumeShrank,
    /// Some files of a volume could not be read.
    VolumeUnreadable,
}

impl BackupProblem {
    /// This problem, with a message.
    pub fn with(self, message: impl Into<String>) -> BackupError {
        BackupError { problem: self, message: one_line(&message.into()) }
    }
}

impl fmt::Display for BackupProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem, and what to tell people of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupError {
    /// The word.
    pub problem: BackupProblem,
    /// What is so, what was expected and what to do next, on one line, with no secret.
    pub message: String,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.message)
    }
}

impl Error for BackupError {}

impl From<VaultError> for BackupError {
    fn from(error: VaultError) -> Self {
        let problem = match KeyRefusal::of(&error) {
            Some(KeyRefusal::NotFound | KeyRefusal::SoftDeleted) => BackupProblem::KeyMissing,
            // The wrapped key of another repository, or one that was changed.
            Some(KeyRefusal::DoesNotFit) => BackupProblem::RepositoryDamaged,
            None if error.is_transient() => BackupProblem::VaultUnavailable,
            None => BackupProblem::VaultRefused,
        };
        problem.with(format!("{error}; {}", next_step(problem)))
    }
}

fn next_step(problem: BackupProblem) -> &'static str {
    match problem {
        BackupProblem::KeyMissing => {
            "the operator makes the key of a window before it begins, and a destroyed key never comes back"
        }
        BackupProblem::RepositoryDamaged => {
            "the wrapped key of this repository is not the one that was written: look who may write to the store"
        }
        BackupProblem::VaultUnavailable => "the next run tries again",
        _ => "look whether this is the ServiceAccount of the Channel's backups, with the right audience",
    }
}

/// The most bytes of a message.
const MESSAGE: usize = 600;

/// Texts of others on one line of bounded length, without what could control a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let clean = word.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(clean);
        if line.len() > MESSAGE {
            let mut end = MESSAGE;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(one_line(" a\n  b\tc\x1b[2J "), "a b c\u{fffd}[2J");
        let long = one_line(&"é".repeat(5000));
        assert!(long.len() <= MESSAGE + 3 && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn a_key_that_is_gone_is_told_from_a_vault_that_is_away() {
        let of = |error: VaultError| BackupError::from(error).problem;
        let refused = |message: &str| VaultError::Invalid {
            path: "transit/decrypt/a".into(),
            status: 400,
            messages: vec![message.into()],
        };
        assert_eq!(of(VaultError::Sealed), BackupProblem::VaultUnavailable);
        assert_eq!(of(refused("encryption key not found")), BackupProblem::KeyMissing);
        assert_eq!(of(refused("refusing to use soft-deleted key")), BackupProblem::KeyMissing);
        assert_eq!(of(refused("cipher: message authentication failed")), BackupProblem::RepositoryDamaged);
        assert_eq!(of(refused("no")), BackupProblem::VaultRefused);
    }
}
