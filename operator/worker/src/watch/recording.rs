//! One recording: sealed, synced, its plaintext removed, named. In this order, so that there is never less than one whole copy.

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

/// Bytes of a file's name, on Linux and elsewhere.
const LONGEST_NAME: usize = 255;

/// Who asks Vault for keys.
pub trait Keys: Send + Sync + 'static {
    /// A file key to seal `item` with, which was last written at `modified`.
    fn prepare(
        &self,
        item: &ItemId,
        modified: SystemTime,
    ) -> impl Future<Output = Result<Prepared, Trouble>> + Send;

    /// The key of a file that was sealed before; none where this identity may not open it.
    fn unlock<R: io::BufRead + Send + Sync>(
        &self,
        opened: &Opened<R>,
    ) -> impl Future<Output = Result<Option<PayloadKey>, Trouble>> + Send;
}

/// Why a recording is not sealed yet. It is there as it was.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Vault, the disk or the file does not do it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is no key to seal it with.
    #[error(transparent)]
    Cohort(#[from] CohortChoiceError),
    /// The settings cannot be read any more.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nothing can be written beside it.
    #[error("{}: no file can be made there: {source}", shown(path))]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its name cannot be given to a sealed file.
    #[error("{}: {problem}", shown(path))]
    Name {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: &'static str,
    },
    /// The process ends.
    #[error("the process ends")]
    Stopped,
}

impl Trouble {
    /// Whether the disk has no room for it.
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

    /// Whether the next recording would have the same trouble: Vault, or a full disk.
    pub fn is_general(&self) -> bool {
        match self {
            Self::Seal(error) => match error {
                SealError::Vault(_) => true,
                // A key that is missing or refused is that of one cohort: the next recording may be of another.
                _ => self.is_space(),
            },
            Self::Settings(_) => true,
            // Of other directories nothing is known.
            Self::Directory { .. } => self.is_space(),
            Self::Cohort(_) | Self::Name { .. } | Self::Stopped => false,
        }
    }
}

/// What became of a recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// It is sealed, and its plaintext is gone.
    Sealed {
        /// Under which name.
        to: PathBuf,
        /// How many bytes of plaintext that were.
        bytes: u64,
    },
    /// It was sealed before: the plaintext was removed.
    WasSealed,
    /// It changed meanwhile: it is looked at again later.
    Changed,
}

/// How a recording is sealed.
#[derive(Clone)]
pub struct How {
    /// On how many cores.
    pub workers: NonZeroUsize,
    /// Ends what is under way.
    pub stop: Arc<AtomicBool>,
    /// The names that are being taken.
    pub names: Names,
}

/// The sealed files that are being made by this process: two recordings never get one name.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<HashSet<PathBuf>>>);

/// A name that nobody else takes while this is kept.
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

/// Seals a finished recording. `leftover` is a sealed file of an earlier life that was made of it as it is now.
///
/// # Errors
/// When it is not sealed. Its plaintext is there then.
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

/// The first name of which there is no sealed file. A recorder may use a name again, and an earlier recording stays.
fn free_name(found: &Found, name: &str, names: &Names) -> Option<(Taken, String)> {
    (1..).map(|number| pending::numbered(name, number)).find_map(|name| {
        let taken = names.take(seal::sealed_name(&found.path.with_file_name(&name)))?;
        Some((taken, name))
    })
}

/// Whether the sealed file of its name holds what it holds, byte for byte. Where this identity may not open, it is another.
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

/// Takes only what a file holds, until the process has to end.
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
    // Whoever made it may not have waited for the disk.
    File::open(&sealed)
        .and_then(|file| file.sync_all())
        .and_then(|()| pending::sync_directory(&sealed))
        .map_err(|source| SealError::File { path: sealed, source })?;
    Ok(if remove(found)? { Done::WasSealed } else { Done::Changed })
}

/// Writes the sealed file under the name that says that it is whole. False when the plaintext changed meanwhile: then there
/// is no such file.
fn write(prepared: &Prepared, found: &Found, leftover: &Leftover, how: &How) -> Result<bool, Trouble> {
    let Some(plain) = open_same(found)? else { return Ok(false) };
    let at = |source| SealError::File { path: leftover.target(), source };
    let metadata = plain.metadata().map_err(at)?;
    // Without the part's name, which is another one each time: a trouble is told once.
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

/// The sealed file is whole and on the disk: removes the plaintext, and gives the sealed file its name.
fn finish(found: &Found, leftover: &Leftover) -> Result<Done, Trouble> {
    let target = leftover.target();
    let at = |source| SealError::File { path: target.clone(), source };
    if target.symlink_metadata().is_ok() && is_same(found)? {
        // Somebody took the name meanwhile. The plaintext is here: it is sealed again under another one.
        fs::remove_file(&leftover.path).map_err(at)?;
        return Ok(Done::Changed);
    }
    // Where it changed, the sealed file is of what it was before, which is perhaps nowhere else.
    let removed = remove(found)?;
    let to = leftover.name_it().map_err(at)?;
    match removed {
        true => Ok(Done::Sealed { to, bytes: found.state.size }),
        false => Ok(Done::Changed),
    }
}

/// Removes a plaintext that is still what was sealed.
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

/// Opens a file that is still what was found, and follows no link.
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

/// Reads until the process has to end.
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

/// Does what waits for the disk on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::Stopped)
}

#[cfg(test)]
mod tests;
