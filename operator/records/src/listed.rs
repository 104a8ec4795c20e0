//! Of which identities there are records: of one that is not among them none need be read.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::vault::{Folder, RecordPath, kv::Kv};

/// How long a list is believed. Only the process that leads writes records, and it knows what it wrote itself; a record
/// that somebody else put there meanwhile makes a first write fail, and then it is read.
const BELIEVED: Duration = Duration::from_secs(3600);

/// How long after a list that failed none is tried: until then everything is read.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a list may take. What is withdrawn while Vault does not answer waits for a read already, and not for two.
const PROMPT: Duration = Duration::from_secs(2);

/// The identities of a list, and those of which records were written since.
#[derive(Default)]
pub(crate) struct Listed {
    state: Mutex<State>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    listed: Option<Instant>,
    failed: Option<Instant>,
    /// Hashes of the identities: two that have the same one cost a read.
    known: HashSet<u64>,
}

impl State {
    /// Whether there may be records of an identity; nothing where that has to be asked.
    fn may_have(&self, hash: u64) -> Option<bool> {
        let within = |at: Option<Instant>, time| at.is_some_and(|at| at.elapsed() < time);
        if self.known.contains(&hash) || within(self.failed, PAUSE) {
            return Some(true);
        }
        within(self.listed, BELIEVED).then_some(false)
    }
}

impl Listed {
    /// Whether there are no records of the identity that `path` belongs to; false where that is not certain.
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
            // Vault may be set up for a release that listed nothing.
            Ok(Err(_)) | Err(_) => state.failed = Some(Instant::now()),
        }
        state.may_have(hash) == Some(false)
    }

    /// Notes that a record is there, or about to be written.
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
