//! Whether a grant may begin, and whether one that began may go on.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, AccessRole, Approval, Reason, access_grant::RoleGrants, approval::TargetKind,
    destruction::Approver,
};

use crate::{
    record::grants::GrantsRecord,
    roles::{
        counted, is_there,
        revoked::{RevokedPeople, StandingRevocations},
        uses::is_same,
    },
    world::{
        fault::Fault,
        tally::{self, Target},
    },
};

/// How long after it was asked for a grant can begin.
pub const LAPSE: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How many grants that are over the record keeps.
pub const MOST_OVER: usize = 500;

/// What decides about a grant.
#[derive(Clone, Copy, Debug)]
pub struct GrantInputs<'a> {
    /// The grant.
    pub grant: &'a AccessGrant,
    /// Its AccessRole, if there is one.
    pub role: Option<&'a AccessRole>,
    /// Why the role gives nothing.
    pub withheld: Option<&'a Fault>,
    /// The AccessRevocations that stand.
    pub standing: &'a StandingRevocations<'a>,
    /// The people that AccessRevocations name.
    pub people: &'a RevokedPeople,
    /// Since when the admission policy of Approvals is as it is now.
    pub guarded_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedGrant {
    /// What Approvals repeat; none without a role that can be granted.
    pub digest: Option<String>,
    /// Whose Approvals count.
    pub approved_by: Vec<Approver>,
    /// How many are needed.
    pub needed: Option<i32>,
    /// Why it may neither begin nor go on.
    pub refusal: Option<Fault>,
    /// Why it may not begin yet, or not any more. What began goes on.
    pub waits: Option<Fault>,
}

/// Judges a grant by the `approvals` that there are.
pub fn judge<'a>(
    inputs: GrantInputs<'_>,
    approvals: impl IntoIterator<Item = &'a Approval> + Clone,
) -> JudgedGrant {
    let GrantInputs { grant, standing, people, now, .. } = inputs;
    let mut judged =
        JudgedGrant { digest: None, approved_by: Vec::new(), needed: None, refusal: None, waits: None };
    let (role, rules) = match grantable(inputs) {
        Ok(found) => found,
        Err(fault) => return JudgedGrant { refusal: Some(fault), ..judged },
    };
    let digest = grant.spec.digest(&role.uid().unwrap_or_default(), &role.spec.login, &role.spec.opens());
    let (denied, approved_by) = approvers(inputs, &digest, approvals);
    let (needed, count) = (rules.approvals(), approved_by.len());
    let name = format!("{}/{}", grant.namespace().unwrap_or_default(), grant.name_any());
    judged.refusal = if standing.has_person(&grant.spec.subject.user) {
        let message = "an AccessRevocation names spec.subject.user, so they get nothing; next: kubectl get accessrevocations";
        Some(Fault::new(Reason::Revoked, message))
    } else if people.has(&grant.spec.requested_by) {
        let message = "an AccessRevocation names spec.requestedBy, so nothing that they asked for is given; next: somebody else asks";
        Some(Fault::new(Reason::Revoked, message))
    } else if let Some(fault) = inputs.withheld {
        Some(Fault::new(fault.reason, format!("spec.role: {}: {}", grant.spec.role, fault.message)))
    } else {
        denied.map(|denied| {
            let message = format!(
                "Approval {denied} denies it, so it gives nothing until that expires; next: ask who denied it why"
            );
            Fault::new(Reason::ApprovalDenied, message)
        })
    };
    let made = grant.creation_timestamp().map_or(now, |time| time.0);
    judged.waits = if grant.spec.duration > rules.max {
        let message = format!(
            "spec.duration: AccessRole {} is granted for at most {}; next: ask for {0} again for less",
            grant.spec.role,
            rules.max.as_str()
        );
        Some(Fault::new(Reason::NotGrantable, message))
    } else if now.duration_since(made) > LAPSE {
        let message = "it did not begin within seven days, and does not begin any more; next: make another AccessGrant, if it is still needed";
        Some(Fault::new(Reason::GrantExpired, message))
    } else if i32::try_from(count).unwrap_or(i32::MAX) < needed {
        let message = format!(
            "{} of {needed}; next: people other than who asked and who gets it: subrosa approve accessgrant/{name}",
            counted(count, "person approved", "people approved")
        );
        Some(Fault::new(Reason::AwaitingApproval, message))
    } else {
        None
    };
    JudgedGrant { digest: Some(digest), approved_by, needed: Some(needed), ..judged }
}

/// The role, and how it may be granted.
fn grantable(inputs: GrantInputs<'_>) -> Result<(&AccessRole, &RoleGrants), Fault> {
    let name = &inputs.grant.spec.role;
    let Some(role) = inputs.role.filter(|role| is_there(role)) else {
        let message = format!(
            "spec.role: there is no AccessRole {name} in this namespace; next: ask for one that there is"
        );
        return Err(Fault::new(Reason::NotFound, message));
    };
    let rules = role.spec.grants.as_ref().ok_or_else(|| {
        let message = format!(
            "spec.role: AccessRole {name} has no spec.grants, so it is given to nobody for a time; next: the compliance office writes \
             spec.grants, if it should be"
        );
        Fault::new(Reason::NotGrantable, message)
    })?;
    Ok((role, rules))
}

/// The denial, and one Approval of each other person: neither of who asked nor of who gets it, under any name that tells it.
fn approvers<'a>(
    inputs: GrantInputs<'_>,
    digest: &str,
    approvals: impl IntoIterator<Item = &'a Approval>,
) -> (Option<String>, Vec<Approver>) {
    let GrantInputs { grant, people, now, .. } = inputs;
    let (name, uid, namespace) = (grant.name_any(), grant.uid().unwrap_or_default(), grant.namespace());
    let target = Target { kind: TargetKind::AccessGrant, name: &name, uid: &uid, digest };
    let about =
        approvals.into_iter().filter(|one| one.spec.target.namespace == namespace && people.lets_count(one));
    let tally = tally::count(about, &target, inputs.guarded_since, &grant.spec.requested_by, now);
    let mut by_person: BTreeMap<String, Approver> = BTreeMap::new();
    for one in tally.valid(now).into_iter().filter(|one| is_other(grant, &one.approver)) {
        by_person.entry(one.approver.to_lowercase()).or_insert(one);
    }
    (tally.denied, by_person.into_values().collect())
}

/// Whether a user of the API server is neither who asked nor who gets it, as far as names tell.
pub fn is_other(grant: &AccessGrant, user: &str) -> bool {
    let own = [&grant.spec.requested_by, &grant.spec.subject.user];
    own.into_iter().all(|one| !is_same(user, one) && !is_same(one, user))
}

/// Why a grant may not begin beside those that stand: they give the same person a role that excludes this one.
pub fn excluded<'a>(
    grant: &AccessGrant,
    role: &AccessRole,
    standing: impl IntoIterator<Item = (&'a AccessGrant, &'a AccessRole)>,
) -> Option<Fault> {
    let person = grant.spec.subject.user.to_lowercase();
    let found = standing.into_iter().find(|(other, of)| {
        other.spec.subject.user.to_lowercase() == person
            && other.namespace() == grant.namespace()
            && exclude_each_other(role, of)
    });
    found.map(|(other, of)| {
        let message = format!(
            "spec.role: AccessRole {} excludes {} (spec.conflictsWith), which AccessGrant {} gives the same person now; next: wait until \
             that is over, or delete it",
            role.name_any(),
            of.name_any(),
            other.name_any()
        );
        Fault::new(Reason::ConflictingRoles, message)
    })
}

fn exclude_each_other(one: &AccessRole, other: &AccessRole) -> bool {
    let names = |one: &AccessRole, other: &AccessRole| one.spec.conflicts_with.contains(&other.name_any());
    one.name_any() != other.name_any() && (names(one, other) || names(other, one))
}

/// The groups, in lower case, whose people may not have `role` too, each with the AccessRole that names it.
pub fn excluding_groups<'a>(
    role: &AccessRole,
    roles: impl IntoIterator<Item = &'a AccessRole>,
) -> BTreeMap<String, String> {
    let there = roles.into_iter().filter(|other| is_there(other) && other.namespace() == role.namespace());
    let excluding = there.filter(|other| exclude_each_other(role, other));
    excluding
        .flat_map(|other| other.spec.groups().into_iter().map(|group| (group, other.name_any())))
        .collect()
}

/// Why a person gets nothing by a grant of `role`: Vault saw them in one of `groups` at their last login.
pub fn excluded_by_group(
    role: &AccessRole,
    groups: &BTreeMap<String, String>,
    is_in: impl Fn(&str) -> bool,
) -> Option<Fault> {
    let (group, by) = groups.iter().find(|(group, _)| is_in(group))?;
    let message = format!(
        "spec.role: AccessRole {} and {by} exclude each other (spec.conflictsWith), and the person has {by} by group {group}, as their last \
         login showed; next: have the provider take them out of the group, and they log in once more",
        role.name_any()
    );
    Some(Fault::new(Reason::ConflictingRoles, message))
}

/// Forgets grants that are over: those whose AccessGrant is gone, and so many of the oldest that can no longer begin that another
/// one can. `there` has the UIDs of the AccessGrants, with when they were made.
pub fn forget(record: &mut GrantsRecord, there: &BTreeMap<String, Timestamp>, now: Timestamp) {
    record.over.retain(|uid, _| there.contains_key(uid));
    let lapsed = |uid: &&String| is_lapsed(there, uid, now);
    let mut oldest: Vec<_> = record.over.keys().filter(lapsed).cloned().collect();
    oldest.sort_by_key(|uid| record.over.get(uid).map(|end| end.at));
    let surplus = (record.over.len() + 1).saturating_sub(MOST_OVER);
    for uid in oldest.into_iter().take(surplus) {
        record.over.remove(&uid);
    }
}

/// How many more grants can be over before none begins any more.
pub fn left(record: &GrantsRecord, there: &BTreeMap<String, Timestamp>, now: Timestamp) -> usize {
    let kept = record.over.keys().filter(|uid| !is_lapsed(there, uid, now)).count();
    MOST_OVER.saturating_sub(kept)
}

/// Whether a grant of this UID, if nothing is known of it, does not begin any more, with time to spare for clocks.
fn is_lapsed(there: &BTreeMap<String, Timestamp>, uid: &str, now: Timestamp) -> bool {
    there.get(uid).is_some_and(|made| now.duration_since(*made) > LAPSE * 2)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        record::grants::GrantEnd,
        record::revocations::RevocationsRecord,
        roles::{
            grants::testing::{approval, grant, role},
            revoked::tests::revocation,
        },
        testing::at,
    };

    const NOW: &str = "2026-11-22T10:00:00Z";

    fn word(judged: &JudgedGrant) -> &'static str {
        let fault = judged.refusal.as_ref().or(judged.waits.as_ref());
        fault.map_or("may begin", |fault| fault.reason.as_str())
    }

    fn judged(
        grant: &AccessGrant,
        role: Option<&AccessRole>,
        approvals: &[Approval],
        revoked: &[subrosa_crds::AccessRevocation],
    ) -> JudgedGrant {
        let record = RevocationsRecord::default();
        let standing = StandingRevocations::of("oosterlinde", revoked, &record);
        let inputs = GrantInputs {
            grant,
            role,
            withheld: None,
            standing: &standing,
            people: &RevokedPeople::of(revoked),
            guarded_since: Some(at("2026-11-20T00:00:00Z")),
            now: at(NOW),
        };
        judge(inputs, approvals)
    }

    #[test]
    fn one_other_person_approves_and_neither_who_asked_nor_who_gets_it() {
        let (grant, role) = (grant("inc", json!({})), role("reviewer", json!({})));
        let told = |approver: &str, patch: Value| {
            word(&judged(&grant, Some(&role), &[approval("a", approver, &grant, patch)], &[]))
        };
        assert_eq!(told("bas", json!({})), "may begin");
        for own in ["oidc:anna", "OIDC:Anna", "anna", "ANNA", "4f1c", "oidc:4F1C", "https://issuer#4f1c"] {
            assert_eq!(told(own, json!({})), "AwaitingApproval", "{own}");
        }
        assert_eq!(told("annabel", json!({})), "may begin", "another person");
        for patch in [
            json!({"spec": {"target": {"namespace": "cc-back"}}}),
            json!({"spec": {"target": {"uid": "u-other"}}}),
            json!({"spec": {"target": {"digest": format!("sha256:{}", "0".repeat(64))}}}),
            json!({"spec": {"target": {"kind": "AccessRole"}}}),
            json!({"spec": {"expires": "2026-11-22T09:59:00Z"}}),
            json!({"metadata": {"creationTimestamp": "2026-11-19T00:00:00Z"}}),
        ] {
            assert_eq!(told("bas", patch.clone()), "AwaitingApproval", "{patch}");
        }
        assert_eq!(told("4f1c", json!({"spec": {"decision": "Deny"}})), "ApprovalDenied");
        let both = [approval("a", "bas", &grant, json!({})), {
            approval("b", "cor", &grant, json!({"spec": {"decision": "Deny"}}))
        }];
        assert_eq!(word(&judged(&grant, Some(&role), &both, &[])), "ApprovalDenied");
    }

    #[test]
    fn as_many_people_approve_as_the_role_says_and_one_person_counts_once() {
        let grant = grant("inc", json!({}));
        let two = role("reviewer", json!({"spec": {"grants": {"approvals": 2}}}));
        let count = |approvers: &[&str]| {
            let name = |number: usize| format!("a{number}");
            let approvals = approvers.iter().enumerate();
            let approvals: Vec<_> =
                approvals.map(|(number, who)| approval(&name(number), who, &grant, json!({}))).collect();
            let judged = judged(&grant, Some(&two), &approvals, &[]);
            (word(&judged), judged.approved_by.len())
        };
        assert_eq!(count(&["bas"]), ("AwaitingApproval", 1));
        assert_eq!(count(&["bas", "BAS"]), ("AwaitingApproval", 1));
        assert_eq!(count(&["bas", "anna", "4f1c"]), ("AwaitingApproval", 1));
        assert_eq!(count(&["bas", "cor"]), ("may begin", 2));
    }

    #[test]
    fn what_is_revoked_gone_or_not_to_be_granted_gives_nothing() {
        let (grant, reviewer) = (grant("inc", json!({})), role("reviewer", json!({})));
        let approvals = [approval("a", "bas", &grant, json!({}))];
        let told = |role: Option<&AccessRole>, revoked: &[subrosa_crds::AccessRevocation]| {
            word(&judged(&grant, role, &approvals, revoked))
        };
        assert_eq!(told(Some(&reviewer), &[]), "may begin");
        assert_eq!(told(None, &[]), "NotFound");
        for (subject, expected) in [
            (json!({"user": "4F1C"}), "Revoked"),
            (json!({"user": "x", "kubernetesUser": "OIDC:anna"}), "Revoked"),
            (json!({"user": "bas"}), "AwaitingApproval"),
            (json!({"user": "cor"}), "may begin"),
        ] {
            assert_eq!(told(Some(&reviewer), &[revocation("r", subject.clone())]), expected, "{subject}");
        }
        let never = role("reviewer", json!({"spec": {"grants": null}}));
        assert_eq!(told(Some(&never), &[]), "NotGrantable");
        let shorter = role("reviewer", json!({"spec": {"grants": {"max": "1h"}}}));
        assert_eq!(told(Some(&shorter), &[]), "NotGrantable");
        // Another role than was approved.
        let wider = role("reviewer", json!({"spec": {"login": "weak"}}));
        assert_eq!(told(Some(&wider), &[]), "AwaitingApproval");
        let fault = Fault::new(Reason::ReviewOverdue, "overdue");
        let (record, people) = (RevocationsRecord::default(), RevokedPeople::default());
        let standing = StandingRevocations::of("oosterlinde", &[], &record);
        let inputs = GrantInputs {
            grant: &grant,
            role: Some(&reviewer),
            withheld: Some(&fault),
            standing: &standing,
            people: &people,
            guarded_since: Some(at("2026-11-20T00:00:00Z")),
            now: at(NOW),
        };
        assert_eq!(word(&judge(inputs, &approvals)), "ReviewOverdue");
        let late = GrantInputs { withheld: None, now: at("2026-11-29T09:00:01Z"), ..inputs };
        let long = [approval("a", "bas", &grant, json!({"spec": {"expires": "2026-12-29T00:00:00Z"}}))];
        assert_eq!(word(&judge(late, &long)), "GrantExpired");
        let unguarded = GrantInputs { withheld: None, guarded_since: None, ..inputs };
        assert_eq!(word(&judge(unguarded, &approvals)), "AwaitingApproval");
    }

    #[test]
    fn nobody_has_two_roles_that_exclude_each_other() {
        let mine = role("billing", json!({"spec": {"conflictsWith": ["reviewer"]}}));
        let theirs = role("reviewer", json!({}));
        let asked = grant("new", json!({"spec": {"role": "billing"}}));
        for (one, other) in [(&mine, &theirs), (&theirs, &mine)] {
            let told = |patch: Value| {
                let standing = grant("old", patch);
                excluded(&asked, one, [(&standing, other)]).map(|fault| fault.reason)
            };
            assert_eq!(told(json!({})), Some(Reason::ConflictingRoles));
            assert_eq!(told(json!({"spec": {"subject": {"user": "4F1C"}}})), Some(Reason::ConflictingRoles));
            assert_eq!(told(json!({"spec": {"subject": {"user": "other"}}})), None);
            assert_eq!(told(json!({"metadata": {"namespace": "cc-back"}})), None);
        }
        assert_eq!(excluded(&asked, &theirs, [(&asked, &theirs)]), None, "the same role twice");
    }

    #[test]
    fn who_has_a_role_by_a_group_gets_none_that_excludes_it() {
        let mine = role("billing", json!({"spec": {"conflictsWith": ["reviewer"]}}));
        let theirs = role("reviewer", json!({"spec": {"subjects": [{"group": "CC-Quality"}]}}));
        let others =
            [role("planner", json!({})), role("reviewer", json!({"metadata": {"namespace": "cc-back"}}))];
        let groups = |role: &AccessRole, other: &AccessRole| {
            excluding_groups(role, others.iter().chain([role, other]))
        };
        for (one, other, group) in [(&mine, &theirs, "cc-quality"), (&theirs, &mine, "quality")] {
            let found = groups(one, other);
            assert_eq!(found.keys().collect::<Vec<_>>(), [group]);
            let told = |of: &str| excluded_by_group(one, &found, |group| group == of);
            assert!(told(group).is_some_and(|fault| fault.reason == Reason::ConflictingRoles));
            assert_eq!(told("all"), None);
        }
        let going = role("reviewer", json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}}));
        assert!(groups(&mine, &going).is_empty());
    }

    #[test]
    fn what_is_over_is_kept_while_it_could_begin_again() {
        let end = |at: Timestamp| GrantEnd { at, reason: "GrantExpired".into(), began: None };
        let mut record = GrantsRecord::default();
        let (old, new) = (at("2026-10-01T00:00:00Z"), at("2026-11-21T00:00:00Z"));
        let mut there = BTreeMap::new();
        for number in 0..MOST_OVER + 2 {
            let made = if number < 4 { old } else { new };
            record.over.insert(format!("u{number}"), end(made));
            there.insert(format!("u{number}"), made);
        }
        there.remove("u9");
        forget(&mut record, &there, at(NOW));
        // Another one can begin.
        assert_eq!(record.over.len(), MOST_OVER - 1);
        assert_eq!(left(&record, &there, at(NOW)), 3, "two of them are old");
        assert!(!record.over.contains_key("u9"), "its AccessGrant is deleted");
        assert!(!record.over.contains_key("u0") && record.over.contains_key("u3"), "two too many");
        let before = record.clone();
        forget(&mut record, &there, at(NOW));
        assert_eq!(record, before);
        // None of them is forgotten while it could begin again: then no other begins.
        for number in 0..MOST_OVER {
            record.over.insert(format!("v{number}"), end(new));
            there.insert(format!("v{number}"), new);
        }
        forget(&mut record, &there, at(NOW));
        assert!(record.over.len() > MOST_OVER);
        assert_eq!(left(&record, &there, at(NOW)), 0);
        assert_eq!(left(&GrantsRecord::default(), &there, at(NOW)), MOST_OVER);
    }
}
