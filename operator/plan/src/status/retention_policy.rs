//! The status of a RetentionPolicy: whether it can be kept in every trust domain that allows it.

use jiff::Timestamp;
use subrosa_crds::{
    Reason, RetentionPolicy, RetentionPolicyStatus, condition,
    condition::{Truth, Verdict},
};

use crate::{keys::retention::problems, world::World};

/// The status of `policy`.
pub fn status(policy: &RetentionPolicy, world: &World, now: Timestamp) -> RetentionPolicyStatus {
    let problems = problems(policy, world, now);
    let verdicts = if problems.is_empty() {
        let message = "every class can be kept as declared";
        vec![Verdict::new(condition::READY, Truth::True, Reason::Consistent, message)]
    } else {
        let message = problems.into_iter().collect::<Vec<_>>().join("; ");
        vec![
            Verdict::new(condition::READY, Truth::False, Reason::Contradictory, message.clone()),
            Verdict::new(condition::STALLED, Truth::True, Reason::Contradictory, message),
        ]
    };
    let old = policy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    RetentionPolicyStatus {
        observed_generation: policy.metadata.generation,
        conditions: condition::conditions(verdicts, old, policy.metadata.generation, now),
    }
}

#[cfg(test)]
mod tests;
