//! The election as a state machine: results of reads and writes go in, the next step comes out.
//!
//! Times are readings of the candidate's own monotonic clock and are never compared with another's. Two candidates
//! never lead at once, because a term is counted from before its write was **sent**, while a challenger counts its
//! wait from after it **received** the record that it replaces, and its write is refused if that record has changed.
//! So the holder's term ends `lease - term` before the challenger's begins, as long as no clock runs more than `lease
//! / term` times as fast as another.
//!
//! A missing Lease may have been deleted while its holder still leads. So whoever creates one only creates a record
//! of epoch [`FOUNDED`], and then waits like everybody else.

use std::time::Duration;

/// The epoch of a new Lease, in which nobody leads.
pub const FOUNDED: i32 = 0;

/// The durations of the election.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimings {
    /// How long a challenger must see the same record before it replaces it.
    pub lease: Duration,
    /// How long the holder may act after it sent its last accepted write.
    pub term: Duration,
    /// The time between sending two renewals.
    pub renew: Duration,
    /// The pause after a failure, and between two reads of a challenger.
    pub pause: Duration,
}

impl Default for LeaseTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), term: seconds(10), renew: seconds(5), pause: seconds(1) }
    }
}

/// The content of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The holder; empty after a release.
    pub holder: String,
    /// The number of changes of holder, which is the holder's epoch.
    pub epoch: i32,
    /// The resource version, for optimistic concurrency. It is also the only sign of life, because the record's times
    /// come from another machine's clock.
    pub version: String,
}

/// A write to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// The version that it replaces; `None` to create the Lease.
    pub replaces: Option<String>,
    /// The epoch to write.
    pub epoch: i32,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionStep {
    /// Read the Lease, then call [`Elector::read`] or [`Elector::failed`].
    Read,
    /// Write this candidate's name, then call [`Elector::written`], [`Elector::refused`] or [`Elector::failed`].
    Write(Bid),
    /// Wait until then.
    Wait(Duration),
    /// The term is over for good: the process must end.
    Lost,
}

/// The state of one candidate.
#[derive(Debug)]
pub struct Elector {
    me: String,
    terms: LeaseTimings,
    /// The newest known record (`None` where there is no Lease), and since when it is known.
    seen: Option<(Option<LeaseRecord>, Duration)>,
    /// Whether the known record was contradicted.
    outdated: bool,
    next: Duration,
    candidacy: Candidacy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidacy {
    Challenger,
    Leader { epoch: i32, until: Duration },
    Over,
}

impl Elector {
    /// A candidate without knowledge. `me` must be unique, also among earlier processes.
    pub fn new(me: impl Into<String>, terms: LeaseTimings) -> Self {
        Self {
            me: me.into(),
            terms,
            seen: None,
            outdated: true,
            next: Duration::ZERO,
            candidacy: Candidacy::Challenger,
        }
    }

    /// The epoch and the end of its term, if it leads.
    pub fn term(&self) -> Option<(i32, Duration)> {
        match self.candidacy {
            Candidacy::Leader { epoch, until } => Some((epoch, until)),
            Candidacy::Challenger | Candidacy::Over => None,
        }
    }

    /// The newest known record.
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.seen.as_ref().and_then(|(record, _)| record.as_ref())
    }

    /// The next step at `now`.
    pub fn step(&mut self, now: Duration) -> ElectionStep {
        match self.candidacy {
            Candidacy::Over => ElectionStep::Lost,
            Candidacy::Leader { until, .. } if now >= until => self.lose(),
            Candidacy::Leader { until, .. } if now < self.next => ElectionStep::Wait(self.next.min(until)),
            Candidacy::Leader { epoch, .. } => {
                self.bid_or_look(|record| Bid { replaces: Some(record.version.clone()), epoch })
            }
            Candidacy::Challenger => self.challenge(now),
        }
    }

    fn challenge(&self, now: Duration) -> ElectionStep {
        let Some((record, since)) = &self.seen else {
            return if now < self.next { ElectionStep::Wait(self.next) } else { ElectionStep::Read };
        };
        let free = since.saturating_add(self.terms.lease);
        // Its own name is there if the answer to its write was lost.
        let mine = |record: &LeaseRecord| record.holder == self.me && record.epoch != FOUNDED;
        let vacant =
            record.as_ref().is_none_or(|record| record.holder.is_empty() || mine(record) || now >= free);
        if vacant && !self.outdated {
            return ElectionStep::Write(match record {
                None => Bid { replaces: None, epoch: FOUNDED },
                Some(record) => {
                    let epoch = if mine(record) { record.epoch } else { record.epoch.saturating_add(1) };
                    Bid { replaces: Some(record.version.clone()), epoch }
                }
            });
        }
        let next = if self.outdated { self.next } else { self.next.min(free) };
        if now < next { ElectionStep::Wait(next) } else { ElectionStep::Read }
    }

    fn bid_or_look(&self, bid: impl Fn(&LeaseRecord) -> Bid) -> ElectionStep {
        match self.record() {
            Some(record) if !self.outdated => ElectionStep::Write(bid(record)),
            _ => ElectionStep::Read,
        }
    }

    fn lose(&mut self) -> ElectionStep {
        self.candidacy = Candidacy::Over;
        ElectionStep::Lost
    }

    /// The Lease was read, with the answer at `now`.
    pub fn read(&mut self, now: Duration, record: Option<LeaseRecord>) {
        if let Candidacy::Leader { epoch, .. } = self.candidacy
            && !record.as_ref().is_some_and(|record| record.holder == self.me && record.epoch == epoch)
        {
            self.candidacy = Candidacy::Over;
            return;
        }
        self.outdated = false;
        // A leader reads only to write; a challenger reads again later.
        if self.candidacy == Candidacy::Challenger {
            self.next = now.saturating_add(self.terms.pause);
        }
        if self.seen.as_ref().is_none_or(|(known, _)| *known != record) {
            self.seen = Some((record, now));
        }
    }

    /// A write sent at `sent` was accepted and created this record, with the answer at `now`.
    pub fn written(&mut self, sent: Duration, now: Duration, record: LeaseRecord) {
        let (epoch, until) = (record.epoch, sent.saturating_add(self.terms.term));
        self.outdated = false;
        self.seen = Some((Some(record), now));
        self.next = sent.saturating_add(self.terms.renew).max(now);
        match self.candidacy {
            Candidacy::Over => {}
            // An answer that took as long as the term is too late.
            Candidacy::Leader { until: before, .. } if now >= before => self.candidacy = Candidacy::Over,
            Candidacy::Leader { .. } => self.candidacy = Candidacy::Leader { epoch, until },
            Candidacy::Challenger if epoch == FOUNDED => {}
            Candidacy::Challenger if now >= until => self.next = now,
            Candidacy::Challenger => self.candidacy = Candidacy::Leader { epoch, until },
        }
    }

    /// A write was refused, because the record had changed.
    pub fn refused(&mut self, now: Duration) {
        self.outdated = true;
        self.next = now;
    }

    /// A request failed or got no usable answer. It may have taken effect.
    pub fn failed(&mut self, now: Duration) {
        self.outdated = true;
        self.next = now.saturating_add(self.terms.pause);
    }

    /// Makes a leader renew now.
    pub fn hurry(&mut self, now: Duration) {
        self.next = self.next.min(now);
    }
}

#[cfg(test)]
mod tests;
