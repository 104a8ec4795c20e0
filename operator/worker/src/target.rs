//! A file that is there whole or not at all.

use std::{
    fs::{File, Permissions},
    io::{self, IoSlice, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file that is written under a temporary name beside the one it will have. Dropped before [`finish`](Self::finish), it
/// leaves nothing behind; a process that is killed leaves the temporary file, never a part under the name.
pub struct Target {
    file: NamedTempFile,
    path: PathBuf,
    replace: bool,
}

impl Target {
    /// Begins a file that only its owner can read.
    ///
    /// # Errors
    /// When there is such a file and `replace` is not set, or its directory cannot be written.
    pub fn begin(path: &Path, replace: bool) -> io::Result<Self> {
        if !replace && path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file =
            tempfile::Builder::new().prefix(".subrosa-").suffix(".part").tempfile_in(directory(path))?;
        Ok(Self { file, path: path.to_owned(), replace })
    }

    /// Gives the file the rights of another one.
    ///
    /// # Errors
    /// When they cannot be set.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.file.as_file().set_permissions(permissions)
    }

    /// Makes sure that every byte is on the disk, and gives the file its name.
    ///
    /// # Errors
    /// When the disk is full, or a file of that name has come meanwhile and `replace` is not set.
    pub fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let named = match self.replace {
            true => self.file.persist(&self.path),
            false => self.file.persist_noclobber(&self.path),
        };
        named.map_err(|error| error.error)?;
        // The name too: after a power cut it must not be the file's only trace that is missing.
        File::open(directory(&self.path))?.sync_all()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.as_file_mut().write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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
        let mut target = Target::begin(&path, false).unwrap();
        target.write_all(b"text").unwrap();
        assert!(!path.exists());
        target.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(directory.path())),
            (b"text".to_vec(), vec!["a".to_owned()])
        );
    }

    #[test]
    fn what_was_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut target = Target::begin(&directory.path().join("a"), false).unwrap();
        target.write_all(b"text").unwrap();
        drop(target);
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_there_or_came_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut target = Target::begin(&path, false).unwrap();
        target.write_all(b"mine").unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert_eq!(target.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Target::begin(&path, false).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        let mut target = Target::begin(&path, true).unwrap();
        target.write_all(b"mine").unwrap();
        target.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(directory.path())),
            (b"mine".to_vec(), vec!["a".to_owned()])
        );
    }
}
