//! What the status of lists and LegalHolds says.

use super::*;

fn state(status: &DestructionStatus) -> (&str, &str) {
    let ready = condition::find(&status.conditions, READY).unwrap();
    (status.state.as_deref().unwrap(), ready.status.as_str())
}

#[test]
fn a_record_says_that_a_key_is_back_for_as_long_as_it_is() {
    let (policies, rules) = (policies(), binding());
    let lists = lists(1, 2);
    let orders = judged(&lists, &policies, &rules);
    let gone = record(json!({"destruction": destroyed()}));
    let is = Fault::new(Reason::Destroyed, "gone");
    let outcome = |key| Outcome { key, record: Some(gone.clone()), is: is.clone() };
    let outcomes: Vec<_> = lists[0].spec.keys.iter().map(outcome).collect();
    let kept = Some(SignedDuration::from_hours(24 * 30));
    let first = status::destruction(&orders.all()[0], &outcomes, kept, now());
    assert_eq!(
        (state(&first), first.effective_at.as_deref()),
        (("Destroyed", "True"), Some("2026-12-17T00:00:01Z"))
    );
    let look = |before: &DestructionStatus, back: &[usize], time: &str| {
        let back: Vec<_> = back.iter().map(|index| &first.keys[*index]).collect();
        settled::settled(&lists[0], before, &back, kept, at(time))
    };
    assert_eq!(look(&first, &[], "2026-12-01T00:00:00Z"), first, "nothing new, nothing written");
    let back = look(&first, &[1], "2026-12-01T00:00:00Z");
    assert_eq!(
        (state(&back), back.destroyed, back.effective_at.as_ref()),
        (("Resurrected", "False"), Some(1), None)
    );
    assert_eq!(look(&back, &[1], "2026-12-02T00:00:00Z"), back);
    let again = look(&back, &[], "2026-12-03T00:00:00Z");
    assert_eq!((state(&again), again.destroyed), (("Destroyed", "True"), Some(2)));
    assert_eq!(again.effective_at.as_deref(), Some("2027-01-02T00:00:00Z"), "snapshots of that time hold it");
    let told = &condition::find(&again.conditions, READY).unwrap().message;
    assert!(told.contains("1 of them had been back"), "{told}");
    assert_eq!(again.keys[1].back_at.as_deref(), Some("2026-12-01T00:00:00Z"));
    assert_eq!(again.keys[1].destroyed_at, first.keys[1].destroyed_at, "the first proof stays");
    // A release that did not note when: it is so again as well.
    let mut old = back;
    old.keys[1].back_at = None;
    assert_eq!(state(&look(&old, &[], "2026-12-03T00:00:00Z")), ("Destroyed", "True"));
}

#[test]
fn when_it_is_effective_is_said_when_it_is_declared_after_the_list_was_finished() {
    let (policies, rules) = (policies(), binding());
    let lists = lists(1, 2);
    let orders = judged(&lists, &policies, &rules);
    let gone = record(json!({"destruction": destroyed()}));
    let is = Fault::new(Reason::Destroyed, "gone");
    let outcome = |key| Outcome { key, record: Some(gone.clone()), is: is.clone() };
    let outcomes: Vec<_> = lists[0].spec.keys.iter().map(outcome).collect();
    let first = status::destruction(&orders.all()[0], &outcomes, None, now());
    assert_eq!(first.effective_at, None);
    let days = |days: i64| Some(SignedDuration::from_hours(24 * days));
    let look = |before: &DestructionStatus, kept| settled::settled(&lists[0], before, &[], kept, now());
    let declared = look(&first, days(30));
    assert_eq!(declared.effective_at.as_deref(), Some("2026-12-17T00:00:01Z"));
    assert_eq!(DestructionStatus { effective_at: None, ..declared.clone() }, first, "and nothing else");
    assert_eq!(look(&declared, days(30)), declared, "an unchanged world is written nothing");
    let longer = look(&declared, days(60));
    assert_eq!(longer.effective_at.as_deref(), Some("2027-01-16T00:00:01Z"));
    assert_eq!((look(&longer, days(1)), look(&longer, None)), (longer.clone(), longer), "never earlier");
}

#[test]
fn a_list_of_a_changed_policy_is_void_once_nothing_of_it_is_under_way() {
    let (mut policies, rules) = (policies(), binding());
    let lists = lists(1, 3);
    policies.get_mut("clinic").unwrap().spec.classes[0].keep = "60d".into();
    let orders = judged(&lists, &policies, &rules);
    let outcome = |index: usize, record: Option<Value>, reason| Outcome {
        key: &lists[0].spec.keys[index],
        record: record.map(|destruction| self::record(json!({"destruction": destruction}))),
        is: Fault::new(reason, "so"),
    };
    let of = |last: Outcome<'_>| {
        let others = [
            outcome(0, Some(destroyed()), Reason::Destroyed),
            outcome(1, Some(Value::Null), Reason::PolicyChanged),
        ];
        let outcomes: Vec<_> = others.into_iter().chain([last]).collect();
        status::destruction(&orders.all()[0], &outcomes, None, now())
    };
    let busy = of(outcome(2, Some(mark(json!({}))), Reason::PolicyChanged));
    assert_eq!((busy.state.as_deref(), busy.keys.len()), (Some("PolicyChanged"), 3));
    assert!(!status::is_settled(&busy));
    let unknown = of(outcome(2, None, Reason::VaultTimeout));
    assert!(!status::is_settled(&unknown));
    let void = of(outcome(2, Some(Value::Null), Reason::Held));
    assert_eq!((void.state.as_deref(), void.keys.len()), (Some("Voided"), 1), "what it destroyed stays told");
    assert!(status::is_settled(&void) && !status::is_finished(&void));
    assert!(condition::find(&void.conditions, STALLED).is_some());
    assert!(condition::find(&void.conditions, condition::HELD).is_none());
    let back = settled::settled(&lists[0], &void, &[&void.keys[0]], None, now());
    assert!(back.state.as_deref() == Some("Resurrected") && status::is_settled(&back));
    assert_eq!(settled::settled(&lists[0], &back, &[], None, now()).state.as_deref(), Some("Voided"));
}

#[test]
fn a_list_ends_where_another_one_destroyed_a_key_of_it() {
    let (policies, rules) = (policies(), binding());
    let lists = lists(1, 2);
    let orders = judged(&lists, &policies, &rules);
    let of = |reasons: [(Option<Value>, Reason); 2]| {
        let outcome = |(key, (record, reason))| Outcome {
            key,
            record: Option::map(record, |mark| self::record(json!({"destruction": mark}))),
            is: Fault::new(reason, "so"),
        };
        let outcomes: Vec<_> = lists[0].spec.keys.iter().zip(reasons).map(outcome).collect();
        status::destruction(&orders.all()[0], &outcomes, None, now())
    };
    // Somebody deleted a key that had come back, before this list was approved.
    let waiting = of([(None, Reason::Destroyed), (Some(Value::Null), Reason::AwaitingApproval)]);
    assert_eq!((waiting.state.as_deref(), status::is_settled(&waiting)), (Some("AwaitingApproval"), false));
    let busy = of([(None, Reason::Destroyed), (Some(mark(json!({}))), Reason::SetAside)]);
    assert!(!status::is_settled(&busy));
    let over = of([(None, Reason::Destroyed), (Some(destroyed()), Reason::Destroyed)]);
    assert_eq!((over.state.as_deref(), over.keys.len()), (Some("Voided"), 1), "{over:#?}");
    assert!(status::is_settled(&over) && !status::is_finished(&over));
    let told = &condition::find(&over.conditions, READY).unwrap().message;
    assert!(told.contains("another Destruction destroyed 1 of its keys; 1 of 2"), "{told}");
    let none = of([(None, Reason::Destroyed), (None, Reason::Destroyed)]);
    assert!(status::is_settled(&none) && none.keys.is_empty());
}

#[test]
fn a_hold_does_not_hold_what_is_gone() {
    let hold = read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold", "metadata": {"name": "matter"},
        "spec": {"selector": {"namespaces": ["cc-front"]}, "matter": "m"},
    }));
    let effective = |keys: &status::HeldKeys| {
        let status = status::legal_hold(&hold, keys, None, now());
        let found = condition::find(&status.conditions, condition::EFFECTIVE).unwrap().clone();
        (found.status, found.reason, found.message)
    };
    let held = status::HeldKeys { held: 2, ..status::HeldKeys::default() };
    assert_eq!(effective(&held).0, "True");
    let (truth, reason, message) =
        effective(&status::HeldKeys { missing: vec!["a.call.20261001".into()], ..held });
    assert_eq!((truth.as_str(), reason.as_str()), ("False", "KeyMissing"));
    assert!(message.contains("a.call.20261001") && message.contains("2 are held"), "{message}");
}

#[test]
fn a_review_is_due_from_the_last_one_on() {
    let by = |reviewed: Option<&str>| {
        let hold = read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold",
            "metadata": {"name": "matter", "creationTimestamp": "2026-03-01T12:00:00Z"},
            "spec": {"selector": {"namespaces": ["cc-front"]}, "matter": "m", "reviewEvery": "6mo", "reviewedOn": reviewed},
        }));
        let by = status::legal_hold(&hold, &status::HeldKeys::default(), None, now()).review_by.unwrap();
        assert_eq!(status::is_review_overdue(&hold, now()), by.as_str() < "2026-11-22", "{by}");
        by
    };
    assert_eq!(by(None), "2026-09-01");
    assert_eq!(by(Some("2026-08-20")), "2027-02-20");
    assert_eq!(by(Some("2026-01-01")), "2026-09-01", "before it was made");
    assert_eq!(by(Some("2026-11-23")), "2027-05-22", "it is tomorrow there already");
    assert_eq!(by(Some("2099-01-01")), "2026-09-01", "nobody reviews ahead");
}
