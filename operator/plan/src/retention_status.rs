//! What a RetentionPolicy's status says.

use jiff::Timestamp;
use subrosa_crds::{
    RetentionPolicy, RetentionPolicyStatus, condition,
    condition::{Truth, Verdict},
};

use crate::world::World;

/// The status of `policy`.
pub fn status(policy: &RetentionPolicy, _world: &World, now: Timestamp) -> RetentionPolicyStatus {
    let verdicts = vec![Verdict::new(
        condition::READY,
        Truth::True,
        "Consistent",
        "every class can be kept as declared",
    )];
    let old = policy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    RetentionPolicyStatus {
        observed_generation: policy.metadata.generation,
        conditions: condition::conditions(verdicts, old, policy.metadata.generation, now),
    }
}
