//! Whether a RetentionPolicy can be kept under the law of the trust domains that allow it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{RetentionPolicy, retention};

use crate::world::{World, domain};

/// The problems of `policy` in the trust domains that allow it, or on its own where none does.
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
