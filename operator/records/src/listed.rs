//! The identities that have any record, so that a missing record is not read one by one.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::vault::{Folder, RecordPath, kv::Kv};

/// How long a list is valid. Only the leader writes records, and it knows its own writes; if somebody else added a
/// record meanwhile, the first write conflicts and the record is read.
const BELIEVED: Duration = Duration::from_secs(3600);

/// After a failed list, how long to read every record instead.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a list may take. Short, so that a withdrawal while Vault does not answer waits for one request and not
/// for two.
const PROMPT: Duration = Duration::from_secs(2);

/// The identities of the last list and of later writes.
#[derive(Default)]
pub(crate) struct Listed {
    state: Mutex<State>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    listed: Option<Instant>,
    failed: Option<Instant>,
    /// Hashes of the identities; a collision only costs a read.
    known: HashSet<u64>,
}

impl State {
    /// Whether an identity may have records; `None` where a new list is needed.
    fn may_have(&self, hash: u64) -> Option<bool> {
        let within = |at: Option<Instant>, time| at.is_some_and(|at| at.elapsed() < time);
        if self.known.contains(&hash) || within(self.failed, PAUSE) {
            return Some(true);
        }
        within(self.listed, BELIEVED).then_some(false)
    }
}

impl Listed {
    /// Whether the identity of `path` certainly has no records.
    pub(crate) async fn lacks(&self, kv: &Kv, folder: &Folder, path: &RecordPath) -> bool {
        let Some(hash) = path.identity().map(hash) else { return false };
        if let Some(may_have) = self.state().may_have(hash) {
            return !may_have;
        }
        let _one_at_a_time = self.one_at_a_time.lock().await;
        if let Some(may_have) = self.state().may_have(hash) {
            return !may_have;
        }
        let begun = Instant::now();
        let names = tokio::time::timeout(PROMPT, kv.list(folder)).await;
        let mut state = self.state();
        match names {
            Ok(Ok(names)) => {
                state.known.extend(names.iter().map(|name| self::hash(name)));
                (state.listed, state.failed) = (Some(begun), None);
            }
            // Vault may be set up for a release that did not list.
            Ok(Err(_)) | Err(_) => state.failed = Some(Instant::now()),
        }
        state.may_have(hash) == Some(false)
    }

    /// Notes a record that exists or is about to be written.
    pub(crate) fn add(&self, path: &RecordPath) {
        self.state().known.extend(path.identity().map(hash));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(identity: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use subrosa_crds::names::ChannelId;

    use super::*;

    #[test]
    fn only_a_list_of_the_last_hour_says_that_there_is_nothing() {
        let mut state = State::default();
        assert_eq!(state.may_have(1), None, "nobody has asked");
        state.known.insert(2);
        state.listed = Some(Instant::now());
        assert_eq!((state.may_have(1), state.may_have(2)), (Some(false), Some(true)));
        state.failed = Some(Instant::now());
        assert_eq!(state.may_have(1), Some(true), "what could not be listed is read");
        state.failed = Instant::now().checked_sub(PAUSE);
        state.listed = Instant::now().checked_sub(BELIEVED);
        assert_eq!((state.may_have(1), state.may_have(2)), (None, Some(true)), "that was long ago");
    }

    #[test]
    fn what_was_written_may_be_there_whatever_the_list_said() {
        let (listed, id) = (Listed::default(), ChannelId::mint("uid", "voice"));
        listed.state().listed = Some(Instant::now());
        assert_eq!(listed.state().may_have(hash(id.as_str())), Some(false));
        listed.add(&RecordPath::channel(&id));
        assert_eq!(listed.state().may_have(hash(id.as_str())), Some(true));
    }
}
