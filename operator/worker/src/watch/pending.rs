//! The names of a sealed file before its final one, from which the next process sees what a killed one did.
//!
//! ```text
//! (no name; .subrosa-watch-….part)    being written; worth nothing
//! .subrosa-sealed-<id>-0001.wav       whole and on the disk; the plaintext may be there still
//! 0001.wav.age                        the plaintext is gone
//! ```
//!
//! The id is made of the plaintext's name, inode, length and time. So a process sees whether a sealed file belongs to
//! a plaintext beside it without opening either, which a workload that may only seal could not.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

use super::listing::Found;
use crate::{
    file_state::FileState,
    item::ItemId,
    seal::{self, SealError},
    target,
};

/// The prefix of a part, where parts have names.
pub const PART: &str = ".subrosa-watch-";
const SEALED: &str = ".subrosa-sealed-";
/// Characters of an id: 80 bits.
const ID: usize = 16;

/// Identifies the plaintext of a sealed file without its final name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(String);

impl Id {
    /// The id of a found file.
    pub fn of_found(found: &Found) -> Self {
        Self::of(&file_name(&found.path), &found.state)
    }

    /// The id of the plaintext with this name and state.
    pub fn of(name: &OsStr, state: &FileState) -> Self {
        let mut hash = Sha256::new();
        hash.update("subrosa plaintext\0");
        hash.update(name.as_encoded_bytes());
        // Without `changed`: a backup or a hard link must not change the id.
        let FileState { inode, size, modified: (seconds, nanoseconds), changed: _ } = state;
        hash.update(format!("\0{inode} {size} {seconds} {nanoseconds}"));
        let mut text = BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
        text.truncate(ID);
        Self(text)
    }
}

/// A complete and synced sealed file without its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The id of its plaintext.
    pub id: Id,
    /// Its path.
    pub path: PathBuf,
    /// The name under which it was sealed; its final name adds `.age`.
    pub name: String,
}

impl Leftover {
    /// The leftover of `id` in `directory`, sealed under `name`.
    pub fn new(directory: &Path, id: Id, name: &str) -> Self {
        let path = directory.join(format!("{SEALED}{}-{name}", id.0));
        Self { id, path, name: name.to_owned() }
    }

    /// Parses the name `file` in `directory`; `None` where it is no leftover.
    pub fn of(directory: &Path, file: &OsStr) -> Option<Self> {
        let (id, name) = file.to_str()?.strip_prefix(SEALED)?.split_at_checked(ID)?;
        let name = name.strip_prefix('-').filter(|name| !name.is_empty())?;
        Some(Self::new(directory, Id(id.to_owned()), name))
    }

    /// Its final name.
    pub fn target(&self) -> PathBuf {
        seal::sealed_name(&self.path.with_file_name(&self.name))
    }

    /// Whether it looks complete: our header, of this item, with the length for `plaintext` bytes. It was synced
    /// before it got this name, so this only finds later damage.
    pub fn is_whole(&self, plaintext: u64) -> bool {
        let read = || -> Result<bool, SealError> {
            let mut opened = seal::read_regular(&self.path)?;
            opened.expect(&ItemId::of_name(&self.name))?;
            opened.could_hold(plaintext).map_err(|source| SealError::File { path: self.path.clone(), source })
        };
        read().unwrap_or(false)
    }

    /// Gives it its final name and returns that. Its plaintext is gone or changed. If another file has the name, it
    /// gets the next free one, and opens with `--item`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn name_it(&self) -> io::Result<PathBuf> {
        let mut number = 1;
        loop {
            let name = numbered(&self.name, number);
            let target = seal::sealed_name(&self.path.with_file_name(name));
            match rename_new(&self.path, &target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                renamed => {
                    renamed?;
                    sync_directory(&self.path)?;
                    return Ok(target);
                }
            }
        }
    }
}

/// Whether this is the name of a part.
pub fn is_part(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PART.as_bytes()) && name.ends_with(target::PART_END.as_bytes())
}

/// `0001.wav`, then `0001.2.wav`, `0001.3.wav`, …
pub fn numbered(name: &str, number: u32) -> String {
    if number < 2 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}.{number}.{extension}"),
        _ => format!("{name}.{number}"),
    }
}

/// Syncs the directory of `path`.
///
/// # Errors
/// When syncing fails.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Renames without overwriting.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // The file system does not support it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// The name of a file as text.
pub fn file_name(path: &Path) -> OsString {
    path.file_name().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_plaintext_it_is_of() {
        let state = FileState { inode: 7, size: 9, modified: (1, 2), changed: (3, 4) };
        let id = Id::of(OsStr::new("a.wav"), &state);
        let leftover = Leftover::new(Path::new("/r"), id.clone(), "a.2.wav");
        let file = file_name(&leftover.path);
        assert_eq!(Leftover::of(Path::new("/r"), &file), Some(leftover.clone()));
        assert_eq!(leftover.target(), Path::new("/r/a.2.wav.age"));
        for other in [
            FileState { inode: 8, ..state },
            FileState { size: 8, ..state },
            FileState { modified: (1, 3), ..state },
        ] {
            assert_ne!(Id::of(OsStr::new("a.wav"), &other), id);
        }
        assert_ne!(Id::of(OsStr::new("b.wav"), &state), id);
        for none in [".subrosa-sealed-", ".subrosa-sealed-abc", ".subrosa-sealed-aaaaaaaaaaaaaaaa-", "a.wav"]
        {
            assert_eq!(Leftover::of(Path::new("/r"), OsStr::new(none)), None, "{none}");
        }
    }

    #[test]
    fn another_recording_of_the_same_name_has_a_number() {
        assert_eq!(numbered("a.wav", 1), "a.wav");
        assert_eq!(numbered("a.wav", 2), "a.2.wav");
        assert_eq!(numbered("a", 3), "a.3");
    }

    #[test]
    fn a_rename_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a"), "a").unwrap();
        fs::write(at("b"), "b").unwrap();
        assert_eq!(rename_new(&at("a"), &at("b")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(at("b")).unwrap(), b"b");
        rename_new(&at("a"), &at("c")).unwrap();
        assert_eq!(fs::read(at("c")).unwrap(), b"a");
    }
}
