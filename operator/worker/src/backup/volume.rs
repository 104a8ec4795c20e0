//! Whether a volume is there to be backed up, and whether what was read of it can be all.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::atomic::Ordering};

use rustic_core::{
    BackupOptions, IndexedIds, ParentOptions, Repository, RusticResult, SnapshotOptions,
    repofile::SnapshotFile,
};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use subrosa_crds::backup::BackupSettings;

use super::{
    manifest::{BackupManifest, VolumeSnapshot},
    problem::{BackupError, BackupProblem},
    repository::Objects,
    source::{LOST_AND_FOUND, VolumeSource, place},
};

/// The tag of every snapshot.
const TAG: &str = "subrosa";

/// Looks at the directory of a volume before it is read.
pub(super) fn look(volumes: &Path, name: &str, mounted: bool) -> Result<(), BackupError> {
    let directory = place(volumes, name);
    let metadata = directory.symlink_metadata().ok().filter(fs::Metadata::is_dir);
    let Some(metadata) = metadata else {
        return Err(BackupProblem::VolumeMissing.with(format!(
            "volume {name} has no directory {}; expected it mounted there",
            directory.display()
        )));
    };
    if mounted && !is_mounted(&directory, &metadata, volumes) {
        return Err(BackupProblem::VolumeNotMounted.with(format!(
            "nothing is mounted on {}, so the claim {name} is not what would be read",
            directory.display()
        )));
    }
    let entries = fs::read_dir(&directory).map_err(|error| {
        BackupProblem::VolumeUnreadable.with(format!(
            "volume {name} cannot be read: {error}; run the worker as who may read it (backup.runAsUser)"
        ))
    })?;
    // An entry that cannot be read is one.
    let empty =
        !entries.into_iter().any(|entry| entry.map_or(true, |entry| entry.file_name() != LOST_AND_FOUND));
    if empty { Err(is_empty(name)) } else { Ok(()) }
}

fn is_empty(name: &str) -> BackupError {
    BackupProblem::VolumeEmpty.with(format!(
        "volume {name} holds no file; expected the workload's data: look whether it is the right claim"
    ))
}

/// Whether something is mounted there: as the kernel says, else where its device is another than its parent's.
fn is_mounted(directory: &Path, metadata: &fs::Metadata, parent: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if let Ok(found) = statx(CWD, directory, flags, StatxFlags::BASIC_STATS)
        && found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    parent.metadata().is_ok_and(|parent| parent.dev() != metadata.dev())
}

/// A snapshot in which nothing is yet. All that tells whose it is are names of the Channel, whichever pod made it.
pub(super) fn snapshot_file(settings: &BackupSettings, time: &jiff::Zoned) -> RusticResult<SnapshotFile> {
    SnapshotOptions::default()
        .host(settings.channel.to_string())
        .command("subrosa backup run".to_owned())
        .time(time.clone())
        .add_tags(TAG)
        .and_then(|options| options.to_snapshot())
}

/// Makes the snapshot of a volume.
pub(super) fn archive<S: IndexedIds>(
    (repository, objects): (&Repository<S>, &Objects),
    settings: &BackupSettings,
    (volumes, name): (&Path, &str),
    parent: Option<&str>,
    time: &jiff::Zoned,
) -> Result<VolumeSnapshot, BackupError> {
    let failed = |error: Box<rustic_core::RusticError>| objects.told(&error);
    let directory = place(volumes, name);
    let (source, unreadable) = VolumeSource::new(&directory).map_err(failed)?;
    // Only a snapshot that a manifest names says which files are unchanged.
    let parent = match parent {
        Some(id) => ParentOptions::default().parents(vec![id.to_owned()]),
        None => ParentOptions::default().force(true),
    };
    let options = BackupOptions::default().as_path(Path::new("/").join(name)).parent_opts(parent);
    let snapshot = snapshot_file(settings, time).map_err(failed)?;
    let snapshot = repository.archive(&options, &source, snapshot, &[directory]).map_err(failed)?;
    // rustic goes on where a file cannot be read, and so where the store failed in the same thread.
    if let Some(failure) = objects.failure() {
        return Err(failure);
    }
    let summary = snapshot.summary.unwrap_or_default();
    if summary.total_files_processed == 0 {
        return Err(is_empty(name));
    }
    Ok(VolumeSnapshot {
        name: name.to_owned(),
        snapshot: snapshot.id.to_hex().as_str().to_owned(),
        files: summary.total_files_processed,
        bytes: summary.total_bytes_processed,
        unreadable: unreadable.load(Ordering::Relaxed),
        problem: None,
    })
}

/// Why what was read of a volume does not count, if so.
pub(super) fn judge(
    read: &VolumeSnapshot,
    earlier: &[BackupManifest],
    allow_shrink: bool,
) -> Option<BackupError> {
    if read.unreadable > 0 {
        return Some(BackupProblem::VolumeUnreadable.with(format!(
            "{} files or directories of volume {} could not be read; run the worker as who may read them (backup.runAsUser)",
            read.unreadable, read.name
        )));
    }
    let of = |manifest: &BackupManifest| manifest.volumes.iter().find(|one| one.name == read.name).cloned();
    let mut before = earlier.iter().rev().filter_map(of);
    let last = before.next()?;
    let shrank_already = last.problem.as_deref() == Some(BackupProblem::VolumeShrank.as_str());
    let good = if last.problem.is_none() { last } else { before.find(|one| one.problem.is_none())? };
    // Twice in a row is what the volume is now.
    if allow_shrink
        || shrank_already
        || !(is_less_than_half(read.files, good.files) || is_less_than_half(read.bytes, good.bytes))
    {
        return None;
    }
    Some(BackupProblem::VolumeShrank.with(format!(
        "volume {} has {} files of {} bytes, and had {} of {}; if that is right, the next run counts",
        read.name, read.files, read.bytes, good.files, good.bytes
    )))
}

const fn is_less_than_half(now: u64, before: u64) -> bool {
    now < before / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: u64, problem: Option<BackupProblem>) -> VolumeSnapshot {
        VolumeSnapshot {
            name: "recordings".into(),
            snapshot: String::new(),
            files,
            bytes: files * 100,
            unreadable: 0,
            problem: problem.map(|problem| problem.to_string()),
        }
    }

    fn judged(read: &VolumeSnapshot, earlier: Vec<VolumeSnapshot>, allow: bool) -> Option<BackupProblem> {
        let manifest = |(number, volume)| BackupManifest {
            schema: 1,
            channel: "abcdefghijklmnop".parse().unwrap(),
            number,
            previous: None,
            window: "2026m12".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            volumes: vec![volume],
        };
        let earlier: Vec<_> = (1..).zip(earlier).map(manifest).collect();
        judge(read, &earlier, allow).map(|error| error.problem)
    }

    #[test]
    fn a_volume_that_lost_more_than_half_counts_the_second_time() {
        let shrank = Some(BackupProblem::VolumeShrank);
        let first = read(100, None);
        assert_eq!(judged(&read(50, None), vec![first.clone()], false), None);
        assert_eq!(judged(&read(49, None), vec![first.clone()], false), shrank);
        assert_eq!(judged(&read(49, None), vec![first.clone()], true), None);
        assert_eq!(judged(&read(49, None), vec![], false), None, "there is nothing to compare with");
        let again = vec![first.clone(), read(49, shrank)];
        assert_eq!(judged(&read(48, None), again, false), None);
        // What could not be read is compared with nothing, and does not hide a shrinkage.
        let unreadable = vec![first, read(3, Some(BackupProblem::VolumeUnreadable))];
        assert_eq!(judged(&read(4, None), unreadable, false), shrank);
        let mut incomplete = read(100, None);
        incomplete.unreadable = 1;
        assert_eq!(judged(&incomplete, vec![], true), Some(BackupProblem::VolumeUnreadable));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let volumes = tempfile::tempdir().unwrap();
        let problem =
            |name: &str, mounted| look(volumes.path(), name, mounted).err().map(|error| error.problem);
        assert_eq!(problem("a", false), Some(BackupProblem::VolumeMissing));
        fs::create_dir_all(volumes.path().join("a").join(LOST_AND_FOUND)).unwrap();
        assert_eq!(problem("a", false), Some(BackupProblem::VolumeEmpty));
        fs::write(volumes.path().join("a/file"), "x").unwrap();
        assert_eq!(problem("a", false), None);
        assert_eq!(problem("a", true), Some(BackupProblem::VolumeNotMounted));
        std::os::unix::fs::symlink("/proc", volumes.path().join("b")).unwrap();
        assert_eq!(problem("b", false), Some(BackupProblem::VolumeMissing), "a link is no mount");
        assert_eq!(look(Path::new("/"), "proc", true), Ok(()));
    }
}
