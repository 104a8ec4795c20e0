//! The directory of one environment: private, and gone afterwards even if its owner was killed.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "subrosa-e2e-";
const LOCK: &str = "owner.lock";
const KEEP: &str = "keep";
/// A directory without a lock is one that is being made, or one whose maker died right then.
const UNLOCKED_GRACE: Duration = Duration::from_secs(600);

/// A temporary directory that its process holds by a file lock, so that a later run can tell an
/// abandoned one from one in use.
///
/// It lies in the system's temporary directory and not under `target/`, because Unix socket paths
/// are limited to about 100 bytes.
pub struct WorkDirectory {
    directory: TempDir,
    _lock: File,
}

impl WorkDirectory {
    /// A new directory, mode 0700, after removing the ones whose owners are gone.
    pub fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let mut directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .with_context(|| format!("create a directory in {}", parent.display()))?;
        if std::env::var_os("SUBROSA_E2E_KEEP").is_some() {
            directory.disable_cleanup(true);
            fs::write(directory.path().join(KEEP), "").context("mark the directory as kept")?;
            crate::tools::say(&format!("keeping {}", directory.path().display()));
        }
        // Locked under another name first: under its final name it is never seen unlocked.
        let making = directory.path().join("owner.making");
        let lock = File::create(&making).context("create the directory's lock")?;
        lock.lock().context("lock the directory")?;
        fs::rename(&making, directory.path().join(LOCK)).context("name the directory's lock")?;
        Ok(Self { directory, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file only its owner can read and returns its path.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        write_private(&self.path().join(name), content)
    }
}

/// Writes a file with mode 0600 and returns its path.
pub fn write_private(path: &Path, content: &str) -> Result<PathBuf> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(content.as_bytes())
    };
    write().with_context(|| format!("write {}", path.display()))?;
    Ok(path.to_owned())
}

/// Removes directories of dead owners. Best effort: a failure here is nobody's test failure.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && !path.is_symlink() && path.is_dir() && abandoned(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn abandoned(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok() && !path.join(KEEP).exists(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            age.is_some_and(|age| age > UNLOCKED_GRACE)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_swept_only_after_its_owner_let_go() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(format!("{PREFIX}x"));
        fs::create_dir(&path).unwrap();
        let lock = File::create(path.join(LOCK)).unwrap();
        lock.lock().unwrap();
        sweep(parent.path());
        assert!(path.exists(), "in use");
        drop(lock);
        sweep(parent.path());
        assert!(!path.exists(), "abandoned");
    }

    #[test]
    fn what_is_not_ours_or_being_made_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let foreign = parent.path().join("somebody-else");
        let making = parent.path().join(format!("{PREFIX}making"));
        fs::create_dir(&foreign).unwrap();
        fs::create_dir(&making).unwrap();
        sweep(parent.path());
        assert!(foreign.exists() && making.exists());
    }

    #[test]
    fn files_are_private() {
        let directory = WorkDirectory::create().unwrap();
        let path = directory.write("secret", "x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }
}
