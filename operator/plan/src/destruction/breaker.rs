//! The breaker: freezes destruction when too large a share of all keys is due and approved at once, until people approve again.
//!
//! The rate limit ([`pace`]) spreads destruction over hours and continues by itself; the breaker does not.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{Reason, destruction::digest_of};

use super::pace;
use crate::record::destroyer::{DestroyerRecord, Frozen};

/// The breaker never trips for fewer keys: in a small installation two keys may be half of all.
pub const FEWEST: u64 = 10;
/// How many lists the message names.
const MOST_NAMES: usize = 3;

/// An approved list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ready<'a> {
    /// The UID of the Destruction.
    pub uid: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How many of its keys may be set aside now.
    pub keys: u64,
}

/// The freeze, and the UIDs of the lists that caused it, where the keys of `ready` lists and those begun in the last hour are more
/// than `percent` of `all` keys. Lists that people were asked about before are not counted.
pub fn trips(
    record: &DestroyerRecord,
    ready: &[Ready<'_>],
    all: u64,
    percent: u64,
    now: Timestamp,
) -> Option<(Frozen, BTreeSet<String>)> {
    let is_asked = |uid: &str| record.asked.contains(uid);
    let waiting: Vec<_> = ready.iter().filter(|one| one.keys > 0 && !is_asked(one.uid)).collect();
    let begun = pace::recent(&record.begun, now).filter(|begun| !is_asked(&begun.destruction));
    let begun: u64 = begun.map(|begun| begun.keys).sum();
    let keys = begun + waiting.iter().map(|one| one.keys).sum::<u64>();
    let is_too_much =
        percent < 100 && keys >= FEWEST && keys.saturating_mul(100) > all.saturating_mul(percent);
    if waiting.is_empty() || !is_too_much {
        return None;
    }
    let names: Vec<_> = waiting.iter().take(MOST_NAMES).map(|one| one.name).collect();
    let others = waiting.len() - names.len();
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let message = format!(
        "{keys} of {all} data keys, more than {percent} %, are due and approved at once, by {}{others}",
        names.join(", ")
    );
    let reason = Reason::TooMuchDue.as_str();
    let frozen = Frozen {
        reason: reason.to_owned(),
        digest: digest_of(&(reason, &message, now)),
        message,
        since: now,
    };
    Some((frozen, waiting.iter().map(|one| one.uid.to_owned()).collect()))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::testing::now;

    fn list(uid: &str, keys: u64) -> Ready<'_> {
        Ready { uid, name: uid, keys }
    }

    fn tripped(record: &DestroyerRecord, ready: &[Ready<'_>], all: u64) -> Option<Vec<String>> {
        trips(record, ready, all, 50, now()).map(|(_, asked)| asked.into_iter().collect())
    }

    #[test]
    fn more_than_half_of_all_keys_at_once_is_asked_about() {
        let none = DestroyerRecord::default();
        assert_eq!(tripped(&none, &[list("a", 50)], 100), None);
        assert_eq!(tripped(&none, &[list("a", 51)], 100), Some(vec!["a".into()]));
        let two = [list("a", 30), list("b", 21), list("c", 0)];
        assert_eq!(tripped(&none, &two, 100), Some(vec!["a".into(), "b".into()]), "together");
        assert_eq!(tripped(&none, &[list("a", 9)], 9), None, "so few are never too much");
        assert_eq!(tripped(&none, &[list("a", 10)], 10), Some(vec!["a".into()]));
        assert!(trips(&none, &[list("a", 100)], 100, 100, now()).is_none(), "switched off");
        // Keys that were reserved in this hour and could not be set aside are ready again.
        let again = DestroyerRecord { begun: pace::with(&[], "a", 100, now()), ..none };
        assert!(trips(&again, &[list("a", 100)], 100, 100, now()).is_none(), "switched off");
    }

    #[test]
    fn what_was_begun_in_the_last_hour_counts() {
        let ago = |minutes| now() - SignedDuration::from_mins(minutes);
        let begun = |minutes| DestroyerRecord {
            begun: pace::with(&[], "a", 45, ago(minutes)),
            ..DestroyerRecord::default()
        };
        assert_eq!(tripped(&begun(59), &[list("b", 6)], 100), Some(vec!["b".into()]));
        assert_eq!(tripped(&begun(60), &[list("b", 6)], 100), None);
        assert_eq!(tripped(&begun(1), &[], 10), None, "nothing is left to ask about");
    }

    #[test]
    fn people_are_asked_once_about_a_list() {
        let asked = DestroyerRecord {
            begun: pace::with(&[], "a", 80, now()),
            asked: ["a".to_owned()].into(),
            ..DestroyerRecord::default()
        };
        assert_eq!(tripped(&asked, &[list("a", 80), list("b", 50)], 100), None);
        assert_eq!(tripped(&asked, &[list("a", 80), list("b", 51)], 100), Some(vec!["b".into()]));
    }

    #[test]
    fn the_message_names_lists_and_numbers() {
        let lists = [list("a", 20), list("b", 20), list("c", 20), list("d", 20)];
        let (frozen, _) = trips(&DestroyerRecord::default(), &lists, 100, 50, now()).unwrap();
        let told = "80 of 100 data keys, more than 50 %, are due and approved at once, by a, b, c and 1 more";
        assert_eq!((frozen.reason.as_str(), frozen.message.as_str()), ("TooMuchDue", told));
        let (later, _) =
            trips(&DestroyerRecord::default(), &lists, 100, 50, now() + SignedDuration::from_secs(1))
                .unwrap();
        assert_ne!(later.digest, frozen.digest, "an Approval is for one freeze");
    }
}
