//! Uses of an AccessRole's break-glass, shown before somebody says that they were right.

use anyhow::{Result, bail};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole,
    access_role::uses_digest,
    approval::{Decision, TargetKind},
    condition,
};
use subrosa_plan::roles::uses::is_same;

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{ends::EndObjects, explain::page::Page, table::Tone};

/// Shows who used break-glass of `object` on `page`.
///
/// # Errors
/// When nobody used it since the last review.
pub fn scope(
    object: &AccessRole,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> Result<ApprovalScope> {
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let status = object.status.clone().unwrap_or_default();
    let uses = status.break_glass.unwrap_or_default();
    let Some(digest) = uses.digest.clone() else {
        bail!(
            "AccessRole {name} shows no use of break-glass that waits for a review; see: kubectl describe accessrole, condition \
             BreakGlass says whether uses can be seen"
        );
    };
    let found = condition::find(&status.conditions, condition::BREAK_GLASS);
    page.title(
        &format!("Break-glass of AccessRole {name}"),
        found.map(|one| (one.status.as_str(), one.reason.as_str())),
    );
    if let Some(found) = found {
        page.below(&found.message);
    }
    page.section("Who used it");
    for one in &uses.uses {
        page.fact(
            &one.person,
            &format!("from {} to {}, with at least {} tokens", one.first, one.last, one.logins),
        );
    }
    let listed = i32::try_from(uses.uses.len()).unwrap_or(i32::MAX);
    if let Some(more) = uses.people.map(|people| people.saturating_sub(listed)).filter(|more| *more > 0) {
        page.line(&format!("{more} more people are shown when these are reviewed."), Tone::Odd);
    }
    page.line("What they opened stands in Vault's audit log alone.", Tone::Plain);
    page.section("What they could open");
    if let Some(glass) = &object.spec.break_glass {
        page.fact("Group", &glass.group);
    }
    for (channel, class) in object.spec.opens() {
        page.fact("Opens", &format!("{class} of Channel {channel}"));
    }
    page.section("The review");
    page.fact("Due", uses.review_due.as_deref().unwrap_or("not known"));
    if let Some(last) = &uses.reviewed {
        page.fact("Last", &format!("by {}, at {}", last.approver, last.at));
    }
    page.fact("Digest", &digest);
    let used = uses.uses.iter().any(|one| is_same(by.user, &one.person));
    let scope = ApprovalScope {
        target: target(TargetKind::AccessRole, object, digest.clone()),
        domain: None,
        needed: Some(1),
        outcome: match by.decision {
            Decision::Approve => {
                "The granter notes the review at once. A use that comes after this needs a review of its own."
            }
            Decision::Deny => {
                "No review of these uses counts until the denial expires, and the alert stays. It takes nothing away by itself: to \
                 do that, change the role."
            }
        }
        .to_owned(),
        refusal: if digest != uses_digest(&uses.uses) {
            Some("status.breakGlass.digest is not that of the uses listed: the granter did not write it; find who did".to_owned())
        } else if by.decision == Decision::Approve && used {
            Some("you used it, and who used it does not review it: let others".to_owned())
        } else {
            None
        },
    };
    decided(&scope, seen, by, page);
    Ok(scope)
}
