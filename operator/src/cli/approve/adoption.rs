//! Shows an Adoption before a decision.

use subrosa_crds::{
    Adoption, Reason,
    approval::{Decision, TargetKind},
    condition,
};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{
    ends::EndObjects,
    explain::{adoption as told, page::Page},
};

/// Shows `object` on `page`: which Channels would open what earlier Channels of their names sealed.
pub fn scope(object: &Adoption, seen: &EndObjects, by: Decider<'_>, page: &mut Page) -> ApprovalScope {
    let spec = &object.spec;
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice());
    let ready = condition::find(conditions.unwrap_or_default(), condition::READY);
    told::listed(object, page);
    let is_done = ready.and_then(Reason::of) == Some(Reason::Adopted);
    let scope = ApprovalScope {
        target: target(TargetKind::Adoption, object, spec.digest()),
        domain: Some(spec.trust_domain.clone()),
        needed: Some(seen.strictest(seen.domain(&spec.trust_domain))),
        outcome: match by.decision {
            Decision::Approve => {
                "The operator notes it within half a minute, and workloads whose Channel may open (encryption.workloadMay) \
                 open what was sealed before. No key is destroyed earlier or later for it."
            }
            Decision::Deny if is_done => {
                "The operator takes it back within half a minute: these workloads open nothing any more of what earlier Channels \
                 sealed. Approvals that expire later than the denial count again when it has expired."
            }
            Decision::Deny => {
                "Nothing is adopted by it until the denial expires, whoever approves; what was adopted by it is taken back."
            }
        }
        .to_owned(),
        refusal: if is_done && by.decision == Decision::Approve {
            Some("everything that it asks for is adopted: there is nothing left to decide".to_owned())
        } else if by.decision == Decision::Approve && by.user == spec.requested_by {
            Some("you ask for it, and who asks does not approve: let others".to_owned())
        } else {
            None
        },
    };
    decided(&scope, seen, by, page);
    scope
}
