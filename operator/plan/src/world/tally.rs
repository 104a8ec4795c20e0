//! Counts Approvals of an object, and says why others do not count.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use subrosa_crds::{
    Approval,
    approval::{Decision, TargetKind},
    destruction::Approver,
};

/// The longest validity of a decision that counts: a decision without an end says nothing about today.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 92);

/// The object of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The kind.
    pub kind: TargetKind,
    /// The object's name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// The digest of what would be approved.
    pub digest: &'a str,
}

/// The Approvals of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// One Approval for each person, by user name: the one that expires last.
    approvals: BTreeMap<String, (Approver, Timestamp)>,
    /// The name of an unexpired denial.
    pub denied: Option<String>,
    /// Approvals of this object that do not count, and why.
    pub ignored: Vec<(String, &'static str)>,
}

/// Counts the `approvals` of `target` at `now`.
///
/// `guarded_since` is when the admission policy that binds an Approval to its author was first seen as it is now.
/// Nothing counts while that policy is missing or edited (`None`). `requester` is the user who listed the keys: the
/// operator.
pub fn count<'a>(
    approvals: impl IntoIterator<Item = &'a Approval>,
    target: &Target<'_>,
    guarded_since: Option<Timestamp>,
    requester: &str,
    now: Timestamp,
) -> Tally {
    let mut tally = Tally::default();
    let about = approvals
        .into_iter()
        .filter(|one| one.spec.target.kind == target.kind && one.spec.target.name == target.name);
    for approval in about {
        let name = approval.name_any();
        let made = approval.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let expires = approval.spec.expires.parse::<Timestamp>().ok();
        let why_not = if approval.spec.target.uid != target.uid {
            Some("it is about another object of that name")
        } else if approval.spec.target.digest != target.digest {
            Some("it is about something else than is asked for now: its digest is another")
        } else if approval.spec.approver == requester {
            Some("who asks does not approve")
        } else if approval.spec.approver.starts_with("system:") {
            Some("its approver is no person")
        } else if guarded_since.zip(made).is_none_or(|(since, made)| made < since) {
            Some("it is older than the admission policy subrosa-approval as it is now")
        } else if made.zip(expires).is_some_and(|(made, expires)| expires.duration_since(made) > LONGEST) {
            Some("it expires more than 92 days after it was made")
        } else {
            None
        };
        let (Some(made), Some(expires), None) = (made, expires, why_not) else {
            tally.ignored.push((name, why_not.unwrap_or("it has no time")));
            continue;
        };
        match approval.spec.decision {
            Decision::Deny if expires > now => tally.denied = Some(name),
            Decision::Deny => tally.ignored.push((name, "it has expired")),
            Decision::Approve => {
                let counted = Approver {
                    approver: approval.spec.approver.clone(),
                    approval: name,
                    uid: approval.uid().unwrap_or_default(),
                    at: made.to_string(),
                };
                let kept =
                    tally.approvals.entry(counted.approver.clone()).or_insert((counted.clone(), expires));
                if kept.1 < expires {
                    *kept = (counted, expires);
                }
            }
        }
    }
    tally
}

impl Tally {
    /// The people whose Approval is valid at `now`.
    pub fn valid(&self, now: Timestamp) -> Vec<Approver> {
        let valid = self.approvals.values().filter(|(_, expires)| *expires > now);
        valid.map(|(approver, _)| approver.clone()).collect()
    }

    /// Whether at least `needed` people approve at `now` and nobody denies.
    pub fn is_enough(&self, needed: i32, now: Timestamp) -> bool {
        self.denied.is_none() && reaches(self.valid(now).len(), needed)
    }

    /// Whether at least `needed` people approved, even if that expired since, and nobody denies: what was begun goes
    /// on.
    pub fn still_stands(&self, needed: i32) -> bool {
        self.denied.is_none() && reaches(self.approvals.len(), needed)
    }
}

/// At least one person, whatever the rules say.
fn reaches(count: usize, needed: i32) -> bool {
    i32::try_from(count).unwrap_or(i32::MAX) >= needed.max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, merge, now, read};

    const TARGET: Target<'_> =
        Target { kind: TargetKind::Destruction, name: "p.1.a", uid: "u", digest: "sha256:d" };

    fn approval(name: &str, approver: &str, patch: Value) -> Approval {
        let mut value = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {
                "target": {"kind": "Destruction", "name": "p.1.a", "uid": "u", "digest": "sha256:d"},
                "decision": "Approve", "approver": approver, "expires": "2026-11-29T00:00:00Z",
            },
        });
        merge(&mut value, patch);
        read(value)
    }

    fn tally(approvals: &[Approval]) -> Tally {
        count(approvals, &TARGET, Some(at("2026-11-20T00:00:00Z")), "system:serviceaccount:s:subrosa", now())
    }

    #[test]
    fn one_person_counts_once() {
        let twice = [approval("a", "anna", json!({})), approval("b", "anna", json!({}))];
        assert!(!tally(&twice).is_enough(2, now()));
        let two = [approval("a", "anna", json!({})), approval("b", "bas", json!({}))];
        assert!(tally(&two).is_enough(2, now()) && tally(&two).still_stands(2));
        assert!(!tally(&two).is_enough(3, now()));
        assert!(!tally(&[]).is_enough(0, now()) && !tally(&[]).still_stands(-1), "never without anybody");
    }

    #[test]
    fn what_does_not_count_is_told() {
        let about = |field: &str, value: &str| json!({"spec": {"target": {field: value}}});
        for (patch, why) in [
            (about("uid", "other"), "another object"),
            (about("digest", "sha256:e"), "digest is another"),
            (json!({"spec": {"approver": "system:serviceaccount:s:subrosa"}}), "who asks"),
            (json!({"spec": {"approver": "system:masters"}}), "no person"),
            (
                json!({"metadata": {"creationTimestamp": "2026-11-19T00:00:00Z"}}),
                "older than the admission policy",
            ),
            (json!({"metadata": {"creationTimestamp": null}}), "older than the admission policy"),
            (json!({"spec": {"expires": "soon"}}), "no time"),
            (json!({"spec": {"expires": "2027-02-23T00:00:00Z"}}), "more than 92 days"),
        ] {
            let found = tally(&[approval("a", "anna", patch.clone())]);
            assert!(!found.is_enough(1, now()) && !found.still_stands(1), "{patch}");
            assert!(found.ignored[0].1.contains(why), "{patch}: {:?}", found.ignored);
        }
        let elsewhere =
            [approval("a", "anna", about("name", "p.1.b")), approval("b", "bas", about("kind", "LegalHold"))];
        assert_eq!(tally(&elsewhere), Tally::default());
    }

    #[test]
    fn without_the_admission_policy_nothing_counts() {
        let one = [approval("a", "anna", json!({}))];
        assert!(!count(&one, &TARGET, None, "x", now()).still_stands(1));
    }

    #[test]
    fn a_denial_stops_everything_until_it_expires() {
        let deny = json!({"spec": {"decision": "Deny"}});
        let both = [approval("a", "anna", json!({})), approval("b", "bas", deny.clone())];
        let found = tally(&both);
        assert_eq!(found.denied.as_deref(), Some("b"));
        assert!(!found.is_enough(1, now()) && !found.still_stands(1));
        let mut expired = deny;
        merge(&mut expired, json!({"spec": {"expires": "2026-11-22T11:00:00Z"}}));
        let later = [approval("a", "anna", json!({})), approval("b", "bas", expired)];
        assert!(tally(&later).is_enough(1, now()));
    }

    #[test]
    fn what_expired_does_not_begin_anything_and_goes_on_with_what_was_begun() {
        let past = approval("a", "anna", json!({"spec": {"expires": "2026-11-22T12:00:00Z"}}));
        assert!(!tally(std::slice::from_ref(&past)).is_enough(1, now()));
        assert!(tally(std::slice::from_ref(&past)).still_stands(1));
        // The longer of two counts.
        let found = tally(&[past, approval("b", "anna", json!({}))]);
        assert_eq!(found.valid(now()).first().map(|one| one.approval.clone()).as_deref(), Some("b"));
    }
}
