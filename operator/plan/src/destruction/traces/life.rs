//! Three keys of two policies with all that may happen to them.

mod destroyer;

use std::{collections::BTreeMap, mem, sync::LazyLock};

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use subrosa_crds::{
    Approval, Destruction, LegalHold, RetentionPolicy,
    approval::{ApprovalSpec, ApprovalTarget, Decision, TargetKind},
    cohort::Cohort,
    destruction::ListedKey,
    names::ChannelRef,
};

use super::Event;
use crate::{
    destruction::{
        listing::{self, DueKey, Listed},
        rules,
        step::KeySeen,
    },
    record::{decision::DecisionRecord, destroyer::DestroyerRecord},
    testing::{at, named, read},
};

const REQUESTER: &str = "system:serviceaccount:subrosa-system:subrosa";
const COHORT: &str = "20261001";
/// The first day after the cohort.
const END: &str = "2026-10-02";
/// For how many days data is kept at first.
pub(super) const KEEP: i32 = 30;
/// How many hours an Approval counts.
const WEEK: u8 = 24 * 7;
/// The Channel of each key, and the policy under which it was made.
pub(super) const KEYS: [(&str, &str); 3] =
    [("cc-front/voice", "clinic"), ("cc-front/chat", "clinic"), ("cc-ward/desk", "ward")];

/// A key in Vault, and what is decided about it.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) key: Option<KeySeen>,
    pub(super) decision: DecisionRecord,
    /// Whether a hold was written down whose end nobody approved.
    pub(super) held: bool,
}

/// What binds of a policy, reckoned here once more.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) needed: i32,
    /// For how many days data is kept.
    pub(super) keep: i32,
    /// The digest of the policy as people approved it.
    pub(super) approved: Option<String>,
}

/// What Vault has.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) keys: Vec<Kept>,
    pub(super) destroyer: DestroyerRecord,
    version: u64,
    pub(super) bound: BTreeMap<String, Bound>,
}

/// What the cluster has.
#[derive(Clone, Default)]
pub(super) struct Cluster {
    /// The version of the destroyer's record that it was told.
    mirrored: Option<u64>,
    /// What it was told of it.
    told: DestroyerRecord,
    /// What bound then.
    bound: BTreeMap<String, Bound>,
    pub(super) policies: BTreeMap<String, RetentionPolicy>,
    destructions: Vec<Destruction>,
    pub(super) approvals: Vec<Approval>,
    pub(super) hold: Option<LegalHold>,
    release_approvals: u8,
}

/// The lives of the keys.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) now: Timestamp,
    pub(super) store: Store,
    pub(super) cluster: Cluster,
    snapshot: Option<(Store, Cluster)>,
    pub(super) guarded_since: Timestamp,
    count: u32,
    approve_freeze: bool,
    /// How many keys were deleted.
    pub(super) destroyed: u32,
}

impl Life {
    /// From the beginning, which is read once for thousands of lives.
    pub(super) fn new() -> Self {
        static FIRST: LazyLock<Life> = LazyLock::new(Life::first);
        FIRST.clone()
    }

    fn first() -> Self {
        let kept = KEYS.map(|(channel, policy)| Kept {
            key: Some(KeySeen { created: at("2026-10-01T00:00:00Z"), set_aside: false }),
            decision: read(json!({
                "channel": named(channel), "due": day(KEEP).to_string(),
                "terms": {"policy": policy, "hash": "ab", "keep": format!("{KEEP}d")},
            })),
            held: false,
        });
        let policies = [("clinic", 2), ("ward", 1)]
            .map(|(name, approvals)| (name.to_owned(), policy(name, approvals, 14, KEEP)));
        Self {
            now: at("2026-10-02T12:00:00Z"),
            store: Store {
                keys: kept.to_vec(),
                destroyer: DestroyerRecord::default(),
                version: 0,
                bound: BTreeMap::new(),
            },
            cluster: Cluster { policies: policies.into(), ..Cluster::default() },
            snapshot: None,
            guarded_since: at("2026-10-01T00:00:00Z"),
            count: 0,
            approve_freeze: false,
            destroyed: 0,
        }
    }

    fn next_name(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}-{}", self.count)
    }

    pub(super) fn happens(&mut self, event: Event) {
        match event {
            Event::Look { ends_after } => self.look(ends_after),
            Event::Hours(hours) => self.now += SignedDuration::from_hours(i64::from(hours)),
            Event::Years(years) => {
                let jumped = self.now.to_zoned(TimeZone::UTC).checked_add(i64::from(years).years());
                self.now = jumped.unwrap().timestamp();
            }
            Event::List => self.list(),
            Event::Approve { who, fault, list } => self.approve(who, fault, list),
            Event::ApprovePolicy { who, policy } => self.approve_policy(who, policy),
            Event::Deny { hours, list } => self.decide(Decision::Deny, "daan", hours, list, |_| {}),
            Event::DenialIsDeleted => {
                self.cluster.approvals.retain(|one| one.spec.decision == Decision::Approve)
            }
            Event::HoldMade { channel } => {
                let name = self.next_name("hold");
                let all = json!({"cohorts": ["2026q4"]});
                let one = |(channel, _): &(&str, &str)| json!({"channels": [named(channel).name]});
                let selector = KEYS.get(usize::from(channel)).map_or(all, one);
                self.cluster.hold = Some(read(json!({
                    "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold", "metadata": {"name": name, "uid": name},
                    "spec": {"selector": selector, "matter": "m"},
                })));
                self.cluster.release_approvals = 0;
            }
            Event::MatterCorrected => {
                self.count += 1;
                let matter = format!("m-{}", self.count);
                self.cluster.hold.iter_mut().for_each(|hold| hold.spec.matter.clone_from(&matter));
            }
            Event::HoldObjectGone => self.cluster.hold = None,
            Event::ReleaseAsked { approvals } => {
                if let Some(hold) = &mut self.cluster.hold {
                    hold.spec.released = Some(true);
                    self.cluster.release_approvals = approvals;
                }
            }
            Event::PolicyEdited { policy: which, approvals, grace_days, keep_days } => {
                let name = policy_name(which);
                let edited = policy(name, approvals.into(), grace_days.into(), keep_days.into());
                self.cluster.policies.insert(name.to_owned(), edited);
            }
            Event::PolicyGone { policy } => _ = self.cluster.policies.remove(policy_name(policy)),
            Event::DestructionsGone => self.cluster.destructions.clear(),
            Event::ApprovalsGone => self.cluster.approvals.clear(),
            Event::GuardEdited => self.guarded_since = self.now,
            Event::Snapshot => self.snapshot = Some((self.store.clone(), self.cluster.clone())),
            Event::Restore { store, cluster } => {
                if let Some((kept, told)) = self.snapshot.clone() {
                    self.store = if store { kept } else { self.store.clone() };
                    self.cluster = if cluster { told } else { mem::take(&mut self.cluster) };
                    if store && !cluster {
                        self.remembers();
                    }
                }
            }
            Event::KeyBroughtBack { key } => self.key(key, |key| key.set_aside = false),
            Event::KeySetAsideByOther { key } => self.key(key, |key| key.set_aside = true),
            Event::KeyReplaced { key } => {
                let key = &mut self.store.keys[usize::from(key)].key;
                *key = Some(KeySeen { created: self.now, set_aside: false });
            }
            Event::KeyComesBack { key } => {
                let key = &mut self.store.keys[usize::from(key)].key;
                key.get_or_insert(KeySeen { created: at("2026-10-01T00:00:00Z"), set_aside: false });
            }
            Event::FreezeApproved => self.approve_freeze = true,
        }
    }

    /// Vault alone was restored: what bound before binds still.
    fn remembers(&mut self) {
        for (name, told) in &self.cluster.bound {
            let kept = self.store.bound.entry(name.clone()).or_insert_with(|| told.clone());
            kept.needed = kept.needed.max(told.needed);
            kept.keep = kept.keep.max(told.keep);
            kept.approved.take_if(|approved| Some(&*approved) != told.approved.as_ref());
        }
    }

    fn key(&mut self, key: u8, change: impl FnOnce(&mut KeySeen)) {
        self.store.keys[usize::from(key)].key.as_mut().map(change);
    }

    /// The operator lists what is not listed. It may be wrong about the day: it is not the one who decides.
    fn list(&mut self) {
        let listed = Listed::of("oosterlinde", &self.cluster.policies, &self.cluster.destructions);
        let due = (0..KEYS.len()).map(|index| DueKey {
            key: listed_key(index),
            policy: KEYS[index].1.into(),
            due: day(KEEP),
        });
        let unlisted: Vec<_> = due.filter(|one| !listed.has(&one.key)).collect();
        let first = self.count;
        let mut nonce = first;
        let made = listing::wanted("oosterlinde", &self.cluster.policies, unlisted, || {
            nonce += 1;
            format!("{nonce:016}")
        });
        for mut one in made {
            one.metadata.uid = Some(self.next_name("uid"));
            self.cluster.destructions.push(one);
        }
    }

    fn approve(&mut self, who: u8, fault: u8, list: u8) {
        let name = ["anna", "bas", "cees", REQUESTER][usize::from(who % 4)];
        self.decide(Decision::Approve, name, WEEK, list, |one| match fault {
            0 => one.spec.target.digest = "sha256:0".into(),
            1 => one.spec.target.uid = "another".into(),
            2 => one.metadata.creation_timestamp = Some(Time(at("2026-09-01T00:00:00Z"))),
            3 => one.spec.expires = "2026-09-01T00:00:00Z".into(),
            4 => one.spec.approver = "system:admin".into(),
            _ => {}
        });
    }

    fn approve_policy(&mut self, who: u8, policy: u8) {
        let name = policy_name(policy).to_owned();
        let Some(policy) = self.cluster.policies.get(&name) else { return };
        let digest = rules::digest(policy);
        let target = ApprovalTarget {
            kind: TargetKind::RetentionPolicy,
            namespace: None,
            uid: name.clone(),
            name,
            digest,
            channels: Vec::new(),
        };
        self.say(Decision::Approve, ["anna", "bas", "cees"][usize::from(who % 3)], WEEK, target, |_| {});
    }

    /// Somebody decides about one of the newest lists.
    fn decide(
        &mut self,
        decision: Decision,
        who: &str,
        hours: u8,
        list: u8,
        change: impl FnOnce(&mut Approval),
    ) {
        let Some(one) = self.cluster.destructions.iter().rev().nth(usize::from(list)) else { return };
        let target = ApprovalTarget {
            kind: TargetKind::Destruction,
            namespace: None,
            name: one.metadata.name.clone().unwrap(),
            uid: one.metadata.uid.clone().unwrap(),
            digest: one.spec.digest.clone(),
            channels: Vec::new(),
        };
        self.say(decision, who, hours, target, change);
    }

    fn say(
        &mut self,
        decision: Decision,
        who: &str,
        hours: u8,
        target: ApprovalTarget,
        change: impl FnOnce(&mut Approval),
    ) {
        let name = self.next_name("approval");
        let expires = self.now + SignedDuration::from_hours(i64::from(hours));
        let (approver, expires) = (who.to_owned(), expires.to_string());
        let mut made = Approval::new(&name, ApprovalSpec { target, decision, approver, expires });
        made.metadata.uid = Some(name);
        made.metadata.creation_timestamp = Some(Time(self.now));
        change(&mut made);
        self.cluster.approvals.push(made);
    }

    pub(super) fn today(&self) -> Date {
        self.now.to_zoned(TimeZone::UTC).date()
    }
}

/// So many days after the cohort.
pub(super) fn day(keep: i32) -> Date {
    END.parse::<Date>().unwrap().checked_add(i64::from(keep).days()).unwrap()
}

/// For how many days data is kept, as the policy says.
pub(super) fn days_kept(policy: &RetentionPolicy) -> i32 {
    policy.spec.classes[0].keep.trim_end_matches('d').parse().unwrap()
}

pub(super) fn cohort() -> Cohort {
    COHORT.parse().unwrap()
}

pub(super) fn channel(index: usize) -> ChannelRef {
    named(KEYS[index].0)
}

fn listed_key(index: usize) -> ListedKey {
    ListedKey {
        channel: channel(index),
        id: format!("abcdefgh234567a{}", char::from(b'a' + u8::try_from(index).unwrap())),
        data_class: "call".into(),
        cohort: COHORT.into(),
    }
}

fn policy_name(which: u8) -> &'static str {
    ["clinic", "ward"][usize::from(which)]
}

fn policy(name: &str, approvals: i32, grace: i32, keep: i32) -> RetentionPolicy {
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": name, "uid": name},
        "spec": {
            "classes": [{"name": "call", "keep": format!("{keep}d"), "cohort": "Day"}],
            "destruction": {"approvals": approvals, "grace": format!("{grace}d")},
        },
    }))
}
