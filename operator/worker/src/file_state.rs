//! Detects whether a file was changed or replaced.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

/// The metadata by which a file counts as the same with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The inode number.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written: seconds and nanoseconds. Any writer can set it back.
    pub modified: (i64, i64),
    /// When content or metadata last changed; set by the kernel only.
    pub changed: (i64, i64),
}

impl FileState {
    /// From a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
