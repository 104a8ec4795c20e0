//! The faults that a key in Vault can have.

use serde::{Deserialize, Serialize};
use subrosa_crds::Reason;

/// A fault of a key in Vault. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyFault {
    /// It was made and does not exist any more.
    Missing,
    /// Another key has its name.
    Replaced,
    /// It is soft-deleted.
    SoftDeleted,
    /// Its minimum version was raised, so that what older versions sealed does not open.
    VersionsWithheld,
    /// It can be read out of Vault.
    Exportable,
    /// It can be copied out of Vault.
    PlaintextBackup,
    /// It has `deletion_allowed`: whoever may delete keys can delete it.
    DeletionAllowed,
    /// Its record, which says until when its data is kept, is gone.
    Unrecorded,
}

impl KeyFault {
    /// The reason of a condition.
    pub fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::KeyMissing,
            Self::Replaced => Reason::KeyReplaced,
            Self::SoftDeleted => Reason::KeySoftDeleted,
            Self::VersionsWithheld => Reason::KeyVersionsWithheld,
            Self::Exportable | Self::PlaintextBackup | Self::DeletionAllowed => Reason::IrreversibleKey,
            Self::Unrecorded => Reason::KeyUnrecorded,
        }
    }

    /// The state of the key in status.
    pub fn state(self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Replaced => "Replaced",
            Self::SoftDeleted => "SoftDeleted",
            Self::VersionsWithheld => "VersionsWithheld",
            Self::Exportable | Self::PlaintextBackup | Self::DeletionAllowed => "Irreversible",
            Self::Unrecorded => "Unrecorded",
        }
    }

    /// The message about the key called `name`, with the next step.
    pub fn message(self, name: &str) -> String {
        let irreversible = |flag: &str| {
            format!(
                "transit key {name} has {flag} set, which its data cannot be protected from: find who set it, and reseal under a new key"
            )
        };
        match self {
            Self::Missing => {
                format!("transit key {name} was there and is gone: restore it from a Vault snapshot")
            }
            Self::Replaced => format!(
                "transit key {name} was deleted and made again: what was sealed before does not open; restore it from a Vault snapshot"
            ),
            Self::SoftDeleted => format!(
                "transit key {name} is soft-deleted: nothing opens; find who did it, and restore it with transit/keys/{name}/soft-delete-restore"
            ),
            Self::VersionsWithheld => format!(
                "a minimum version of transit key {name} was raised: what older versions sealed does not open; find who did it, and lower it again"
            ),
            Self::Exportable => irreversible("exportable"),
            Self::PlaintextBackup => irreversible("allow_plaintext_backup"),
            Self::DeletionAllowed => irreversible("deletion_allowed"),
            Self::Unrecorded => format!(
                "the record of transit key {name} is gone, and with it until when its data is kept: undelete it in Vault's key-value store"
            ),
        }
    }
}
