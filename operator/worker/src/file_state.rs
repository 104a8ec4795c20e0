//! Whether a file is still the one that was seen.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

/// What says that a file is still the one that was seen, with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The file's number on its disk.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written: seconds and nanoseconds. Whoever writes can set it back.
    pub modified: (i64, i64),
    /// When anything of it last changed, as the kernel keeps it.
    pub changed: (i64, i64),
}

impl FileState {
    /// As a file's metadata have it.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
