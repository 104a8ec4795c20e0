//! Describes AccessRoles and AccessGrants.

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, AccessRole,
    access_grant::RoleGrants,
    access_role::{AccessAction, AccessRoleSpec, AccessRule, OverdueAction, SeenUses},
    condition,
};
use subrosa_plan::roles::{audit::NO_PROOF, break_glass};

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
    who(spec, page);
    rights(spec, page);
    if let Some(glass) = &spec.break_glass {
        page.fact(
            "Emergency",
            &format!("group {} opens what it opens, after login {}", glass.group, break_glass::LOGIN),
        );
    }
    if let Some(grants) = &spec.grants {
        page.fact("For a time", &for_a_time(grants));
    }
    if !spec.conflicts_with.is_empty() {
        page.fact("Never beside", &spec.conflicts_with.join(", "));
    }
    match &spec.granted_by {
        Some(author) => page.fact("Given by", author),
        None => page.fact("Given by", "whoever approves it, who may grant each of its Channels"),
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
    for line in uses(status.uses.as_ref()) {
        page.fact("Uses", &line);
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

/// Whom a role names.
pub fn who(spec: &AccessRoleSpec, page: &mut Page) {
    for subject in &spec.subjects {
        if let Some(group) = &subject.group {
            page.fact("Group", group);
        }
        if let Some(account) = &subject.service_account {
            page.fact(
                "Account",
                &format!(
                    "ServiceAccount {} of this namespace: a machine, without a second factor",
                    account.name
                ),
            );
        }
    }
}

/// What a role lets people do.
pub fn rights(spec: &AccessRoleSpec, page: &mut Page) {
    for (channel, class, action) in spec.rights() {
        let does = match action {
            AccessAction::Open => "Opens",
            AccessAction::Seal => "Seals",
            AccessAction::Reseal => "Reseals",
            AccessAction::List => "Lists",
        };
        page.fact(does, &format!("{class} of Channel {channel}"));
    }
}

fn told(rule: &AccessRule) -> String {
    let AccessRule { login, channel, data_class, action, .. } = rule;
    let who = match &rule.service_account {
        Some(account) => format!("ServiceAccount {account}"),
        None => rule.who().to_owned(),
    };
    format!("{who}: {action:?} {data_class} of Channel {channel}, after login {login}")
}

/// How often it was opened; that nobody is seen to have opened it is never said to be so.
pub fn uses(seen: Option<&SeenUses>) -> Vec<String> {
    let Some(seen) = seen else { return vec!["not known: the granter has not looked yet".to_owned()] };
    let Some(count) = seen.count else { return vec![seen.message.clone()] };
    let since = seen.since.as_deref().unwrap_or("an unknown time");
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let last = seen.last.as_deref().map(|last| format!(", last at {last}")).unwrap_or_default();
    match count {
        0 => vec![format!("none seen since {since}: {NO_PROOF}")],
        _ => vec![format!("{times} or more since {since}{last}")],
    }
}

/// How single persons get it.
pub fn for_a_time(grants: &RoleGrants) -> String {
    let people = match grants.approvals() {
        1 => "one other person approves".to_owned(),
        count => format!("{count} other people approve"),
    };
    format!("a single person opens what it opens for at most {}, when {people}", grants.max.as_str())
}

/// Describes an AccessGrant; `role` is the AccessRole that it names, where there is one.
pub fn grant(object: &AccessGrant, role: Option<&AccessRole>, now: Timestamp, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let ready = condition::find(&status.conditions, condition::READY);
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    page.title(&format!("AccessGrant {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    page.section("What it asks for");
    page.fact("User", &spec.subject.user);
    page.fact("For", spec.duration.as_str());
    page.fact("Because", &spec.reason);
    page.fact("Asked by", &spec.requested_by);
    page.fact("AccessRole", &spec.role);
    match role {
        Some(role) => {
            page.fact("Login", &role.spec.login);
            for (channel, class) in role.spec.opens() {
                page.fact("Opens", &format!("{class} of Channel {channel}"));
            }
            if let Some(grants) = &role.spec.grants {
                page.fact("", &for_a_time(grants));
            }
        }
        None => page.line("There is no such AccessRole, or it cannot be read.", Tone::Odd),
    }
    page.section("Who approved");
    page.fact("Approvals", status.approvals.as_deref().unwrap_or("not known"));
    for approver in &status.approved_by {
        page.fact("", &by(approver));
    }
    page.section("When");
    let at = |at: Option<&str>, not: &str| match at {
        Some(at) => format!("{at}, {}", words::when_text(at, now)),
        None => not.to_owned(),
    };
    let made = object.creation_timestamp().map(|time| time.0.to_string());
    page.fact("Asked", &at(made.as_deref(), "not known"));
    page.fact("Began", &at(status.started_at.as_deref(), "it has not begun"));
    let ends = if ready.is_some_and(|ready| ready.status == "False") { "Ended" } else { "Ends" };
    page.fact(ends, &at(status.ends_at.as_deref(), "not known yet"));
    if status.started_at.is_some() {
        for line in uses(status.uses.as_ref()) {
            page.fact("Uses", &line);
        }
    }
    conditions::describe_granted(&status.conditions, now, page);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_no_use_is_seen_is_never_told_as_proof() {
        let counted = |count| SeenUses {
            reason: "UsesCounted".to_owned(),
            count: Some(count),
            since: Some("2026-11-01T00:00:00Z".to_owned()),
            ..SeenUses::default()
        };
        assert!(uses(Some(&counted(0))).concat().contains("no proof"), "{:?}", uses(Some(&counted(0))));
        assert!(uses(Some(&counted(3))).concat().starts_with("3 times or more since 2026-11-01"));
        assert!(uses(None).concat().contains("not known"));
        let unseen = SeenUses { message: "nobody counts uses".to_owned(), ..SeenUses::default() };
        assert_eq!(uses(Some(&unseen)), ["nobody counts uses"]);
    }
}
