//! Checks the repositories that verified manifests name, and reads a part of their data.

use std::{collections::BTreeMap, sync::Arc};

use rustic_core::{CheckOptions, ReadSubsetOption, RusticError, repofile::SnapshotFile};
use serde::Serialize;
use subrosa_crds::{backup::BackupSettings, cohort::Cohort};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    keys::{self, RepositoryKey, WindowKeys},
    manifest::{ManifestChain, VolumeSnapshot},
    problem::{BackupError, BackupProblem, one_line},
    progress::BytesDone,
    repository::Objects,
    restore::root,
    store::Bucket,
};

/// How many findings are told.
const MOST_TOLD: usize = 20;

/// How much of the data is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReadData {
    /// None: objects are there, and directories are complete.
    #[default]
    None,
    /// All.
    All,
    /// About so many percent, chosen by chance.
    Percent(f64),
    /// The packs of one part of so many.
    Part(u32, u32),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// How many manifests there are, each verified.
    pub manifests: u64,
    /// Each repository that was checked.
    pub repositories: Vec<RepositoryChecked>,
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryChecked {
    /// Its window.
    pub window: String,
    /// The snapshots in it that manifests name.
    pub snapshots: u64,
    /// The packs that runs left which were interrupted. They take room, and nothing else.
    pub left_over: u64,
    /// What is wrong; nothing where all is well.
    pub findings: Vec<String>,
    /// One word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.repositories.iter().all(|one| one.problem.is_none())
    }
}

/// Checks the chain of manifests, and each repository, or that of one window.
///
/// # Errors
/// When manifests cannot be trusted, or the store or Vault do not answer.
pub async fn check<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    (window, at_least, read): (Option<Cohort>, u64, ReadData),
    progress: &BytesDone,
) -> Result<CheckReport, BackupError> {
    let chain = ManifestChain::read(store, keys, settings, at_least).await?;
    let mut windows: BTreeMap<Cohort, Vec<VolumeSnapshot>> = BTreeMap::new();
    for manifest in chain.manifests().iter().filter(|manifest| !chain.is_destroyed(manifest)) {
        windows.entry(manifest.cohort()?).or_default().extend(manifest.volumes.iter().cloned());
    }
    if let Some(window) = window {
        windows.retain(|one, _| *one == window);
        if windows.is_empty() {
            let problem = format!("no run is of window {window}, or its key was destroyed");
            return Err(BackupProblem::NoSuchRun.with(problem));
        }
    }
    let mut report = CheckReport { manifests: chain.newest(), repositories: Vec::new() };
    for (window, volumes) in windows {
        let snapshots = u64::try_from(volumes.len()).unwrap_or(u64::MAX);
        let findings = match keys::open(store, keys, settings, window).await {
            Ok(key) => {
                let objects = Objects::new(store.clone(), keys::base(settings, window), Handle::current());
                let (host, progress) = (settings.channel.to_string(), progress.clone());
                let checked =
                    spawn_blocking(move || one(&objects, &key, &host, &volumes, read, progress)).await;
                checked.map_err(|error| {
                    BackupProblem::RunFailed.with(format!("the check ended early: {error}"))
                })?
            }
            Err(error) => Err(error),
        };
        let (problem, (left_over, findings)) = match findings {
            Ok(found) if found.1.is_empty() => (None, found),
            Ok(found) => (Some(BackupProblem::RepositoryDamaged), found),
            Err(error) if is_of_repository(error.problem) => (Some(error.problem), (0, vec![error.message])),
            Err(error) => return Err(error),
        };
        report.repositories.push(RepositoryChecked {
            window: window.to_string(),
            snapshots,
            left_over,
            findings,
            problem: problem.map(|problem| problem.to_string()),
        });
    }
    Ok(report)
}

/// Whether other repositories may still be good.
fn is_of_repository(problem: BackupProblem) -> bool {
    matches!(
        problem,
        BackupProblem::KeyMissing | BackupProblem::RepositoryDamaged | BackupProblem::ManifestForged
    )
}

fn one(
    objects: &Arc<Objects>,
    key: &RepositoryKey,
    host: &str,
    volumes: &[VolumeSnapshot],
    read: ReadData,
    progress: BytesDone,
) -> Result<(u64, Vec<String>), BackupError> {
    let failed = |error: Box<RusticError>| objects.told(&error);
    let open = || {
        let repository = objects.repository(progress.clone())?;
        repository.open(key.credentials())
    };
    // Each snapshot is what its manifest says; then its trees are checked, and no others.
    let indexed = open().and_then(rustic_core::Repository::to_indexed).map_err(failed)?;
    for volume in volumes {
        root(&indexed, objects, host, volume)?;
    }
    drop(indexed);
    let repository = open().map_err(failed)?;
    let ids: Vec<_> = volumes.iter().map(|volume| &volume.snapshot).collect();
    let snapshots: Vec<SnapshotFile> = repository.get_snapshots(&ids).map_err(failed)?;
    let trees = snapshots.into_iter().map(|snapshot| snapshot.tree).collect();
    let options = match read {
        ReadData::None => CheckOptions::default(),
        ReadData::All => CheckOptions::default().read_data(true),
        ReadData::Percent(percent) => {
            CheckOptions::default().read_data(true).read_data_subset(ReadSubsetOption::Percentage(percent))
        }
        ReadData::Part(part, of) => {
            CheckOptions::default().read_data(true).read_data_subset(ReadSubsetOption::IdSubSet((part, of)))
        }
    };
    let found = repository.check_with_trees(options, trees).map_err(failed)?;
    if let Some(failure) = objects.failure().filter(|failure| !is_of_repository(failure.problem)) {
        return Err(failure);
    }
    // rustic does not export the name of the level. Of its warnings only that of packs without an index can occur here.
    let (left_over, wrong): (Vec<_>, Vec<_>) =
        found.0.iter().partition(|(level, _)| format!("{level:?}") == "Warn");
    let mut findings: Vec<_> = wrong.iter().map(|(_, finding)| one_line(&finding.to_string())).collect();
    findings.truncate(MOST_TOLD);
    Ok((u64::try_from(left_over.len()).unwrap_or(u64::MAX), findings))
}
