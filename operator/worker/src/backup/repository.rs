//! One repository in the store, in restic's format: a window of a Channel.
//!
//! rustic's errors do not say what the store said, so the first failure of the store is kept beside them. What is read
//! is compared with its name, which is its SHA-256: of a pack rustic itself reads parts, and would take those of
//! another pack of the same repository.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ProgressBars, ReadBackend, Repository, RepositoryBackends,
    RepositoryOptions, RusticError, RusticResult, WriteBackend,
};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{
    packs::Packs,
    problem::{BackupError, BackupProblem, one_line},
    store::{Bucket, Creation},
};

/// The objects of one repository.
pub(super) struct Objects {
    store: Bucket,
    base: String,
    runtime: Handle,
    packs: Packs,
    /// What the store said first.
    failed: OnceLock<BackupError>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Objects {
    /// The repository below `base`. Its reads and writes wait on `runtime`, so they are called outside of it.
    pub fn new(store: Bucket, base: String, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { store, base, runtime, packs: Packs::default(), failed: OnceLock::new() })
    }

    /// A repository for rustic.
    pub fn repository(self: &Arc<Self>, progress: impl ProgressBars) -> RusticResult<Repository<()>> {
        // A cache would keep names and sizes of a Channel's data on the node.
        let options = RepositoryOptions::default().no_cache(true);
        let objects: Arc<dyn WriteBackend> = Arc::clone(self) as _;
        Repository::new_with_progress(&options, &RepositoryBackends::new(objects, None), progress)
    }

    /// What rustic failed of: the store's failure if there was one.
    pub fn told(&self, error: &RusticError) -> BackupError {
        self.failure().unwrap_or_else(|| {
            BackupProblem::RepositoryDamaged.with(format!("the repository {}: {}", self.base, plain(error)))
        })
    }

    /// The first failure of the store.
    pub fn failure(&self) -> Option<BackupError> {
        self.failed.get().cloned()
    }

    fn name(&self, tpe: FileType, id: &Id) -> String {
        let hex = id.to_hex();
        let (directory, id) = (tpe.dirname(), hex.as_str());
        match tpe {
            FileType::Config => format!("{}/config", self.base),
            FileType::Pack => format!("{}/{directory}/{}/{id}", self.base, id.get(..2).unwrap_or_default()),
            _ => format!("{}/{directory}/{id}", self.base),
        }
    }

    fn read(&self, tpe: FileType, id: &Id) -> Result<Bytes, BackupError> {
        let name = self.name(tpe, id);
        let content = self.runtime.block_on(self.store.get(&name))?;
        let content = content.ok_or_else(|| {
            BackupProblem::RepositoryDamaged.with(format!("{name} is missing in the store"))
        })?;
        // The configuration alone is not named by its content; its encryption says whose it is.
        if tpe != FileType::Config && Id::new(Sha256::digest(&content).into()) != *id {
            return Err(BackupProblem::RepositoryDamaged
                .with(format!("{name} is not what was written: its content does not fit its name")));
        }
        Ok(content)
    }

    fn write(&self, tpe: FileType, id: &Id, content: Bytes) -> Result<(), BackupError> {
        let name = self.name(tpe, id);
        match self.runtime.block_on(self.store.create(&name, content))? {
            Creation::Created | Creation::Same => Ok(()),
            Creation::Taken => Err(BackupProblem::RepositoryDamaged
                .with(format!("{name} is there already with other content, and is not overwritten"))),
        }
    }

    fn listed(&self, tpe: FileType) -> Result<Vec<(Id, u32)>, BackupError> {
        if tpe == FileType::Config {
            let found = self.runtime.block_on(self.store.get(&self.name(tpe, &Id::default())))?;
            return Ok(found.map(|content| (Id::default(), length(content.len()))).into_iter().collect());
        }
        let listed = self.runtime.block_on(self.store.list(&format!("{}/{}", self.base, tpe.dirname())))?;
        let ids = listed.into_iter().filter_map(|(name, size)| {
            let id: Id = name.rsplit('/').next()?.parse().ok()?;
            // What lies elsewhere is not of the repository.
            (name == self.name(tpe, &id)).then(|| (id, u32::try_from(size).unwrap_or(u32::MAX)))
        });
        Ok(ids.collect())
    }

    /// Keeps a failure, and tells rustic that there was one.
    fn noted<T>(&self, result: Result<T, BackupError>) -> RusticResult<T> {
        result.map_err(|error| {
            let told = RusticError::new(ErrorKind::Backend, error.to_string());
            let _ = self.failed.set(error);
            told
        })
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// rustic's error without its advice, which names its own command line and its issue tracker.
fn plain(error: &RusticError) -> String {
    one_line(&error.display_log())
}

impl ReadBackend for Objects {
    fn location(&self) -> String {
        self.base.clone()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.noted(self.listed(tpe))
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.noted(self.read(tpe, id))
    }

    fn read_partial(&self, tpe: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let whole = match tpe {
            FileType::Pack => self.packs.get(*id, || self.read(tpe, id)),
            _ => self.read(tpe, id),
        };
        let part = whole.and_then(|whole| {
            let start = usize::try_from(offset).ok();
            let end =
                start.zip(usize::try_from(length).ok()).and_then(|(start, length)| start.checked_add(length));
            match start.zip(end) {
                Some((start, end)) if end <= whole.len() => Ok(whole.slice(start..end)),
                _ => Err(BackupProblem::RepositoryDamaged
                    .with(format!("{} is shorter than the index says", self.name(tpe, id)))),
            }
        });
        self.noted(part)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.name(tpe, id)
    }
}

impl WriteBackend for Objects {
    fn write_bytes(&self, tpe: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let mut pieces = content.into_vec();
        let content = match pieces.len() {
            1 => pieces.pop().unwrap_or_default(),
            _ => Bytes::from(pieces.concat()),
        };
        self.noted(self.write(tpe, id, content))
    }

    fn remove(&self, tpe: FileType, id: &Id, _: bool) -> RusticResult<()> {
        let name = self.name(tpe, id);
        self.noted(Err(
            BackupProblem::StoreRefused.with(format!("{name} is not removed: a worker removes nothing"))
        ))
    }
}
