//! Walks the sealed files below a directory one by one, without a list of all and without following symbolic links.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::PathBuf,
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};

use crate::{file_state::FileState, seal::SUFFIX};

/// Walks directories. An unreadable one is reported and skipped.
pub struct Walk {
    /// Given directories that are not begun.
    roots: std::vec::IntoIter<PathBuf>,
    recursive: bool,
    /// The current directory and its ancestors.
    levels: Vec<Level>,
    /// Whether subdirectories were skipped.
    pub left_out: bool,
}

struct Level {
    handle: Arc<OwnedFd>,
    path: PathBuf,
    /// `None` when it is read.
    entries: Option<Dir>,
    /// Its subdirectories that are not begun.
    below: Vec<OsString>,
}

/// A file with the name of a sealed file.
pub struct SealedEntry {
    directory: Arc<OwnedFd>,
    name: OsString,
    /// The path, for messages only: opening and removing use the directory's handle.
    pub path: PathBuf,
}

/// A path and why it cannot be read.
pub type WalkTrouble = (PathBuf, io::Error);

impl Walk {
    /// Walks these directories.
    pub fn new(roots: Vec<PathBuf>, recursive: bool) -> Self {
        Self { roots: roots.into_iter(), recursive, levels: Vec::new(), left_out: false }
    }

    /// Opens a directory without following links, to be read next.
    fn enter(&mut self, at: &OwnedFd, name: &OsStr, path: PathBuf) -> Result<(), WalkTrouble> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = openat(at, name, flags, Mode::empty());
        self.push(opened.map_err(io::Error::from), path)
    }

    /// A directory that a person named may be a link.
    fn enter_root(&mut self, path: PathBuf) -> Result<(), WalkTrouble> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = openat(CWD, &path, flags, Mode::empty());
        self.push(opened.map_err(io::Error::from), path)
    }

    fn push(&mut self, opened: io::Result<OwnedFd>, path: PathBuf) -> Result<(), WalkTrouble> {
        let read = opened.and_then(|handle| Ok((Dir::read_from(&handle)?, handle)));
        let (entries, handle) = read.map_err(|error| (path.clone(), error))?;
        self.levels.push(Level { handle: Arc::new(handle), path, entries: Some(entries), below: Vec::new() });
        Ok(())
    }

    /// The next entry of the current directory; `None` at its end.
    fn entry(&mut self) -> Option<Result<Option<SealedEntry>, WalkTrouble>> {
        let recursive = self.recursive;
        let level = self.levels.last_mut()?;
        let entry = match level.entries.as_mut()?.next()? {
            Ok(entry) => entry,
            Err(error) => {
                level.entries = None;
                return Some(Err((level.path.clone(), error.into())));
            }
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        if name.as_bytes().starts_with(b".") {
            return Some(Ok(None));
        }
        let kind = match entry.file_type() {
            // Some file systems do not report the type here.
            FileType::Unknown => match statat(&level.handle, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(error) => return Some(Err((level.path.join(name), error.into()))),
            },
            kind => kind,
        };
        Some(Ok(match kind {
            FileType::Directory if recursive => {
                level.below.push(name);
                None
            }
            FileType::Directory => {
                self.left_out = true;
                None
            }
            FileType::RegularFile if name.as_bytes().ends_with(SUFFIX.as_bytes()) => {
                Some(SealedEntry { directory: Arc::clone(&level.handle), path: level.path.join(&name), name })
            }
            _ => None,
        }))
    }
}

impl Iterator for Walk {
    type Item = Result<SealedEntry, WalkTrouble>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entry() {
                Some(Ok(Some(entry))) => return Some(Ok(entry)),
                Some(Ok(None)) => continue,
                Some(Err(trouble)) => return Some(Err(trouble)),
                None => {}
            }
            let entered = match self.levels.last_mut() {
                Some(level) => {
                    level.entries = None;
                    match level.below.pop() {
                        Some(name) => {
                            let (handle, path) = (Arc::clone(&level.handle), level.path.join(&name));
                            self.enter(&handle, &name, path)
                        }
                        None => {
                            self.levels.pop();
                            continue;
                        }
                    }
                }
                None => {
                    let root = self.roots.next()?;
                    self.enter_root(root)
                }
            };
            if let Err(trouble) = entered {
                return Some(Err(trouble));
            }
        }
    }
}

impl SealedEntry {
    /// Opens the file; `None` where it is not a regular file any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(&self) -> io::Result<Option<File>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
        match openat(&self.directory, &self.name, flags, Mode::empty()) {
            Ok(handle) => {
                let file = File::from(handle);
                Ok(file.metadata()?.is_file().then_some(file))
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the file if it is unchanged since `seen`; returns whether it did.
    ///
    /// # Errors
    /// When it cannot be checked or removed.
    pub fn remove(&self, seen: FileState) -> io::Result<bool> {
        let Some(file) = self.open()? else { return Ok(false) };
        if FileState::of(&file.metadata()?) != seen {
            return Ok(false);
        }
        unlinkat(&self.directory, &self.name, AtFlags::empty())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn found(walk: Walk, root: &Path) -> Vec<String> {
        let name = |entry: &SealedEntry| entry.path.strip_prefix(root).unwrap().display().to_string();
        let mut names: Vec<_> = walk.map(|entry| name(&entry.ok().unwrap())).collect();
        names.sort();
        names
    }

    #[test]
    fn sealed_files_are_found_and_no_link_is_followed() {
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("day/hour")).unwrap();
        fs::create_dir(at(".snapshot")).unwrap();
        fs::create_dir(at("dir.age")).unwrap();
        for name in ["a.age", "b.wav", "day/c.age", "day/hour/d.age", ".e.age", ".snapshot/f.age"] {
            fs::write(at(name), name).unwrap();
        }
        fs::write(other.path().join("g.age"), "g").unwrap();
        symlink(other.path(), at("link")).unwrap();
        symlink(other.path().join("g.age"), at("g.age")).unwrap();
        let root = directory.path();
        let mut walk = Walk::new(vec![root.to_owned()], false);
        let flat: Vec<_> = walk.by_ref().map(|entry| entry.ok().unwrap().path).collect();
        assert_eq!((flat, walk.left_out), (vec![at("a.age")], true));
        let deep = Walk::new(vec![root.to_owned()], true);
        assert_eq!(found(deep, root), ["a.age", "day/c.age", "day/hour/d.age"]);
        // Who names a link means what it leads to.
        let linked = Walk::new(vec![at("link")], false);
        assert_eq!(found(linked, &at("link")), ["g.age"]);
    }

    #[test]
    fn a_directory_that_cannot_be_read_holds_up_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("there")).unwrap();
        fs::write(at("there/a.age"), "a").unwrap();
        let all: Vec<_> = Walk::new(vec![at("nowhere"), at("there")], true).collect();
        let [Err((path, error)), Ok(entry)] = all.as_slice() else { panic!("one of each") };
        assert_eq!((path, error.kind()), (&at("nowhere"), io::ErrorKind::NotFound));
        assert_eq!(entry.path, at("there/a.age"));
    }

    #[test]
    fn what_changed_since_it_was_seen_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.age");
        fs::write(&path, "one").unwrap();
        let entry = Walk::new(vec![directory.path().to_owned()], false).next().unwrap().ok().unwrap();
        let seen = FileState::of(&fs::metadata(&path).unwrap());
        // Another file under its name, and a link.
        fs::write(directory.path().join("b"), "two").unwrap();
        fs::rename(directory.path().join("b"), &path).unwrap();
        assert!(!entry.remove(seen).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!entry.remove(seen).unwrap(), "gone already");
        symlink("/etc/hostname", &path).unwrap();
        assert!(!entry.remove(seen).unwrap() && path.is_symlink());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "three").unwrap();
        assert!(entry.remove(FileState::of(&fs::metadata(&path).unwrap())).unwrap());
        assert!(!path.exists());
    }
}
