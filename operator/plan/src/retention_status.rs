//! What a RetentionPolicy's status says: whether it can be kept in every trust domain that allows it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    RetentionPolicy, RetentionPolicyStatus, condition,
    condition::{Truth, Verdict},
    retention,
};

use crate::{domain, world::World};

/// The status of `policy`.
pub fn status(policy: &RetentionPolicy, world: &World, now: Timestamp) -> RetentionPolicyStatus {
    let problems = problems(policy, world, now);
    let verdicts = if problems.is_empty() {
        let message = "every class can be kept as declared";
        vec![Verdict::new(condition::READY, Truth::True, "Consistent", message)]
    } else {
        let message = problems.into_iter().collect::<Vec<_>>().join("; ");
        vec![
            Verdict::new(condition::READY, Truth::False, "Contradictory", message.clone()),
            Verdict::new(condition::STALLED, Truth::True, "Contradictory", message),
        ]
    };
    let old = policy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    RetentionPolicyStatus {
        observed_generation: policy.metadata.generation,
        conditions: condition::conditions(verdicts, old, policy.metadata.generation, now),
    }
}

/// What is wrong with `policy` in the trust domains that allow it, or by itself where none does.
pub fn problems(policy: &RetentionPolicy, world: &World, now: Timestamp) -> BTreeSet<String> {
    let name = policy.name_any();
    let allowing: Vec<_> =
        world.domains.values().filter(|domain| domain.spec.retention_policies.contains(&name)).collect();
    let every_jurisdiction: Vec<String> = policy
        .spec
        .classes
        .iter()
        .flat_map(|class| class.minimums.iter().map(|minimum| minimum.jurisdiction.clone()))
        .collect();
    let judged = if allowing.is_empty() {
        retention::check(&policy.spec, &every_jurisdiction, now.to_zoned(jiff::tz::TimeZone::UTC).date())
    } else {
        allowing
            .iter()
            .flat_map(|domain| {
                retention::check(&policy.spec, &domain.spec.jurisdictions, domain::today(domain, now))
            })
            .collect()
    };
    judged.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
}

#[cfg(test)]
mod tests;
