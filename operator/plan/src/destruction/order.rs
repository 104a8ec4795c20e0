//! Judges one Destruction: whether people approved it, and whether it still is what they approved.

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, civil::Date};
use kube::ResourceExt as _;
use subrosa_crds::{
    Approval, Destruction, Reason, RetentionPolicy, approval::TargetKind, cohort::Cohort, retention,
    retention_policy::DestructionMode,
};

use super::{
    due, rules, status,
    tally::{self, Tally, Target},
};
use crate::{
    record::{decision::DecisionRecord, destroyer::BindingRules},
    world::fault::Fault,
};

/// A Destruction with everything that decides whether it may proceed.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The object.
    pub destruction: &'a Destruction,
    /// Its policy, where it exists.
    pub policy: Option<&'a RetentionPolicy>,
    /// The rules that bind.
    pub rules: BindingRules,
    /// Who approved and who denied.
    pub tally: Tally,
    /// Why nothing of it may be destroyed, even if approved.
    pub refusal: Option<Fault>,
}

/// The inputs of [`Order::judge`].
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The policy that the Destruction names, where it exists.
    pub policy: Option<&'a RetentionPolicy>,
    /// Why that policy contradicts the trust domain's law, where it does.
    pub contradiction: Option<&'a Fault>,
    /// The binding rules of each policy; of a deleted policy those that bound last.
    pub rules: &'a BTreeMap<String, BindingRules>,
    /// Every Approval.
    pub approvals: &'a [Approval],
    /// Since when the admission policy for Approvals is unchanged; `None` while it is missing or edited.
    pub guarded_since: Option<Timestamp>,
    /// The user who lists keys: the operator.
    pub requester: &'a str,
    /// The day in the trust domain.
    pub today: Date,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Order<'a> {
    /// Judges `destruction`.
    pub fn judge(destruction: &'a Destruction, by: Judged<'a>) -> Self {
        let (name, uid) = (destruction.name_any(), destruction.uid().unwrap_or_default());
        let target = Target {
            kind: TargetKind::Destruction,
            name: &name,
            uid: &uid,
            digest: &destruction.spec.digest,
        };
        let tally = tally::count(by.approvals, &target, by.guarded_since, by.requester, by.now);
        let listed = &destruction.spec.retention_policy;
        let rules = match by.policy {
            None if listed.is_gone() => Some(rules::of_gone(&listed.name, by.rules, by.today)),
            None => None,
            Some(_) => by.rules.get(&listed.name).cloned(),
        };
        let refusal = refusal(destruction, by, rules.as_ref());
        let rules = rules.unwrap_or_else(nothing_binds);
        Self { destruction, policy: by.policy, rules, tally, refusal }
    }

    /// The Destruction's UID.
    pub fn uid(&self) -> &str {
        self.destruction.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether one of its keys may be set aside at `now`.
    pub fn may_begin(&self, now: Timestamp) -> bool {
        self.refusal.is_none() && self.tally.is_enough(self.rules.approvals, now)
    }

    /// Whether a destruction that was begun may continue.
    pub fn still_stands(&self) -> bool {
        self.refusal.is_none() && self.tally.still_stands(self.rules.approvals)
    }

    /// Whether its status proves that it destroyed the key named `key`.
    fn destroyed(&self, key: &str) -> bool {
        let proven = self.destruction.status.iter().flat_map(|status| &status.keys);
        let mut proven = proven.filter(|one| one.destroyed_at.is_some());
        proven.any(|one| one.key_name() == key)
    }

    /// Whether the list can never be followed again. Keys that are still due get a new list.
    pub fn is_void(&self) -> bool {
        self.refusal.as_ref().is_some_and(|refusal| refusal.reason == Reason::PolicyChanged)
    }

    /// The due day of one of its keys; where the policy is gone, the day in the key's record.
    pub fn due(&self, record: &DecisionRecord, class: &str, cohort: Cohort) -> Option<Date> {
        let Some(policy) = self.policy else { return record.due };
        due::day(record, class, cohort, policy, &rules::digest(policy), &self.rules)
    }

    /// Why nothing may begin at `now`, where [`may_begin`](Self::may_begin) is false.
    pub fn why_not(&self, now: Timestamp) -> Fault {
        if let Some(refusal) = &self.refusal {
            return refusal.clone();
        }
        if let Some(denied) = &self.tally.denied {
            return Fault::new(
                Reason::ApprovalDenied,
                format!("Approval {denied} denies it until it expires"),
            );
        }
        let (have, need) = (self.tally.valid(now).len(), self.rules.approvals);
        let mut message = format!(
            "{have} of {need} people approve; next: subrosa approve Destruction/{}",
            self.destruction.name_any()
        );
        for (name, why) in self.tally.ignored.iter().take(5) {
            message.push_str(&format!("; Approval {name} does not count: {why}"));
        }
        Fault::new(Reason::AwaitingApproval, message)
    }
}

/// The Destructions of a trust domain that can still do something, indexed by UID and by key.
#[derive(Clone, Debug, Default)]
pub struct Orders<'a> {
    all: Vec<Order<'a>>,
    by_uid: HashMap<String, usize>,
    by_key: HashMap<String, Vec<usize>>,
}

impl<'a> Orders<'a> {
    /// Indexes the orders.
    pub fn new(all: Vec<Order<'a>>) -> Self {
        let mut orders = Self { all, ..Self::default() };
        for (index, order) in orders.all.iter().enumerate() {
            orders.by_uid.insert(order.uid().to_owned(), index);
            for key in &order.destruction.spec.keys {
                orders.by_key.entry(key.key_name()).or_default().push(index);
            }
        }
        orders
    }

    /// All of them.
    pub fn all(&self) -> &[Order<'a>] {
        &self.all
    }

    /// The order with this UID.
    pub fn with_uid(&self, uid: &str) -> Option<&Order<'a>> {
        self.all.get(*self.by_uid.get(uid)?)
    }

    /// The order that decides about the key named `key`. That is the one that the key's record follows; without one,
    /// any open order that lists the key, preferably one that is not refused. A finished list decides nothing. A key
    /// that came back is never decided by a list that destroyed it: that approval was used.
    pub fn of(&self, record: &DecisionRecord, key: &str) -> Option<&Order<'a>> {
        let listing = || self.by_key.get(key).into_iter().flatten().filter_map(|index| self.all.get(*index));
        let is_done = |order: &&Order<'_>| order.destruction.status.as_ref().is_some_and(status::is_settled);
        if let Some(mark) = &record.destruction {
            return listing().find(|order| order.uid() == mark.uid && !is_done(order));
        }
        let past = record.past.as_deref();
        let is_open = |order: &&Order<'_>| {
            !is_done(order) && past.is_none_or(|past| past.uid != order.uid() && !order.destroyed(key))
        };
        let mut good = listing().filter(is_open).filter(|order| order.refusal.is_none());
        good.next().or_else(|| listing().find(is_open))
    }
}

/// Why `policy` cannot be kept under the law of these jurisdictions, worded as in its status; nothing is destroyed by
/// such a policy. The check walks every day of eight years: cache the answer.
pub fn contradiction(policy: &RetentionPolicy, jurisdictions: &[String], today: Date) -> Option<Fault> {
    let problems = retention::check(&policy.spec, jurisdictions, today);
    let problems: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
    (!problems.is_empty()).then(|| {
        Fault::new(
            Reason::Contradictory,
            format!(
                "nothing is destroyed by RetentionPolicy {}, which cannot be kept: {}; next: correct it",
                policy.name_any(),
                problems.join("; ")
            ),
        )
    })
}

/// Rules under which nothing is destroyed.
fn nothing_binds() -> BindingRules {
    BindingRules {
        approvals: i32::MAX,
        grace: String::new(),
        mode: DestructionMode::Report,
        periods: BTreeMap::new(),
        approved: None,
    }
}

fn refusal(destruction: &Destruction, by: Judged<'_>, rules: Option<&BindingRules>) -> Option<Fault> {
    let spec = &destruction.spec;
    if spec.computed_digest() != spec.digest {
        return Some(Fault::new(
            Reason::DigestMismatch,
            "its digest is not that of its list: it was not made by the operator, and nothing of it is destroyed",
        ));
    }
    let listed = &spec.retention_policy;
    let Some(rules) = rules else {
        return Some(Fault::new(
            Reason::RetentionPolicyNotFound,
            format!(
                "the trust domain has no RetentionPolicy {} any more: what is due is listed anew, by the days that its keys \
                 were made under; next: to go on with this list, apply the same policy again",
                listed.name
            ),
        ));
    };
    let is_same = |policy: &RetentionPolicy| {
        policy.uid().as_deref() == Some(listed.uid.as_str()) && rules::digest(policy) == listed.digest
    };
    if by.policy.is_some_and(|policy| !is_same(policy)) {
        return Some(Fault::new(
            Reason::PolicyChanged,
            format!("RetentionPolicy {} was changed since: what is still due is listed anew", listed.name),
        ));
    }
    if let Some(contradiction) = by.contradiction {
        return Some(contradiction.clone());
    }
    if by.guarded_since.is_none() {
        return Some(Fault::new(
            Reason::GuardsEdited,
            "the admission policy subrosa-approval or its binding is missing or edited: nobody can tell who approved; \
             next: apply the chart, or deploy/admission.yaml",
        ));
    }
    (rules.mode == DestructionMode::Report).then(|| {
        Fault::new(
            Reason::ReportOnly,
            "spec.destruction.mode of its RetentionPolicy is Report: this is what would be destroyed",
        )
    })
}
