//! One short file per kind, which calls observe, plan, execute and report in turn. Nothing here decides or writes.

pub mod channel;
pub mod external_party;
pub mod namespace;
pub mod pod_certificate_request;
pub mod retention_policy;
pub mod trust_domain;

use std::time::Duration;

use jiff::Timestamp;

use crate::{context::Context, kinds::turns::Again, subject::Subject};

/// The longest time between two reconciles of an object.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// The shortest time between two reconciles caused by time alone.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// When to reconcile `subject` again: after a growing pause if it failed, else at `wake_at`, and at least hourly,
/// with jitter.
pub fn again(ctx: &Context, subject: Subject, failed: bool, wake_at: Option<Timestamp>) -> Again {
    let due = wake_at
        .map(|at| Duration::try_from(at.duration_since(ctx.now())).unwrap_or_default().max(SHORTEST_REST));
    let rest = LONGEST_REST.mul_f64(rand::random_range(0.8..1.0));
    let calm = due.map_or(rest, |due| due.min(rest));
    if failed {
        return Again::after(ctx.failures.pause(subject).min(calm.max(SHORTEST_REST)));
    }
    ctx.failures.clear(&subject);
    Again::after(calm)
}
