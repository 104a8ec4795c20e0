//! The operator's last write of each object's status, because the watch shows it with a delay.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long to wait for the watch; after that it counts as broken, and what it showed last is used.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest pause before looking again.
const GLANCE: Duration = Duration::from_millis(10);

/// A resource version as a number. Versions of one kind can be compared (Kubernetes 1.35, KEP-5504); one that is no
/// number counts as older than any.
pub type Version = u64;

/// The digest of a status.
pub type Content = [u8; 32];

/// The last write of one object's status.
enum Last {
    /// Answered: this content, in this version of the object, at this time.
    Answered(Content, Version, Instant),
    /// Failed or unanswered, so the current content is unknown.
    Unanswered,
}

/// The last write of each object, by UID.
#[derive(Default)]
pub struct Written(Mutex<HashMap<String, Last>>);

impl Written {
    /// Whether `content` must be written. `seen` is the version that the watch showed, and `same` says whether that
    /// version has this content.
    pub fn needs(&self, uid: &str, content: &Content, seen: Version, same: bool) -> bool {
        match self.lock().get(uid) {
            Some(Last::Unanswered) => true,
            // The watch is behind the last write, so compare with that.
            Some(Last::Answered(written, version, _)) if seen < *version => written != content,
            Some(Last::Answered(..)) | None => !same,
        }
    }

    /// How long to wait until the watch shows the last write, if it has only shown `seen`. A reconcile based on the
    /// older status would write new times and send its Events again.
    pub fn lags(&self, uid: &str, seen: Version, now: Instant) -> Option<Duration> {
        match self.lock().get(uid) {
            Some(Last::Answered(_, version, at)) if seen < *version => {
                let since = now.saturating_duration_since(*at);
                // Double the waiting time at each try, to spare a busy server.
                (since < PATIENCE).then(|| since.max(GLANCE))
            }
            _ => None,
        }
    }

    /// Notes that a write begins, which may succeed although its answer is lost.
    pub fn begins(&self, uid: &str) {
        self.lock().insert(uid.to_owned(), Last::Unanswered);
    }

    /// Notes the answer of a write.
    pub fn answered(&self, uid: &str, content: Content, version: Version) {
        self.lock().insert(uid.to_owned(), Last::Answered(content, version, Instant::now()));
    }

    /// Drops all objects but these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        let mut written = self.lock();
        written.retain(|uid, _| uids.contains(uid));
        let room = written.len().saturating_mul(2);
        written.shrink_to(room);
    }

    /// The number of objects with a known last write.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Content = [1; 32];
    const B: Content = [2; 32];

    #[test]
    fn without_a_write_of_ours_the_watch_is_believed() {
        let written = Written::default();
        assert!(!written.needs("uid", &A, 7, true));
        assert!(written.needs("uid", &A, 7, false));
    }

    #[test]
    fn a_watch_that_lags_causes_no_second_write_and_hides_no_first() {
        let written = Written::default();
        written.answered("uid", B, 8);
        assert!(!written.needs("uid", &B, 7, false), "written already");
        assert!(written.needs("uid", &A, 7, true), "the watch still shows A, and B stands there");
        assert!(written.needs("uid", &A, 8, false));
        assert!(!written.needs("uid", &A, 9, true), "somebody else put A back");
        written.keep(&BTreeSet::from(["another".to_owned()]));
        assert_eq!(written.len(), 0);
        assert!(!written.needs("uid", &A, 7, true));
    }

    #[test]
    fn the_watch_is_waited_for_and_not_for_long() {
        let written = Written::default();
        let soon = Instant::now();
        assert_eq!(written.lags("uid", 7, soon), None, "nothing was written");
        written.begins("uid");
        assert_eq!(written.lags("uid", 7, soon), None, "nobody knows which version to wait for");
        written.answered("uid", A, 8);
        assert_eq!(written.lags("uid", 7, soon), Some(GLANCE));
        assert!(written.lags("uid", 7, Instant::now() + PATIENCE / 2).unwrap() >= PATIENCE / 2);
        assert_eq!(written.lags("uid", 8, soon), None);
        assert_eq!(written.lags("another", 7, soon), None);
        assert_eq!(written.lags("uid", 7, Instant::now() + PATIENCE), None);
    }

    #[test]
    fn after_a_write_without_an_answer_nothing_is_taken_for_written() {
        let written = Written::default();
        written.begins("uid");
        assert!(written.needs("uid", &A, 7, true));
        written.answered("uid", A, 9);
        assert!(!written.needs("uid", &A, 7, true));
    }

    proptest! {
        /// A server, a watch that shows one of its versions so far, and writes whose answers may be lost: what is
        /// wanted stands there after each reconcile that was answered.
        #[test]
        fn what_is_wanted_ends_up_there(
            turns in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..3_u8), 1..40),
        ) {
            let (written, mut server, mut shown) = (Written::default(), vec![A], 0);
            for (wants_a, lag, fate) in turns {
                let wanted = if wants_a { A } else { B };
                shown = shown.max(lag.index(server.len()));
                if written.needs("uid", &wanted, shown as Version, server[shown] == wanted) {
                    written.begins("uid");
                    // Lost on the way there, lost on the way back, answered.
                    if fate > 0 {
                        server.push(wanted);
                    }
                    if fate < 2 {
                        continue;
                    }
                    written.answered("uid", wanted, (server.len() - 1) as Version);
                }
                prop_assert_eq!(server.last(), Some(&wanted));
            }
        }
    }
}
