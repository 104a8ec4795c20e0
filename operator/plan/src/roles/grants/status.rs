//! The status of an AccessGrant.

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, AccessGrantStatus, AccessRole, Reason,
    condition::{self, READY, RECONCILING, STALLED, Truth, Verdict},
};

use super::decision::JudgedGrant;
use crate::{record::grants::GrantEnd, roles::status::unknown_or_false, world::fault::Fault};

/// What became of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantOutcome {
    /// It has not begun, for this reason.
    Waits(Fault),
    /// It is in force.
    InForce {
        /// Since when.
        began: Timestamp,
        /// Until when, as Vault said.
        ends: Timestamp,
    },
    /// It is over.
    Over(GrantEnd),
    /// Nobody knows.
    Unknown(Fault),
}

/// The status of `grant`; `judged` is left out where nobody could judge it.
pub fn status(
    grant: &AccessGrant,
    role: Option<&AccessRole>,
    judged: Option<&JudgedGrant>,
    outcome: &GrantOutcome,
    now: Timestamp,
) -> AccessGrantStatus {
    let before = grant.status.clone().unwrap_or_default();
    let generation = grant.metadata.generation;
    // The record keeps no more than it can: what was told of one that is over stays.
    if before.ends_at.is_some()
        && matches!(outcome, GrantOutcome::Waits(fault) if fault.reason == Reason::GrantExpired)
    {
        return AccessGrantStatus { observed_generation: generation, ..before };
    }
    let ready = ready(role, outcome);
    let (started, ends) = match outcome {
        GrantOutcome::Waits(_) => (None, None),
        GrantOutcome::InForce { began, ends } => (Some(began.to_string()), Some(ends.to_string())),
        GrantOutcome::Over(end) => {
            let began = end.began.map(|began| began.to_string());
            (began.or_else(|| before.started_at.clone()), Some(end.at.to_string()))
        }
        GrantOutcome::Unknown(_) => (before.started_at.clone(), before.ends_at.clone()),
    };
    let mut verdicts = vec![ready.clone()];
    let follows = match (outcome, ready.reason) {
        (GrantOutcome::Waits(_), Reason::RightsPending) => Some(RECONCILING),
        (GrantOutcome::Waits(_), Reason::AwaitingApproval) => None,
        (GrantOutcome::Waits(_), _) => Some(STALLED),
        _ => None,
    };
    verdicts.extend(follows.map(|kind| Verdict { kind, truth: Truth::True, ..ready }));
    // Who approved is what was so when it began.
    let judged = judged.filter(|_| matches!(outcome, GrantOutcome::Waits(_)));
    let (approvals, approved_by, digest) = match judged {
        Some(judged) => (
            judged.needed.map(|needed| format!("{}/{needed}", judged.approved_by.len())),
            judged.approved_by.clone(),
            judged.digest.clone(),
        ),
        None => (before.approvals.clone(), before.approved_by.clone(), before.digest.clone()),
    };
    AccessGrantStatus {
        observed_generation: generation,
        approvals,
        approved_by,
        digest,
        started_at: started,
        ends_at: ends,
        uses: before.uses.clone(),
        conditions: condition::conditions(verdicts, &before.conditions, generation, now),
    }
}

fn ready(role: Option<&AccessRole>, outcome: &GrantOutcome) -> Verdict {
    match outcome {
        GrantOutcome::Waits(fault) => Verdict::new(READY, Truth::False, fault.reason, fault.message.clone()),
        GrantOutcome::Unknown(fault) => {
            Verdict::new(READY, unknown_or_false(fault.reason), fault.reason, fault.message.clone())
        }
        GrantOutcome::Over(end) => {
            let (reason, why) = over(end);
            let message = match end.began {
                Some(_) => format!("it ended at {}: {why}", end.at),
                None => format!("it gave nothing, and is over since {}: {why}", end.at),
            };
            Verdict::new(READY, Truth::False, reason, message)
        }
        GrantOutcome::InForce { ends, .. } => {
            let message = format!(
                "Vault ends it at {ends}, whether or not anything else runs{}",
                role.map(not_compared).unwrap_or_default()
            );
            Verdict::new(READY, Truth::True, Reason::InForce, message)
        }
    }
}

/// The reason and what it says of a grant that is over.
pub fn over(end: &GrantEnd) -> (Reason, &'static str) {
    match Reason::read(&end.reason).unwrap_or(Reason::GrantExpired) {
        Reason::GrantExpired if end.began.is_none() => (
            Reason::GrantExpired,
            "the operator did not open a slot for it within an hour; next: make another AccessGrant",
        ),
        Reason::GrantExpired => {
            (Reason::GrantExpired, "its time is over; next: make another AccessGrant, if it is still needed")
        }
        Reason::Revoked => {
            (Reason::Revoked, "an AccessRevocation names the person, the AccessRole or its namespace")
        }
        Reason::ApprovalDenied => (Reason::ApprovalDenied, "somebody denied it"),
        Reason::NotGrantable => (
            Reason::NotGrantable,
            "the AccessRole is not what was approved any more; next: make another AccessGrant",
        ),
        Reason::NotFound => (
            Reason::NotFound,
            "the AccessRole, a Channel or a data class is gone; next: make another AccessGrant",
        ),
        Reason::SetupOutdated => (
            Reason::SetupOutdated,
            "its slots are not in Vault any more; next: run subrosa vault-setup, and make another AccessGrant",
        ),
        Reason::ConflictingRoles => (
            Reason::ConflictingRoles,
            "an AccessRole excludes this one (spec.conflictsWith), and names the same group or one in which the person's last login \
             showed them; next: look at both, and make another AccessGrant, if it is still needed",
        ),
        reason => (reason, "the AccessRole gives nothing; next: look at it, and make another AccessGrant"),
    }
}

/// From when the grant is compared with what the person has by groups.
fn not_compared(role: &AccessRole) -> String {
    if role.spec.conflicts_with.is_empty() {
        return String::new();
    }
    format!(
        "; AccessRole {} excludes others (spec.conflictsWith), and which of them the person has by a group is seen only as their last \
         login showed it: a group that the provider gave since is seen with the next one",
        role.name_any()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        roles::grants::testing::{grant, role},
        testing::at,
    };

    const BEGAN: &str = "2026-11-22T10:00:00Z";
    const ENDS: &str = "2026-11-22T12:00:00Z";

    fn end(reason: &str, began: Option<&str>) -> GrantOutcome {
        GrantOutcome::Over(GrantEnd { at: at(ENDS), reason: reason.to_owned(), began: began.map(at) })
    }

    fn waits(reason: Reason) -> GrantOutcome {
        GrantOutcome::Waits(Fault::new(reason, "because; next: do it"))
    }

    fn told(status: &AccessGrantStatus) -> (String, Vec<&str>) {
        let ready = condition::find(&status.conditions, READY).unwrap();
        let others = status.conditions.iter().map(|one| one.type_.as_str()).filter(|kind| *kind != READY);
        (format!("{} {}", ready.status, ready.reason), others.collect())
    }

    #[test]
    fn ready_is_only_what_is_in_force() {
        let grant = grant("inc", json!({}));
        let in_force = GrantOutcome::InForce { began: at(BEGAN), ends: at(ENDS) };
        let silent = Fault::new(Reason::VaultUnreachable, "no answer");
        for (outcome, expected, also, ends) in [
            (in_force.clone(), "True InForce", None, Some(ENDS)),
            (waits(Reason::AwaitingApproval), "False AwaitingApproval", None, None),
            (waits(Reason::RightsPending), "False RightsPending", Some(RECONCILING), None),
            (waits(Reason::PersonUnknown), "False PersonUnknown", Some(STALLED), None),
            (end("GrantExpired", Some(BEGAN)), "False GrantExpired", None, Some(ENDS)),
            (end("Revoked", Some(BEGAN)), "False Revoked", None, Some(ENDS)),
            // Another release wrote it.
            (end("SomethingElse", Some(BEGAN)), "False GrantExpired", None, Some(ENDS)),
            (GrantOutcome::Unknown(silent.clone()), "Unknown VaultUnreachable", None, None),
        ] {
            let status = status(&grant, None, None, &outcome, at(BEGAN));
            let (ready, others) = told(&status);
            assert_eq!((ready.as_str(), others.first().copied()), (expected, also));
            assert_eq!(status.ends_at.as_deref(), ends, "{expected}");
        }
        let mut standing = grant;
        standing.status = Some(status(&standing, None, None, &in_force, at(BEGAN)));
        let status = status(&standing, None, None, &GrantOutcome::Unknown(silent), at(BEGAN));
        assert_eq!(status.ends_at.as_deref(), Some(ENDS), "what was known stays");
    }

    #[test]
    fn who_approved_stays_as_it_was_when_it_began() {
        let mut grant = grant("inc", json!({}));
        let approver = subrosa_crds::destruction::Approver {
            approver: "bas".into(),
            approval: "a".into(),
            uid: "u".into(),
            at: BEGAN.into(),
        };
        let judged = JudgedGrant {
            digest: Some("sha256:d".into()),
            approved_by: vec![approver],
            needed: Some(1),
            refusal: None,
            waits: None,
        };
        let first = status(&grant, None, Some(&judged), &waits(Reason::RightsPending), at(BEGAN));
        assert_eq!((first.approvals.as_deref(), first.approved_by.len()), (Some("1/1"), 1));
        grant.status = Some(first);
        let expired = JudgedGrant { approved_by: Vec::new(), ..judged };
        let in_force = GrantOutcome::InForce { began: at(BEGAN), ends: at(ENDS) };
        let second = status(&grant, None, Some(&expired), &in_force, at(BEGAN));
        assert_eq!((second.approvals.as_deref(), second.approved_by.len()), (Some("1/1"), 1));
        assert_eq!(second.digest.as_deref(), Some("sha256:d"));
    }

    #[test]
    fn what_was_given_stays_told_when_the_record_forgot_it() {
        let mut over = grant("inc", json!({}));
        over.status = Some(status(&over, None, None, &end("ApprovalDenied", Some(BEGAN)), at(ENDS)));
        let later = status(&over, None, None, &waits(Reason::GrantExpired), at("2026-12-22T12:00:00Z"));
        assert_eq!(Some(&later), over.status.as_ref());
        assert_eq!(told(&later).0, "False ApprovalDenied");
        let other = status(&over, None, None, &waits(Reason::Revoked), at("2026-12-22T12:00:00Z"));
        assert_eq!(told(&other).0, "False Revoked");
    }

    #[test]
    fn how_far_groups_are_compared_is_said_where_it_matters() {
        let message = |role: &AccessRole| {
            let outcome = GrantOutcome::InForce { began: at(BEGAN), ends: at(ENDS) };
            ready(Some(role), &outcome).message
        };
        assert!(!message(&role("reviewer", json!({}))).contains("conflictsWith"));
        let told = message(&role("reviewer", json!({"spec": {"conflictsWith": ["billing"]}})));
        assert!(told.contains("as their last login showed it"), "{told}");
    }
}
