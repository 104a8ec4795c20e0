//! A watch that keeps a map of facts and says what changed.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// One change of one object.
pub enum Change<T> {
    /// It is there, and looks like this.
    Applied(ObjectKey, T),
    /// It is gone.
    Gone(ObjectKey),
}

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
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

/// What a watch says of itself, each once.
pub struct Announcer {
    seen: Option<oneshot::Sender<()>>,
    listed: Option<oneshot::Sender<()>>,
    unserved: Option<Instant>,
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
    let announcer = Announcer { seen: Some(seen), listed: Some(listed), unserved: None };
    (announcer, Announced { seen: seen_heard, listed: listed_heard })
}

impl Announcer {
    fn listed(&mut self) {
        self.unserved = None;
        announce(&mut self.seen);
        announce(&mut self.listed);
    }

    /// A definition that was deleted while nobody looked took all its objects along: who waits to see
    /// them would never withdraw what they gave.
    fn failed<K>(&mut self, error: &watcher::Error) {
        let kind = std::any::type_name::<K>();
        tracing::warn!(kind, %error, "a watch broke off and is taken up again");
        let unserved = matches!(
            error,
            watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
        );
        if !unserved {
            self.unserved = None;
        } else if self.unserved.get_or_insert_with(Instant::now).elapsed() >= NOT_SERVED
            && self.seen.is_some()
        {
            tracing::warn!(kind, "not served: taken as none");
            announce(&mut self.seen);
        }
    }
}

fn announce(to: &mut Option<oneshot::Sender<()>>) {
    if let Some(to) = to.take() {
        // Nobody waits any more when the operator is stopping.
        let _ = to.send(());
    }
}

/// Follows a kind until `stop`: calls `apply` for each change, and announces once everything that
/// exists has been seen. Broken connections are taken up again, with growing pauses.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut announcer: Announcer,
    stop: CancellationToken,
    mut apply: impl FnMut(Change<K>) + Send,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listing = Listing::default();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(watcher::Event::Init) => listing.begin(),
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
            Err(error) => announcer.failed::<K>(&error),
        }
    }
}

/// As [`follow`], for a kind that is reconciled: its objects are kept in `writer`'s store, and what
/// `apply` gets is the store's own, so that nothing is held twice.
pub async fn follow_stored<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    mut announcer: Announcer,
    stop: CancellationToken,
    mut apply: impl FnMut(Change<Arc<K>>) + Send,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let store = writer.as_reader();
    let slim = |object: &mut K| object.meta_mut().managed_fields = None;
    let mut events = pin!(watcher(api, config).default_backoff().modify(slim).reflect(writer));
    let mut listing = Listing::default();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(watcher::Event::Init) => listing.begin(),
            Ok(watcher::Event::InitApply(object)) => {
                listing.listed(&object);
            }
            Ok(watcher::Event::InitDone) => {
                let gone = listing.end();
                for object in store.state() {
                    apply(Change::Applied(ObjectKey::of(object.as_ref()), object));
                }
                gone.into_iter().for_each(|key| apply(Change::Gone(key)));
                announcer.listed();
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = listing.seen(&object);
                if let Some(object) = store.get(&ObjectRef::from_obj(&object)) {
                    apply(Change::Applied(key, object));
                }
            }
            Ok(watcher::Event::Delete(object)) => apply(Change::Gone(listing.gone(&object))),
            Err(error) => announcer.failed::<K>(&error),
        }
    }
}

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
