//! Describes AccessRoles.

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole,
    access_role::{AccessRule, OverdueAction},
    condition,
};
use subrosa_plan::roles::break_glass;

use super::{conditions, ends::by, page::Page};
use crate::cli::{table::Tone, words};

/// Describes an AccessRole.
pub fn role(object: &AccessRole, now: Timestamp, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let ready = condition::find(&status.conditions, condition::READY);
    let name = format!("AccessRole {}/{}", object.namespace().unwrap_or_default(), object.name_any());
    page.title(&name, ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    page.section("What it names");
    page.fact("Login", &spec.login);
    if let Some(exception) = &status.exception {
        let ended = if exception.overdue { "ended with" } else { "until" };
        page.fact(
            "",
            &format!(
                "asks for no second factor: exception for {} {ended} {}",
                exception.control, exception.expires
            ),
        );
    }
    for subject in &spec.subjects {
        page.fact("Group", &subject.group);
    }
    for (channel, class) in spec.opens() {
        page.fact("Opens", &format!("{class} of Channel {channel}"));
    }
    if let Some(glass) = &spec.break_glass {
        page.fact(
            "Emergency",
            &format!("group {} opens the same, after login {}", glass.group, break_glass::LOGIN),
        );
    }
    if !spec.conflicts_with.is_empty() {
        page.fact("Never beside", &spec.conflicts_with.join(", "));
    }
    page.section("What it gives");
    let not_yet = "not known: the granter has not looked at it yet, or cannot";
    page.fact("Rights", status.rights.as_deref().unwrap_or(not_yet));
    match &status.effective {
        Some(effective) => {
            for rule in &effective.rules {
                page.fact("", &told(rule));
            }
            let count = usize::try_from(effective.count).unwrap_or_default();
            if count > effective.rules.len() {
                page.fact(
                    "",
                    &format!("and {} more, which status does not list", count - effective.rules.len()),
                );
            }
            page.fact("Rules", &format!("{count}, {}", effective.digest));
            if status.digest.as_ref() != Some(&effective.digest) {
                page.line("That is not everything that it names.", Tone::Odd);
            }
        }
        None => page.fact("Rules", not_yet),
    }
    if let Some(session) = &status.session {
        page.fact(
            "Session",
            &format!("{}; a right outlives its reason by {}", session.ttl, session.outlives),
        );
        page.below(&session.message);
    }
    page.section("Who looks at it");
    match &spec.review {
        Some(review) => {
            let overdue = match review.on_overdue.unwrap_or_default() {
                OverdueAction::Suspend => "it gives nothing when it is late",
                OverdueAction::Warn => "it gives all the same when it is late",
            };
            page.fact(
                "Review",
                &format!("every {}, by others than {}; {overdue}", review.every, review.author),
            );
            let due = status.review_due.as_deref();
            let due = due.map(|due| format!("{due}, {}", words::when_text(due, now)));
            page.fact("Due", &due.unwrap_or_else(|| "not known".to_owned()));
            if let Some(last) = &status.reviewed {
                page.fact("Last", &by(last));
            }
        }
        None => page.line("Nobody has to: it has no spec.review.", Tone::Odd),
    }
    if let Some(uses) =
        status.break_glass.as_ref().and_then(|glass| glass.people).filter(|people| *people > 0)
    {
        let people = usize::try_from(uses).unwrap_or_default();
        page.fact("Emergency", &format!("{} to review", words::counted(people, "use")));
    }
    conditions::describe_granted(&status.conditions, now, page);
}

fn told(rule: &AccessRule) -> String {
    let AccessRule { login, group, channel, data_class, action } = rule;
    format!("{group}: {action:?} {data_class} of Channel {channel}, after login {login}")
}
