//! A dump of a database, which another container of the pod writes into a pipe: nothing of it is on a disk.
//!
//! ```text
//!  <source>.<database>.sql    the pipe; what dumps waits until it is opened here
//!  <source>.<database>.err    what it said meanwhile
//!  <source>.<database>.code   its exit code, when it ended
//! ```
//!
//! That container runs an image of somebody else, so nothing that it left is followed: only pipes and files, at these
//! names. A dump counts when its end was read, with the mark that `pg_dump` writes there, and the exit code is 0.

use std::{
    fs::{self, File},
    io::{self, Read},
    iter,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustic_core::{
    BackupOptions, IndexedIds, ParentOptions, ReadSource, ReadSourceEntry, ReadSourceOpen, Repository,
    RusticError, RusticResult,
    repofile::{Metadata, Node, NodeType},
};
use rustix::fs::{OFlags, fcntl_setfl};
use subrosa_crds::backup::BackupSettings;

use super::{
    manifest::VolumeSnapshot,
    problem::{BackupError, BackupProblem, one_line},
    repository::Objects,
    source::DIRECTORY,
    volume::snapshot_file,
};

/// How long the pipe may take to appear, and the exit code after the end of the dump.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 120 });
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What is kept of the end, where the mark must be.
const TAIL: usize = 256;
/// The mark. Behind it is at most a line `\unrestrict`.
const END: &str = "\n-- PostgreSQL database dump complete\n--\n";
/// The most that is read of what a dump said.
const SAID: u64 = 64 << 10;
/// The most characters of it that are told.
const TOLD: usize = 300;
/// The root of the source, of which nothing is seen in a snapshot.
const ROOT: &str = "/dump";

/// One database whose dump is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dump {
    /// What its server is called.
    pub source: String,
    /// The database.
    pub database: String,
}

impl Dump {
    /// The dumps that the settings name.
    pub fn all(settings: &BackupSettings) -> Vec<Self> {
        let of = |source: &subrosa_crds::backup::DumpSource| {
            let name = source.name.clone();
            let databases = source.names.clone().into_iter();
            databases.map(move |database| Self { source: name.clone(), database }).collect::<Vec<_>>()
        };
        settings.databases.iter().flat_map(of).collect()
    }

    /// As which it stands beside volumes.
    pub fn name(&self) -> String {
        format!("{}/{}", self.source, self.database)
    }
}

/// Makes the snapshot of a dump, and says why it does not count, if so. What does not count is in the manifest too, with
/// the reason: a run without this database is not the one that is restored unless asked for.
pub(super) fn archive<S: IndexedIds>(
    (repository, objects): (&Repository<S>, &Objects),
    settings: &BackupSettings,
    (dumps, dump): (&Path, &Dump),
    time: &jiff::Zoned,
) -> Result<(VolumeSnapshot, Option<BackupError>), BackupError> {
    let failed = |error: Box<RusticError>| objects.told(&error);
    let pipe = Pipe { dumps: dumps.to_owned(), dump: dump.clone() };
    let source = DumpSource { pipe, time: time.timestamp(), end: Arc::default() };
    let path = Path::new("/").join(&dump.source).join(&dump.database);
    // A dump is read as a whole; what is in the store already is not written again.
    let options = BackupOptions::default().as_path(path).parent_opts(ParentOptions::default().force(true));
    let snapshot = snapshot_file(settings, time).map_err(failed)?;
    let snapshot = repository.archive(&options, &source, snapshot, &[ROOT.into()]).map_err(failed)?;
    if let Some(failure) = objects.failure() {
        return Err(failure);
    }
    let summary = snapshot.summary.unwrap_or_default();
    let ended = source.end.get().cloned().unwrap_or_else(|| {
        Err(BackupProblem::DumpFailed.with(format!("the dump {} was not read to its end", dump.name())))
    });
    let error = ended.err();
    let snapshot = VolumeSnapshot {
        name: dump.name(),
        snapshot: snapshot.id.to_hex().as_str().to_owned(),
        files: summary.total_files_processed,
        bytes: summary.total_bytes_processed,
        unreadable: 0,
        problem: error.as_ref().map(|error| error.problem.to_string()),
    };
    Ok((snapshot, error))
}

/// How a dump ended; once.
type End = Arc<OnceLock<Result<(), BackupError>>>;

struct DumpSource {
    pipe: Pipe,
    time: Timestamp,
    end: End,
}

impl ReadSource for DumpSource {
    type Open = Opening;
    type Iter = iter::Chain<iter::Once<Entry>, iter::Once<Entry>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let node = |name: &str, node_type, mode| {
            let (mode, time) = (Some(mode), Some(self.time));
            // Without an owner: it is whoever restores.
            let meta = Metadata { mode, mtime: time, atime: time, ..Metadata::default() };
            Node::new_node(name.as_ref(), node_type, meta)
        };
        let database = &self.pipe.dump.database;
        let file = format!("{database}.sql");
        let open = Opening { pipe: self.pipe.clone(), end: Arc::clone(&self.end) };
        let root = ReadSourceEntry {
            path: ROOT.into(),
            node: node(database, NodeType::Dir, DIRECTORY | 0o700),
            open: None,
        };
        let dump = ReadSourceEntry {
            path: Path::new(ROOT).join(&file),
            node: node(&file, NodeType::File, 0o600),
            open: Some(open),
        };
        iter::once(Ok(root)).chain(iter::once(Ok(dump)))
    }
}

type Entry = RusticResult<ReadSourceEntry<Opening>>;

struct Opening {
    pipe: Pipe,
    end: End,
}

impl ReadSourceOpen for Opening {
    type Reader = Reading;

    // Whatever fails, fails while reading, which is where a reason is kept.
    fn open(self) -> RusticResult<Reading> {
        Ok(Reading { pipe: self.pipe, end: self.end, file: None, tail: Vec::new() })
    }
}

/// A dump that is being read.
struct Reading {
    pipe: Pipe,
    end: End,
    file: Option<File>,
    tail: Vec<u8>,
}

impl Reading {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let (file, first) = match &mut self.file {
            Some(file) => (file, None),
            none => {
                let mut file = self.pipe.open()?;
                let first = self.pipe.first(&mut file, buffer)?;
                (none.insert(file), first)
            }
        };
        let unreadable = |error: io::Error| self.pipe.failed(&format!("it cannot be read: {error}"));
        let read = match first {
            Some(read) => read,
            None => loop {
                match file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(unreadable)?,
                }
            },
        };
        if read == 0 {
            self.pipe.is_complete(&self.tail)?;
        }
        self.tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let old = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..old);
        Ok(read)
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.end.get() {
            Some(Ok(())) => return Ok(0),
            Some(Err(error)) => return Err(io::Error::other(error.to_string())),
            None => {}
        }
        match self.next(buffer) {
            Ok(0) => {
                let _ = self.end.set(Ok(()));
                Ok(0)
            }
            Ok(read) => Ok(read),
            Err(error) => {
                let said = io::Error::other(error.to_string());
                let _ = self.end.set(Err(error));
                Err(said)
            }
        }
    }
}

/// Where a dump comes from.
#[derive(Clone)]
struct Pipe {
    dumps: PathBuf,
    dump: Dump,
}

impl Pipe {
    fn at(&self, what: &str) -> PathBuf {
        self.dumps.join(format!("{}.{}.{what}", self.dump.source, self.dump.database))
    }

    fn failed(&self, why: &str) -> BackupError {
        BackupProblem::DumpFailed.with(format!("the dump {}: {why}", self.dump.name()))
    }

    /// Asks `look` until it has an answer.
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, BackupError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if Instant::now() >= until {
                let container = format!("dump-{}", self.dump.source);
                return Err(self.failed(&format!("{what}; look at the log of container {container}")));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Opens the pipe, which lets the dump begin. Reads of it do not wait.
    fn open(&self) -> Result<File, BackupError> {
        let path = self.at("sql");
        self.wait("there is no pipe for it", || {
            // Opening anything else could have effects.
            let is_pipe = |found: io::Result<fs::Metadata>| found.is_ok_and(|of| of.file_type().is_fifo());
            is_pipe(path.symlink_metadata())
                .then(|| opened(&path).ok())?
                .filter(|file| is_pipe(file.metadata()))
        })
    }

    /// Waits until somebody writes, and makes reads wait from then on. What was read meanwhile; `None` where nothing was.
    fn first(&self, file: &mut File, buffer: &mut [u8]) -> Result<Option<usize>, BackupError> {
        let read = self.wait("nobody writes it", || match file.read(buffer) {
            // Nobody has the other end: not yet, or no more.
            Ok(0) => self.at("code").symlink_metadata().is_ok().then_some(Ok(Some(0))),
            Ok(read) => Some(Ok(Some(read))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Ok(None)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(Err(error)),
        })?;
        let waiting = fcntl_setfl(&*file, OFlags::empty()).map_err(io::Error::from);
        read.and_then(|read| waiting.map(|()| read))
            .map_err(|error| self.failed(&format!("it cannot be read: {error}")))
    }

    /// Whether what was read to its end is a whole dump.
    fn is_complete(&self, tail: &[u8]) -> Result<(), BackupError> {
        let code = self.wait("it ended without an exit code", || {
            let code = read(&self.at("code"), 16).ok()?;
            code.trim().parse::<u8>().ok()
        })?;
        let said = read(&self.at("err"), SAID).unwrap_or_default();
        if said.contains("server version mismatch") {
            let versions = said.lines().find_map(|line| Some(line.split_once("detail: ")?.1));
            return Err(BackupProblem::DumpVersion.with(format!(
                "the dump {}: pg_dump is older than the server ({}): name an image of the server's version in \
                 spec.backup.databases",
                self.dump.name(),
                told(versions.unwrap_or("it does not say which")),
            )));
        }
        if code != 0 {
            return Err(self.failed(&format!("exit code {code}: {}", told(last_error(&said)))));
        }
        let tail = String::from_utf8_lossy(tail);
        let rest = tail.rsplit_once(END).map(|(_, rest)| rest.trim());
        if rest.is_some_and(|rest| {
            rest.is_empty() || (rest.starts_with("\\unrestrict ") && !rest.contains('\n'))
        }) {
            Ok(())
        } else {
            Err(self.failed("it ends without the mark of a whole dump, although the exit code is 0"))
        }
    }
}

/// The line that says most: the last error, else the last line.
fn last_error(said: &str) -> &str {
    let lines = || said.lines().rev().filter(|line| !line.trim().is_empty());
    lines().find(|line| line.contains(": error: ")).or_else(|| lines().next()).unwrap_or("it said nothing")
}

fn told(text: &str) -> String {
    one_line(text).chars().take(TOLD).collect()
}

/// Opens without following a link, and without waiting.
fn opened(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().try_into().map_err(io::Error::other)?;
    File::options().read(true).custom_flags(flags).open(path)
}

/// The beginning of a file that is one.
fn read(path: &Path, limit: u64) -> io::Result<String> {
    let file = opened(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
