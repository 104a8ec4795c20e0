//! Seals and opens streams and files.
//!
//! ```text
//! seal:  file key from Vault ─> header ─> payload
//! open:  header ─> file key from Vault ─> is the header the one that was written? ─> payload
//! ```

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use age_core::format::FileKey;
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::ExposeSecret as _;
use subrosa_crds::names::DataKeyName;
use subrosa_records::vault::{
    KeyRefusal, TransitKeyName, VaultError,
    sealing::{FileKeyBytes, SealingKeys},
};

use crate::{
    age::{
        header::{self, Header, HeaderError},
        payload::{self, PAYLOAD_NONCE, PayloadKey},
        pipeline::{self, PayloadDirection, PipelineError},
    },
    item::ItemId,
    session::next_step,
    shown,
    stanza::{SealedKey, StanzaError},
    target::TargetFile,
};

/// The suffix of sealed files.
pub const SUFFIX: &str = ".age";

/// Why something was not sealed or opened. The input is unchanged, and no output exists under its final name.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Not an age file, or a changed one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Its recipient is not one of ours.
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    /// It belongs to another item than expected.
    #[error(
        "it is item {found}, and not {expected}: it was renamed, or another file was put in its place. \
         Give --item {found} if that is the one you mean"
    )]
    OtherItem {
        /// The item in its header.
        found: ItemId,
        /// The requested item, or the one of its name.
        expected: ItemId,
    },
    /// The wrapped file key does not fit this key and item.
    #[error("its file key does not open with {key}: the header was changed, or put together from two files")]
    KeyDoesNotFit {
        /// The transit key in its header.
        key: DataKeyName,
    },
    /// The key does not exist.
    #[error("there is no key {key} in this Vault: {}", doing.without_key())]
    KeyGone {
        /// What was tried.
        doing: Doing,
        /// The missing transit key.
        key: DataKeyName,
    },
    /// The key is set aside before its destruction.
    #[error(
        "key {key} is set aside for destruction: what was sealed with it opens no more unless that is stopped"
    )]
    KeySetAside {
        /// The transit key.
        key: DataKeyName,
    },
    /// This identity lacks the right.
    #[error("it may not {} key {key}: {}; {}", doing.words(), source, doing.next_step())]
    MayNot {
        /// What was tried.
        doing: Doing,
        /// The key.
        key: DataKeyName,
        /// Vault's error.
        #[source]
        source: Box<VaultError>,
    },
    /// Another failure of Vault.
    #[error("{}; {}", .0, next_step(.0))]
    Vault(#[source] VaultError),
    /// The payload could not be processed.
    #[error(transparent)]
    Payload(#[from] PipelineError),
    /// A file could not be read or written.
    #[error("{}: {source}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An error that libraries document as impossible.
    #[error("{0}")]
    Internal(&'static str),
}

/// What a right is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Making or wrapping a file key.
    Seal,
    /// Unwrapping a file key.
    Open,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Seal => "seal with",
            Self::Open => "open what was sealed with",
        }
    }

    fn without_key(self) -> &'static str {
        match self {
            Self::Seal => {
                "keys are made for the current and the next cohort of a Channel's dataClasses, and for those before as \
                 spec.encryption.import.from of the Channel says; look at status.keys of the Channel, and at the class and \
                 the date"
            }
            Self::Open => "what was sealed with it was destroyed, or the file is of another Vault",
        }
    }

    fn next_step(self) -> &'static str {
        match self {
            Self::Seal => {
                "there is no such key, or not for this workload: sealing makes none, and a workload seals with those of its \
                 own Channel's dataClasses"
            }
            Self::Open => "a workload opens where its Channel has encryption.workloadMay: [Seal, Open]",
        }
    }
}

/// The key for a payload, and the bytes before it.
pub struct Prepared {
    head: Vec<u8>,
    key: PayloadKey,
}

#[cfg(test)]
impl Prepared {
    /// With a known file key, for tests.
    pub(crate) fn with(file_key: &FileKey, sealed: &SealedKey) -> Self {
        let nonce = [7; PAYLOAD_NONCE];
        let mut head = Header::write(file_key, &sealed.stanza());
        head.extend_from_slice(&nonce);
        Self { head, key: payload_key(file_key, &nonce).unwrap() }
    }
}

#[cfg(test)]
impl<R> Opened<R> {
    /// The payload's key, with a known file key.
    pub(crate) fn unlock_with(&self, file_key: &FileKey) -> Result<PayloadKey, SealError> {
        self.header.verify(file_key)?;
        payload_key(file_key, &self.nonce)
    }
}

/// Gets a file key from Vault, wrapped by `key` for `item`.
///
/// # Errors
/// When Vault gives none.
pub async fn prepare(keys: &SealingKeys, key: &DataKeyName, item: &ItemId) -> Result<Prepared, SealError> {
    let name = transit_name(key)?;
    let made = keys.new_file_key(&name, &item.associated_data()).await;
    let (bytes, wrapped) = made.map_err(|error| refused(error, key, Doing::Seal))?;
    let sealed = SealedKey { key: key.clone(), item: item.clone(), wrapped };
    let file_key = file_key(bytes.expose_secret())?;
    let mut nonce = [0; PAYLOAD_NONCE];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| SealError::Internal("the system gives no random bytes"))?;
    let mut head = Header::write(&file_key, &sealed.stanza());
    head.extend_from_slice(&nonce);
    Ok(Prepared { head, key: payload_key(&file_key, &nonce)? })
}

/// Seals `input` into `output`; returns the length of the sealed payload.
///
/// # Errors
/// When reading, writing or sealing fails.
pub fn seal_stream(
    prepared: &Prepared,
    input: impl Read + Send,
    output: &mut impl Write,
    workers: NonZeroUsize,
) -> Result<u64, SealError> {
    output.write_all(&prepared.head).map_err(PipelineError::Write)?;
    Ok(pipeline::run(PayloadDirection::Seal, &prepared.key, input, output, workers)?)
}

/// A reader that counts bytes, to show progress.
#[derive(Debug)]
pub struct Counted<R> {
    input: R,
    done: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Counts the bytes read from `input` in `done`.
    pub fn new(input: R, done: Arc<AtomicU64>) -> Self {
        Self { input, done }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(room)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Seals file `from` as file `to`, which gets the permissions and owner of `from`. `done` counts the bytes read.
///
/// # Errors
/// When a file cannot be read or written, or `to` exists and `replace` is not set.
pub fn seal_file(
    prepared: &Prepared,
    from: &Path,
    to: &Path,
    replace: bool,
    workers: NonZeroUsize,
    done: Arc<AtomicU64>,
) -> Result<u64, SealError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| SealError::File { path, source }
    };
    let input = File::open(from).map_err(at(from))?;
    let metadata = input.metadata().map_err(at(from))?;
    let mut target = TargetFile::begin(to, replace).map_err(at(to))?;
    let written = seal_stream(prepared, Counted::new(input, done), &mut target, workers)?;
    target.take_rights(&metadata).and_then(|()| target.finish()).map_err(at(to))?;
    Ok(written)
}

/// A sealed stream with its header parsed.
pub struct Opened<R> {
    input: R,
    header: Header,
    sealed: SealedKey,
    nonce: [u8; PAYLOAD_NONCE],
}

impl<R: BufRead + Send> Opened<R> {
    /// Reads the header of `input`.
    ///
    /// # Errors
    /// When it is not a file of ours.
    pub fn read(mut input: R) -> Result<Self, SealError> {
        let header = Header::read(&mut input)?;
        let sealed = SealedKey::only(&header.stanzas)?;
        let mut nonce = [0; PAYLOAD_NONCE];
        input.read_exact(&mut nonce).map_err(|_| HeaderError::Damaged("it ends before the payload"))?;
        Ok(Self { input, header, sealed, nonce })
    }

    /// Its key and item.
    pub fn sealed(&self) -> &SealedKey {
        &self.sealed
    }

    /// Refuses any item but `expected`.
    ///
    /// # Errors
    /// [`SealError::OtherItem`] for another item.
    pub fn expect(&self, expected: &ItemId) -> Result<(), SealError> {
        let found = &self.sealed.item;
        if found == expected {
            return Ok(());
        }
        Err(SealError::OtherItem { found: found.clone(), expected: expected.clone() })
    }

    /// Unwraps the file key with Vault and verifies the header with it.
    ///
    /// # Errors
    /// When Vault does not unwrap it, or the header was changed.
    pub async fn unlock(&self, keys: &SealingKeys) -> Result<PayloadKey, SealError> {
        let file_key = file_key(self.file_key(keys).await?.expose_secret())?;
        self.verify(&file_key)?;
        payload_key(&file_key, &self.nonce)
    }

    /// Unwraps the file key with Vault, without verifying the header.
    pub(crate) async fn file_key(&self, keys: &SealingKeys) -> Result<FileKeyBytes, SealError> {
        let SealedKey { key, item, wrapped } = &self.sealed;
        let bytes = keys.unwrap(&transit_name(key)?, wrapped, &item.associated_data()).await;
        bytes.map_err(|error| refused(error, key, Doing::Open))
    }

    pub(crate) fn verify(&self, file_key: &FileKey) -> Result<(), SealError> {
        Ok(self.header.verify(file_key)?)
    }

    /// The nonce that begins the payload.
    pub(crate) fn nonce(&self) -> &[u8; PAYLOAD_NONCE] {
        &self.nonce
    }

    /// The rest: the payload's chunks.
    pub(crate) fn into_input(self) -> R {
        self.input
    }
}

impl<R: Read + Send> Opened<R> {
    /// The same, with the bytes read from the payload counted in `done`.
    pub fn counted(self, done: Arc<AtomicU64>) -> Opened<Counted<R>> {
        let Self { input, header, sealed, nonce } = self;
        Opened { input: Counted::new(input, done), header, sealed, nonce }
    }

    /// Opens the payload into `output`; returns the number of bytes. After an error, `output` has only a beginning of
    /// the plaintext.
    ///
    /// # Errors
    /// When reading or writing fails, or the payload was changed or truncated.
    pub fn open_stream(
        self,
        key: &PayloadKey,
        output: &mut impl Write,
        workers: NonZeroUsize,
    ) -> Result<u64, SealError> {
        Ok(pipeline::run(PayloadDirection::Open, key, self.input, output, workers)?)
    }
}

impl Opened<BufReader<File>> {
    /// Whether the file has the length for `plaintext` bytes. It may still be damaged.
    ///
    /// # Errors
    /// When the length cannot be read.
    pub fn could_hold(&mut self, plaintext: u64) -> io::Result<bool> {
        let head = self.input.stream_position()?;
        let length = self.input.get_ref().metadata()?.len();
        Ok(length.checked_sub(head) == Some(payload::sealed_length(plaintext)))
    }
}

/// Opens file `from` without following links, and reads its header.
///
/// # Errors
/// When it cannot be read or is not a file of ours.
pub fn read_regular(from: &Path) -> Result<Opened<BufReader<File>>, SealError> {
    let at = |source| SealError::File { path: from.to_owned(), source };
    if !from.symlink_metadata().map_err(at)?.is_file() {
        return Err(at(io::Error::other("it is no file but a link or a directory: name the file itself")));
    }
    read_file(from)
}

/// Opens file `from` and reads its header.
///
/// # Errors
/// When it cannot be read or is not a file of ours.
pub fn read_file(from: &Path) -> Result<Opened<BufReader<File>>, SealError> {
    let opened = File::open(from).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    let file = opened.map_err(|source| SealError::File { path: from.to_owned(), source })?;
    Opened::read(BufReader::new(file))
}

/// Writes the plaintext of `opened` to file `to`, readable only by its owner.
///
/// # Errors
/// When it does not open completely: then `to` does not exist or is unchanged.
pub fn open_file<R: Read + Send>(
    opened: Opened<R>,
    key: &PayloadKey,
    to: &Path,
    replace: bool,
    workers: NonZeroUsize,
) -> Result<u64, SealError> {
    let at = |source| SealError::File { path: to.to_owned(), source };
    let mut target = TargetFile::begin(to, replace).map_err(at)?;
    let written = opened.open_stream(key, &mut target, workers)?;
    target.finish().map_err(at)?;
    Ok(written)
}

/// The name of the sealed file.
pub fn sealed_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// The name of the plaintext file; `None` where the sealed file's name does not tell it.
pub fn opened_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX).filter(|name| !name.is_empty())?;
    Some(path.with_file_name(name))
}

pub(crate) fn file_key(bytes: &[u8]) -> Result<FileKey, SealError> {
    header::file_key(bytes).ok_or(SealError::Internal("a file key has another length than age's"))
}

pub(crate) fn payload_key(file_key: &FileKey, nonce: &[u8; PAYLOAD_NONCE]) -> Result<PayloadKey, SealError> {
    PayloadKey::new(file_key, nonce).ok_or(SealError::Internal("the cipher does not take its key"))
}

pub(crate) fn transit_name(key: &DataKeyName) -> Result<TransitKeyName, SealError> {
    TransitKeyName::new(key.to_string())
        .map_err(|_| SealError::Internal("a data key's name is none of transit's"))
}

/// Interprets a refusal by transit.
pub(crate) fn refused(error: VaultError, key: &DataKeyName, doing: Doing) -> SealError {
    let key = || key.clone();
    match KeyRefusal::of(&error) {
        Some(KeyRefusal::DoesNotFit) => SealError::KeyDoesNotFit { key: key() },
        Some(KeyRefusal::NotFound) => SealError::KeyGone { doing, key: key() },
        Some(KeyRefusal::SoftDeleted) => SealError::KeySetAside { key: key() },
        None if matches!(error, VaultError::PermissionDenied { .. }) => {
            SealError::MayNot { doing, key: key(), source: Box::new(error) }
        }
        None => SealError::Vault(error),
    }
}

#[cfg(test)]
mod tests;
