//! Watches and cuts the traffic of one or several proxies.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::Method;
use tokio::sync::{oneshot, watch};

/// What happens to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It flows.
    Pass,
    /// Nothing moves and nothing is closed, as when packets are dropped. What was held flows on afterwards.
    Hang,
    /// Open connections are closed and new ones closed at once, as when a server is down.
    Refuse,
}

/// A mutating request that the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// The server's answer.
    pub status: u16,
}

impl fmt::Display for Write {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} -> {}", self.method, self.path, self.status)
    }
}

type Filter = Box<dyn Fn(&Write) -> bool + Send>;
type Action = Box<dyn FnOnce(&Write) + Send>;
type Refusal = Box<dyn Fn(&Method, &str) -> bool + Send>;

struct Trip {
    at: usize,
    then: Option<Mode>,
    action: Action,
}

struct State {
    filter: Filter,
    writes: Vec<Write>,
    trips: Vec<Trip>,
}

/// Counts writes and decides whether traffic flows. Proxies that share a tap are counted together
/// and go dark at the same moment.
pub struct Tap {
    mode: watch::Sender<Mode>,
    late: watch::Sender<Option<&'static str>>,
    failing: Mutex<Option<Refusal>>,
    state: Mutex<State>,
}

impl Tap {
    /// A tap that lets traffic flow and counts every mutating request the server accepted (status below 400).
    pub fn new() -> Arc<Self> {
        let state =
            State { filter: Box::new(|write| write.status < 400), writes: Vec::new(), trips: Vec::new() };
        Arc::new(Self {
            mode: watch::Sender::new(Mode::Pass),
            late: watch::Sender::new(None),
            failing: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Counts only what `filter` accepts, from zero; forgets earlier writes and triggers.
    pub fn count_only(&self, filter: impl Fn(&Write) -> bool + Send + 'static) {
        *self.state() = State { filter: Box::new(filter), writes: Vec::new(), trips: Vec::new() };
    }

    /// Counts from zero with the same filter; forgets earlier writes and triggers.
    pub fn reset(&self) {
        let mut state = self.state();
        state.writes.clear();
        state.trips.clear();
    }

    /// The writes counted so far, in the order of their answers.
    pub fn writes(&self) -> Vec<Write> {
        self.state().writes.clone()
    }

    /// Runs `action` when the server has answered the `nth` counted write (from 1, since the last reset)
    /// and before the client sees that answer. The answer is relayed after `action` returns.
    pub fn after_write(&self, nth: usize, action: impl FnOnce(&Write) + Send + 'static) {
        self.state().trips.push(Trip { at: nth, then: None, action: Box::new(action) });
    }

    /// Goes dark the moment the server has answered the `nth` counted write: the client never sees
    /// that answer nor any other, until [`Tap::set_mode`]. The receiver tells which write it was.
    ///
    /// This is the state a crash at that point leaves behind, without a race: end the client, then
    /// let traffic pass and start it again. Requests that were already at the server are carried out.
    pub fn cut_after_write(&self, nth: usize, mode: Mode) -> oneshot::Receiver<Write> {
        let (sender, receiver) = oneshot::channel();
        let action: Action = Box::new(move |write| drop(sender.send(write.clone())));
        self.state().trips.push(Trip { at: nth, then: Some(mode), action });
        receiver
    }

    /// Changes what happens to traffic from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What happens to traffic now.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Holds back what watches of a resource (`pods`) tell, as when they lag behind all others; nothing of it is
    /// lost. With none, what was held back flows on.
    pub fn hold_back(&self, resource: Option<&'static str>) {
        self.late.send_replace(resource);
    }

    /// Answers each request for which `which` says so, by method and path, with 503 in the place of the server. It is asked of every
    /// request, so it can count them too.
    pub fn fail_where(&self, which: impl Fn(&Method, &str) -> bool + Send + 'static) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(which));
    }

    /// Whether a request is answered with 503.
    pub(crate) fn fails(&self, method: &Method, path: &str) -> bool {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.as_ref().is_some_and(|fails| fails(method, path))
    }

    pub(crate) fn late(&self) -> watch::Receiver<Option<&'static str>> {
        self.late.subscribe()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }

    /// Called for every answered mutating request, before its answer is relayed.
    pub(crate) fn answered(&self, write: Write) {
        let mut due = Vec::new();
        {
            let mut state = self.state();
            if !(state.filter)(&write) {
                return;
            }
            state.writes.push(write.clone());
            let count = state.writes.len();
            let (now, later) =
                std::mem::take(&mut state.trips).into_iter().partition(|trip| trip.at == count);
            state.trips = later;
            for trip in Vec::<Trip>::from_iter(now) {
                // While the state is locked, so that no other write is answered in between.
                if let Some(mode) = trip.then {
                    self.mode.send_replace(mode);
                }
                due.push(trip.action);
            }
        }
        for action in due {
            action(&write);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str) -> Write {
        Write { method: Method::POST, path: path.into(), status: 201 }
    }

    #[test]
    fn the_nth_counted_write_trips_once() {
        let tap = Tap::new();
        tap.count_only(|write| write.path != "/skipped");
        let mut cut = tap.cut_after_write(2, Mode::Hang);
        tap.answered(write("/a"));
        tap.answered(write("/skipped"));
        assert_eq!(tap.mode(), Mode::Pass);
        assert!(cut.try_recv().is_err());
        tap.answered(write("/b"));
        assert_eq!(tap.mode(), Mode::Hang);
        assert_eq!(cut.try_recv().unwrap(), write("/b"));
        assert_eq!(tap.writes().len(), 2);
    }
}
