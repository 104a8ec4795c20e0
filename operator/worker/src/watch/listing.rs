//! Lists the watched directory.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::pending::{self, Leftover};
use crate::{file_state::FileState, seal::SUFFIX};

/// A recording, finished or still being written.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// Its current state.
    pub state: FileState,
    /// When it was last written.
    pub modified: SystemTime,
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchScope {
    /// The directory.
    pub root: PathBuf,
    /// Whether to include subdirectories.
    pub recursive: bool,
    /// Suffixes of the names of unfinished files.
    pub unfinished: Vec<String>,
}

/// The content of the watched directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// The directories that were read.
    pub directories: Vec<PathBuf>,
    /// Files to seal, now or later.
    pub recordings: Vec<Found>,
    /// Sealed files without their final names.
    pub leftovers: Vec<Leftover>,
    /// Abandoned parts of sealed files, if no other process writes here.
    pub parts: Vec<PathBuf>,
    /// What could not be read.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// Whether subdirectories were skipped.
    pub left_out: bool,
}

impl Listing {
    /// Lists `scope`, without following symbolic links and without hidden or sealed files.
    ///
    /// # Errors
    /// When the directory itself cannot be read.
    pub fn read(scope: &WatchScope) -> io::Result<Self> {
        let mut listing = Self::default();
        listing.add(scope, &scope.root)?;
        let mut next = 0;
        while let Some(directory) = listing.directories.get(next).cloned() {
            next += 1;
            if directory == scope.root {
                continue;
            }
            if let Err(error) = listing.add(scope, &directory) {
                listing.unreadable.push((directory, error));
            }
        }
        Ok(listing)
    }

    fn add(&mut self, scope: &WatchScope, directory: &Path) -> io::Result<()> {
        if directory == scope.root {
            self.directories.push(directory.to_owned());
        }
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            let kind = entry.file_type()?;
            if is_hidden(&name) {
                if let Some(leftover) = Leftover::of(directory, &name) {
                    self.leftovers.push(leftover);
                } else if pending::is_part(&name) {
                    self.parts.push(path);
                }
                continue;
            }
            if kind.is_dir() {
                match scope.recursive {
                    true => self.directories.push(path),
                    false => self.left_out = true,
                }
            } else if kind.is_file() && !scope.leaves_out(&name) {
                // The metadata of the entry itself, not of a link's target.
                match entry.metadata() {
                    Ok(metadata) => self.recordings.push(Found {
                        path,
                        state: FileState::of(&metadata),
                        modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    }),
                    // It was renamed or removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.unreadable.push((path, error)),
                }
            }
        }
        Ok(())
    }
}

impl WatchScope {
    fn leaves_out(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        name.ends_with(SUFFIX.as_bytes())
            || self.unfinished.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(listing: &Listing) -> Vec<String> {
        let name = |found: &Found| found.path.file_name().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = listing.recordings.iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_no_finished_recording_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["a.wav", "b.wav.age", "c.wav.tmp", ".hidden", ".subrosa-watch-x.part"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("day")).unwrap();
        fs::write(at("day/d.wav"), "d").unwrap();
        symlink(at("a.wav"), at("link.wav")).unwrap();
        symlink("/etc", at("etc")).unwrap();
        let mut scope = WatchScope {
            root: directory.path().to_owned(),
            recursive: false,
            unfinished: vec![".tmp".into()],
        };
        let listing = Listing::read(&scope).unwrap();
        assert_eq!((names(&listing), listing.left_out), (vec!["a.wav".to_owned()], true));
        assert_eq!(listing.parts, [at(".subrosa-watch-x.part")]);
        scope.recursive = true;
        let listing = Listing::read(&scope).unwrap();
        assert_eq!(names(&listing), ["a.wav", "d.wav"]);
        assert_eq!((listing.directories, listing.left_out), (vec![at(""), at("day")], false));
        scope.root = at("nowhere");
        assert_eq!(Listing::read(&scope).err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
