//! Which Approvals release a revocation.

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{AccessRevocation, Approval, approval::TargetKind, destruction::Approver};

use super::RevokedPeople;
use crate::{
    record::revocations::ReleaseMark,
    world::tally::{self, Target},
};

/// The release of `revocation`, if its Approvals suffice at `now`: one of somebody who is not revoked, and no denial.
/// Approvals from before `guarded_since` do not count.
pub fn counted<'a>(
    revocation: &AccessRevocation,
    approvals: impl IntoIterator<Item = &'a Approval>,
    revoked: &RevokedPeople,
    guarded_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<ReleaseMark> {
    let (name, uid, digest) = (revocation.name_any(), revocation.uid()?, revocation.spec.release_digest());
    let target = Target { kind: TargetKind::AccessRevocation, name: &name, uid: &uid, digest: &digest };
    let approvals = approvals.into_iter().filter(|one| revoked.lets_count(one));
    let tally = tally::count(approvals, &target, guarded_since, "", now);
    if !tally.is_enough(1, now) {
        return None;
    }
    let first = tally.valid(now).into_iter().min_by(|one, other| one.at.cmp(&other.at))?;
    let at = first.at.parse().ok()?;
    let Approver { approver, approval, uid, .. } = first;
    Some(ReleaseMark { at, approver, approval, uid })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        roles::revoked::tests::revocation,
        testing::{at, merge, read},
    };

    fn released(patch: Value) -> bool {
        let one = revocation("leaver", json!({"user": "anna"}));
        let mut approval = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": "a", "uid": "uid-a", "creationTimestamp": "2026-11-22T11:00:00Z"},
            "spec": {
                "target": {
                    "kind": "AccessRevocation", "name": "leaver", "uid": "u-leaver", "digest": one.spec.release_digest(),
                },
                "decision": "Approve", "approver": "bas", "expires": "2026-11-29T00:00:00Z",
            },
        });
        merge(&mut approval, patch);
        let (people, since) = (RevokedPeople::of([&one]), Some(at("2026-11-20T00:00:00Z")));
        counted(&one, &[read(approval)], &people, since, at("2026-11-22T12:00:00Z")).is_some()
    }

    #[test]
    fn one_other_person_releases_what_it_is_and_nobody_releases_themselves() {
        assert!(released(json!({})));
        let other = revocation("leaver", json!({"user": "other"})).spec.release_digest();
        for patch in [
            json!({"spec": {"approver": "ANNA"}}),
            json!({"spec": {"decision": "Deny"}}),
            json!({"spec": {"expires": "2026-11-22T11:30:00Z"}}),
            json!({"spec": {"target": {"digest": other}}}),
            json!({"spec": {"target": {"uid": "u-earlier"}}}),
            json!({"spec": {"target": {"kind": "AccessRole"}}}),
            json!({"metadata": {"creationTimestamp": "2026-11-19T11:00:00Z"}}),
        ] {
            assert!(!released(patch.clone()), "{patch}");
        }
    }
}
