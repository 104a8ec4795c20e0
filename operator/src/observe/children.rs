//! A cache for one kind of objects that Channels own. Their watch delivers only metadata, so contents must be read; a
//! summary of what was read is kept until the watch shows a newer version.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::watch::ObjectKey;
use subrosa_crds::names::ChannelRef;

/// How long a summary is valid although the watch shows nothing newer. So an object is read again at the hourly
/// resync.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// A resource version as a number. Versions of one kind can be compared (Kubernetes 1.35, KEP-5504); one that is no
/// number counts as newer than any.
fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

/// One object, with a summary of its content.
struct Seen<S> {
    /// The Channel named by its label, in the same namespace.
    owner: Box<str>,
    /// The version that the watch showed last.
    told: u64,
    /// The version that the operator read or wrote last, and when.
    read: Option<(u64, Instant)>,
    /// The summary of that version, where it needed no change, and the UID of the Channel that owns it.
    settled: Option<(Box<str>, S)>,
    /// Whether it was here at the last clean-up, so that the watch has had time to show it.
    old: bool,
}

impl<S> Seen<S> {
    fn new(owner: &str, told: u64) -> Self {
        Self { owner: owner.into(), told, read: None, settled: None, old: false }
    }
}

/// The objects of one kind that Channels own; `S` is the summary of one's content.
pub struct Children<S> {
    seen: Mutex<BTreeMap<ObjectKey, Seen<S>>>,
    /// Deleted objects, by the watch, until somebody asks.
    gone: Mutex<BTreeSet<ObjectKey>>,
}

impl<S> Default for Children<S> {
    fn default() -> Self {
        Self { seen: Mutex::default(), gone: Mutex::default() }
    }
}

impl<S: Clone> Children<S> {
    /// Takes in a version of an object of the Channel `owner` from the watch. Returns whether it is news.
    ///
    /// Versions that the operator read or wrote itself, and older ones, are not.
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

    /// Stores the summary of the version that was read last, unless the watch showed a newer one. `uid` is that of the
    /// Channel that owns it.
    pub fn settle(&self, key: &ObjectKey, uid: &str, settled: S) {
        if let Some(seen) = self.lock().get_mut(key)
            && seen.read.is_some_and(|(read, _)| seen.told <= read)
        {
            seen.settled = Some((uid.into(), settled));
        }
    }

    /// The summary of an object that the Channel with this UID owns; `None` where unknown or outdated. What an earlier
    /// Channel of the name left is read, and taken back, before the garbage collector deletes it.
    pub fn settled(&self, key: &ObjectKey, uid: &str) -> Option<S> {
        let secrets = self.lock();
        let seen = secrets.get(key)?;
        seen.read.filter(|(_, at)| at.elapsed() < MEMORY)?;
        seen.settled.as_ref().filter(|(of, _)| **of == *uid).map(|(_, settled)| settled.clone())
    }

    /// Whether the object was seen.
    pub fn has(&self, key: &ObjectKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Takes in a deletion; returns the Channel that owned the object.
    pub fn gone(&self, key: &ObjectKey) -> Option<ChannelRef> {
        let seen = self.lock().remove(key)?;
        // If the operator wrote a newer version than the watch has shown, the deletion is of an earlier object.
        if seen.read.is_none_or(|(read, _)| read <= seen.told) {
            self.gone_ones().insert(key.clone());
        }
        Some(ChannelRef::new(&key.namespace, &*seen.owner))
    }

    /// Whether the watch showed that the object was deleted and none has replaced it. True only once: if somebody
    /// made another one meanwhile, creating ours fails, and then it is read.
    pub fn was_deleted(&self, key: &ObjectKey) -> bool {
        self.gone_ones().remove(key)
    }

    /// The names of the seen objects with the label of this Channel.
    pub fn of(&self, channel: &ChannelRef) -> Vec<String> {
        let first = ObjectKey { namespace: channel.namespace.clone(), name: String::new() };
        let secrets = self.lock();
        let here = secrets.range(first..).take_while(|(key, _)| key.namespace == channel.namespace);
        here.filter(|(_, seen)| *seen.owner == *channel.name).map(|(key, _)| key.name.clone()).collect()
    }

    /// Drops objects of other namespaces than these, and those that no watch has shown between two calls.
    pub fn keep(&self, namespaces: &BTreeSet<String>) {
        self.gone_ones().clear();
        self.lock().retain(|key, seen| {
            let old = std::mem::replace(&mut seen.old, true);
            namespaces.contains(&key.namespace) && (seen.told > 0 || !old)
        });
    }

    /// The number of entries.
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

    const UID: &str = "5b1a";

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
        assert!(secrets.settled(&key(), UID).is_none(), "it was never read");
        secrets.settle(&key(), UID, settled());
        assert!(secrets.settled(&key(), UID).is_none(), "nor is what was not read settled");
        secrets.read(key(), "voice", Some("12"));
        secrets.settle(&key(), UID, settled());
        assert!(secrets.settled(&key(), UID).is_some());
        secrets.told(key(), "voice", Some("12"));
        assert!(secrets.settled(&key(), UID).is_some());
        assert!(secrets.settled(&key(), "another").is_none(), "a Channel made anew does not own it");
        secrets.told(key(), "voice", Some("13"));
        assert!(secrets.settled(&key(), UID).is_none());
        secrets.settle(&key(), UID, settled());
        assert!(
            secrets.settled(&key(), UID).is_none(),
            "the newer version came while the older one was judged"
        );
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
