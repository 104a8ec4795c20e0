//! Restores the snapshots of a run that a verified manifest names.
//!
//! Files are written into a directory beside the place where they belong, and moved there when all of them are
//! complete: an object that was changed releases nothing. A restore that was interrupted finds that directory again,
//! and reads only what is missing.

use std::{
    collections::BTreeSet,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustic_core::{
    IndexedFullStatus, LocalDestination, LsOptions, Repository, RestoreOptions, RusticError,
    repofile::{Node, NodeType},
};
use serde::Serialize;
use subrosa_crds::backup::BackupSettings;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    keys::{self, RepositoryKey, WindowKeys},
    manifest::{BackupManifest, ManifestChain, VolumeSnapshot},
    problem::{BackupError, BackupProblem},
    progress::BytesDone,
    repository::Objects,
    source::{LOST_AND_FOUND, give_back},
    store::Bucket,
};

/// What the directories of restores in progress begin with.
const PART: &str = ".subrosa-restore-";

/// Which run is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhichRun {
    /// The newest that counts.
    #[default]
    Newest,
    /// This one, also where it does not count.
    Number(u64),
    /// The newest that counts and began no later.
    At(Timestamp),
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// Of which run.
    pub run: WhichRun,
    /// This volume only.
    pub volume: Option<String>,
    /// The directory that gets a directory for each volume.
    pub to: PathBuf,
    /// Whether entries of a volume that are there are replaced by those of the backup.
    pub overwrite: bool,
    /// The manifests that are known to have been written.
    pub at_least: u64,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// The run.
    pub run: u64,
    /// When it began.
    pub time: Timestamp,
    /// Each volume.
    pub volumes: Vec<VolumeRestored>,
}

/// One volume of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRestored {
    /// The volume.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, the bytes that were there already.
    pub kept: u64,
    /// Files and directories that had another owner. Only root can give them back.
    pub owners_lost: u64,
}

impl ManifestChain {
    /// The run that is meant.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, which: WhichRun) -> Result<&BackupManifest, BackupError> {
        let mut newest_first = self.manifests().iter().rev();
        let counts = |one: &BackupManifest| one.counts() && !self.is_destroyed(one);
        let (found, wanted) = match which {
            WhichRun::Newest => (newest_first.find(|one| counts(one)), "that counts".to_owned()),
            WhichRun::Number(number) => {
                (newest_first.find(|one| one.number == number), format!("of number {number}"))
            }
            WhichRun::At(time) => (
                newest_first.find(|one| counts(one) && one.time <= time),
                format!("that counts and began before {time}"),
            ),
        };
        found.ok_or_else(|| {
            BackupProblem::NoSuchRun
                .with(format!("there is no run {wanted}; subrosa backup list shows all of them"))
        })
    }
}

/// Restores.
///
/// # Errors
/// When nothing can be trusted, something is there already, or something cannot be read or written. What was complete
/// stays for the next try.
pub async fn restore<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    request: &RestoreRequest,
    progress: &BytesDone,
) -> Result<RestoreReport, BackupError> {
    let chain = ManifestChain::read(store, keys, settings, request.at_least).await?;
    let run = chain.find(request.run)?.clone();
    let mut volumes = run.volumes.clone();
    if let Some(name) = &request.volume {
        volumes.retain(|volume| volume.name == *name);
        if volumes.is_empty() {
            let message =
                format!("run {} has no volume {name}; subrosa backup show tells which it has", run.number);
            return Err(BackupProblem::NoSuchRun.with(message));
        }
    }
    for volume in &volumes {
        is_free(&request.to.join(&volume.name), request.overwrite)?;
    }
    let window = run.cohort()?;
    let key = keys::open(store, keys, settings, window).await?;
    let work = Work {
        objects: Objects::new(store.clone(), keys::base(settings, window), Handle::current()),
        host: settings.channel.to_string(),
        key,
        to: request.to.clone(),
        overwrite: request.overwrite,
        progress: progress.clone(),
    };
    let volumes = spawn_blocking(move || work.volumes(&volumes))
        .await
        .map_err(|error| BackupProblem::RunFailed.with(format!("the restore ended early: {error}")))??;
    Ok(RestoreReport { run: run.number, time: run.time, volumes })
}

/// Whether there is nothing that a restore would replace.
fn is_free(place: &Path, overwrite: bool) -> Result<(), BackupError> {
    let metadata = match place.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(target(place, &error)),
    };
    if !metadata.is_dir() {
        return Err(BackupProblem::NotEmpty.with(format!("{} is no directory", place.display())));
    }
    if overwrite {
        return Ok(());
    }
    for entry in fs::read_dir(place).map_err(|error| target(place, &error))? {
        let name = entry.map_err(|error| target(place, &error))?.file_name();
        let name = name.to_string_lossy();
        if name != LOST_AND_FOUND && !name.starts_with(PART) {
            let message = format!(
                "{} is not empty: it has {name}; restore elsewhere, or --overwrite replaces what the backup has too",
                place.display()
            );
            return Err(BackupProblem::NotEmpty.with(message));
        }
    }
    Ok(())
}

fn target(path: &Path, error: &io::Error) -> BackupError {
    let problem = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full",
        _ => "it cannot be written",
    };
    BackupProblem::TargetFailed.with(format!("{}: {problem}: {error}", path.display()))
}

/// The part of a restore that rustic does, on a thread of its own.
struct Work {
    objects: Arc<Objects>,
    host: String,
    key: RepositoryKey,
    to: PathBuf,
    overwrite: bool,
    progress: BytesDone,
}

impl Work {
    fn volumes(&self, volumes: &[VolumeSnapshot]) -> Result<Vec<VolumeRestored>, BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let repository = self.objects.repository(self.progress.clone()).map_err(failed)?;
        let repository = repository.open(self.key.credentials()).map_err(failed)?;
        let repository = repository.to_indexed().map_err(failed)?;
        volumes.iter().map(|volume| self.volume(&repository, volume)).collect()
    }

    fn volume(
        &self,
        repository: &Repository<IndexedFullStatus>,
        volume: &VolumeSnapshot,
    ) -> Result<VolumeRestored, BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let root = root(repository, &self.objects, &self.host, volume)?;
        let place = self.to.join(&volume.name);
        let part = place.join(format!("{PART}{}", volume.snapshot.get(..16).unwrap_or_default()));
        fs::create_dir_all(&part).map_err(|error| target(&part, &error))?;
        let nodes = repository.ls(&root, &LsOptions::default()).map_err(failed)?;
        let privileged = rustix::process::geteuid().is_root();
        // A size and a time do not say that the content is the same.
        let mut options =
            RestoreOptions::default().numeric_id(true).no_ownership(!privileged).verify_existing(true);
        // rustic does not export the name of this type.
        options.sparse = serde_json::from_str("\"ByContent\"").ok();
        let owners_lost = clear(&part, nodes.clone(), privileged).map_err(|error| match error {
            Cleared::Rustic(error) => failed(error),
            Cleared::Io(path, error) => target(&path, &error),
        })?;
        let destination = part.to_str().ok_or_else(|| {
            BackupProblem::ConfigInvalid.with(format!("{} is no UTF-8 text", part.display()))
        })?;
        let destination = LocalDestination::new(destination, true, false).map_err(failed)?;
        let plan =
            repository.prepare_restore(&options, nodes.clone(), &destination, false).map_err(failed)?;
        let kept = plan.matched_size;
        // rustic panics where a file cannot be read or written.
        let done = catch_unwind(AssertUnwindSafe(|| repository.restore(plan, &options, nodes, &destination)));
        match done {
            Ok(done) => done.map_err(failed)?,
            Err(panic) => {
                return Err(self.objects.failure().unwrap_or_else(|| {
                    let said = panic.downcast_ref::<String>().map_or("no reason was given", String::as_str);
                    BackupProblem::TargetFailed.with(format!("{}: {said}", part.display()))
                }));
            }
        }
        move_up(&part, &place, self.overwrite)?;
        let owners_lost = owners_lost + u64::from(!give_back(&place, &root, privileged));
        Ok(VolumeRestored {
            name: volume.name.clone(),
            path: place,
            files: volume.files,
            bytes: volume.bytes,
            kept,
            owners_lost,
        })
    }
}

/// The root of a snapshot, which must be what the manifest says it is.
pub(super) fn root(
    repository: &Repository<IndexedFullStatus>,
    objects: &Objects,
    host: &str,
    volume: &VolumeSnapshot,
) -> Result<Node, BackupError> {
    let failed = |error: Box<RusticError>| objects.told(&error);
    let snapshots = repository.get_snapshots(&[&volume.snapshot]).map_err(failed)?;
    let path = format!("/{}", volume.name);
    let fits = |snapshot: &&rustic_core::repofile::SnapshotFile| {
        snapshot.id.to_hex().as_str() == volume.snapshot
            && snapshot.hostname == host
            && snapshot.paths.contains(&path)
    };
    let Some(snapshot) = snapshots.iter().find(fits) else {
        return Err(BackupProblem::ManifestForged
            .with(format!("snapshot {} is not one of volume {}", volume.snapshot, volume.name)));
    };
    repository.node_from_snapshot_and_path(snapshot, &path).map_err(failed)
}

enum Cleared {
    Rustic(Box<RusticError>),
    Io(PathBuf, io::Error),
}

/// Removes, of an interrupted restore, what rustic does not replace: links, and what is of another type. Returns how
/// many entries belong to somebody else than who restores.
fn clear(
    part: &Path,
    nodes: impl Iterator<Item = rustic_core::RusticResult<(PathBuf, Node)>>,
    privileged: bool,
) -> Result<u64, Cleared> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (mut foreign, mut linked) = (0, BTreeSet::new());
    for node in nodes {
        let (path, node) = node.map_err(Cleared::Rustic)?;
        let other = |had: Option<u32>, now| had.is_some_and(|had| had != now);
        foreign += u64::from(other(node.meta.uid, uid) || other(node.meta.gid, gid));
        let path = part.join(path);
        let Ok(there) = path.symlink_metadata() else { continue };
        let stays = match node.node_type {
            NodeType::Dir => there.is_dir(),
            // The first of several links is the file that the others are made of.
            NodeType::File => {
                let first = linked.insert((node.meta.device_id, node.meta.inode));
                // The size of a stream was not known when it began, and rustic takes an empty file for all of it.
                let is_begun = there.len() == 0 && node.content.iter().flatten().next().is_some();
                there.is_file() && !is_begun && (node.meta.links <= 1 || first)
            }
            _ => false,
        };
        if !stays {
            let removed = if there.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| Cleared::Io(path, error))?;
        }
    }
    Ok(if privileged { 0 } else { foreign })
}

/// Moves what is complete to where it belongs.
fn move_up(part: &Path, place: &Path, overwrite: bool) -> Result<(), BackupError> {
    for entry in fs::read_dir(part).map_err(|error| target(part, &error))? {
        let entry = entry.map_err(|error| target(part, &error))?;
        let to = place.join(entry.file_name());
        if let Ok(there) = to.symlink_metadata() {
            if !overwrite {
                let message = format!(
                    "{} appeared meanwhile, and stays; what is restored is in {}",
                    to.display(),
                    part.display()
                );
                return Err(BackupProblem::NotEmpty.with(message));
            }
            let removed = if there.is_dir() { fs::remove_dir_all(&to) } else { fs::remove_file(&to) };
            removed.map_err(|error| target(&to, &error))?;
        }
        fs::rename(entry.path(), &to).map_err(|error| target(&to, &error))?;
    }
    fs::remove_dir(part).map_err(|error| target(part, &error))?;
    let synced = fs::File::open(place).and_then(|place| place.sync_all());
    synced.map_err(|error| target(place, &error))
}
