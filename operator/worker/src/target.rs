//! Writes files atomically: the file appears complete or not at all.

use std::{
    fs::{File, Metadata},
    io::{self, IoSlice, Write},
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// The prefix of temporary names for commands that a person runs.
const PART: &str = ".subrosa-";
/// The suffix of temporary names.
pub const PART_END: &str = ".part";

/// A file in progress. Dropping it before [`finish`](Self::finish) removes it.
///
/// On Linux it has no name until it is finished, so that even a killed process leaves no plaintext behind. Where the
/// file system lacks that, it has a temporary name, which a killed process leaves.
pub struct TargetFile {
    part: Part,
    prefix: &'static str,
    path: PathBuf,
    replace: bool,
}

enum Part {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl TargetFile {
    /// Begins a file that only its owner can read.
    ///
    /// # Errors
    /// When the file exists and `replace` is not set, or its directory is not writable.
    pub fn begin(path: &Path, replace: bool) -> io::Result<Self> {
        Self::begin_as(PART, path, replace)
    }

    /// The same, with `prefix` for a temporary name.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_as(prefix: &'static str, path: &Path, replace: bool) -> io::Result<Self> {
        if !replace && path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self { part: Part::begin(prefix, directory(path))?, prefix, path: path.to_owned(), replace })
    }

    /// Copies the permissions of another file, and its owner and group where this process may.
    ///
    /// # Errors
    /// When the permissions cannot be set.
    pub fn take_rights(&self, of: &Metadata) -> io::Result<()> {
        let file = self.part.file();
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (of.uid(), of.gid())
            && fchown(file, Some(of.uid()), Some(of.gid())).is_err()
        {
            // Only root may change the owner; a group of one's own may be set by anybody.
            let _ = fchown(file, None, Some(of.gid()));
        }
        file.set_permissions(of.permissions())
    }

    /// Syncs the file to disk.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn sync(&self) -> io::Result<()> {
        self.part.file().sync_all()
    }

    /// Syncs the file to disk and gives it its name.
    ///
    /// # Errors
    /// When the disk is full, or a file of that name appeared and `replace` is not set.
    pub fn finish(self) -> io::Result<()> {
        let Self { part, prefix, path, replace } = self;
        part.file().sync_all()?;
        match part {
            #[cfg(target_os = "linux")]
            Part::Nameless(file) if !replace => nameless::link(&file, &path)?,
            #[cfg(target_os = "linux")]
            Part::Nameless(file) => {
                let named = named(prefix).make_in(directory(&path), |part| nameless::link(&file, part))?;
                named.persist(&path).map_err(|error| error.error)?;
            }
            Part::Named(file) if replace => drop(file.persist(&path).map_err(|error| error.error)?),
            Part::Named(file) => drop(file.persist_noclobber(&path).map_err(|error| error.error)?),
        }
        // Sync the directory too, so that the name survives a power failure.
        File::open(directory(&path))?.sync_all()
    }
}

fn named(prefix: &'static str) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(PART_END);
    builder
}

impl Part {
    fn begin(prefix: &'static str, directory: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless::begin(directory) {
            return Ok(Self::Nameless(file));
        }
        named(prefix).tempfile_in(directory).map(Self::Named)
    }

    fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }
}

/// Unnamed files, `O_TMPFILE` of open(2).
#[cfg(target_os = "linux")]
mod nameless {
    use std::{
        fs::File,
        io,
        os::fd::{AsFd as _, AsRawFd as _},
        path::{Path, PathBuf},
    };

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

    /// Creates one in `directory`; `None` where the file system lacks them, or they could not be named later.
    pub fn begin(directory: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR).ok()?);
        path(&file).symlink_metadata().is_ok().then_some(file)
    }

    /// Gives it a name that does not exist yet.
    pub fn link(file: &File, name: &Path) -> io::Result<()> {
        Ok(linkat(CWD, path(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn path(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
    }
}

impl Write for TargetFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.file().write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.part.file().write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.file().flush()
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_comes_with_the_last_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut target = TargetFile::begin(&path, false).unwrap();
        target.write_all(b"text").unwrap();
        assert_eq!(
            names(directory.path()),
            Vec::<String>::new(),
            "a process that is killed now leaves nothing"
        );
        target.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(directory.path())),
            (b"text".to_vec(), vec!["a".to_owned()])
        );
    }

    #[test]
    fn a_part_with_a_name_does_the_same_where_there_are_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for (replace, text) in [(false, "one"), (true, "two")] {
            let part = Part::Named(named(PART).tempfile_in(directory.path()).unwrap());
            let mut target = TargetFile { part, prefix: PART, path: path.clone(), replace };
            target.write_all(text.as_bytes()).unwrap();
            target.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        }
        assert_eq!(names(directory.path()), ["a"]);
    }

    #[test]
    fn whose_a_file_was_it_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        let file = File::create(&old).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        // As root, another's. Who is not root can only give a file to who has it already.
        let _ = fchown(&file, Some(4711), Some(4712));
        let before = file.metadata().unwrap();
        for replace in [false, true] {
            let target = TargetFile::begin(&new, replace).unwrap();
            target.take_rights(&before).unwrap();
            target.finish().unwrap();
            let now = new.metadata().unwrap();
            let rights = |of: &Metadata| (of.uid(), of.gid(), of.mode());
            assert_eq!(rights(&now), rights(&before));
        }
    }

    #[test]
    fn what_was_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut target = TargetFile::begin(&directory.path().join("a"), false).unwrap();
        target.write_all(b"text").unwrap();
        drop(target);
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_there_or_came_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut target = TargetFile::begin(&path, false).unwrap();
        target.write_all(b"mine").unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert_eq!(target.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(TargetFile::begin(&path, false).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        let mut target = TargetFile::begin(&path, true).unwrap();
        target.write_all(b"mine").unwrap();
        target.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(directory.path())),
            (b"mine".to_vec(), vec!["a".to_owned()])
        );
    }
}
