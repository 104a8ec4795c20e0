//! Removes from the store what nobody can read any more: the repositories of windows whose keys were destroyed.
//!
//! Two have to say so: the settings, in which the operator names the windows that the destroyer's records prove to be
//! destroyed, and Vault, which has no key of that name. Manifests stay: they are small, hold no data, and are chained.
//! Whoever prunes has credentials that delete; the worker that makes backups has none.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use subrosa_crds::{backup::BackupSettings, cohort::Cohort};
use subrosa_records::vault::KeyRefusal;

use super::{
    keys::{WindowKeys, base, key_name},
    manifest::window_of,
    problem::{BackupError, BackupProblem},
    versions::{Removal, Remover},
};

/// How many versions are removed at once.
const AT_ONCE: usize = 8;
/// A seal that no key made, to ask whether there is a key.
const NO_SEAL: &str = "vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    /// Each destroyed window of which something was still there.
    pub windows: Vec<PrunedWindow>,
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedWindow {
    /// The window.
    pub window: String,
    /// How many versions of objects were removed, or with a dry run would be tried.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many stay, since the store's lock keeps them.
    pub locked: u64,
    /// When the last of these locks ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
}

/// Removes them, or only says what it would remove.
///
/// # Errors
/// When Vault still has the key of a window that the settings call destroyed, or Vault or the store do not answer or
/// refuse. What was removed until then is gone; the next call continues.
pub async fn prune<K: WindowKeys>(
    store: &Remover,
    keys: &K,
    settings: &BackupSettings,
    dry_run: bool,
) -> Result<PruneReport, BackupError> {
    let mut report = PruneReport::default();
    for window in &settings.destroyed {
        let window = window_of(window).ok_or_else(|| {
            BackupProblem::ConfigInvalid.with(format!("destroyed: {window:?} is no window, such as 2026m11"))
        })?;
        is_gone(keys, settings, window).await?;
        let pruned = one(store, settings, window, dry_run).await?;
        report.windows.extend((pruned.removed + pruned.locked > 0).then_some(pruned));
    }
    Ok(report)
}

/// Asks Vault whether the key of a window is gone.
async fn is_gone<K: WindowKeys>(
    keys: &K,
    settings: &BackupSettings,
    window: Cohort,
) -> Result<(), BackupError> {
    let key = key_name(settings, window)?;
    let there = |state: &str| {
        Err(BackupProblem::KeyStillThere.with(format!(
            "key {key} is to be destroyed, and Vault has it ({state}), so nothing of window {window} is removed; look whether \
             Vault was restored from a snapshot"
        )))
    };
    match keys.is_sealed(&key, b"subrosa/v1 backup prune", NO_SEAL).await {
        Ok(_) => there("in use"),
        Err(error) => match KeyRefusal::of(&error) {
            Some(KeyRefusal::NotFound) => Ok(()),
            Some(KeyRefusal::SoftDeleted) => there("soft-deleted"),
            _ => Err(error.into()),
        },
    }
}

async fn one(
    store: &Remover,
    settings: &BackupSettings,
    window: Cohort,
    dry_run: bool,
) -> Result<PrunedWindow, BackupError> {
    let versions = store.list(&base(settings, window)).await?;
    let mut pruned =
        PrunedWindow { window: window.to_string(), removed: 0, bytes: 0, locked: 0, locked_until: None };
    let removals = stream::iter(versions.into_iter().map(|version| async move {
        let removal = if dry_run { Removal::Removed } else { store.remove(&version).await? };
        Ok::<_, BackupError>((version.size, removal))
    }));
    let mut removals = removals.buffer_unordered(AT_ONCE);
    while let Some((size, removal)) = removals.try_next().await? {
        match removal {
            Removal::Removed => {
                pruned.removed += 1;
                pruned.bytes += size;
            }
            Removal::Locked(until) => {
                pruned.locked += 1;
                pruned.locked_until = pruned.locked_until.max(Some(until));
            }
        }
    }
    Ok(pruned)
}
