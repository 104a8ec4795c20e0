//! Whether a process may write, asked at the last moment before it does.

use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::Instant;

/// The gate is closed: the request was not sent, or its answer is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead (any more), so it changes nothing")]
pub struct Closed;

/// Says whether this process may write. An election implements it; a process that is alone has an [open](Open) one.
pub trait Gate: fmt::Debug + Send + Sync {
    /// For how long it may write from now on; none when it may not.
    fn remaining(&self) -> Option<Duration>;
}

/// The gate of a process without an election: always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {
    fn remaining(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

/// An open gate, shared.
pub fn open() -> Arc<dyn Gate> {
    Arc::new(Open)
}

/// Does `work` as long as the gate is open: nothing of it is even begun when it is closed, and nothing is done after it
/// has closed. A process that was stopped and goes on asks before it does anything else.
///
/// # Errors
/// When the gate is closed, or closes before the work is done.
pub async fn guard<F: Future>(gate: &dyn Gate, work: F) -> Result<F::Output, Closed> {
    if gate.remaining() == Some(Duration::MAX) {
        return Ok(work.await);
    }
    let mut work = pin!(work);
    let mut end = pin!(tokio::time::sleep(Duration::ZERO));
    poll_fn(move |cx| {
        loop {
            let Some(left) = gate.remaining() else { return Poll::Ready(Err(Closed)) };
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            // Wakes at the end of the term as it is now; a renewal is noticed then.
            if end.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            end.as_mut().reset(Instant::now() + left);
        }
    })
    .await
}
