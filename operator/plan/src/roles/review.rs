//! Reviews of AccessRoles: when they are due, which Approvals count, and which roles are suspended.
//!
//! A review is an Approval of the AccessRole, by somebody other than its author, with the digest of who may open what. It
//! counts if it has not expired and the digest is current. The granter then records it; later changes of the role do not
//! invalidate it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, Approval, Reason, access_role::OverdueAction, approval::TargetKind, destruction::Approver,
    period::Period,
};

use super::conflicts::{self, RoleName};
use crate::{
    record::reviews::{ReviewMark, ReviewsRecord},
    world::{
        fault::Fault,
        tally::{self, Target},
    },
};

/// How long before the due time reminders begin.
pub const REMIND: SignedDuration = SignedDuration::from_hours(24 * 14);

/// The state of a role's reviews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewFacts {
    /// When the next review is due.
    pub due: Timestamp,
    /// The last review that counted.
    pub last: Option<ReviewMark>,
}

impl ReviewFacts {
    /// The state by what was recorded; `None` for a role without `spec.review`.
    pub fn of(role: &AccessRole, record: &ReviewsRecord, zone: &TimeZone) -> Option<Self> {
        let review = role.spec.review.as_ref()?;
        let last = role.uid().and_then(|uid| record.roles.get(&uid)).cloned();
        let made = role.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
        let from = last.as_ref().map_or(made, |last| made.max(last.at));
        // An invalid or too long period is due at once.
        Some(Self { due: after(&review.every, from, zone).unwrap_or(from), last })
    }

    /// The content of an Event at `now`, if any.
    pub fn reminder(&self, role: &AccessRole, now: Timestamp) -> Option<Fault> {
        let ask = format!(
            "next: somebody other than its author looks at it: subrosa approve accessrole/{}/{}",
            role.namespace().unwrap_or_default(),
            role.name_any()
        );
        if self.due <= now {
            let message = format!("its review was due on {}; {ask}", self.due);
            return Some(Fault::new(Reason::ReviewOverdue, message));
        }
        let is_soon = self.due.duration_since(now) <= REMIND;
        is_soon.then(|| Fault::new(Reason::ReviewDue, format!("its review is due on {}; {ask}", self.due)))
    }
}

pub(super) fn after(every: &str, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let (period, from) = (every.parse::<Period>().ok()?, zone.to_datetime(from));
    let day = period.after(from.date()).ok()?;
    Some(day.to_datetime(from.time()).to_zoned(zone.clone()).ok()?.timestamp())
}

/// The roles that are suspended at `now` because their review is overdue.
pub fn suspended<'a>(
    roles: impl IntoIterator<Item = &'a AccessRole>,
    record: &ReviewsRecord,
    zone: &TimeZone,
    now: Timestamp,
) -> BTreeMap<RoleName, Fault> {
    let suspends = |role: &&AccessRole| {
        let review = role.spec.review.as_ref();
        review.is_some_and(|review| review.on_overdue.unwrap_or_default() == OverdueAction::Suspend)
    };
    let roles = roles.into_iter().filter(suspends);
    let overdue = roles.filter_map(|role| {
        let facts = ReviewFacts::of(role, record, zone).filter(|facts| facts.due <= now)?;
        let fault = facts.reminder(role, now)?;
        let message = format!("the role gives nothing: {}", fault.message);
        Some((conflicts::name(role), Fault::new(Reason::ReviewOverdue, message)))
    });
    overdue.collect()
}

/// The newest review of `role` that counts at `now` and is not recorded yet. `digest` is the role's current digest;
/// Approvals from before `guarded_since` do not count.
pub fn counted<'a>(
    role: &AccessRole,
    digest: &str,
    approvals: impl IntoIterator<Item = &'a Approval>,
    guarded_since: Option<Timestamp>,
    noted: Option<&ReviewMark>,
    now: Timestamp,
) -> Option<ReviewMark> {
    let author = role.spec.review.as_ref()?.author.to_lowercase();
    let (name, uid, namespace) = (role.name_any(), role.uid()?, role.namespace());
    let target = Target { kind: TargetKind::AccessRole, name: &name, uid: &uid, digest };
    let about = approvals.into_iter().filter(|one| one.spec.target.namespace == namespace);
    let tally = tally::count(about, &target, guarded_since, "", now);
    if tally.denied.is_some() {
        return None;
    }
    let by_others = tally.valid(now).into_iter().filter(|one| one.approver.to_lowercase() != author);
    let newest = by_others.filter_map(|one| Some((one.at.parse::<Timestamp>().ok()?, one))).max()?;
    let (at, Approver { approver, approval, uid, .. }) = newest;
    let mark = ReviewMark { at, approver, approval, uid, digest: digest.to_owned() };
    noted.is_none_or(|noted| noted.uid != mark.uid && noted.at <= mark.at).then_some(mark)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, merge, read};

    fn role(patch: Value) -> AccessRole {
        let mut role = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {
                "name": "reviewer", "namespace": "cc-front", "uid": "u", "creationTimestamp": "2026-11-01T10:00:00Z",
            },
            "spec": {
                "login": "strong", "subjects": [{"group": "quality"}],
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
                "review": {"every": "90d", "author": "anna@oosterlinde.example"},
            },
        });
        merge(&mut role, patch);
        read(role)
    }

    fn approval(patch: Value) -> Approval {
        let mut approval = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": "a", "uid": "uid-a", "creationTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {
                "target": {
                    "kind": "AccessRole", "namespace": "cc-front", "name": "reviewer", "uid": "u", "digest": "sha256:d",
                },
                "decision": "Approve", "approver": "bas", "expires": "2026-11-29T00:00:00Z",
            },
        });
        merge(&mut approval, patch);
        read(approval)
    }

    fn found(approvals: &[Approval], noted: Option<&ReviewMark>) -> Option<ReviewMark> {
        let since = Some(at("2026-11-20T00:00:00Z"));
        counted(&role(json!({})), "sha256:d", approvals, since, noted, at("2026-11-22T12:00:00Z"))
    }

    #[test]
    fn a_review_counts_by_somebody_else_of_what_is_so_while_it_has_not_expired() {
        let mark = found(&[approval(json!({}))], None).unwrap();
        assert_eq!((mark.approver.as_str(), mark.at), ("bas", at("2026-11-22T10:00:00Z")));
        assert_eq!(found(&[approval(json!({}))], Some(&mark)), None, "it is noted already");
        let target = |field: &str, value: &str| json!({"spec": {"target": {field: value}}});
        for patch in [
            json!({"spec": {"approver": "Anna@oosterlinde.example"}}),
            json!({"spec": {"expires": "2026-11-22T11:00:00Z"}}),
            json!({"spec": {"decision": "Deny"}}),
            json!({"metadata": {"creationTimestamp": "2026-11-19T10:00:00Z"}}),
            target("digest", "sha256:e"),
            target("uid", "v"),
            target("namespace", "cc-back"),
            target("name", "other"),
        ] {
            assert_eq!(found(&[approval(patch.clone())], None), None, "{patch}");
        }
        let deny =
            approval(json!({"metadata": {"name": "b"}, "spec": {"approver": "cees", "decision": "Deny"}}));
        assert_eq!(found(&[approval(json!({})), deny], None), None, "somebody denies");
    }

    #[test]
    fn the_newest_review_is_the_one_that_is_noted() {
        let older = json!({"metadata": {"name": "b", "uid": "uid-b", "creationTimestamp": "2026-11-21T10:00:00Z"},
            "spec": {"approver": "cees"}});
        let both = [approval(json!({})), approval(older.clone())];
        let mark = found(&both, None).unwrap();
        assert_eq!(mark.approval, "a");
        assert_eq!(found(&[approval(older)], Some(&mark)), None, "an older one is no news");
    }

    #[test]
    fn a_role_is_due_after_its_making_or_the_last_review_and_then_gives_nothing() {
        let mut record = ReviewsRecord::default();
        let due =
            |record: &ReviewsRecord| ReviewFacts::of(&role(json!({})), record, &TimeZone::UTC).unwrap().due;
        assert_eq!(due(&record), at("2027-01-30T10:00:00Z"));
        let gives = |record: &ReviewsRecord, patch: Value, now: &str| {
            suspended([&role(patch)], record, &TimeZone::UTC, at(now)).is_empty()
        };
        assert!(gives(&record, json!({}), "2027-01-30T09:59:59Z"));
        assert!(!gives(&record, json!({}), "2027-01-30T10:00:00Z"));
        assert!(gives(&record, json!({"spec": {"review": {"onOverdue": "Warn"}}}), "2028-01-30T10:00:00Z"));
        assert!(gives(&record, json!({"spec": {"review": null}}), "2028-01-30T10:00:00Z"));
        record.roles.insert("u".to_owned(), found(&[approval(json!({}))], None).unwrap());
        assert_eq!(due(&record), at("2027-02-20T10:00:00Z"));
        assert!(gives(&record, json!({}), "2027-01-30T10:00:00Z"));
        assert!(
            !gives(&record, json!({"metadata": {"uid": "anew"}}), "2027-01-30T10:00:00Z"),
            "another role"
        );
    }

    #[test]
    fn somebody_is_reminded_two_weeks_before() {
        let facts = ReviewFacts::of(&role(json!({})), &ReviewsRecord::default(), &TimeZone::UTC).unwrap();
        let told = |now: &str| facts.reminder(&role(json!({})), at(now)).map(|fault| fault.reason);
        assert_eq!(told("2027-01-16T09:00:00Z"), None);
        assert_eq!(told("2027-01-16T10:00:00Z"), Some(Reason::ReviewDue));
        assert_eq!(told("2027-01-30T10:00:00Z"), Some(Reason::ReviewOverdue));
        let text = facts.reminder(&role(json!({})), at("2027-01-30T10:00:00Z")).unwrap().message;
        assert!(text.contains("subrosa approve accessrole/cc-front/reviewer"), "{text}");
    }
}
