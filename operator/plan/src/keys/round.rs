//! Which keys are checked next: all of them soon after the start, then each once in half a day.

use subrosa_crds::names::ChannelId;

/// The fewest keys of one batch.
const LEAST: usize = 8;
/// The most keys of one batch, and the size of batches until each key was checked once: some thousands a minute.
const MOST: usize = 1000;

/// The progress of checking all keys of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The identities that have keys, in order.
    ids: Vec<ChannelId>,
    /// How many keys they have together.
    keys: usize,
    /// The next key: its identity, and its index among that identity's keys.
    next: Option<(ChannelId, usize)>,
    /// How many checks remain until each key was checked once.
    first: usize,
    /// How many checks remain in this round.
    left: usize,
}

impl Round {
    /// Continues from `before`, where these identities have `keys` keys now. The first round begins at a random
    /// `share` (0 to 1) of the identities, so that an operator that restarts often does not check the same keys each
    /// time.
    #[must_use]
    pub fn of(before: Option<Self>, mut ids: Vec<ChannelId>, keys: usize, share: f64) -> Self {
        ids.sort_unstable();
        match before {
            Some(before) => {
                let still = |left: usize| match left {
                    0 => 0,
                    left => (left + keys).saturating_sub(before.keys),
                };
                let (first, left) = (still(before.first), still(before.left));
                Self { ids, keys, next: before.next, first, left }
            }
            None => {
                let at = (ids.len() as f64 * share.clamp(0.0, 1.0)) as usize;
                let next = ids.get(at).cloned().map(|id| (id, 0));
                Self { ids, keys, next, first: keys, left: keys }
            }
        }
    }

    /// Whether each key was checked at least once.
    pub fn is_whole(&self) -> bool {
        self.first == 0
    }

    /// Whether a round has ended since this was last asked.
    pub fn ended(&mut self) -> bool {
        let ended = self.left == 0;
        if ended {
            self.left = self.keys;
        }
        ended
    }

    /// How many identities there are.
    pub fn identities(&self) -> usize {
        self.ids.len()
    }

    /// How many keys to check when `share` of the time of a whole round has passed since the last batch.
    pub fn due(&self, share: f64) -> usize {
        // Precision is lost beyond 2^52 keys.
        let spread = (self.keys as f64 * share).ceil() as usize;
        let due = if self.is_whole() { spread } else { MOST };
        due.clamp(LEAST, MOST).min(self.keys)
    }

    /// The identity whose keys are next, and the index to begin at.
    pub fn place(&self) -> Option<(ChannelId, usize)> {
        let first = self.ids.first()?;
        let Some((id, from)) = &self.next else { return Some((first.clone(), 0)) };
        let here = self.ids.get(self.ids.partition_point(|one| one < id)).unwrap_or(first);
        Some((here.clone(), if here == id { *from } else { 0 }))
    }

    /// Notes that `count` keys of the identity in [place](Self::place) were checked, and whether it has more.
    pub fn looked(&mut self, count: usize, more: bool) {
        let Some((id, from)) = self.place() else { return };
        self.first = self.first.saturating_sub(count);
        self.left = self.left.saturating_sub(count);
        self.next = if more {
            Some((id, from + count))
        } else {
            let after = self.ids.partition_point(|one| *one <= id);
            self.ids.get(after).cloned().map(|id| (id, 0))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<ChannelId> {
        (0..count).map(|number| ChannelId::mint("uid", &format!("c{number}"))).collect()
    }

    /// Looks at up to `count` keys, of which each identity has three.
    fn look(round: &mut Round, count: usize) -> Vec<(ChannelId, usize)> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let (id, from) = round.place().unwrap();
            let some = (3 - from).min(count - seen.len());
            seen.extend((from..from + some).map(|key| (id.clone(), key)));
            round.looked(some, from + some < 3);
        }
        seen
    }

    #[test]
    fn each_key_is_looked_at_once_in_a_round_wherever_it_begins() {
        for share in [0.0, 0.5, 0.99, 1.0] {
            let mut round = Round::of(None, ids(10), 30, share);
            let mut seen = Vec::new();
            while !round.is_whole() {
                seen.extend(look(&mut round, 4));
            }
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 30, "{share}");
        }
    }

    #[test]
    fn the_first_round_is_prompt_and_the_next_are_spread() {
        let mut round = Round::of(None, ids(10_000), 30_000, 0.3);
        assert_eq!(round.due(0.0), MOST);
        let mut looks = 0;
        while !round.is_whole() {
            let due = round.due(0.0);
            look(&mut round, due);
            looks += 1;
        }
        assert_eq!(looks, 30);
        assert_eq!((round.due(0.0), round.due(0.01), round.due(7.0)), (LEAST, 300, MOST));
        let empty = Round::of(None, Vec::new(), 0, 0.7);
        assert!(empty.is_whole() && empty.place().is_none() && empty.due(1.0) == 0);
    }

    #[test]
    fn each_round_ends_once() {
        let mut round = Round::of(None, ids(10), 30, 0.5);
        for _ in 0..3 {
            look(&mut round, 29);
            assert!(!round.ended());
            look(&mut round, 1);
            assert!(round.ended() && !round.ended());
        }
        assert!(Round::of(None, Vec::new(), 0, 0.0).ended(), "there is nothing to look at");
    }

    #[test]
    fn a_round_goes_on_where_it_was_when_identities_come_and_go() {
        let all = ids(10);
        let mut round = Round::of(None, all.clone(), 30, 0.0);
        look(&mut round, 4);
        let (id, from) = round.place().unwrap();
        assert_eq!(from, 1);
        let mut more = ids(11);
        let round_on = Round::of(Some(round.clone()), more.clone(), 33, 0.9);
        assert_eq!((round_on.place(), round_on.first), (Some((id.clone(), 1)), 29));
        more.retain(|one| *one != id);
        let without = Round::of(Some(round), more.clone(), 30, 0.9);
        more.sort();
        let after = more.iter().find(|one| **one > id).or(more.first()).unwrap();
        assert_eq!(without.place(), Some((after.clone(), 0)));
    }
}
