//! The election as a state machine: what was read and written goes in, what to do next comes out.
//!
//! Times are readings of the candidate's own steady clock and are never compared with another's. Why two
//! candidates never lead at once: a term counts from before its write was **sent**; a challenger's wait
//! counts from after it **received** the record that it replaces, and its write is refused if that record
//! has changed. So the holder's term ends `lease - term` before the challenger's begins, as long as no
//! clock runs more than `lease / term` times as fast as another.
//!
//! A Lease that is not there may have been deleted under a holder that does not know yet. Making one gives
//! its maker nothing but a record to wait for like everybody else, under [`FOUNDED`].

use std::time::Duration;

/// The epoch of a Lease that was just made: nobody leads in it.
pub const FOUNDED: i32 = 0;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimings {
    /// How long a challenger must have seen the same record before it replaces it.
    pub lease: Duration,
    /// How long the holder may act after it sent the last write that was accepted.
    pub term: Duration,
    /// How long after a renewal was sent the next one is.
    pub renew: Duration,
    /// How long to wait after a failure, and between two looks of a challenger.
    pub pause: Duration,
}

impl Default for LeaseTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), term: seconds(10), renew: seconds(5), pause: seconds(1) }
    }
}

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; empty when it was given up.
    pub holder: String,
    /// How often it changed hands: the epoch of the holder.
    pub epoch: i32,
    /// The version of the object, by which a write is refused when somebody else wrote meanwhile. Also the
    /// only sign of life: the times in the record are from another machine's clock.
    pub version: String,
}

/// A write to attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// The version it replaces; none to create the Lease.
    pub replaces: Option<String>,
    /// The epoch it says.
    pub epoch: i32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionStep {
    /// Read the Lease, then say [`Elector::read`] or [`Elector::failed`].
    Read,
    /// Write this candidate's name, then say [`Elector::written`], [`Elector::refused`] or
    /// [`Elector::failed`].
    Write(Bid),
    /// Nothing until then.
    Wait(Duration),
    /// The term is over. There is no way back: the process ends.
    Lost,
}

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    me: String,
    terms: LeaseTimings,
    /// The newest record known, none where there is no Lease; and since when it is known.
    seen: Option<(Option<LeaseRecord>, Duration)>,
    /// Whether what is known was contradicted.
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
    /// A candidate that knows nothing yet. `me` must be no other's name, not even of an earlier process.
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

    /// The epoch it leads in and until when, if it was elected.
    pub fn term(&self) -> Option<(i32, Duration)> {
        match self.candidacy {
            Candidacy::Leader { epoch, until } => Some((epoch, until)),
            Candidacy::Challenger | Candidacy::Over => None,
        }
    }

    /// The newest record known.
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.seen.as_ref().and_then(|(record, _)| record.as_ref())
    }

    /// What to do at `now`.
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
        // One's own name is there when the answer to the write was lost.
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

    /// The Lease was read; the answer came at `now`.
    pub fn read(&mut self, now: Duration, record: Option<LeaseRecord>) {
        if let Candidacy::Leader { epoch, .. } = self.candidacy
            && !record.as_ref().is_some_and(|record| record.holder == self.me && record.epoch == epoch)
        {
            self.candidacy = Candidacy::Over;
            return;
        }
        self.outdated = false;
        // A leader reads only to write; a challenger looks again later.
        if self.candidacy == Candidacy::Challenger {
            self.next = now.saturating_add(self.terms.pause);
        }
        if self.seen.as_ref().is_none_or(|(known, _)| *known != record) {
            self.seen = Some((record, now));
        }
    }

    /// A write sent at `sent` was accepted, and made this record; the answer came at `now`.
    pub fn written(&mut self, sent: Duration, now: Duration, record: LeaseRecord) {
        let (epoch, until) = (record.epoch, sent.saturating_add(self.terms.term));
        self.outdated = false;
        self.seen = Some((Some(record), now));
        self.next = sent.saturating_add(self.terms.renew).max(now);
        match self.candidacy {
            Candidacy::Over => {}
            // An answer that took as long as the term gives nothing.
            Candidacy::Leader { until: before, .. } if now >= before => self.candidacy = Candidacy::Over,
            Candidacy::Leader { .. } => self.candidacy = Candidacy::Leader { epoch, until },
            Candidacy::Challenger if epoch == FOUNDED => {}
            Candidacy::Challenger if now >= until => self.next = now,
            Candidacy::Challenger => self.candidacy = Candidacy::Leader { epoch, until },
        }
    }

    /// A write was refused: somebody else wrote since the record was read.
    pub fn refused(&mut self, now: Duration) {
        self.outdated = true;
        self.next = now;
    }

    /// A request had no answer, or none that helps. It may have had its effect.
    pub fn failed(&mut self, now: Duration) {
        self.outdated = true;
        self.next = now.saturating_add(self.terms.pause);
    }

    /// Has a leader renew now.
    pub fn hurry(&mut self, now: Duration) {
        self.next = self.next.min(now);
    }
}

#[cfg(test)]
mod tests;
