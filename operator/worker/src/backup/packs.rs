//! Whole packs, read once and compared with their names, from which parts are read many times.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rustic_core::Id;

/// How many packs are kept. Restores read in the order of packs, so a few are enough for all readers.
const KEPT: usize = 6;

type Slot = Arc<Mutex<Option<Bytes>>>;

/// The last packs. Several readers of one pack wait for one read.
#[derive(Default)]
pub(super) struct Packs {
    slots: Mutex<VecDeque<(Id, Slot)>>,
}

impl Packs {
    /// The pack, from `read` if it is not among the last ones.
    pub fn get<E>(&self, id: Id, read: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let slot = self.slot(id);
        let mut content = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = content.as_ref() {
            return Ok(content.clone());
        }
        let fresh = read()?;
        *content = Some(fresh.clone());
        Ok(fresh)
    }

    fn slot(&self, id: Id) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = slots.iter().position(|(kept, _)| *kept == id)
            && let Some(slot) = slots.remove(at)
        {
            let found = Arc::clone(&slot.1);
            slots.push_back(slot);
            return found;
        }
        if slots.len() >= KEPT {
            slots.pop_front();
        }
        let slot = Slot::default();
        slots.push_back((id, Arc::clone(&slot)));
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_pack_is_read_once_while_it_is_among_the_last() {
        let (packs, reads) = (Packs::default(), Cell::new(0));
        let get = |number: u8| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, ()>(Bytes::from(vec![number]))
            };
            packs.get(Id::new([number; 32]), read).unwrap()
        };
        for _ in 0..3 {
            assert_eq!(get(1), [1].as_slice());
        }
        assert_eq!(reads.get(), 1);
        for number in 2..=7 {
            get(number);
        }
        get(1);
        assert_eq!(reads.get(), 8, "it was forgotten");
        assert!(packs.get(Id::new([9; 32]), || Err(())).is_err());
        assert_eq!(get(9), [9].as_slice(), "a failure is not kept");
    }
}
