//! A volume as a source for rustic, which skips what it cannot read and tells nobody: here that is counted.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustic_core::{
    Excludes, LocalSource, LocalSourceFilterOptions, LocalSourceSaveOptions, ReadSource, ReadSourceEntry,
    ReadSourceOpen, RusticResult,
    repofile::{Metadata, Node, NodeType},
};

/// The directory at the root of an ext4 file system that only root may read. It is no data.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

type LocalOpen = <LocalSource as ReadSource>::Open;
type LocalIter = <LocalSource as ReadSource>::Iter;

/// The files of a volume.
pub(super) struct VolumeSource {
    directory: PathBuf,
    files: LocalSource,
    unreadable: Arc<AtomicU64>,
}

impl VolumeSource {
    /// All files below `directory`, and a counter of what could not be read.
    pub fn new(directory: &Path) -> RusticResult<(Self, Arc<AtomicU64>)> {
        let unreadable = Arc::<AtomicU64>::default();
        let excluded = escaped(&directory.join(LOST_AND_FOUND).to_string_lossy());
        let excludes = Excludes::default().globs(vec![format!("!{excluded}")]);
        let files = LocalSource::new(
            LocalSourceSaveOptions::default(),
            &excludes,
            &LocalSourceFilterOptions::default(),
            &[directory],
        )?;
        let directory = directory.to_owned();
        Ok((Self { directory, files, unreadable: Arc::clone(&unreadable) }, unreadable))
    }
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::new();
    for letter in path.chars() {
        if "\\*?[]{}!".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

impl ReadSource for VolumeSource {
    type Open = Opening;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        self.files.size()
    }

    fn entries(&self) -> Entries {
        Entries {
            root: root(&self.directory),
            entries: self.files.entries(),
            unreadable: Arc::clone(&self.unreadable),
        }
    }
}

/// The volume's own directory, which rustic leaves out: a database looks at its mode.
fn root(directory: &Path) -> Option<(PathBuf, Node)> {
    let metadata = directory.symlink_metadata().ok()?;
    let mtime = metadata.modified().ok().and_then(|time| time.try_into().ok());
    let meta = Metadata {
        mode: Some(DIRECTORY | mapped(metadata.mode(), MODES)),
        mtime,
        atime: mtime,
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        ..Metadata::default()
    };
    Some((directory.to_owned(), Node::new_node(directory.file_name()?, NodeType::Dir, meta)))
}

/// The bit of a directory in a mode as the format has it, which is that of Go.
pub(super) const DIRECTORY: u32 = 1 << 31;
/// The bits of a mode in Unix and in the format: permissions, set-user-id, set-group-id, sticky.
const MODES: [(u32, u32); 4] = [(0o777, 0o777), (0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

fn mapped(mode: u32, modes: [(u32, u32); 4]) -> u32 {
    let bits = modes.into_iter().map(|(from, to)| {
        if from == to {
            mode & from
        } else if mode & from != 0 {
            to
        } else {
            0
        }
    });
    bits.fold(0, |all, bits| all | bits)
}

/// Gives a restored volume's own directory what it had. Whether that was possible.
pub(super) fn give_back(directory: &Path, root: &Node, privileged: bool) -> bool {
    let Ok(now) = directory.symlink_metadata() else { return false };
    let (uid, gid) = (root.meta.uid.unwrap_or(now.uid()), root.meta.gid.unwrap_or(now.gid()));
    let mut given = (uid, gid) == (now.uid(), now.gid());
    if !given && privileged {
        given = std::os::unix::fs::chown(directory, Some(uid), Some(gid)).is_ok();
    }
    if let Some(mode) = root.meta.mode {
        let mode = mapped(mode, MODES.map(|(unix, go)| (go, unix)));
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
        given &= fs::set_permissions(directory, mode).is_ok();
    }
    if let Some(mtime) = root.meta.mtime {
        let times = fs::FileTimes::new().set_modified(mtime.into());
        given &= fs::File::open(directory).and_then(|directory| directory.set_times(times)).is_ok();
    }
    given
}

/// The entries of a volume.
pub(super) struct Entries {
    root: Option<(PathBuf, Node)>,
    entries: LocalIter,
    unreadable: Arc<AtomicU64>,
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Opening>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((path, node)) = self.root.take() {
            return Some(Ok(ReadSourceEntry { path, node, open: None }));
        }
        let entry = self.entries.next()?;
        if entry.is_err() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        Some(entry.map(|ReadSourceEntry { path, node, open }| {
            let open = open.map(|open| Opening { open, unreadable: Arc::clone(&self.unreadable) });
            ReadSourceEntry { path, node, open }
        }))
    }
}

/// A file that will be read.
pub(super) struct Opening {
    open: LocalOpen,
    unreadable: Arc<AtomicU64>,
}

impl ReadSourceOpen for Opening {
    type Reader = Reading;

    fn open(self) -> RusticResult<Reading> {
        match self.open.open() {
            Ok(file) => Ok(Reading { file: Box::new(file), unreadable: Some(self.unreadable) }),
            Err(error) => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

/// A file that is being read.
pub(super) struct Reading {
    file: Box<dyn Read + Send>,
    /// Until it is counted.
    unreadable: Option<Arc<AtomicU64>>,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
            && let Some(unreadable) = self.unreadable.take()
        {
            unreadable.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

/// Where a volume is mounted.
pub(super) fn place(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_mapped_there_and_back() {
        for mode in [0o750, 0o7777, 0o2770, 0o1777, 0] {
            let there = mapped(mode, MODES);
            assert_eq!(mapped(there, MODES.map(|(unix, go)| (go, unix))), mode);
        }
        assert_eq!(mapped(0o2770, MODES), 0o770 | 1 << 22);
    }

    #[test]
    fn only_the_lost_and_found_of_the_root_is_left_out() {
        let volumes = tempfile::tempdir().unwrap();
        let volume = volumes.path().join("odd[name]*");
        for directory in [volume.join(LOST_AND_FOUND), volume.join("a").join(LOST_AND_FOUND)] {
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
        }
        let (source, unreadable) = VolumeSource::new(&volume).unwrap();
        let paths: Vec<_> = source
            .entries()
            .map(|entry| entry.unwrap().path.strip_prefix(&volume).unwrap().display().to_string())
            .collect();
        assert_eq!(paths, ["", "a", "a/lost+found", "a/lost+found/file"]);
        assert_eq!(unreadable.load(Ordering::Relaxed), 0);
    }
}
