//! The gate: whether this process may still write, checked right before each request.

use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::Instant;

/// The gate is closed: the request was not sent, or its answer was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead (any more), so it changes nothing")]
pub struct Closed;

/// Tells whether this process may write. Leader election implements it; a process without an election uses [`Open`].
pub trait Gate: fmt::Debug + Send + Sync {
    /// For how long it may write from now on; `None` when it may not.
    fn remaining(&self) -> Option<Duration>;
}

/// The gate of a process without an election.
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

/// Polls `work` only while the gate is open: `work` does not start when the gate is closed and does not continue
/// after it closed. A process that was suspended checks the gate before anything else.
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
            // Wake at the end of the current term; a renewal meanwhile is noticed then.
            if end.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            end.as_mut().reset(Instant::now() + left);
        }
    })
    .await
}
