//! What was told of what records keep to be told: it leaves the record with the next write of that.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The marks of what was told, by the UID of the object it is about. As long as the record has it.
#[derive(Default)]
pub struct Told(Mutex<HashMap<String, BTreeSet<String>>>);

impl Told {
    /// The marks of what was told of an object.
    pub fn of(&self, uid: &str) -> BTreeSet<String> {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Notes what of an object's record was told, and forgets the rest.
    pub fn set(&self, uid: &str, marks: BTreeSet<String>) {
        if marks.is_empty() {
            self.lock().remove(uid);
        } else {
            self.lock().insert(uid.to_owned(), marks);
        }
    }

    /// Forgets all objects but these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
