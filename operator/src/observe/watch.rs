//! A watch that keeps a map of facts and says what changed.
//!
//! The crate kubert has the same idea in its `index` (apply, delete, reset) and is not used: its last release, 0.25, is
//! for kube 1.1, and this workspace has kube 5. Its `index` also holds a whole list in memory until the list has ended,
//! and does without three things that are needed here: a new list on demand that a takeover waits for ([`Refresh`]), a
//! list that stands still begun again, and a kind that is not served taken as empty. Its `lease` compares the holder's
//! clock with its own, while `crate::lead` measures on one clock only how long a Lease has not changed.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use subrosa_crds::names::ChannelRef;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// One change of one object.
pub enum Change<T> {
    /// It is there, and looks like this.
    Applied(ObjectKey, T),
    /// It is gone.
    Gone(ObjectKey),
}

impl<T> Change<T> {
    /// The same of what is made of the object.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Applied(key, object) => Change::Applied(key, make(object)),
            Self::Gone(key) => Change::Gone(key),
        }
    }
}

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl From<ChannelRef> for ObjectKey {
    fn from(channel: ChannelRef) -> Self {
        Self { namespace: channel.namespace, name: channel.name }
    }
}

/// Of a cluster-scoped kind.
impl From<String> for ObjectKey {
    fn from(name: String) -> Self {
        Self { namespace: String::new(), name }
    }
}

impl ObjectKey {
    /// As the name of a Channel.
    #[must_use]
    pub fn channel(&self) -> ChannelRef {
        ChannelRef::new(&self.namespace, &self.name)
    }

    fn of<K: Resource>(object: &K) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// How many objects are asked for at once: bounds memory while a large cluster is listed.
const PAGE_SIZE: u32 = 200;

/// The configuration of every watch.
pub fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_SIZE)
}

/// How long a kind is not served until that counts as an answer: there is nothing of it.
const NOT_SERVED: Duration = Duration::from_secs(10);

/// How long a list may stand still before it is begun again. Each page is answered, or given up, in less.
const STALLED: Duration = Duration::from_secs(60);

/// How long a list counts as new: a watch that was found to be behind is asked for another one this often at most.
const NEW: Duration = Duration::from_secs(60);

/// How often is told that a new list is still waited for.
const TELL: Duration = Duration::from_secs(10);

/// Has watches begin anew with a list, and hears when all of them have ended it.
///
/// A watch may have been dead for minutes before that is noticed. A replica that takes over asks for a fresh list of every
/// kind first: without a version, so that the API server answers with the newest state and not from its cache.
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
    /// Asks every watch that was [announced](Self::announcer) for a new list, and waits until each has one that began
    /// after this call. A list that fails is tried again by its watch, as long as it takes.
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

    /// Asks for new lists because a watch was found to be behind, unless that was just done. Waits for nothing.
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

    /// An announcer of a watch that takes part, and where it is heard.
    pub fn announcer(&self, kind: &'static str) -> (Announcer, Announced) {
        let (mut announcer, announced) = announcer();
        let (done, heard) = watch::channel(0);
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push((kind, heard));
        announcer.anew = Some(Anew { asked: self.asked.subscribe(), begun: 0, done });
        (announcer, announced)
    }
}

/// One watch's part in a [`Refresh`].
struct Anew {
    asked: watch::Receiver<u64>,
    /// The last round that was asked for before the list that is under way began.
    begun: u64,
    /// The last round of which a list has ended.
    done: watch::Sender<u64>,
}

/// Announces, once each, that a watch has listed its kind, and the end of every new list that was asked for.
pub struct Announcer {
    seen: Option<oneshot::Sender<()>>,
    listed: Option<oneshot::Sender<()>>,
    unserved: Option<Instant>,
    anew: Option<Anew>,
}

/// What is heard of a watch.
pub struct Announced {
    /// Everything there is has been seen, or there can be nothing: the kind is not served.
    pub seen: oneshot::Receiver<()>,
    /// The kind is served, and everything there is has been seen.
    pub listed: oneshot::Receiver<()>,
}

/// An announcer, and where it is heard.
pub fn announcer() -> (Announcer, Announced) {
    let (seen, seen_heard) = oneshot::channel();
    let (listed, listed_heard) = oneshot::channel();
    let announcer = Announcer { seen: Some(seen), listed: Some(listed), unserved: None, anew: None };
    (announcer, Announced { seen: seen_heard, listed: listed_heard })
}

impl Announcer {
    /// Where new lists are asked for; nowhere, where the watch takes part in no [`Refresh`].
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

    /// Notes an error of the watch. True where the kind is not served: a definition that was deleted while the operator was
    /// down took all its objects along, and what they gave must be withdrawn.
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
        // Nobody waits any more when the operator is stopping.
        let _ = to.send(());
    }
}

/// The events of a watch, which begins anew with a list each time `asked` changes. Broken connections are taken up
/// again, with growing pauses; so is a list that stands still.
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
                        // After an error follows a pause, which is no standstill.
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
    // Who asks is gone only when the operator is stopping.
    if asked.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Follows a kind until `stop`: calls `apply` for each change, and announces once everything that
/// exists has been seen.
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

/// Takes away the fields that the operator never reads.
pub fn strip<K: Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Where kubectl keeps the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which objects there are: after a new list, those not in it are gone.
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

    /// There is nothing of the kind; returns what was known.
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
