//! Watches a directory and seals the finished files in it.
//!
//! ```text
//! listing   what lies there            events   what the kernel tells of it
//! finished  which of it is finished    pending  the names a sealed file has before its own
//! recording one of them, sealed        counts   what metrics tell
//! tracked   when each is tried
//! ```
//!
//! However the process ends, each recording exists as plaintext, or sealed and complete, or both; the next process
//! continues.

mod counts;
mod events;
#[cfg(test)]
mod fake;
mod finished;
mod listing;
mod pending;
mod recording;
mod tracked;
mod vault;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::File,
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::{
    counts::{WatchCounts, WatchSnapshot},
    finished::FinishedRule,
    listing::WatchScope,
    recording::{Keys, Trouble},
    vault::{AnchorOf, VaultKeys},
};
use self::{
    events::{FileEvents, FileNews},
    finished::FileEvent,
    listing::Listing,
    pending::{Id, Leftover},
    recording::{Done, How, Names},
    tracked::{LONGEST_FOR_ALL, LONGEST_FOR_ONE, Retry, Tracked, until_next_look},
};
use crate::shown;

/// The lock of the process that seals in a directory.
const LOCK: &str = ".subrosa-watch.lock";

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The files.
    pub scope: WatchScope,
    /// The rule by which they are finished.
    pub rule: FinishedRule,
    /// How many are sealed at once.
    pub jobs: NonZeroUsize,
    /// Cores for each.
    pub workers: NonZeroUsize,
    /// The interval of looks.
    pub every: Duration,
    /// How long work in progress may take after the signal to stop.
    pub grace: Duration,
    /// How long a file that existed at the start must be unwritten, because its writer was not seen.
    pub quiet_at_start: Duration,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The directory cannot be read or written.
    #[error("{}: {source}", shown(path))]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process seals there.
    #[error("{}: another process seals here already", shown(.0))]
    Taken(PathBuf),
}

/// Seals finished files until `stop`, then finishes work in progress in bounded time.
///
/// # Errors
/// When the directory cannot be used at the start. Later failures are logged and retried.
pub async fn run<K: Keys>(
    watch: Watch,
    keys: Arc<K>,
    counts: Arc<WatchCounts>,
    stop: CancellationToken,
) -> Result<(), WatchError> {
    let _lock = lock(&watch.scope)?;
    let mut watcher = Watcher::new(watch, keys, counts);
    watcher.events.watch(&watcher.watch.scope.root);
    let (news, first) = watcher.look().await.map_err(|source| watcher.error(source))?;
    // Only the holder of the lock writes parts here.
    for part in &first.parts {
        if let Err(error) = std::fs::remove_file(part) {
            tracing::warn!("{}, the rest of an earlier process, cannot be removed: {error}", shown(part));
        }
    }
    if first.left_out {
        tracing::warn!("there are subdirectories that are left out; --recursive takes them as well");
    }
    watcher.take(news, first);
    loop {
        watcher.begin();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = watcher.jobs.join_next() => {
                match ended {
                    Ok((path, result)) => watcher.ended(path, result),
                    Err(error) => tracing::error!("a job ended early: {error}"),
                }
                continue;
            }
            () = tokio::time::sleep_until(watcher.next_look.into()) => {}
        }
        match watcher.look().await {
            Ok((news, listing)) => watcher.take(news, listing),
            Err(error) => watcher.unreadable(error),
        }
    }
    watcher.end().await;
    Ok(())
}

fn lock(scope: &WatchScope) -> Result<File, WatchError> {
    let path = scope.root.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| WatchError::Directory { path: scope.root.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(WatchError::Taken(scope.root.clone())),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(WatchError::Directory { path: scope.root.clone(), source })
        }
    }
}

struct Watcher<K> {
    watch: Watch,
    keys: Arc<K>,
    counts: Arc<WatchCounts>,
    events: FileEvents,
    tracked: HashMap<PathBuf, Tracked>,
    leftovers: HashMap<Id, Leftover>,
    jobs: JoinSet<(PathBuf, Result<Done, Trouble>)>,
    /// The finished files of the last look.
    queue: VecDeque<PathBuf>,
    stop: Arc<AtomicBool>,
    names: Names,
    /// Set after a failure that concerns all files.
    paused: Option<Retry>,
    next_look: Instant,
    /// What was reported about unreadable files.
    told: HashMap<PathBuf, String>,
    /// Directories that are not writable, and why.
    unwritable: BTreeMap<PathBuf, String>,
    /// Whether the directory was read before.
    begun: bool,
}

impl<K: Keys> Watcher<K> {
    fn new(watch: Watch, keys: Arc<K>, counts: Arc<WatchCounts>) -> Self {
        Self {
            watch,
            keys,
            counts,
            events: FileEvents::new(),
            tracked: HashMap::new(),
            leftovers: HashMap::new(),
            jobs: JoinSet::new(),
            stop: Arc::default(),
            names: Names::default(),
            paused: None,
            next_look: Instant::now(),
            told: HashMap::new(),
            unwritable: BTreeMap::new(),
            begun: false,
            queue: VecDeque::new(),
        }
    }

    fn error(&self, source: io::Error) -> WatchError {
        WatchError::Directory { path: self.watch.scope.root.clone(), source }
    }

    /// Reads the events first, then the directory; a close in between comes with the next events.
    async fn look(&mut self) -> io::Result<(FileNews, Listing)> {
        let begins = Instant::now();
        let news = self.events.news();
        let scope = self.watch.scope.clone();
        let listed = tokio::task::spawn_blocking(move || Listing::read(&scope)).await;
        // With millions of sealed files, looking must not take all the time.
        self.next_look = begins + until_next_look(self.watch.every, begins.elapsed());
        Ok((news, listed.map_err(io::Error::other)??))
    }

    /// Takes in the current files.
    fn take(&mut self, news: FileNews, listing: Listing) {
        let now = Instant::now();
        for directory in &listing.directories {
            self.events.watch(directory);
        }
        let mut before = std::mem::take(&mut self.tracked);
        if news.lost {
            before.values_mut().for_each(|tracked| tracked.seen.lost());
        }
        let at_start = (!self.begun).then_some(self.watch.quiet_at_start);
        self.begun = true;
        for found in &listing.recordings {
            let tracked = before.remove(&found.path).unwrap_or_else(|| Tracked::new(found, now, at_start));
            self.tracked.insert(found.path.clone(), tracked);
        }
        // A missing file may still be in progress, because its job removes it before the job ends.
        self.tracked.extend(before.into_iter().filter(|(_, tracked)| tracked.under_way));
        let mut just_told = HashSet::new();
        for (path, told) in news.told {
            if let Some(tracked) = self.tracked.get_mut(&path) {
                tracked.seen.told(told);
                if matches!(told, FileEvent::Closed | FileEvent::Named) {
                    just_told.insert(path);
                }
            }
        }
        for found in listing.recordings {
            let Some(tracked) = self.tracked.get_mut(&found.path) else { continue };
            if tracked.seen.state() != found.state {
                // Try again what could not be sealed before.
                tracked.retry = None;
            }
            tracked.seen.look(found.state, just_told.contains(&found.path), now);
            tracked.found = found;
        }
        let here: HashSet<_> = self.tracked.keys().filter_map(|path| path.parent()).collect();
        self.unwritable.retain(|directory, _| here.contains(directory.as_path()));
        self.counts.unwritable(self.unwritable.values().next());
        let mut troubles = listing.unreadable;
        troubles.extend(self.take_leftovers(listing.leftovers));
        self.tell(troubles);
        self.queue_finished(now);
        // A recorder may set a file's time, even to the future.
        let age = |tracked: &Tracked| tracked.found.modified.min(tracked.first_seen);
        let oldest = self.tracked.values().map(age).min();
        self.counts.looked(self.tracked.len(), oldest);
    }

    /// Handles an unreadable root directory.
    fn unreadable(&mut self, error: io::Error) {
        let root = self.watch.scope.root.clone();
        self.counts.unreadable(format!("{}: {error}", shown(&root)));
        self.tell(vec![(root, error)]);
    }

    /// Logs each problem once, until it changes.
    fn tell(&mut self, troubles: Vec<(PathBuf, io::Error)>) {
        let mut told = HashMap::new();
        for (path, error) in troubles {
            let problem = error.to_string();
            if self.told.get(&path) != Some(&problem) {
                tracing::warn!("{}: {problem}", shown(&path));
            }
            told.insert(path, problem);
        }
        self.told = told;
    }

    /// Handles sealed files of an earlier process: those whose plaintext still exists wait for it, the others get
    /// their names.
    fn take_leftovers(&mut self, leftovers: Vec<Leftover>) -> Vec<(PathBuf, io::Error)> {
        let mut troubles = Vec::new();
        // During a job, such a file may be its own.
        if !self.jobs.is_empty() || (leftovers.is_empty() && self.leftovers.is_empty()) {
            return troubles;
        }
        self.leftovers.clear();
        let ids: HashSet<Id> = self.tracked.values().map(|tracked| Id::of_found(&tracked.found)).collect();
        for leftover in leftovers {
            if ids.contains(&leftover.id) {
                self.leftovers.insert(leftover.id.clone(), leftover);
            } else if let Err(error) = leftover.name_it() {
                troubles.push((leftover.path, error));
            }
        }
        troubles
    }

    /// Queues the finished files, oldest first.
    fn queue_finished(&mut self, now: Instant) {
        let mut ready: Vec<_> = self
            .tracked
            .values()
            .filter(|tracked| tracked.is_ready(self.watch.rule, now))
            .map(|tracked| (tracked.found.modified, &tracked.found.path))
            .collect();
        ready.sort_unstable();
        self.queue = ready.into_iter().map(|(_, path)| path.clone()).collect();
    }

    /// Starts jobs for finished files, up to the limit.
    fn begin(&mut self) {
        let now = Instant::now();
        if self.paused.as_ref().is_some_and(|paused| now < paused.at) {
            return;
        }
        // After a failure only one job at a time: what does not fit together may fit one by one.
        let most = if self.paused.is_some() { 1 } else { self.watch.jobs.get() };
        while self.jobs.len() < most {
            let Some(path) = self.queue.pop_front() else { break };
            let Some(tracked) = self.tracked.get_mut(&path) else { continue };
            if !tracked.is_ready(self.watch.rule, now) {
                continue;
            }
            tracked.under_way = true;
            let found = tracked.found.clone();
            let leftover = match self.leftovers.is_empty() {
                true => None,
                false => self.leftovers.remove(&Id::of_found(&found)),
            };
            let how =
                How { workers: self.watch.workers, stop: Arc::clone(&self.stop), names: self.names.clone() };
            let keys = Arc::clone(&self.keys);
            self.jobs.spawn(async move {
                let result = recording::seal(keys.as_ref(), found, leftover, how).await;
                (path, result)
            });
        }
        self.counts.under_way(self.jobs.len());
    }

    fn ended(&mut self, path: PathBuf, result: Result<Done, Trouble>) {
        self.counts.under_way(self.jobs.len());
        let now = Instant::now();
        let done = match result {
            Ok(done) => done,
            Err(trouble) => return self.failed(path, &trouble, now),
        };
        if self.paused.take().is_some() {
            tracing::info!("sealing goes on");
        }
        if path.parent().is_some_and(|directory| self.unwritable.remove(directory).is_some()) {
            self.counts.unwritable(self.unwritable.values().next());
        }
        match done {
            Done::Sealed { bytes, .. } => {
                tracing::debug!("{} is sealed", shown(&path));
                self.counts.sealed(bytes);
            }
            Done::WasSealed => self.counts.sealed(0),
            // It is looked at again before the next try.
            Done::Changed => {
                if let Some(tracked) = self.tracked.get_mut(&path) {
                    tracked.under_way = false;
                }
                return;
            }
        }
        self.tracked.remove(&path);
        self.counts.waiting(self.tracked.len());
    }

    fn failed(&mut self, path: PathBuf, trouble: &Trouble, now: Instant) {
        if matches!(trouble, Trouble::Stopped) {
            return;
        }
        let problem = trouble.to_string();
        let general = trouble.is_general();
        self.counts.failed(general.then(|| problem.clone()));
        if let (Trouble::Directory { .. }, Some(directory)) = (trouble, path.parent()) {
            self.unwritable.insert(directory.to_owned(), problem.clone());
            self.counts.unwritable(self.unwritable.values().next());
        }
        let Some(tracked) = self.tracked.get_mut(&path) else { return };
        tracked.under_way = false;
        if trouble.is_space() {
            // The next file may be smaller.
            let mut retry = tracked.retry.take().unwrap_or_else(|| Retry::new(now, LONGEST_FOR_ONE));
            retry.wait(now, LONGEST_FOR_ONE);
            tracked.retry = Some(retry);
        }
        let (slot, longest) = match general {
            true => (&mut self.paused, LONGEST_FOR_ALL),
            false => (&mut tracked.retry, LONGEST_FOR_ONE),
        };
        let mut retry = slot.take().unwrap_or_else(|| Retry::new(now, longest));
        if retry.told != problem {
            match general {
                true => tracing::warn!("nothing is sealed or removed until this ends: {problem}"),
                false => tracing::warn!("not sealed yet, tried again: {}: {problem}", shown(&path)),
            }
            retry.told = problem;
        }
        retry.wait(now, longest);
        *slot = Some(retry);
    }

    /// Waits for the jobs in progress; aborts those that take too long and removes their parts.
    async fn end(&mut self) {
        let all = async {
            while let Some(ended) = self.jobs.join_next().await {
                if let Ok((_, Ok(Done::Sealed { bytes, .. }))) = ended {
                    self.counts.sealed(bytes);
                }
            }
        };
        if tokio::time::timeout(self.watch.grace, all).await.is_err() {
            self.stop.store(true, Ordering::Relaxed);
            self.jobs.abort_all();
            let rest = async { while self.jobs.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(Duration::from_secs(5), rest).await;
        }
    }
}

#[cfg(test)]
mod tests;
