//! An AccessRole, shown before somebody says that it is still right.

use anyhow::{Result, bail};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole,
    access_role::OverdueAction,
    approval::{Decision, TargetKind},
    condition,
};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{ends::EndObjects, explain::page::Page, table::Tone};

/// Shows `object` on `page`: who may open what by it.
///
/// # Errors
/// When the granter did not look at it as it is now.
pub fn scope(
    object: &AccessRole,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> Result<ApprovalScope> {
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let status = object.status.clone().unwrap_or_default();
    let Some(digest) =
        status.digest.clone().filter(|_| status.observed_generation == object.metadata.generation)
    else {
        bail!(
            "the granter did not look at AccessRole {name} as it is now, so nobody knows what can be opened by it; see: kubectl \
             get accessroles, and try again"
        );
    };
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(&format!("AccessRole {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    page.section("Who may open what");
    page.fact("Login", &object.spec.login);
    for subject in &object.spec.subjects {
        page.fact("Group", &subject.group);
    }
    for (channel, class) in object.spec.opens() {
        page.fact("Opens", &format!("{class} of Channel {channel}"));
    }
    if let Some(glass) = &object.spec.break_glass {
        page.fact("Emergency", &format!("group {} opens the same by break-glass", glass.group));
    }
    page.fact("Rights", status.rights.as_deref().unwrap_or("not known"));
    page.section("Its review");
    let review = object.spec.review.as_ref();
    match review {
        Some(review) => {
            page.fact("Every", &review.every);
            page.fact("Author", &review.author);
            let action = match review.on_overdue.unwrap_or_default() {
                OverdueAction::Suspend => "it gives nothing",
                OverdueAction::Warn => "it gives all the same",
            };
            page.fact("Overdue", action);
        }
        None => page.line("Nobody has to review it: it has no spec.review.", Tone::Odd),
    }
    page.fact("Due", status.review_due.as_deref().unwrap_or("not known"));
    if let Some(last) = &status.reviewed {
        page.fact("Last", &format!("by {}, at {}", last.approver, last.at));
    }
    page.fact("Digest", &digest);
    let is_author = review.is_some_and(|review| review.author.to_lowercase() == by.user.to_lowercase());
    let scope = ApprovalScope {
        target: target(TargetKind::AccessRole, object, digest),
        domain: None,
        needed: Some(1),
        outcome: match by.decision {
            Decision::Approve => {
                "The granter notes the review at once, and the next one is due as spec.review.every says. Rights that were suspended \
                 are given again."
            }
            Decision::Deny => {
                "No review of it counts until the denial expires. It takes nothing away by itself: to do that, change the role or \
                 delete it."
            }
        }
        .to_owned(),
        refusal: if review.is_none() {
            Some("it has no spec.review, so an Approval changes nothing".to_owned())
        } else if by.decision == Decision::Approve && is_author {
            Some("you wrote it, and who writes a role does not review it: let others".to_owned())
        } else {
            None
        },
    };
    decided(&scope, seen, by, page);
    Ok(scope)
}
