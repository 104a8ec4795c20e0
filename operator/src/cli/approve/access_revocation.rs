//! An AccessRevocation, shown before somebody says that it ends.

use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRevocation, Reason,
    approval::{Decision, TargetKind},
    condition,
};
use subrosa_plan::roles::revoked::{RevokedPeople, described};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{ends::EndObjects, explain::page::Page};

/// Shows `object` on `page`: whose access it ended, and where.
pub fn scope(
    object: &AccessRevocation,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> ApprovalScope {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let ready = condition::find(&status.conditions, condition::READY);
    let title = format!("AccessRevocation {}", object.name_any());
    page.title(&title, ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    page.section("What it ends");
    let whose = spec.subject.user.clone().unwrap_or_else(|| described(&spec.subject));
    page.fact("Of", &whose);
    page.fact("Because", &format!("{:?}", spec.reason));
    if let Some(note) = &spec.note {
        page.fact("Note", note);
    }
    for domain in &status.trust_domains {
        page.fact("TrustDomain", &format!("{}: {}", domain.name, domain.state));
        for mount in &domain.also_hits {
            page.fact("Also", &format!("logins by {mount}"));
        }
        for role in &domain.roles {
            page.fact("AccessRole", role);
        }
    }
    let is_done = ready.and_then(Reason::of) == Some(Reason::Released);
    let is_leaver = RevokedPeople::of(&seen.revocations).has(by.user);
    let digest = spec.release_digest();
    page.fact("Digest", &digest);
    let scope = ApprovalScope {
        target: target(TargetKind::AccessRevocation, object, digest),
        domain: None,
        needed: Some(1),
        outcome: match by.decision {
            Decision::Approve => {
                "The granter notes the release at once and for good: entities that it disabled are enabled where no other \
                 AccessRevocation names them, and AccessRoles give what they say. Delete the AccessRevocation then, after which the \
                 person's Approvals count again."
            }
            Decision::Deny => "It is not released until the denial expires.",
        }
        .to_owned(),
        refusal: match by.decision {
            _ if is_done => Some("it is released: there is nothing left to decide".to_owned()),
            Decision::Approve if is_leaver => {
                Some("an AccessRevocation names you, so your Approval does not count: let others".to_owned())
            }
            Decision::Approve | Decision::Deny => None,
        },
    };
    decided(&scope, seen, by, page);
    scope
}
