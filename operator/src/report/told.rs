//! Which of the Events that records keep were accepted by the API server. They leave the record with its next write.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::SignedDuration;

/// The first and the longest pause before a refused Event is sent again.
const AGAIN: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(1), SignedDuration::from_hours(1));

/// The sent Events by the object's UID.
#[derive(Default)]
pub struct ToldNews(Mutex<HashMap<String, Of>>);

/// The sent Events of one object.
#[derive(Default)]
struct Of {
    /// The marks of sent Events, as long as the record keeps them.
    marks: BTreeSet<String>,
    /// How many tries failed in a row.
    failures: u32,
}

impl ToldNews {
    /// The marks of the sent Events of an object.
    pub fn of(&self, uid: &str) -> BTreeSet<String> {
        self.lock().get(uid).map(|of| of.marks.clone()).unwrap_or_default()
    }

    /// Replaces the sent marks of an object. Returns when to retry what is `left`; the pause doubles each time.
    pub fn set(&self, uid: &str, marks: BTreeSet<String>, left: bool) -> Option<SignedDuration> {
        let mut all = self.lock();
        if marks.is_empty() && !left {
            all.remove(uid);
            return None;
        }
        let of = all.entry(uid.to_owned()).or_default();
        of.marks = marks;
        if !left {
            of.failures = 0;
            return None;
        }
        let pause = AGAIN.0.saturating_mul(1 << of.failures.min(10)).min(AGAIN.1);
        of.failures = of.failures.saturating_add(1);
        Some(pause)
    }

    /// Drops all objects but these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Of>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
