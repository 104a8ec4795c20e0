//! A fake recorder and a fake Vault for tests.

use std::{
    fs,
    io::BufRead,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use age_core::format::FileKey;
use subrosa_records::vault::{VaultError, sealing::WrappedKey};

use super::{
    listing::Found,
    pending::{Id, Leftover},
    recording::{Keys, Trouble},
};
use crate::{
    age::{header::file_key, payload::PayloadKey},
    file_state::FileState,
    item::ItemId,
    seal::{self, Opened, Prepared, SealError},
    stanza::SealedKey,
};

/// Bytes without two equal chunks.
pub fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
}

fn the_key() -> FileKey {
    file_key(&[5; 16]).unwrap()
}

fn prepared(item: &ItemId) -> Prepared {
    let sealed = SealedKey {
        key: "abcdefghijklmnop.chat.2026m11".parse().unwrap(),
        item: item.clone(),
        wrapped: WrappedKey { version: 1, bytes: vec![1; 44] },
    };
    Prepared::with(&the_key(), &sealed)
}

/// Gives the same key for everything.
pub struct FakeKeys {
    may_open: bool,
    asked: AtomicUsize,
    /// How often Vault is unavailable before it answers.
    pub away: AtomicUsize,
    /// The error meanwhile.
    trouble: fn() -> Trouble,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Default for FakeKeys {
    fn default() -> Self {
        Self {
            may_open: true,
            asked: AtomicUsize::new(0),
            away: AtomicUsize::new(0),
            trouble: || SealError::Vault(VaultError::Sealed).into(),
            meanwhile: Mutex::default(),
        }
    }
}

impl FakeKeys {
    pub fn sealing_only() -> Self {
        Self { may_open: false, ..Self::default() }
    }

    /// Runs this while a key is requested.
    pub fn meanwhile(what: impl FnOnce() + Send + 'static) -> Self {
        Self { meanwhile: Mutex::new(Some(Box::new(what))), ..Self::default() }
    }

    pub fn away(times: usize) -> Self {
        Self { away: AtomicUsize::new(times), ..Self::default() }
    }

    /// The directory refuses files this many times.
    pub fn in_unwritable(times: usize) -> Self {
        let trouble = || Trouble::Directory {
            path: "/recordings".into(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        Self { trouble, ..Self::away(times) }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Keys for FakeKeys {
    async fn prepare(&self, item: &ItemId, _: SystemTime) -> Result<Prepared, Trouble> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(what) = self.meanwhile.lock().unwrap().take() {
            what();
        }
        let away = self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match away {
            Ok(_) => Err((self.trouble)()),
            Err(_) => Ok(prepared(item)),
        }
    }

    async fn unlock<R: BufRead + Send + Sync>(
        &self,
        opened: &Opened<R>,
    ) -> Result<Option<PayloadKey>, Trouble> {
        Ok(if self.may_open { opened.unlock_with(&the_key()).ok() } else { None })
    }
}

/// A directory of recordings.
pub struct Recorder(tempfile::TempDir);

impl Recorder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    pub fn found(&self, name: &str) -> Found {
        let path = self.at(name);
        let metadata = path.symlink_metadata().unwrap();
        Found { path, state: FileState::of(&metadata), modified: metadata.modified().unwrap() }
    }

    /// The state after the process was killed between sealing this file and removing its plaintext.
    pub fn leftover(&self, name: &str) -> Leftover {
        let leftover = Leftover::new(self.0.path(), Id::of_found(&self.found(name)), name);
        let mut file = fs::File::create(&leftover.path).unwrap();
        let input = fs::File::open(self.at(name)).unwrap();
        seal::seal_stream(&prepared(&ItemId::of_name(name)), input, &mut file, NonZeroUsize::MIN).unwrap();
        leftover
    }

    /// All names in the directory but the lock.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != super::LOCK);
        names.sort();
        names
    }

    /// The plaintext of a sealed file, as the item of its name.
    pub fn opened(&self, name: &str) -> Result<Vec<u8>, SealError> {
        let opened = seal::read_file(&self.at(name))?;
        let plain = seal::opened_name(&self.at(name)).unwrap();
        opened.expect(&ItemId::of_name(plain.file_name().unwrap().to_str().unwrap()))?;
        let key = opened.unlock_with(&the_key())?;
        let mut bytes = Vec::new();
        opened.open_stream(&key, &mut bytes, NonZeroUsize::MIN)?;
        Ok(bytes)
    }
}
