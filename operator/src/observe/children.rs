//! The objects of one kind that Channels have, as far as the watches tell of them: a watch brings no contents, so what is
//! in an object is read. What was read is remembered in short until the watch tells of a newer version.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::watch::ObjectKey;
use subrosa_crds::names::ChannelRef;

/// How long what was read is believed although the watch tells of nothing newer. An object that is quiet is looked at
/// once an hour: then it is read.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// A version of an object. Those of one kind can be compared (Kubernetes 1.35, KEP-5504); one that is no number counts
/// as newer than all that were read.
fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

/// One object, and in short what was in it.
struct Seen<S> {
    /// The Channel whose label it carries, in its own namespace.
    owner: Box<str>,
    /// The version that the watch told of last.
    told: u64,
    /// The version that the operator read or wrote last, and when.
    read: Option<(u64, Instant)>,
    /// What was in that version, where nothing was to be done.
    settled: Option<S>,
    /// Whether it was there when what is kept was last looked through: the watch had time to show it.
    old: bool,
}

impl<S> Seen<S> {
    fn new(owner: &str, told: u64) -> Self {
        Self { owner: owner.into(), told, read: None, settled: None, old: false }
    }
}

/// The objects of one kind that Channels have; `S` is what is remembered of the contents of one.
pub struct Children<S> {
    seen: Mutex<BTreeMap<ObjectKey, Seen<S>>>,
    /// Those that the watch told to be gone, until somebody asks.
    gone: Mutex<BTreeSet<ObjectKey>>,
}

impl<S> Default for Children<S> {
    fn default() -> Self {
        Self { seen: Mutex::default(), gone: Mutex::default() }
    }
}

impl<S: Clone> Children<S> {
    /// Takes in that the watch told of an object of the Channel `owner`; whether that is news.
    ///
    /// A version that the operator read or wrote itself is none, and neither is an older one.
    pub fn told(&self, key: ObjectKey, owner: &str, version: Option<&str>) -> bool {
        let told = number(version);
        self.gone_ones().remove(&key);
        let mut secrets = self.lock();
        let seen = secrets.entry(key).or_insert_with(|| Seen::new(owner, told));
        if *seen.owner != *owner {
            seen.owner = owner.into();
        }
        seen.told = told;
        let news = told == u64::MAX || seen.read.is_none_or(|(read, _)| read < told);
        if news {
            seen.settled = None;
        }
        news
    }

    /// Takes in an object of the Channel `owner` that the operator just read or wrote.
    pub fn read(&self, key: ObjectKey, owner: &str, version: Option<&str>) {
        self.gone_ones().remove(&key);
        let Some(version) = version.and_then(|version| version.parse().ok()) else { return };
        let mut secrets = self.lock();
        let seen = secrets.entry(key).or_insert_with(|| Seen::new(owner, 0));
        seen.read = Some((version, Instant::now()));
        (seen.settled, seen.old) = (None, false);
    }

    /// Remembers what was in the version that was read last, unless there is a newer one.
    pub fn settle(&self, key: &ObjectKey, settled: S) {
        if let Some(seen) = self.lock().get_mut(key)
            && seen.read.is_some_and(|(read, _)| seen.told <= read)
        {
            seen.settled = Some(settled);
        }
    }

    /// What is in an object as it is now; nothing where that is not known.
    pub fn settled(&self, key: &ObjectKey) -> Option<S> {
        let secrets = self.lock();
        let seen = secrets.get(key)?;
        seen.read.filter(|(_, at)| at.elapsed() < MEMORY).and_then(|_| seen.settled.clone())
    }

    /// Whether a Channel has such an object, as far as that was seen.
    pub fn has(&self, key: &ObjectKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Takes in that an object is gone; returns the Channel that it was of.
    pub fn gone(&self, key: &ObjectKey) -> Option<ChannelRef> {
        let seen = self.lock().remove(key)?;
        // Where the operator wrote one that the watch had not come to, an earlier one is gone.
        if seen.read.is_none_or(|(read, _)| read <= seen.told) {
            self.gone_ones().insert(key.clone());
        }
        Some(ChannelRef::new(&key.namespace, &*seen.owner))
    }

    /// Whether the watch told that an object is gone and of none in its place. That is said once: whether somebody has
    /// put one there meanwhile shows when it is made again, and then it is read.
    pub fn was_deleted(&self, key: &ObjectKey) -> bool {
        self.gone_ones().remove(key)
    }

    /// The names of the objects that carry the label of this Channel, as far as they were seen.
    pub fn of(&self, channel: &ChannelRef) -> Vec<String> {
        let first = ObjectKey { namespace: channel.namespace.clone(), name: String::new() };
        let secrets = self.lock();
        let here = secrets.range(first..).take_while(|(key, _)| key.namespace == channel.namespace);
        here.filter(|(_, seen)| *seen.owner == *channel.name).map(|(key, _)| key.name.clone()).collect()
    }

    /// Forgets those of other namespaces than these, and those that no watch has shown for as long as it takes to come
    /// here twice.
    pub fn keep(&self, namespaces: &BTreeSet<String>) {
        self.gone_ones().clear();
        self.lock().retain(|key, seen| {
            let old = std::mem::replace(&mut seen.old, true);
            namespaces.contains(&key.namespace) && (seen.told > 0 || !old)
        });
    }

    /// How many are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.lock().len() + self.gone_ones().len()
    }

    fn gone_ones(&self) -> MutexGuard<'_, BTreeSet<ObjectKey>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Seen<S>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use subrosa_plan::certificate::{Settled, TrustSources, trust_files};

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey { namespace: "cc-front".into(), name: "voice-mtls".into() }
    }

    fn settled() -> Settled {
        Settled::trust_alone(&trust_files(&TrustSources::default()).0)
    }

    #[test]
    fn what_the_operator_wrote_is_no_news_and_neither_is_what_was_before_it() {
        let secrets = Children::<Settled>::default();
        secrets.read(key(), "voice", Some("12"));
        assert!(!secrets.told(key(), "voice", Some("10")), "the watch lags behind two writes");
        assert!(!secrets.told(key(), "voice", Some("12")));
        assert!(secrets.told(key(), "voice", Some("13")), "somebody else wrote");
        assert!(secrets.told(key(), "voice", None), "nobody can tell");
    }

    #[test]
    fn what_was_read_is_believed_until_there_is_a_newer_version() {
        let secrets = Children::<Settled>::default();
        secrets.told(key(), "voice", Some("12"));
        assert!(secrets.settled(&key()).is_none(), "it was never read");
        secrets.settle(&key(), settled());
        assert!(secrets.settled(&key()).is_none(), "nor is what was not read settled");
        secrets.read(key(), "voice", Some("12"));
        secrets.settle(&key(), settled());
        assert!(secrets.settled(&key()).is_some());
        secrets.told(key(), "voice", Some("12"));
        assert!(secrets.settled(&key()).is_some());
        secrets.told(key(), "voice", Some("13"));
        assert!(secrets.settled(&key()).is_none());
        secrets.settle(&key(), settled());
        assert!(secrets.settled(&key()).is_none(), "the newer version came while the older one was judged");
    }

    #[test]
    fn whose_a_secret_was_is_known_when_it_is_gone() {
        let secrets = Children::<Settled>::default();
        let (voice, portal) = (ChannelRef::new("cc-front", "voice"), ChannelRef::new("cc-front", "portal"));
        secrets.told(key(), "portal", Some("1"));
        secrets.told(key(), "voice", Some("2"));
        assert_eq!((secrets.of(&voice), secrets.of(&portal)), (vec!["voice-mtls".to_owned()], Vec::new()));
        assert_eq!(secrets.gone(&key()), Some(voice));
        assert_eq!((secrets.gone(&key()), secrets.has(&key())), (None, false));
    }

    #[test]
    fn that_a_secret_is_gone_is_believed_once_and_not_after_another_was_seen() {
        let secrets = Children::<Settled>::default();
        assert!(!secrets.was_deleted(&key()), "nobody has told so");
        let gone = || {
            secrets.told(key(), "voice", Some("1"));
            secrets.gone(&key())
        };
        assert!(gone().is_some());
        assert!(secrets.was_deleted(&key()) && !secrets.was_deleted(&key()));
        assert!(gone().is_some());
        secrets.told(key(), "voice", Some("3"));
        assert!(!secrets.was_deleted(&key()), "the watch showed another");
        assert!(gone().is_some());
        secrets.read(key(), "voice", Some("5"));
        assert!(!secrets.was_deleted(&key()), "there was one when it was read");
        assert!(secrets.gone(&key()).is_some());
        assert!(!secrets.was_deleted(&key()), "it was the one before that");
    }
}
