//! Two candidates whose clocks differ, a store that loses, delays and repeats: never two valid leaders.

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::*;

const MS: u64 = 1_000_000;

/// How a candidate's clock runs: from where, and how many thousandths of real time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    from: u64,
    rate: u64,
}

impl Clock {
    fn at(self, real: Duration) -> Duration {
        let nanos = u64::try_from(real.as_nanos()).unwrap();
        Duration::from_nanos(self.from + nanos / 1000 * self.rate)
    }
}

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Milliseconds until it reaches the store.
    there: u64,
    /// Milliseconds until the answer is back.
    back: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Answered,
    /// The request never arrives.
    Lost,
    /// It has its effect, and no answer.
    Unanswered,
    /// It arrives a second time, this much later.
    Repeated(u64),
}

/// What happens to a candidate or to the store, at a time.
#[derive(Clone, Copy, Debug)]
enum Incident {
    /// The process stands still for so many milliseconds, between any two of its steps.
    Stopped(usize, u64),
    /// Somebody touches the Lease without renewing it.
    Touched,
    /// Somebody deletes the Lease.
    Deleted,
    /// The process ends, and another begins under a new name.
    Restarted(usize),
}

/// The Lease, as the API server keeps it.
#[derive(Default)]
struct Server {
    record: Option<LeaseRecord>,
    version: u64,
}

impl Server {
    fn write(&mut self, who: &str, bid: &Bid) -> Option<LeaseRecord> {
        let current = self.record.as_ref().map(|record| record.version.clone());
        (current == bid.replaces).then(|| {
            self.version += 1;
            let record =
                LeaseRecord { holder: who.into(), epoch: bid.epoch, version: self.version.to_string() };
            self.record = Some(record.clone());
            record
        })
    }

    fn touch(&mut self) {
        self.version += 1;
        if let Some(record) = &mut self.record {
            record.version = self.version.to_string();
        }
    }
}

enum Message {
    Read,
    Write(Bid),
}

enum Answer {
    Read(Option<LeaseRecord>),
    Written(Option<LeaseRecord>),
}

/// A request on its way, by the real times in milliseconds at which things happen to it.
struct Flight {
    arrives: u64,
    again: Option<u64>,
    message: Message,
    life: usize,
    who: usize,
    back: u64,
    heard: bool,
}

struct Candidate {
    name: String,
    life: usize,
    elector: Elector,
    clock: Clock,
    /// Sent at (own clock), and the answer with the real time at which it is heard.
    waiting: Option<(Duration, u64, Option<Answer>)>,
    stopped_until: u64,
}

impl Candidate {
    fn new(who: usize, life: usize, clock: Clock) -> Self {
        let name = format!("candidate-{who}_{life}");
        Self {
            elector: Elector::new(name.clone(), LeaseTimings::default()),
            name,
            life,
            clock,
            waiting: None,
            stopped_until: 0,
        }
    }

    /// What [`Leadership`](super::super::Leadership) says at this real time.
    fn is_valid(&self, real: u64) -> bool {
        self.elector.term().is_some_and(|(_, until)| self.clock.at(Duration::from_millis(real)) < until)
    }
}

/// How long a candidate waits for an answer, as the campaign does.
const REQUEST: u64 = 2000;

/// One life of the world. Gives the epochs in which somebody led, and whether two ever did at once.
fn play(
    terms: LeaseTimings,
    clocks: [Clock; 2],
    fates: &[Fate],
    incidents: &[(u64, Incident)],
    end: u64,
) -> Result<Vec<i32>, String> {
    let mut server = Server::default();
    let mut candidates = [0, 1].map(|who| Candidate::new(who, 0, clocks[who]));
    for candidate in &mut candidates {
        candidate.elector.terms = terms;
    }
    let mut flights: Vec<Flight> = Vec::new();
    let mut fates = fates.iter().cycle();
    let mut epochs = Vec::new();
    for real in (0..end).step_by(20) {
        for (_, incident) in incidents.iter().filter(|(at, _)| (real..real + 20).contains(at)) {
            match *incident {
                Incident::Stopped(who, millis) => candidates[who].stopped_until = real + millis,
                Incident::Touched => server.touch(),
                Incident::Deleted => server.record = None,
                Incident::Restarted(who) => {
                    let life = candidates[who].life + 1;
                    candidates[who] = Candidate::new(who, life, clocks[who]);
                    candidates[who].elector.terms = terms;
                }
            }
        }
        for flight in &mut flights {
            let first = flight.arrives == real;
            if !first && flight.again != Some(real) {
                continue;
            }
            let name = format!("candidate-{}_{}", flight.who, flight.life);
            let answer = match &flight.message {
                Message::Read => Answer::Read(server.record.clone()),
                Message::Write(bid) => Answer::Written(server.write(&name, bid)),
            };
            let candidate = &mut candidates[flight.who];
            if first
                && flight.heard
                && candidate.life == flight.life
                && let Some((_, by, slot)) = &mut candidate.waiting
            {
                let back = real + flight.back;
                if back < *by {
                    (*by, *slot) = (back, Some(answer));
                }
            }
        }
        flights.retain(|flight| flight.arrives > real || flight.again.is_some_and(|again| again > real));
        for (who, candidate) in candidates.iter_mut().enumerate() {
            if real < candidate.stopped_until {
                continue;
            }
            let now = candidate.clock.at(Duration::from_millis(real));
            if let Some((sent, by, _)) = &candidate.waiting {
                if real < *by {
                    continue;
                }
                let sent = *sent;
                match candidate.waiting.take().and_then(|(_, _, answer)| answer) {
                    None => candidate.elector.failed(now),
                    Some(Answer::Read(record)) => candidate.elector.read(now, record),
                    Some(Answer::Written(None)) => candidate.elector.refused(now),
                    Some(Answer::Written(Some(record))) => {
                        candidate.elector.written(sent, now, record);
                        if let Some((epoch, _)) = candidate.elector.term() {
                            epochs.push(epoch);
                        }
                    }
                }
            }
            let message = match candidate.elector.step(now) {
                ElectionStep::Read => Message::Read,
                ElectionStep::Write(bid) => Message::Write(bid),
                ElectionStep::Wait(_) => continue,
                ElectionStep::Lost => {
                    let life = candidate.life + 1;
                    *candidate = Candidate::new(who, life, clocks[who]);
                    candidate.elector.terms = terms;
                    continue;
                }
            };
            candidate.waiting = Some((now, real + REQUEST, None));
            let fate = fates.next().copied().unwrap();
            let grid = |millis: u64| (real + 20 + millis).next_multiple_of(20);
            if fate.kind != Kind::Lost {
                let again = match fate.kind {
                    Kind::Repeated(later) => Some(grid(fate.there + later)),
                    _ => None,
                };
                flights.push(Flight {
                    arrives: grid(fate.there),
                    again,
                    message,
                    life: candidate.life,
                    who,
                    back: fate.back,
                    heard: fate.kind != Kind::Unanswered,
                });
            }
        }
        if candidates.iter().all(|candidate| candidate.is_valid(real)) {
            let [one, other] = &candidates;
            return Err(format!("{} and {} both lead after {real} ms", one.name, other.name));
        }
    }
    Ok(epochs)
}

fn clock() -> impl Strategy<Value = Clock> {
    // Nine percent off either way; quartz is off by less than a ten-thousandth.
    (0..1000u64, 910..=1090u64).prop_map(|(from, rate)| Clock { from: from * 1000 * MS, rate })
}

fn fate() -> impl Strategy<Value = Fate> {
    let kind = prop_oneof![
        6 => Just(Kind::Answered),
        1 => Just(Kind::Lost),
        1 => Just(Kind::Unanswered),
        1 => (0..30_000u64).prop_map(Kind::Repeated),
    ];
    // Mostly quick; now and then as slow as a term.
    let delay = || prop_oneof![8 => 0..200u64, 1 => 0..20_000u64];
    (delay(), delay(), kind).prop_map(|(there, back, kind)| Fate { there, back, kind })
}

fn incident() -> impl Strategy<Value = (u64, Incident)> {
    let what = prop_oneof![
        4 => (0..2usize, 0..40_000u64).prop_map(|(who, millis)| Incident::Stopped(who, millis)),
        1 => Just(Incident::Touched),
        1 => Just(Incident::Deleted),
        2 => (0..2usize).prop_map(Incident::Restarted),
    ];
    (0..120_000u64, what)
}

const END: u64 = 120_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_never_lead_at_once(
        clocks in [clock(), clock()],
        fates in proptest::collection::vec(fate(), 1..60),
        incidents in proptest::collection::vec(incident(), 0..8),
    ) {
        let epochs = play(LeaseTimings::default(), clocks, &fates, &incidents, END);
        prop_assert!(epochs.is_ok(), "{}", epochs.unwrap_err());
        // Without a deletion, which takes the count along, epochs only rise.
        if !incidents.iter().any(|(_, incident)| matches!(incident, Incident::Deleted)) {
            prop_assert!(epochs.unwrap().is_sorted());
        }
    }
}

/// The worlds above are hard enough to find it out when a term lasts as long as the wait of a challenger.
#[test]
fn a_careless_term_is_found_out() {
    let careless = LeaseTimings { term: LeaseTimings::default().lease, ..LeaseTimings::default() };
    let mut runner = TestRunner::deterministic();
    let worlds = (
        [clock(), clock()],
        proptest::collection::vec(fate(), 1..60),
        proptest::collection::vec(incident(), 0..8),
    );
    let found = (0..2000).any(|_| {
        let (clocks, fates, incidents) = worlds.new_tree(&mut runner).unwrap().current();
        play(careless, clocks, &fates, &incidents, END).is_err()
    });
    assert!(found);
}

const QUICK: [Fate; 1] = [Fate { there: 0, back: 0, kind: Kind::Answered }];
const EVEN: [Clock; 2] = [Clock { from: 0, rate: 1000 }, Clock { from: 5_000 * 1_000 * MS, rate: 1000 }];

#[test]
fn a_holder_that_stands_still_is_replaced_within_the_lease() {
    let epochs =
        play(LeaseTimings::default(), EVEN, &QUICK, &[(30_000, Incident::Stopped(0, 90_000))], 47_000)
            .unwrap();
    assert_eq!(epochs.first(), Some(&1));
    // The other one may have been elected first; then nothing happens.
    let other =
        play(LeaseTimings::default(), EVEN, &QUICK, &[(30_000, Incident::Stopped(1, 90_000))], 47_000)
            .unwrap();
    assert_eq!([epochs.last(), other.last()].into_iter().flatten().max(), Some(&2));
}

fn elector() -> Elector {
    Elector::new("me", LeaseTimings::default())
}

fn record(holder: &str, epoch: i32, version: &str) -> LeaseRecord {
    LeaseRecord { holder: holder.into(), epoch, version: version.into() }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_vacant_lease_is_taken_at_once_and_the_epoch_rises() {
    let mut elector = elector();
    assert_eq!(elector.step(s(100)), ElectionStep::Read);
    elector.read(s(100), Some(record("", 6, "v1")));
    assert_eq!(elector.step(s(100)), ElectionStep::Write(Bid { replaces: Some("v1".into()), epoch: 7 }));
    elector.written(s(100), s(101), record("me", 7, "v2"));
    assert_eq!(elector.term(), Some((7, s(110))), "the term counts from when the write was sent");
    assert_eq!(elector.step(s(102)), ElectionStep::Wait(s(105)));
    assert_eq!(elector.step(s(105)), ElectionStep::Write(Bid { replaces: Some("v2".into()), epoch: 7 }));
}

#[test]
fn a_missing_lease_may_have_been_deleted_under_a_holder() {
    let mut elector = elector();
    elector.read(s(100), None);
    assert_eq!(elector.step(s(100)), ElectionStep::Write(Bid { replaces: None, epoch: FOUNDED }));
    elector.written(s(100), s(101), record("me", FOUNDED, "v1"));
    assert_eq!(elector.term(), None, "its maker waits like everybody else");
    elector.read(s(114), Some(record("me", FOUNDED, "v1")));
    assert_eq!(elector.step(s(115)), ElectionStep::Read);
    elector.read(s(115), Some(record("me", FOUNDED, "v1")));
    assert_eq!(elector.step(s(116)), ElectionStep::Write(Bid { replaces: Some("v1".into()), epoch: 1 }));
}

#[test]
fn the_wait_begins_anew_with_every_sign_of_life() {
    let mut elector = elector();
    elector.read(s(100), Some(record("other", 3, "v1")));
    elector.read(s(114), Some(record("other", 3, "v2")));
    assert_eq!(elector.step(s(115)), ElectionStep::Read);
    elector.read(s(128), Some(record("other", 3, "v2")));
    assert_eq!(elector.step(s(128)), ElectionStep::Wait(s(129)));
    assert_eq!(elector.step(s(129)), ElectionStep::Write(Bid { replaces: Some("v2".into()), epoch: 4 }));
    elector.refused(s(129));
    assert_eq!(elector.step(s(129)), ElectionStep::Read, "somebody else was there");
    elector.read(s(129), Some(record("other", 3, "v3")));
    assert_eq!(elector.step(s(129)), ElectionStep::Wait(s(130)));
}

#[test]
fn a_holder_without_answers_loses_at_the_end_of_its_term() {
    let mut elector = elector();
    elector.read(s(0), Some(record("", 0, "v1")));
    elector.written(s(0), s(0), record("me", 1, "v2"));
    elector.failed(s(7));
    assert_eq!(elector.step(s(8)), ElectionStep::Read, "a write without an answer may have had its effect");
    elector.failed(s(9));
    assert_eq!(elector.step(s(9)), ElectionStep::Wait(s(10)));
    assert_eq!(elector.step(s(10)), ElectionStep::Lost);
    elector.written(s(9), s(11), record("me", 1, "v3"));
    assert_eq!(elector.step(s(11)), ElectionStep::Lost, "what is over stays over");
}

#[test]
fn a_holder_that_reads_another_name_loses() {
    let mut elector = elector();
    elector.read(s(0), Some(record("", 0, "v1")));
    elector.written(s(0), s(0), record("me", 1, "v2"));
    elector.refused(s(5));
    elector.read(s(5), Some(record("me", 1, "v3")));
    assert_eq!(
        elector.step(s(5)),
        ElectionStep::Write(Bid { replaces: Some("v3".into()), epoch: 1 }),
        "only touched"
    );
    elector.refused(s(5));
    elector.read(s(5), Some(record("other", 2, "v4")));
    assert_eq!(elector.step(s(5)), ElectionStep::Lost);
}

#[test]
fn ones_own_name_in_the_record_is_confirmed_before_it_counts() {
    let mut elector = elector();
    elector.read(s(0), Some(record("", 4, "v1")));
    elector.failed(s(2));
    elector.read(s(3), Some(record("me", 5, "v2")));
    assert_eq!(elector.term(), None);
    assert_eq!(elector.step(s(3)), ElectionStep::Write(Bid { replaces: Some("v2".into()), epoch: 5 }));
    elector.written(s(3), s(14), record("me", 5, "v3"));
    assert_eq!(elector.term(), None, "the answer took longer than the term");
}
