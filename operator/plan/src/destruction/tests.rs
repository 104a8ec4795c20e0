//! One key at one moment, and many lists at once.

use std::{collections::BTreeMap, time::Instant};

use jiff::{SignedDuration, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use subrosa_crds::{
    Destruction, DestructionStatus, Reason, RetentionPolicy,
    condition::{self, READY, STALLED},
    destruction::ListedKey,
};

use super::{
    listing::{self, DueKey, Listed},
    order::{self, Judged, Order, Orders},
    rules, settled,
    status::{self, Outcome},
    step::{self, Facts, Hold, KeySeen, Next, Released},
};
use crate::{
    record::{decision::DecisionRecord, destroyer::BindingRules},
    testing::{at, merge, named, now, read},
    world::fault::Fault,
};

mod statuses;

const CREATED: &str = "2026-10-01T00:00:00Z";

fn today() -> Date {
    now().to_zoned(TimeZone::UTC).date()
}

fn policies() -> BTreeMap<String, RetentionPolicy> {
    let policy = read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "clinic", "uid": "policy"},
        "spec": {"classes": [{"name": "call", "keep": "30d", "cohort": "Day"}]},
    }));
    [("clinic".to_owned(), policy)].into()
}

fn binding() -> BTreeMap<String, BindingRules> {
    let bound = |(name, policy): (&String, &RetentionPolicy)| {
        (name.clone(), rules::bind(policy, None, false, today()).rules)
    };
    policies().iter().map(bound).collect()
}

/// Lists of keys that are due: so many Destructions of so many keys.
fn lists(count: usize, keys: usize) -> Vec<Destruction> {
    let due = (0..count * keys).map(|number| DueKey {
        key: ListedKey {
            channel: named("cc-front/voice"),
            id: format!("{number:016}"),
            data_class: "call".into(),
            cohort: "20261001".into(),
        },
        policy: "clinic".into(),
        due: today().checked_sub(jiff::ToSpan::days(i64::try_from(number / keys).unwrap())).unwrap(),
    });
    let mut nonce = 0;
    let mut made = listing::wanted("oosterlinde", &policies(), due, || {
        nonce += 1;
        format!("{nonce:016}")
    });
    for one in &mut made {
        one.metadata.uid = Some(format!("uid-{}", one.metadata.name.as_ref().unwrap()));
    }
    made
}

fn judging<'a>(
    policies: &'a BTreeMap<String, RetentionPolicy>,
    rules: &'a BTreeMap<String, BindingRules>,
) -> Judged<'a> {
    Judged {
        policy: policies.get("clinic"),
        contradiction: None,
        rules,
        approvals: &[],
        guarded_since: Some(now()),
        requester: "system:serviceaccount:subrosa-system:subrosa",
        today: today(),
        now: now(),
    }
}

fn judged<'a>(
    lists: &'a [Destruction],
    policies: &'a BTreeMap<String, RetentionPolicy>,
    rules: &'a BTreeMap<String, BindingRules>,
) -> Orders<'a> {
    let by = judging(policies, rules);
    Orders::new(lists.iter().map(|one| Order::judge(one, by)).collect())
}

fn record(patch: Value) -> DecisionRecord {
    let mut value = json!({
        "channel": {"namespace": "cc-front", "name": "voice"}, "due": "2026-11-01",
        "terms": {"policy": "clinic", "hash": "ab", "keep": "30d"},
    });
    merge(&mut value, patch);
    read(value)
}

/// A destruction of the key, as far as `patch` says.
fn mark(patch: Value) -> Value {
    let mut mark = json!({
        "name": "clinic.20261101.0a", "uid": "old", "digest": "d", "approvedBy": [], "created": CREATED,
        "canary": "vault:v1:x", "intended": "2026-11-02T00:00:00Z",
        "setAside": {"at": "2026-11-02T00:00:00Z", "until": "2026-11-17T00:00:00Z"},
    });
    merge(&mut mark, patch);
    mark
}

fn destroyed() -> Value {
    mark(json!({"condemned": "2026-11-17T00:00:00Z", "destroyed": "2026-11-17T00:00:01Z"}))
}

fn key(set_aside: bool) -> Option<KeySeen> {
    Some(KeySeen { created: at(CREATED), set_aside })
}

/// What comes next for a key that no list names.
fn next(record: &DecisionRecord, key: Option<KeySeen>, holds: &[Hold], frozen: Option<&Fault>) -> Next {
    step::next(&Facts {
        record,
        key,
        holds,
        released: &[],
        order: None,
        due: record.due,
        today: today(),
        grace_ends: None,
        frozen,
        has_room: true,
        now: now(),
    })
}

fn written(next: Next) -> DecisionRecord {
    match next {
        Next::Write(record) => *record,
        other => panic!("{other:?}"),
    }
}

fn reason(next: Next) -> Reason {
    match next {
        Next::Stay(fault) => fault.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_that_is_back_is_decided_anew_and_held_by_what_came_since() {
    let before = record(json!({"destruction": destroyed()}));
    assert_eq!(reason(next(&before, None, &[], None)), Reason::Destroyed);
    let frozen = Fault::new(Reason::StoreRestored, "frozen");
    assert_eq!(reason(next(&before, key(false), &[], Some(&frozen))), Reason::Resurrected);
    let other = Some(KeySeen { created: now(), set_aside: false });
    assert_eq!(reason(next(&before, other, &[], None)), Reason::KeyReplaced);

    let anew = written(next(&before, key(false), &[], None));
    assert_eq!((anew.destruction.as_ref(), anew.is_condemned()), (None, false));
    assert_eq!(anew.past.as_deref(), before.destruction.as_ref());
    let hold = Hold { name: "matter".into(), uid: "u".into(), digest: "d".into() };
    let held = written(next(&anew, key(false), std::slice::from_ref(&hold), None));
    assert_eq!(reason(next(&held, key(false), &[hold], None)), Reason::Held);
    assert_eq!(reason(next(&anew, key(false), &[], None)), Reason::NotListed, "people approve a new list");
    // Somebody deleted it in Vault: what was decided once is so again.
    let gone = written(next(&anew, None, &[], None));
    assert_eq!((gone.destruction, gone.past), (before.destruction, None));
}

/// What ends one LegalHold ends no other one of its name that is about something else.
#[test]
fn a_release_ends_the_hold_that_it_is_of() {
    let mark = |uid: &str, digest: &str| json!({"uid": uid, "digest": digest, "since": CREATED});
    let held = |mark: Value| record(json!({"holds": {"matter": mark}}));
    let released = [Released { name: "matter".into(), uid: "u".into(), digest: "new".into() }];
    let after = |mark: Value| step::with_holds(&held(mark), &[], &released, now());
    assert!(after(mark("u", "old")).unwrap().holds.is_empty(), "its matter was corrected");
    assert!(after(mark("before", "new")).unwrap().holds.is_empty(), "made anew of the same");
    assert_eq!(after(mark("before", "old")), None, "another one");
}

#[test]
fn of_a_list_that_is_done_nothing_is_followed_and_a_new_one_is() {
    let (policies, rules) = (policies(), binding());
    let mut all = lists(1, 1);
    let name = all[0].spec.keys[0].key_name();
    let mut anew = all[0].clone();
    (anew.metadata.uid, anew.metadata.name) = (Some("anew".into()), Some("clinic.z".into()));
    all[0].status =
        Some(read(json!({"state": "Resurrected", "method": "m", "destroyedAt": "2026-11-17T00:00:01Z"})));
    assert!(judged(&all, &policies, &rules).of(&record(json!({})), &name).is_none());
    all.push(anew);
    let orders = judged(&all, &policies, &rules);
    assert_eq!(orders.of(&record(json!({})), &name).unwrap().uid(), "anew");
    let follows = |uid: &str| record(json!({"destruction": mark(json!({"uid": uid}))}));
    assert_eq!(orders.of(&follows("anew"), &name).unwrap().uid(), "anew");
    // A snapshot of the time of its grace: the list is done, so that is called off.
    assert!(orders.of(&follows(orders.all()[0].uid()), &name).is_none());
    assert!(orders.of(&follows("unknown"), &name).is_none());
}

fn outcome(key: &ListedKey, record: Option<DecisionRecord>, reason: Reason) -> Outcome<'_> {
    Outcome { key, record, is: Fault::new(reason, "") }
}

/// One of two keys is held, so the list is open for years; the other was destroyed and is back.
#[test]
fn what_an_open_list_destroyed_and_is_back_waits_for_a_list_that_people_approve_anew() {
    let (policies, rules) = (policies(), binding());
    let mut all = lists(1, 2);
    let name = all[0].spec.keys[0].key_name();
    let uid = all[0].metadata.uid.clone().unwrap();
    let before = record(json!({"destruction": destroyed()}));
    let mut anew = written(next(&before, key(false), &[], None));
    anew.past.as_mut().unwrap().uid.clone_from(&uid);
    assert!(judged(&all, &policies, &rules).of(&anew, &name).is_none(), "what was approved for it was done");
    let mut later = all[0].clone();
    later.metadata.uid = Some("later".into());
    let both = [all[0].clone(), later];
    assert_eq!(judged(&both, &policies, &rules).of(&anew, &name).unwrap().uid(), "later");

    // The list keeps its proof, says that the key is back, and has it listed anew.
    let of_list = |mut record: DecisionRecord| {
        for mark in [record.destruction.as_mut(), record.past.as_deref_mut()].into_iter().flatten() {
            mark.uid.clone_from(&uid);
        }
        Some(record)
    };
    let told = |list: &Destruction, first: Option<DecisionRecord>, reason| {
        let order = judged(std::slice::from_ref(list), &policies, &rules).all()[0].clone();
        let keys = &list.spec.keys;
        let outcomes =
            [outcome(&keys[0], first, reason), outcome(&keys[1], Some(record(json!({}))), Reason::Held)];
        status::destruction(&order, &outcomes, None, now())
    };
    let first = told(&all[0], of_list(before), Reason::Destroyed);
    assert_eq!((first.destroyed, first.keys[0].destroyed_at.is_some()), (Some(1), true));
    all[0].status = Some(first.clone());
    // It came back twice, and the record knows the last list that destroyed it.
    let mut twice = anew.clone();
    twice.past.as_mut().unwrap().uid = "later".into();
    assert!(judged(&all, &policies, &rules).of(&twice, &name).is_none());
    let back = told(&all[0], of_list(anew), Reason::NotListed);
    assert_eq!(back.state.as_deref(), Some("Resurrected"));
    assert_eq!((back.destroyed, back.keys[0].state.as_str()), (Some(0), "Resurrected"));
    assert_eq!(
        (&back.keys[0].canary, &back.keys[0].destroyed_at),
        (&first.keys[0].canary, &first.keys[0].destroyed_at)
    );
    assert!(back.keys[0].back_at.is_some() && !status::is_settled(&back));
    all[0].status = Some(back);
    let listed = Listed::of("oosterlinde", &policies, &all);
    assert!(!listed.has(&all[0].spec.keys[0]) && listed.has(&all[0].spec.keys[1]));
    assert_eq!(listed.back().map(|one| one.key).collect::<Vec<_>>(), [all[0].spec.keys[0].clone()]);

    // Another list has it, and then it is gone again.
    let taken = told(&all[0], None, Reason::NotListed);
    assert_eq!(taken.keys[0].state, "Resurrected");
    let gone = told(&all[0], None, Reason::Destroyed);
    assert_eq!((gone.destroyed, gone.keys[0].state.as_str()), (Some(1), "Destroyed"));
    assert!(gone.keys[0].gone_again_at.is_some() && gone.keys[0].canary.is_some());

    // Void because its policy was changed, it says of that key all the same that it is back.
    let digest = |list: &Destruction| list.spec.computed_digest();
    let mut edited = all[0].clone();
    edited.spec.retention_policy.digest = "another".into();
    edited.spec.digest = digest(&edited);
    let order = judged(std::slice::from_ref(&edited), &policies, &rules).all()[0].clone();
    let keys = &edited.spec.keys;
    let outcomes = [
        outcome(
            &keys[0],
            of_list(written(next(&record(json!({"destruction": destroyed()})), key(false), &[], None))),
            Reason::NotListed,
        ),
        outcome(&keys[1], Some(record(json!({}))), Reason::PolicyChanged),
    ];
    let void = status::destruction(&order, &outcomes, None, now());
    assert_eq!((void.state.as_deref(), void.keys.len()), (Some("Voided"), 1));
    assert_eq!((void.keys[0].state.as_str(), void.keys[0].canary.is_some()), ("Resurrected", true));
    // With every key gone it is the record of that, and not void.
    let outcomes: Vec<_> = keys
        .iter()
        .map(|key| outcome(key, of_list(record(json!({"destruction": destroyed()}))), Reason::Destroyed))
        .collect();
    let whole = status::destruction(&order, &outcomes, None, now());
    assert!(whole.state.as_deref() == Some("Destroyed") && status::is_finished(&whole));
}

#[test]
fn what_we_asked_for_and_called_off_is_brought_back_though_it_comes_late() {
    let begun = record(json!({"destruction": mark(json!({"setAside": null}))}));
    let called_off = written(next(&begun, key(false), &[], None));
    assert_eq!(called_off.destruction, None);
    assert_eq!(next(&called_off, key(true), &[], None), Next::Restore);
    let mut long_ago = called_off.clone();
    long_ago.called_off.as_mut().unwrap().at -= SignedDuration::from_mins(61);
    assert_eq!(
        reason(next(&long_ago, key(true), &[], None)),
        Reason::KeySoftDeleted,
        "somebody else did that"
    );
    let other = Some(KeySeen { created: now(), set_aside: true });
    assert_eq!(reason(next(&called_off, other, &[], None)), Reason::KeySoftDeleted);
}

#[test]
fn what_was_set_aside_is_condemned_only_where_this_hour_has_room() {
    let (policies, rules) = (policies(), binding());
    let mut lists = lists(1, 1);
    lists[0].metadata.uid = Some("old".into());
    let mut approvals = Vec::new();
    for who in ["anna", "bas"] {
        approvals.push(read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
            "metadata": {"name": who, "uid": who, "creationTimestamp": now().to_string()},
            "spec": {
                "target": {"kind": "Destruction", "name": lists[0].metadata.name, "uid": "old", "digest": lists[0].spec.digest},
                "decision": "Approve", "approver": who, "expires": "2026-12-01T00:00:00Z",
            },
        })));
    }
    let by = Judged {
        policy: policies.get("clinic"),
        contradiction: None,
        rules: &rules,
        approvals: &approvals,
        guarded_since: Some(now()),
        requester: "subrosa",
        today: today(),
        now: now(),
    };
    let order = Order::judge(&lists[0], by);
    let digest = &lists[0].spec.digest;
    let record = record(json!({"destruction": mark(json!({"digest": digest}))}));
    let facts = |has_room| Facts {
        record: &record,
        key: key(true),
        holds: &[],
        released: &[],
        order: Some(&order),
        due: record.due,
        today: today(),
        grace_ends: None,
        frozen: None,
        has_room,
        now: now(),
    };
    assert_eq!(reason(step::next(&facts(false))), Reason::RateLimited);
    assert!(written(step::next(&facts(true))).is_condemned());
}

/// The law asks for twenty years, and somebody wrote one: status says so, and two people approve.
#[test]
fn a_policy_that_contradicts_itself_destroys_nothing() {
    let (original, mut edited, rules) = (policies(), policies(), binding());
    let policy = edited.get_mut("clinic").unwrap();
    policy.spec.classes[0].minimums =
        vec![read(json!({"jurisdiction": "NL", "period": "20y", "basis": "BW 7:454"}))];
    let dutch = ["NL".to_owned()];
    let fault = order::contradiction(policy, &dutch, today()).unwrap();
    assert_eq!(fault.reason, Reason::Contradictory);
    assert!(fault.message.contains("BW 7:454") && fault.message.contains("clinic"), "{}", fault.message);
    policy.spec.classes[0].keep = "20y".into();
    assert_eq!(order::contradiction(policy, &dutch, today()), None);

    let lists = lists(1, 1);
    let by = Judged { contradiction: Some(&fault), ..judging(&original, &rules) };
    let order = Order::judge(&lists[0], by);
    assert_eq!(order.refusal.as_ref(), Some(&fault));
    assert!(!order.may_begin(now()) && !order.still_stands() && !order.is_void());
    let outcomes = [outcome(&lists[0].spec.keys[0], Some(record(json!({}))), Reason::Contradictory)];
    let told = status::destruction(&order, &outcomes, None, now());
    assert_eq!(told.state.as_deref(), Some("Contradictory"));
    assert!(condition::is_true(&told.conditions, STALLED));
}

/// Every list that is open is judged at every look, and each key asked for the one that lists it.
#[test]
fn a_hundred_thousand_keys_are_planned_within_a_second() {
    let (policies, rules, lists) = (policies(), binding(), lists(100, 1000));
    let record = record(json!({}));
    let began = Instant::now();
    let orders = judged(&lists, &policies, &rules);
    let mut waiting = 0;
    for key in lists.iter().flat_map(|one| &one.spec.keys) {
        let order = orders.of(&record, &key.key_name());
        let facts = Facts {
            record: &record,
            key: self::key(false),
            holds: &[],
            released: &[],
            order,
            due: order.and_then(|order| order.due(&record, "call", "20261001".parse().unwrap())),
            today: today(),
            grace_ends: None,
            frozen: None,
            has_room: true,
            now: now(),
        };
        waiting += usize::from(reason(step::next(&facts)) == Reason::AwaitingApproval);
    }
    let listed = Listed::of("oosterlinde", &policies, &lists);
    let known = lists.iter().flat_map(|one| &one.spec.keys).filter(|key| listed.has(key)).count();
    let took = began.elapsed();
    println!("planning 100,000 keys took {took:?}");
    assert_eq!((waiting, known), (100_000, 100_000));
    // The goal is a second, of what is built for speed.
    let most = if cfg!(debug_assertions) { 30 } else { 1 };
    assert!(took.as_secs() < most, "planning 100,000 keys took {took:?}");
}
