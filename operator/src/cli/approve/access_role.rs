//! An AccessRole, shown before somebody gives it, or says that it is still right.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, AccessRoleStatus,
    access_role::{MAX_CHANNELS, OverdueAction},
    approval::{ApprovalTarget, Decision, TargetKind},
    condition,
};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{
    cluster::ClusterClient,
    ends::EndObjects,
    explain::{
        access::{for_a_time, rights, uses, who},
        page::Page,
    },
    harmless,
    table::Tone,
};

/// Shows `object` on `page`: who may open what by it. Where nobody gives it yet, that is what is decided; else its review.
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
    if object.spec.granted_by.is_none() && (by.decision == Decision::Deny || !is_given(object)) {
        return Ok(giving(object, &name, &status, seen, by, page));
    }
    let Some(digest) =
        status.digest.clone().filter(|_| status.observed_generation == object.metadata.generation)
    else {
        bail!(
            "the granter did not look at AccessRole {name} as it is now, so nobody knows what can be opened by it; see: kubectl \
             get accessroles, and try again"
        );
    };
    who_opens_what(object, &name, &status, page);
    for line in uses(status.uses.as_ref()) {
        page.fact("Uses", &line);
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
            Some("it is given, and has no spec.review, so an Approval changes nothing".to_owned())
        } else if by.decision == Decision::Approve && is_author {
            Some("you wrote it, and who writes a role does not review it: let others".to_owned())
        } else {
            None
        },
    };
    decided(&scope, seen, by, page);
    Ok(scope)
}

/// Whether somebody gives `object` as it is now.
fn is_given(object: &AccessRole) -> bool {
    let is_current = |status: &&AccessRoleStatus| status.observed_generation == object.metadata.generation;
    let status = object.status.as_ref().filter(is_current);
    status.is_some_and(|status| condition::is_true(&status.conditions, condition::GIVEN))
}

fn who_opens_what(object: &AccessRole, name: &str, status: &AccessRoleStatus, page: &mut Page) {
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(&format!("AccessRole {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    page.section("Who may open what");
    page.fact("Login", &object.spec.login);
    who(&object.spec, page);
    rights(&object.spec, page);
    if let Some(glass) = &object.spec.break_glass {
        page.fact("Emergency", &format!("group {} opens what it opens by break-glass", glass.group));
    }
    if let Some(grants) = &object.spec.grants {
        page.fact("For a time", &for_a_time(grants));
    }
}

/// Shows a role that names nobody who gives it.
fn giving(
    object: &AccessRole,
    name: &str,
    status: &AccessRoleStatus,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> ApprovalScope {
    who_opens_what(object, name, status, page);
    if let Some(grants) = &object.spec.grants {
        page.fact(
            "Grants",
            &format!("single persons get the same for at most {}, after others approve", grants.max.as_str()),
        );
    }
    if !object.spec.conflicts_with.is_empty() {
        page.fact("Never beside", &object.spec.conflicts_with.join(", "));
    }
    page.section("Who gives it");
    let channels: BTreeSet<String> = object.spec.channels();
    let listed = channels.iter().cloned().collect::<Vec<_>>().join(", ");
    page.line("Nobody: whoever wrote it did not write spec.grantedBy.", Tone::Odd);
    page.fact("Channels", &format!("{listed}: whoever approves has the verb grant on each"));
    let digest = object.spec.scope_digest();
    page.fact("Digest", &digest);
    let approves = by.decision == Decision::Approve;
    let scope = ApprovalScope {
        target: ApprovalTarget {
            channels: if approves { channels.iter().cloned().collect() } else { Vec::new() },
            ..target(TargetKind::AccessRole, object, digest)
        },
        domain: None,
        needed: Some(1),
        outcome: if approves {
            "The granter notes it at once, and the role gives what it says. Every change of its spec has to be approved anew."
        } else {
            "It gives nothing. What was approved before counts no more, also when the denial has expired."
        }
        .to_owned(),
        refusal: (approves && channels.len() > MAX_CHANNELS).then(|| {
            format!(
                "it names {} Channels, and at most {MAX_CHANNELS} can be given by one Approval: write several AccessRoles",
                channels.len()
            )
        }),
    };
    decided(&scope, seen, by, page);
    scope
}

/// Why the current user cannot give what `target` names: they may not grant some of its Channels.
///
/// # Errors
/// When the API server does not say.
pub async fn not_grantable(cluster: &ClusterClient, target: &ApprovalTarget) -> Result<Option<String>> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let asked = target.channels.iter().map(|channel| cluster.may("grant", "channels", namespace, channel));
    let allowed = futures::future::try_join_all(asked).await?;
    let refused = target.channels.iter().zip(allowed).filter(|(_, allowed)| !allowed);
    let refused: Vec<_> = refused.map(|(channel, _)| channel.as_str()).collect();
    Ok((!refused.is_empty()).then(|| {
        format!(
            "you may not grant {} of namespace {}, and nobody gives more than they may: let somebody approve who has the verb \
             grant on each of its Channels (ClusterRole subrosa-channel-granter)",
            harmless(&refused.join(", ")),
            harmless(namespace)
        )
    }))
}
