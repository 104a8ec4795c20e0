//! The destroyer, as its process works: one look after another, each act held against what must be so.

use std::{collections::BTreeMap, mem};

use jiff::{SignedDuration, tz::TimeZone};
use subrosa_crds::{approval::TargetKind, period::Period};

use super::{Bound, Cluster, KEYS, Kept, Life, REQUESTER, channel, cohort, days_kept, listed_key};
use crate::{
    destruction::{
        freeze::{self, Counts},
        holds::{self, Selected},
        order::{Judged, Order, Orders},
        rules,
        step::{self, Facts, Hold, Next, Released},
        tally::{self, Target},
    },
    record::destroyer::BindingRules,
    world::fault::Fault,
};

impl Life {
    /// One look of the destroyer, as its process does it: heartbeat, rules, then step after step for one key after the other.
    pub(super) fn look(&mut self, ends_after: Option<u8>) {
        let mut left = ends_after.unwrap_or(u8::MAX);
        let mut may = || {
            let may = left > 0;
            left = left.saturating_sub(1);
            may
        };
        let counts = Counts { vault: self.store.version, cluster: self.cluster.mirrored };
        let told = self.cluster.told.frozen.as_ref();
        let found = freeze::found(&self.store.destroyer, counts, told, SignedDuration::ZERO, self.now);
        if let Some(frozen) = found {
            self.store.destroyer.frozen = Some(frozen);
            let today = self.today();
            freeze::remember(&mut self.store.destroyer, &self.cluster.told.rules, today);
            self.store.version += 1;
            if !may() {
                return;
            }
            self.tells(self.cluster.mirrored);
        } else if self.store.destroyer.frozen.is_none() && self.cluster.mirrored != Some(self.store.version) {
            self.tells(Some(self.store.version));
        }
        if self.store.destroyer.frozen.is_some() && mem::take(&mut self.approve_freeze) {
            self.store.destroyer.frozen = None;
            self.tells(Some(self.store.version));
        }
        if !may() {
            return;
        }
        let frozen = self.store.destroyer.frozen.as_ref().map(freeze::told);
        if frozen.is_none() {
            self.store.destroyer.last_look = Some(self.now);
            self.bind();
            self.store.version += 1;
            if !may() {
                return;
            }
            self.tells(Some(self.store.version));
        }
        // What was read decides for the whole look.
        let (cluster, binding) = (self.cluster.clone(), self.store.destroyer.rules.clone());
        let orders = self.orders(&cluster, &binding);
        for index in 0..KEYS.len() {
            for steps in 0.. {
                assert!(steps < 20, "the destroyer never rests");
                if !may() {
                    return;
                }
                match self.next_of(index, &orders, &cluster, frozen.as_ref()) {
                    Next::Stay(_) => break,
                    other => self.does(index, other, &orders),
                }
            }
        }
    }

    /// Tells the cluster what stands in the store.
    fn tells(&mut self, version: Option<u64>) {
        self.cluster.mirrored = version;
        self.cluster.told = self.store.destroyer.clone();
        self.cluster.bound = self.store.bound.clone();
    }

    /// The rules that bind, as the destroyer writes them down and as they are reckoned here.
    fn bind(&mut self) {
        for (name, policy) in &self.cluster.policies {
            let digest = rules::digest(policy);
            let target = Target { kind: TargetKind::RetentionPolicy, name, uid: name, digest: &digest };
            let tally =
                tally::count(&self.cluster.approvals, &target, Some(self.guarded_since), REQUESTER, self.now);
            let before = self.store.destroyer.rules.get(name);
            let approved = tally.is_enough(before.map_or(i32::MAX, |before| before.approvals), self.now);
            let rules = rules::bind(policy, before, approved, self.today()).rules;
            self.store.destroyer.rules.insert(name.clone(), rules);

            let says = policy.spec.destruction().approvals();
            let people = self.people(TargetKind::RetentionPolicy, name, &digest);
            let bound = self.store.bound.entry(name.clone());
            let keep = days_kept(policy);
            let bound = bound.or_insert(Bound { needed: says, keep, approved: None });
            if people >= bound.needed {
                *bound = Bound { needed: says, keep, approved: Some(digest) };
            } else {
                bound.needed = bound.needed.max(says);
                bound.keep = bound.keep.max(keep);
                bound.approved.take_if(|approved| *approved != digest);
            }
        }
    }

    fn orders<'a>(&self, cluster: &'a Cluster, binding: &'a BTreeMap<String, BindingRules>) -> Orders<'a> {
        let judged = cluster.destructions.iter().map(|one| {
            let by = Judged {
                policy: cluster.policies.get(&one.spec.retention_policy.name),
                contradiction: None,
                rules: binding,
                approvals: &cluster.approvals,
                guarded_since: Some(self.guarded_since),
                requester: REQUESTER,
                today: self.today(),
                now: self.now,
            };
            Order::judge(one, by)
        });
        Orders::new(judged.collect())
    }

    /// What comes next for the first key.
    pub(in super::super) fn next(&self) -> Next {
        let frozen = self.store.destroyer.frozen.as_ref().map(freeze::told);
        let orders = self.orders(&self.cluster, &self.store.destroyer.rules);
        self.next_of(0, &orders, &self.cluster, frozen.as_ref())
    }

    fn next_of(&self, index: usize, orders: &Orders<'_>, cluster: &Cluster, frozen: Option<&Fault>) -> Next {
        let Kept { key, decision: record, .. } = &self.store.keys[index];
        let order = orders.of(record, &listed_key(index).key_name());
        let released: Vec<_> = self.released(cluster).filter(|_| frozen.is_none()).collect();
        let channel = channel(index);
        let selected = Selected { channel: &channel, class: "call", cohort: cohort() };
        let holding = holds::holding(&cluster.hold, &released, selected);
        let holds: Vec<Hold> = holding.into_iter().map(holds::named).collect();
        let grace = order.and_then(|order| order.rules.grace.parse::<Period>().ok());
        let ends = grace.and_then(|grace| grace.after(self.today()).ok());
        step::next(&Facts {
            record,
            key: *key,
            holds: &holds,
            released: &released,
            order,
            due: order.and_then(|order| order.due(record, "call", cohort())).or(record.due),
            today: self.today(),
            grace_ends: ends.and_then(|day| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())),
            frozen,
            has_room: true,
            now: self.now,
        })
    }

    /// The hold whose end enough people approved.
    pub(in super::super) fn released<'a>(
        &self,
        cluster: &'a Cluster,
    ) -> impl Iterator<Item = Released> + use<'a> {
        let needed = rules::strictest(self.store.destroyer.rules.values());
        let approvals = i32::from(cluster.release_approvals);
        let ended = cluster.hold.iter().filter(move |hold| hold.spec.is_released() && approvals >= needed);
        ended.map(|hold| Released {
            name: hold.metadata.name.clone().unwrap(),
            uid: hold.metadata.uid.clone().unwrap(),
            digest: hold.spec.release_digest(),
        })
    }

    fn does(&mut self, index: usize, next: Next, orders: &Orders<'_>) {
        match next {
            Next::Stay(_) => {}
            Next::Begin => {
                let Kept { key, decision, .. } = &self.store.keys[index];
                let order = orders.of(decision, &listed_key(index).key_name()).unwrap();
                let listed = &order.destruction.spec;
                let people = self.people(TargetKind::Destruction, order.uid(), &listed.digest);
                let needed = self.needed(order.destruction);
                assert!(
                    people >= needed,
                    "set aside with {people} people of {needed}: {:#?}",
                    self.cluster.approvals
                );
                assert_eq!(listed.retention_policy.name, KEYS[index].1, "under another policy");
                self.assert_due(index, "set aside before its day");
                let record = step::begun(decision, order, key.unwrap(), "canary".into(), self.now);
                self.store.keys[index].decision = record;
            }
            Next::Write(record) => self.writes(index, *record),
            Next::SetAside => self.key(u8::try_from(index).unwrap(), |key| key.set_aside = true),
            Next::Restore => self.key(u8::try_from(index).unwrap(), |key| key.set_aside = false),
            Next::Delete => {
                let kept = &mut self.store.keys[index];
                let mark = kept.decision.destruction.as_ref().unwrap();
                assert!(mark.condemned.is_some(), "deleted without a decision");
                let key = kept.key.take().unwrap();
                assert!(
                    mark.created == key.created && key.set_aside,
                    "another key, or one in use, was deleted"
                );
                self.destroyed += 1;
            }
            Next::Prove => {
                let kept = &mut self.store.keys[index];
                assert!(kept.key.is_none(), "a canary would still open");
                kept.decision = step::proven(&kept.decision, self.now);
            }
        }
    }
}
