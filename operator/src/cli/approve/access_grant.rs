//! An AccessGrant, shown before somebody says that the person gets it.

use anyhow::{Result, bail};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, Reason,
    approval::{Decision, TargetKind},
    condition,
};
use subrosa_plan::roles::{grants::decision::is_other, revoked::RevokedPeople};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{
    ends::{EndObjects, needed},
    explain::page::Page,
};

/// Shows `object` on `page`: who asks that who gets what for how long.
///
/// # Errors
/// When the granter did not say yet what an Approval of it repeats.
pub fn scope(
    object: &AccessGrant,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> Result<ApprovalScope> {
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let role =
        seen.roles.iter().find(|role| role.namespace() == object.namespace() && role.name_any() == spec.role);
    let shown =
        role.map(|role| spec.digest(&role.uid().unwrap_or_default(), &role.spec.login, &role.spec.opens()));
    let ready = condition::find(&status.conditions, condition::READY);
    let Some(digest) = status.digest.clone() else {
        let why = ready.map_or("the granter did not look at it yet", |ready| ready.message.as_str());
        bail!("AccessGrant {name} cannot be approved: {why}; see: kubectl get accessgrants, and try again");
    };
    page.title(&format!("AccessGrant {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    page.section("Who gets what");
    page.fact("User", &spec.subject.user);
    page.fact("For", spec.duration.as_str());
    page.fact("Because", &spec.reason);
    page.fact("Asked by", &spec.requested_by);
    page.fact("AccessRole", &spec.role);
    if let Some(role) = role {
        page.fact("Login", &role.spec.login);
        for (channel, class) in role.spec.opens() {
            page.fact("Opens", &format!("{class} of Channel {channel}"));
        }
        for other in &role.spec.conflicts_with {
            page.fact(
                "Never with",
                &format!("{other}; whether the person has it by a group is not seen here, but by the granter as far as their last login showed it"),
            );
        }
    }
    if let Some(ends) = &status.ends_at {
        page.fact("Ends", ends);
    }
    page.fact("Digest", &digest);
    let is_over = status.ends_at.is_some() && ready.is_some_and(|one| one.status == "False");
    let is_leaver = RevokedPeople::of(&seen.revocations).has(by.user);
    let in_force = ready.and_then(Reason::of) == Some(Reason::InForce);
    let scope = ApprovalScope {
        needed: needed(status.approvals.as_deref()),
        domain: None,
        outcome: match by.decision {
            Decision::Approve => {
                "When enough people approve, the person can open it within seconds, in every session after that login, and Vault ends it \
                 by its own clock."
            }
            Decision::Deny => "It is not given until the denial expires; where it is in force, it ends at once and for good.",
        }
        .to_owned(),
        refusal: match by.decision {
            _ if is_over => Some("it is over: there is nothing left to decide".to_owned()),
            Decision::Deny => None,
            Decision::Approve if shown.as_ref() != Some(&digest) => Some(
                "status.digest is not that of what is shown here: the granter did not look at it as it is now; try again".to_owned(),
            ),
            Decision::Approve if in_force => Some("it is in force: there is nothing left to approve".to_owned()),
            Decision::Approve if !is_other(object, by.user) => Some(
                "you asked for it or get it, and neither approves it: let others".to_owned(),
            ),
            Decision::Approve if is_leaver => {
                Some("an AccessRevocation names you, so your Approval does not count: let others".to_owned())
            }
            Decision::Approve => None,
        },
        target: target(TargetKind::AccessGrant, object, digest),
    };
    decided(&scope, seen, by, page);
    Ok(scope)
}
