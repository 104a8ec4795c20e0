//! Limits how many keys are set aside or condemned per hour, so that a mistake that passed every check is found
//! early.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::record::destroyer::Begun;

/// The most that may be set aside within an hour, and the most that may be condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Destructions.
    pub batches: usize,
    /// Keys, in percent of all data keys; at least one.
    pub percent: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batches: 3, percent: 5 }
    }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How many of `wanted` more keys of `destruction` may be set aside or condemned now. `all` is the number of data
/// keys, `done` is what the last hour had.
pub fn allowance(
    done: &[Begun],
    limits: Limits,
    destruction: &str,
    wanted: u64,
    all: u64,
    now: Timestamp,
) -> u64 {
    let recent: Vec<_> = recent(done, now).collect();
    let is_under_way = recent.iter().any(|begun| begun.destruction == destruction);
    let others: BTreeSet<_> =
        recent.iter().map(|begun| begun.destruction.as_str()).filter(|one| *one != destruction).collect();
    if !is_under_way && others.len() >= limits.batches {
        return 0;
    }
    let most = (all.saturating_mul(limits.percent) / 100).max(1);
    let used = recent.iter().map(|begun| begun.keys).sum();
    wanted.min(most.saturating_sub(used))
}

/// The entries of the last hour, with `keys` more of `destruction` at `now`.
#[must_use]
pub fn with(done: &[Begun], destruction: &str, keys: u64, now: Timestamp) -> Vec<Begun> {
    let more = Begun { at: now, destruction: destruction.to_owned(), keys };
    recent(done, now).cloned().chain([more]).collect()
}

/// The entries without the `unused` keys of what was reserved for `destruction` at `at`: a look may end before it has set aside
/// or condemned as many as it reserved.
#[must_use]
pub fn without(done: &[Begun], destruction: &str, unused: u64, at: Timestamp) -> Vec<Begun> {
    let left = done.iter().cloned().filter_map(|mut begun| {
        if begun.at == at && begun.destruction == destruction {
            begun.keys = begun.keys.saturating_sub(unused);
        }
        (begun.keys > 0).then_some(begun)
    });
    left.collect()
}

// Entries in the future come from a wrong clock. They count, until the clocks are trusted again.
pub(super) fn recent(begun: &[Begun], now: Timestamp) -> impl Iterator<Item = &Begun> {
    begun.iter().filter(move |begun| now.duration_since(begun.at) < HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now;

    fn after(minutes: i64) -> Timestamp {
        now() + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn a_share_of_all_keys_in_an_hour_and_at_least_one() {
        let limits = Limits::default();
        assert_eq!(allowance(&[], limits, "a", 1000, 200, now()), 10);
        assert_eq!(allowance(&[], limits, "a", 4, 200, now()), 4);
        assert_eq!(allowance(&[], limits, "a", 4, 3, now()), 1);
        let done = with(&[], "a", 10, now());
        assert_eq!(allowance(&done, limits, "a", 1000, 200, after(59)), 0);
        assert_eq!(allowance(&done, limits, "a", 1000, 200, after(60)), 10);
        // Each key has an hour of its own: what came late in it does not double the next one.
        let done = with(&with(&[], "a", 1, now()), "a", 9, after(59));
        assert_eq!(allowance(&done, limits, "a", 9, 200, after(60)), 1);
    }

    #[test]
    fn what_was_reserved_and_not_used_is_given_back() {
        let limits = Limits { batches: 1, percent: 50 };
        let reserved = with(&with(&[], "a", 3, now()), "a", 97, after(1));
        assert_eq!(allowance(&reserved, limits, "a", 60, 200, after(2)), 0);
        let left = without(&reserved, "a", 60, after(1));
        assert_eq!(allowance(&left, limits, "a", 100, 200, after(2)), 60);
        for other in [without(&reserved, "b", 60, after(1)), without(&reserved, "a", 60, after(2))] {
            assert_eq!(other, reserved, "another reservation");
        }
        // Nothing was used: it is no batch of this hour either.
        let none = without(&with(&[], "a", 5, now()), "a", 5, now());
        assert_eq!(allowance(&none, limits, "b", 5, 200, after(1)), 5);
    }

    #[test]
    fn three_batches_in_an_hour() {
        let done = ["a", "b", "c"].iter().fold(Vec::new(), |all, one| with(&all, one, 1, now()));
        let limits = Limits::default();
        assert_eq!(allowance(&done, limits, "d", 5, 10_000, after(10)), 0);
        assert_eq!(allowance(&done, limits, "b", 5, 10_000, after(10)), 5, "one of the three goes on");
        assert_eq!(allowance(&done, limits, "d", 5, 10_000, after(61)), 5);
        assert_eq!(with(&done, "d", 1, after(61)).len(), 1, "what is past is dropped");
    }
}
