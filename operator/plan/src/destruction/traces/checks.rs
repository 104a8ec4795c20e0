//! What must be so, reckoned apart from the code that decides.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{
    Approval, Destruction, LegalHold,
    approval::{Decision, TargetKind},
};

use super::life::{KEEP, KEYS, Life, channel, cohort, day, days_kept};
use crate::{
    destruction::{
        holds::{self, Selected},
        rules,
    },
    record::decision::DecisionRecord,
};

impl Life {
    pub(super) fn writes(&mut self, index: usize, record: DecisionRecord) {
        let before = &self.store.keys[index];
        let (was, is) = (before.decision.is_condemned(), record.is_condemned());
        let mut held = before.held || !record.holds.is_empty();
        if held && record.holds.is_empty() {
            assert!(self.released(&self.cluster).next().is_some(), "a hold was dropped that nobody ended");
            held = false;
        }
        if was && !is {
            let is_back = before.decision.destroyed().is_some() && before.key.is_some();
            assert!(is_back, "what was condemned is called off only when its key is back");
        }
        if is && !was && record.destroyed().is_some() {
            assert!(before.key.is_none(), "said to be gone, and is there");
        } else if is && !was {
            assert!(!held && record.holds.is_empty() && !self.is_held(index), "condemned though held");
            assert!(self.store.destroyer.frozen.is_none(), "condemned while frozen");
            self.assert_due(index, "condemned before its day");
            let mark = record.destruction.as_ref().unwrap();
            assert!(self.now >= mark.set_aside.unwrap().until, "condemned within its grace");
            assert!(!self.is_denied(&mark.uid, &mark.digest), "condemned though denied");
        }
        self.store.keys[index].held = held;
        self.store.keys[index].decision = record;
    }

    /// How many people have to approve a list, reckoned here.
    pub(super) fn needed(&self, list: &Destruction) -> i32 {
        let bound = &self.store.bound;
        if list.spec.retention_policy.is_gone() {
            return bound.values().map(|bound| bound.needed).max().unwrap();
        }
        bound[&list.spec.retention_policy.name].needed
    }

    /// Different people whose unforged, unexpired Approval stands, where nobody denies.
    pub(super) fn people(&self, kind: TargetKind, uid: &str, digest: &str) -> i32 {
        let good = self.cluster.approvals.iter().filter(|one| {
            self.stands(one, uid, digest)
                && one.spec.target.kind == kind
                && one.spec.decision == Decision::Approve
                && !one.spec.approver.starts_with("system:")
        });
        let people: BTreeSet<_> = good.map(|one| &one.spec.approver).collect();
        if self.is_denied(uid, digest) { 0 } else { i32::try_from(people.len()).unwrap() }
    }

    pub(super) fn is_denied(&self, uid: &str, digest: &str) -> bool {
        let denies = |one: &&Approval| one.spec.decision == Decision::Deny;
        self.cluster.approvals.iter().filter(denies).any(|one| self.stands(one, uid, digest))
    }

    pub(super) fn stands(&self, one: &Approval, uid: &str, digest: &str) -> bool {
        let target = &one.spec.target;
        (target.uid.as_str(), target.digest.as_str()) == (uid, digest)
            && one.metadata.creation_timestamp.as_ref().unwrap().0 >= self.guarded_since
            && one.spec.expires.parse::<Timestamp>().unwrap() > self.now
    }

    /// Whether the hold that there is names the key, and its end was not approved.
    pub(super) fn is_held(&self, index: usize) -> bool {
        let channel = channel(index);
        let key = Selected { channel: &channel, class: "call", cohort: cohort() };
        let names = |hold: &LegalHold| holds::covers(&hold.spec.selector, key);
        self.cluster.hold.as_ref().is_some_and(names) && self.released(&self.cluster).next().is_none()
    }

    /// The later one of the first terms and of what the policy says; a shorter period only as people approved it.
    pub(super) fn assert_due(&self, index: usize, what: &str) {
        let name = KEYS[index].1;
        let keep = match self.cluster.policies.get(name) {
            None => KEEP,
            Some(policy) => {
                let (says, bound) = (days_kept(policy), &self.store.bound[name]);
                let approved = bound.approved.as_ref() == Some(&rules::digest(policy));
                if approved { says } else { says.max(KEEP).max(bound.keep) }
            }
        };
        assert!(self.today() >= day(keep), "{what}: {} of {}", self.today(), day(keep));
    }
}
