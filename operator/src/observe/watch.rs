//! A watch that keeps a map of facts and reports changes.
//!
//! The kubert crate has a similar `index` (apply, delete, reset), but its last release, 0.25, needs kube 1.1 and this
//! workspace has kube 5. Its `index` also buffers a whole list, and lacks three things that are needed here: a new
//! list on demand for a takeover ([`Refresh`]), restarting a stalled list, and treating a kind that is not served as
//! empty. Its `lease` compares the holder's clock with its own, while `crate::lead` only measures on one clock how
//! long a Lease has not changed.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use crate::subject::ObjectKey;

/// One change of one object.
pub enum Change<T> {
    /// It exists with this content.
    Applied(ObjectKey, T),
    /// It was deleted.
    Gone(ObjectKey),
}

impl<T> Change<T> {
    /// Converts the object.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Applied(key, object) => Change::Applied(key, make(object)),
            Self::Gone(key) => Change::Gone(key),
        }
    }
}

/// The page size, which bounds memory while a large cluster is listed.
const PAGE_SIZE: u32 = 200;

/// The configuration of every watch.
pub fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_SIZE)
}

/// After this time a kind that is not served counts as empty.
const NOT_SERVED: Duration = Duration::from_secs(10);

/// How long a list may stall before it is restarted. Each page is answered, or fails, in less.
const STALLED: Duration = Duration::from_secs(60);

/// How long a list counts as new: a watch that was found delayed is relisted at most this often.
const NEW: Duration = Duration::from_secs(60);

/// How often a warning is logged while a new list is awaited.
const TELL: Duration = Duration::from_secs(10);

/// Restarts watches with a new list, and waits until all of them have it.
///
/// A watch may be dead for minutes before that is noticed. So a replica that takes over first requests a new list of
/// every kind, without a resource version, which the API server answers with the newest state and not from its cache.
#[derive(Debug)]
pub struct Refresh {
    asked: watch::Sender<u64>,
    last: Mutex<Option<Instant>>,
    watches: Mutex<Vec<(&'static str, watch::Receiver<u64>)>>,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), last: Mutex::default(), watches: Mutex::default() }
    }
}

impl Refresh {
    /// Requests a new list of every [announced](Self::announcer) watch, and waits until each has one that began after
    /// this call. A failing list is retried by its watch for as long as it takes.
    pub async fn all(&self) {
        let round = self.ask();
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (kind, mut done) in watches {
            loop {
                let listed = done.wait_for(|done| *done >= round);
                match tokio::time::timeout(TELL, listed).await {
                    Ok(Ok(_)) => break,
                    // A watch that ended belongs to an operator that is stopping.
                    Ok(Err(_)) => std::future::pending().await,
                    Err(_) => tracing::warn!(kind, "still waiting for a new list: nothing is changed before"),
                }
            }
            tracing::debug!(kind, "listed anew");
        }
    }

    /// Requests new lists because a watch was found delayed, unless that was just done. Does not wait.
    pub fn soon(&self) {
        let new = |at: Instant| at.elapsed() < NEW;
        if self.last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(new) {
            return;
        }
        tracing::warn!("a watch is behind what the API server says: every kind is listed anew");
        self.ask();
    }

    fn ask(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let mut round = 0;
        self.asked.send_modify(|asked| {
            *asked = asked.saturating_add(1);
            round = *asked;
        });
        round
    }

    /// An announcer for a watch that takes part, and its receiver.
    pub fn announcer(&self, kind: &'static str) -> (Announcer, Announced) {
        let (mut announcer, announced) = announcer();
        let (done, heard) = watch::channel(0);
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push((kind, heard));
        announcer.anew = Some(Anew { asked: self.asked.subscribe(), begun: 0, done });
        (announcer, announced)
    }
}

/// A watch's part in a [`Refresh`].
struct Anew {
    asked: watch::Receiver<u64>,
    /// The last round that was requested before the current list began.
    begun: u64,
    /// The last round for which a list is complete.
    done: watch::Sender<u64>,
}

/// Announces, once each, that a watch has listed its kind, and the end of every requested list.
pub struct Announcer {
    seen: Option<oneshot::Sender<()>>,
    listed: Option<oneshot::Sender<()>>,
    unserved: Option<Instant>,
    anew: Option<Anew>,
}

/// The announcements of a watch.
pub struct Announced {
    /// All objects were seen, or the kind is not served.
    pub seen: oneshot::Receiver<()>,
    /// The kind is served, and all objects were seen.
    pub listed: oneshot::Receiver<()>,
}

/// An announcer and its receiver.
pub fn announcer() -> (Announcer, Announced) {
    let (seen, seen_heard) = oneshot::channel();
    let (listed, listed_heard) = oneshot::channel();
    let announcer = Announcer { seen: Some(seen), listed: Some(listed), unserved: None, anew: None };
    (announcer, Announced { seen: seen_heard, listed: listed_heard })
}

impl Announcer {
    /// The requests for new lists; `None` where the watch takes part in no [`Refresh`].
    fn asked(&self) -> Option<watch::Receiver<u64>> {
        self.anew.as_ref().map(|anew| anew.asked.clone())
    }

    fn begins(&mut self) {
        if let Some(anew) = &mut self.anew {
            anew.begun = *anew.asked.borrow();
        }
    }

    fn listed(&mut self) {
        self.unserved = None;
        announce(&mut self.seen);
        announce(&mut self.listed);
        self.ended();
    }

    fn ended(&self) {
        if let Some(anew) = &self.anew {
            anew.done.send_replace(anew.begun);
        }
    }

    /// Whether somebody waits for a list.
    fn is_awaited(&self) -> bool {
        self.seen.is_some() || self.anew.as_ref().is_some_and(|anew| *anew.done.borrow() < anew.begun)
    }

    /// Handles an error of the watch. True where the kind is not served: a CRD that was deleted while the operator
    /// was down took its objects along, and what they gave must be withdrawn.
    fn failed<K>(&mut self, error: &watcher::Error) -> bool {
        let kind = std::any::type_name::<K>();
        tracing::warn!(kind, %error, "a watch broke off and is taken up again");
        let unserved = matches!(
            error,
            watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
        );
        if !unserved {
            self.unserved = None;
            return false;
        }
        let none =
            self.unserved.get_or_insert_with(Instant::now).elapsed() >= NOT_SERVED && self.is_awaited();
        if none {
            tracing::warn!(kind, "not served: taken as none");
            announce(&mut self.seen);
            self.ended();
        }
        none
    }
}

fn announce(to: &mut Option<oneshot::Sender<()>>) {
    if let Some(to) = to.take() {
        // The receiver is gone only when the operator is stopping.
        let _ = to.send(());
    }
}

/// The events of a watch, restarted with a list each time `asked` changes. Reconnects with growing pauses, and
/// restarts a stalled list.
fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    asked: Option<watch::Receiver<u64>>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone()).default_backoff().boxed();
    let (first, listing) = (begin(), false);
    stream::unfold((first, asked, listing), move |(mut events, mut asked, mut listing)| {
        let begin = begin.clone();
        async move {
            loop {
                let late = if listing { STALLED } else { Duration::MAX };
                tokio::select! {
                    biased;
                    () = changed(asked.as_mut()) => {}
                    event = tokio::time::timeout(late, events.next()) => if let Ok(event) = event {
                        let event = event?;
                        // The pause after an error is not a stall.
                        listing = matches!(&event, Ok(watcher::Event::Init | watcher::Event::InitApply(_)));
                        return Some((event, (events, asked, listing)));
                    } else {
                        tracing::warn!(kind = std::any::type_name::<K>(), "a list stood still and is begun again");
                    },
                }
                (events, listing) = (begin(), false);
            }
        }
    })
}

/// Waits until a new list is asked for.
async fn changed(asked: Option<&mut watch::Receiver<u64>>) {
    let Some(asked) = asked else { return std::future::pending().await };
    // The sender is gone only when the operator is stopping.
    if asked.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Follows a kind until `stop`: calls `apply` for each change, and announces once when all existing objects were
/// seen.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut announcer: Announcer,
    stop: CancellationToken,
    mut apply: impl FnMut(Change<K>) + Send,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = pin!(events(api, config, announcer.asked()));
    let mut listing = Listing::default();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(watcher::Event::Init) => {
                announcer.begins();
                listing.begin();
            }
            Ok(watcher::Event::InitApply(object)) => {
                let key = listing.listed(&object);
                apply(Change::Applied(key, object));
            }
            Ok(watcher::Event::InitDone) => {
                listing.end().into_iter().for_each(|key| apply(Change::Gone(key)));
                announcer.listed();
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = listing.seen(&object);
                apply(Change::Applied(key, object));
            }
            Ok(watcher::Event::Delete(object)) => apply(Change::Gone(listing.gone(&object))),
            Err(error) => {
                if announcer.failed::<K>(&error) {
                    listing.none().into_iter().for_each(|key| apply(Change::Gone(key)));
                }
            }
        }
    }
}

/// Removes the fields that the operator never reads.
pub fn strip<K: Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// kubectl's annotation with a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The known objects; those missing in a new list were deleted.
#[derive(Default)]
struct Listing {
    known: BTreeSet<ObjectKey>,
    listed: BTreeSet<ObjectKey>,
}

impl Listing {
    fn begin(&mut self) {
        self.listed.clear();
    }

    fn listed<K: Resource>(&mut self, object: &K) -> ObjectKey {
        let key = ObjectKey::of(object);
        self.listed.insert(key.clone());
        key
    }

    fn end(&mut self) -> Vec<ObjectKey> {
        let gone = self.known.difference(&self.listed).cloned().collect();
        self.known = std::mem::take(&mut self.listed);
        gone
    }

    /// The kind has no objects; returns the known ones.
    fn none(&mut self) -> Vec<ObjectKey> {
        self.begin();
        self.end()
    }

    fn seen<K: Resource>(&mut self, object: &K) -> ObjectKey {
        let key = ObjectKey::of(object);
        self.known.insert(key.clone());
        key
    }

    fn gone<K: Resource>(&mut self, object: &K) -> ObjectKey {
        let key = ObjectKey::of(object);
        self.known.remove(&key);
        key
    }
}

#[cfg(test)]
mod tests;
