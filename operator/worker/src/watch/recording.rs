//! Seals one recording: seal, sync, remove the plaintext, name. In this order at least one complete copy always
//! exists.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    num::NonZeroUsize,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use rustix::fs::OFlags;

use super::{
    listing::Found,
    pending::{self, Id, Leftover},
};
use crate::{
    age::{
        payload::{PayloadKey, sealed_length},
        pipeline::PipelineError,
    },
    cohort::CohortChoiceError,
    file_state::FileState,
    item::ItemId,
    seal::{self, Opened, Prepared, SealError},
    settings::SettingsError,
    shown,
    target::TargetFile,
};

/// The longest file name in bytes, on Linux and elsewhere.
const LONGEST_NAME: usize = 255;

/// The source of keys.
pub trait Keys: Send + Sync + 'static {
    /// A file key for sealing `item`, which was last written at `modified`.
    fn prepare(
        &self,
        item: &ItemId,
        modified: SystemTime,
    ) -> impl Future<Output = Result<Prepared, Trouble>> + Send;

    /// The key of a sealed file; `None` where this identity may not open it.
    fn unlock<R: io::BufRead + Send + Sync>(
        &self,
        opened: &Opened<R>,
    ) -> impl Future<Output = Result<Option<PayloadKey>, Trouble>> + Send;
}

/// Why a recording is not sealed yet. It is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Vault, the disk or the file caused an error.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No key can be chosen.
    #[error(transparent)]
    Cohort(#[from] CohortChoiceError),
    /// The settings cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The directory is not writable.
    #[error("{}: no file can be made there: {source}", shown(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// A sealed file cannot have this name.
    #[error("{}: {problem}", shown(path))]
    Name {
        /// The recording.
        path: PathBuf,
        /// The problem.
        problem: &'static str,
    },
    /// The process is stopping.
    #[error("the process ends")]
    Stopped,
}

impl Trouble {
    /// Whether the disk is full.
    pub fn is_space(&self) -> bool {
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
            )
        };
        match self {
            Self::Seal(SealError::File { source, .. } | SealError::Payload(PipelineError::Write(source)))
            | Self::Directory { source, .. } => full(source),
            _ => false,
        }
    }

    /// Whether the next recording would fail too: because of Vault or a full disk.
    pub fn is_general(&self) -> bool {
        match self {
            Self::Seal(error) => match error {
                SealError::Vault(_) => true,
                // A missing or refused key concerns one cohort; the next recording may be of another.
                _ => self.is_space(),
            },
            Self::Settings(_) => true,
            // Other directories may be writable.
            Self::Directory { .. } => self.is_space(),
            Self::Cohort(_) | Self::Name { .. } | Self::Stopped => false,
        }
    }
}

/// The result for a recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// Sealed, and the plaintext removed.
    Sealed {
        /// The sealed file's name.
        to: PathBuf,
        /// The plaintext's length.
        bytes: u64,
    },
    /// Already sealed earlier; the plaintext was removed.
    WasSealed,
    /// Changed during sealing; look again later.
    Changed,
}

/// How to seal.
#[derive(Clone)]
pub struct How {
    /// Cores to use.
    pub workers: NonZeroUsize,
    /// Aborts work in progress.
    pub stop: Arc<AtomicBool>,
    /// The names in use.
    pub names: Names,
}

/// The sealed files that this process is making, so that no two recordings get the same name.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<HashSet<PathBuf>>>);

/// A reserved name.
struct Taken {
    names: Names,
    path: PathBuf,
}

impl Names {
    fn take(&self, path: PathBuf) -> Option<Taken> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = path.symlink_metadata().is_err() && names.insert(path.clone());
        free.then(|| Taken { names: self.clone(), path })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.names.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Seals a finished recording. `leftover` is a sealed file of an earlier process for its current content.
///
/// # Errors
/// When it is not sealed. Its plaintext exists then.
pub async fn seal<K: Keys>(
    keys: &K,
    found: Found,
    leftover: Option<Leftover>,
    how: How,
) -> Result<Done, Trouble> {
    let name = pending::file_name(&found.path).into_string().map_err(|_| Trouble::Name {
        path: found.path.clone(),
        problem: "its name is no UTF-8 text: rename it",
    })?;
    if let Some(leftover) = leftover {
        let (found, whole) = blocking(move || {
            let whole = leftover.is_whole(found.state.size);
            (found, whole.then_some(leftover))
        })
        .await?;
        let Some(leftover) = whole else {
            return seal_anew(keys, found, &name, how).await;
        };
        return blocking(move || finish(&found, &leftover)).await?;
    }
    seal_anew(keys, found, &name, how).await
}

async fn seal_anew<K: Keys>(keys: &K, found: Found, name: &str, how: How) -> Result<Done, Trouble> {
    let same = was_sealed(keys, &found, name, &how).await?;
    if same {
        return blocking(move || remove_sealed_before(&found)).await?;
    }
    let Some((taken, name)) = free_name(&found, name, &how.names) else { return Ok(Done::Changed) };
    let leftover = Leftover::new(directory(&found.path), Id::of_found(&found), &name);
    if pending::file_name(&leftover.path).len() > LONGEST_NAME {
        let problem = "its name is too long for the sealed file's: rename it";
        return Err(Trouble::Name { path: found.path, problem });
    }
    let prepared = keys.prepare(&ItemId::of_name(&name), found.modified).await?;
    blocking(move || {
        let _taken = taken;
        match write(&prepared, &found, &leftover, &how)? {
            true => finish(&found, &leftover),
            false => Ok(Done::Changed),
        }
    })
    .await?
}

/// The first name without a sealed file. A recorder may reuse names, and earlier recordings stay.
fn free_name(found: &Found, name: &str, names: &Names) -> Option<(Taken, String)> {
    (1..).map(|number| pending::numbered(name, number)).find_map(|name| {
        let taken = names.take(seal::sealed_name(&found.path.with_file_name(&name)))?;
        Some((taken, name))
    })
}

/// Whether the sealed file of its name has the same content, byte for byte. If this identity may not open it, it
/// counts as different.
async fn was_sealed<K: Keys>(keys: &K, found: &Found, name: &str, how: &How) -> Result<bool, Trouble> {
    let sealed = seal::sealed_name(&found.path);
    if sealed.symlink_metadata().is_err() {
        return Ok(false);
    }
    let Ok(mut opened) = seal::read_regular(&sealed) else { return Ok(false) };
    let fits =
        opened.expect(&ItemId::of_name(name)).is_ok() && opened.could_hold(found.state.size).unwrap_or(false);
    if !fits {
        return Ok(false);
    }
    let Some(key) = keys.unlock(&opened).await? else { return Ok(false) };
    let Some(plain) = open_same(found)? else { return Ok(false) };
    let (stop, workers) = (Arc::clone(&how.stop), how.workers);
    blocking(move || {
        let mut compared = Comparing { held: plain, stop: &stop };
        match opened.open_stream(&key, &mut compared, workers) {
            Err(_) if stop.load(Ordering::Relaxed) => Err(Trouble::Stopped),
            opened => Ok(opened.is_ok()),
        }
    })
    .await?
}

/// A writer that accepts only the content of a file, and stops when the process does.
struct Comparing<'a> {
    held: File,
    stop: &'a AtomicBool,
}

impl Write for Comparing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process ends"));
        }
        let mut held = zeroize::Zeroizing::new(vec![0; bytes.len()]);
        self.held.read_exact(&mut held)?;
        if held.as_slice() == bytes { Ok(bytes.len()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn remove_sealed_before(found: &Found) -> Result<Done, Trouble> {
    let sealed = seal::sealed_name(&found.path);
    // Whoever wrote it may not have synced it.
    File::open(&sealed)
        .and_then(|file| file.sync_all())
        .and_then(|()| pending::sync_directory(&sealed))
        .map_err(|source| SealError::File { path: sealed, source })?;
    Ok(if remove(found)? { Done::WasSealed } else { Done::Changed })
}

/// Writes the sealed file under the name that marks it as complete. False when the plaintext changed meanwhile; then
/// there is no such file.
fn write(prepared: &Prepared, found: &Found, leftover: &Leftover, how: &How) -> Result<bool, Trouble> {
    let Some(plain) = open_same(found)? else { return Ok(false) };
    let at = |source| SealError::File { path: leftover.target(), source };
    let metadata = plain.metadata().map_err(at)?;
    // Without the part's name, which changes with each try, so that the problem is logged only once.
    let mut part = TargetFile::begin_as(pending::PART, &leftover.path, true).map_err(|error| {
        Trouble::Directory { path: directory(&found.path).to_owned(), source: error.kind().into() }
    })?;
    let input = Stoppable { input: &plain, stop: &how.stop };
    let written = match seal::seal_stream(prepared, input, &mut part, how.workers) {
        Err(_) if how.stop.load(Ordering::Relaxed) => return Err(Trouble::Stopped),
        Err(SealError::Payload(PipelineError::Write(source))) => return Err(at(source).into()),
        Err(SealError::Payload(PipelineError::Read(source))) => {
            return Err(SealError::File { path: found.path.clone(), source }.into());
        }
        written => written?,
    };
    part.take_rights(&metadata).and_then(|()| part.sync()).map_err(at)?;
    let now = plain.metadata().map_err(at)?;
    if written != sealed_length(found.state.size) || FileState::of(&now) != found.state || !is_same(found)? {
        return Ok(false);
    }
    part.finish().map_err(at)?;
    Ok(true)
}

/// After the sealed file is complete and synced: removes the plaintext, and gives the sealed file its final name.
fn finish(found: &Found, leftover: &Leftover) -> Result<Done, Trouble> {
    let target = leftover.target();
    let at = |source| SealError::File { path: target.clone(), source };
    if target.symlink_metadata().is_ok() && is_same(found)? {
        // Another file took the name meanwhile. The plaintext still exists and is sealed again under another name.
        fs::remove_file(&leftover.path).map_err(at)?;
        return Ok(Done::Changed);
    }
    // If the plaintext changed, the sealed file may be the only copy of its earlier content.
    let removed = remove(found)?;
    let to = leftover.name_it().map_err(at)?;
    match removed {
        true => Ok(Done::Sealed { to, bytes: found.state.size }),
        false => Ok(Done::Changed),
    }
}

/// Removes a plaintext if it is unchanged since it was sealed.
fn remove(found: &Found) -> Result<bool, SealError> {
    if !is_same(found)? {
        return Ok(false);
    }
    let removed = fs::remove_file(&found.path).and_then(|()| pending::sync_directory(&found.path));
    removed.map_err(|source| SealError::File { path: found.path.clone(), source })?;
    Ok(true)
}

fn is_same(found: &Found) -> Result<bool, SealError> {
    match found.path.symlink_metadata() {
        Ok(metadata) => Ok(metadata.is_file() && FileState::of(&metadata) == found.state),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(SealError::File { path: found.path.clone(), source }),
    }
}

/// Opens a file if it is unchanged since it was found; does not follow links.
fn open_same(found: &Found) -> Result<Option<File>, SealError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(&found.path)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) => {
            Ok((metadata.is_file() && FileState::of(&metadata) == found.state).then_some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SealError::File { path: found.path.clone(), source }),
    }
}

/// A reader that stops when the process does.
struct Stoppable<'a> {
    input: &'a File,
    stop: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process ends"));
        }
        self.input.read(room)
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Runs disk work on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::Stopped)
}

#[cfg(test)]
mod tests;
