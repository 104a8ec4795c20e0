//! When each Channel is probed: at once after a change, with growing pauses while something is not current, and
//! rarely when everything is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use subrosa_crds::names::ChannelRef;
use subrosa_plan::probe::Targets;

/// The first and the longest pause while something is not current: a mounted Secret updates within two minutes, a
/// person may take days.
const WAITING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// The growth factor of the pause.
const GROWTH: f64 = 1.3;
/// The pause while everything is current.
const SETTLED: Duration = Duration::from_secs(600);

/// The Channels to probe, and when.
#[derive(Default)]
pub(super) struct Agenda {
    entries: BTreeMap<ChannelRef, Entry>,
    due: BTreeSet<(Instant, ChannelRef)>,
}

struct Entry {
    targets: Targets,
    /// How many rounds in a row it was not current.
    tries: u32,
    /// The next round; `None` during a round.
    due: Option<Instant>,
    /// Whether the targets changed during the round in progress.
    changed: bool,
}

impl Agenda {
    /// When the next round is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many Channels are on it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The current targets of the Channel.
    pub(super) fn targets(&self, name: &ChannelRef) -> Option<&Targets> {
        self.entries.get(name).map(|entry| &entry.targets)
    }

    /// Sets the targets of a Channel; a change is probed at once.
    pub(super) fn expect(&mut self, name: ChannelRef, targets: Option<Targets>, now: Instant) {
        let Some(targets) = targets.filter(|targets| !targets.pods.is_empty()) else {
            self.forget(&name);
            return;
        };
        match self.entries.get_mut(&name) {
            Some(entry) if entry.targets == targets => {}
            Some(entry) => {
                entry.targets = targets;
                entry.tries = 0;
                match entry.due.replace(now) {
                    Some(before) => {
                        self.due.remove(&(before, name.clone()));
                        self.due.insert((now, name));
                    }
                    // One round at a time: the next begins when this one ends.
                    None => (entry.due, entry.changed) = (None, true),
                }
            }
            None => {
                self.due.insert((now, name.clone()));
                self.entries.insert(name, Entry { targets, tries: 0, due: Some(now), changed: false });
            }
        }
    }

    /// Begins the rounds that are due.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<(ChannelRef, Targets)> {
        let mut begun = Vec::new();
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, name)) = self.due.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.due = None;
                begun.push((name, entry.targets.clone()));
            }
        }
        begun
    }

    /// Notes the end of a round, and whether everything was current; `jitter` spreads the rounds.
    pub(super) fn ended(&mut self, name: &ChannelRef, current: bool, now: Instant, jitter: f64) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let pause = if std::mem::take(&mut entry.changed) {
            Duration::ZERO
        } else if current {
            entry.tries = 0;
            SETTLED.mul_f64(jitter)
        } else {
            let grown = WAITING.0.mul_f64(GROWTH.powi(entry.tries.min(40).cast_signed()));
            entry.tries = entry.tries.saturating_add(1);
            grown.min(WAITING.1).mul_f64(jitter)
        };
        let at = now + pause;
        if let Some(before) = entry.due.replace(at) {
            self.due.remove(&(before, name.clone()));
        }
        self.due.insert((at, name.clone()));
    }

    /// Drops a Channel.
    pub(super) fn forget(&mut self, name: &ChannelRef) {
        if let Some(Entry { due: Some(at), .. }) = self.entries.remove(name) {
            self.due.remove(&(at, name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_crds::channel::ListenerTls;
    use subrosa_plan::{
        probe::Whose,
        world::{answers::PodTarget, certificate::Fingerprint},
    };

    use super::*;

    fn name() -> ChannelRef {
        ChannelRef::new("cc-data", "db")
    }

    fn targets(serial: &str) -> Targets {
        let pod = PodTarget { ip: [127, 0, 0, 1].into(), running_since: None };
        Targets {
            certificate: Some(Fingerprint(std::array::from_fn(|at| {
                serial.as_bytes().get(at).copied().unwrap_or_default()
            }))),
            whose: Whose::OfAll,
            server_name: None,
            authorities: Vec::new(),
            listeners: [(5432, ListenerTls::Direct)].into(),
            pods: [("db-0".to_owned(), pod)].into(),
        }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn news_is_probed_at_once_and_what_is_known_is_not() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.expect(name(), Some(targets("0a")), now);
        assert_eq!(agenda.begin(now), [(name(), targets("0a"))]);
        assert_eq!(agenda.next(), None, "one round at a time");
        agenda.ended(&name(), true, now, 1.0);
        assert_eq!(agenda.next(), Some(now + SETTLED));
        agenda.expect(name(), Some(targets("0a")), now);
        assert_eq!(agenda.next(), Some(now + SETTLED), "the same again is no news");
        agenda.expect(name(), Some(targets("0b")), now);
        assert_eq!(agenda.begin(now), [(name(), targets("0b"))]);
    }

    #[test]
    fn what_changes_during_a_round_is_probed_after_it() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.expect(name(), Some(targets("0a")), now);
        agenda.begin(now);
        agenda.expect(name(), Some(targets("0b")), now);
        assert_eq!(agenda.next(), None);
        agenda.ended(&name(), false, now, 1.0);
        assert_eq!(agenda.begin(now), [(name(), targets("0b"))]);
    }

    #[test]
    fn the_pauses_grow_while_something_is_late_and_begin_again_after_a_change() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.expect(name(), Some(targets("0a")), now);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let at = agenda.next().unwrap();
            assert_eq!(agenda.begin(at).len(), 1);
            agenda.ended(&name(), false, at, 1.0);
            pauses.push(agenda.next().unwrap() - at);
        }
        assert_eq!(pauses[..3], [seconds(2.0), seconds(2.6), seconds(3.38)]);
        assert!(pauses.is_sorted() && pauses.last() == Some(&WAITING.1), "{pauses:?}");
        agenda.expect(name(), Some(targets("0b")), now);
        agenda.begin(now);
        agenda.ended(&name(), false, now, 1.0);
        assert_eq!(agenda.next(), Some(now + WAITING.0));
    }

    #[test]
    fn what_is_gone_is_not_probed() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        agenda.expect(name(), Some(targets("0a")), now);
        agenda.expect(name(), None, now);
        assert_eq!(agenda.next(), None);
        agenda.expect(name(), Some(targets("0a")), now);
        agenda.begin(now);
        agenda.expect(name(), Some(Targets { pods: BTreeMap::new(), ..targets("0a") }), now);
        agenda.ended(&name(), true, now, 1.0);
        assert_eq!(agenda.next(), None, "the round that was under way begins no other");
    }
}
