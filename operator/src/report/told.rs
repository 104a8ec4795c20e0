//! Which Events of those that a record keeps the API server has taken. They leave the record with its next write.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::SignedDuration;

/// After what time an Event that the API server did not take is published again: at first, and at the most.
const AGAIN: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(1), SignedDuration::from_hours(1));

/// What was told of objects, by their UID.
#[derive(Default)]
pub struct ToldNews(Mutex<HashMap<String, Of>>);

/// What was told of one object.
#[derive(Default)]
struct Of {
    /// The marks of what was told. As long as the record has it.
    marks: BTreeSet<String>,
    /// How often in a row something could not be told.
    failures: u32,
}

impl ToldNews {
    /// The marks of what was told of an object.
    pub fn of(&self, uid: &str) -> BTreeSet<String> {
        self.lock().get(uid).map(|of| of.marks.clone()).unwrap_or_default()
    }

    /// Notes what of an object's record was told, and forgets the rest. How long to wait before what is `left` is told
    /// again: twice as long each time.
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

    /// Forgets all objects but these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Of>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
