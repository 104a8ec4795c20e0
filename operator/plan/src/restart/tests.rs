use jiff::SignedDuration;
use serde_json::json;
use subrosa_crds::{
    Reason,
    channel::{WorkloadKind, WorkloadRef},
};

use super::*;
use crate::testing::{self, labels, now, read};

fn channel() -> Declaration {
    testing::channel("cc-front/sbc", json!({}))
}

fn named() -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, name: "sbc".into() }
}

fn rolling(unavailable: i32, surge: i32) -> Strategy {
    Strategy::Rolling {
        unavailable: Amount::exactly(unavailable),
        surge: Amount::exactly(surge),
        partition: 0,
    }
}

/// Three pods, all ready, one of which may be gone at once.
fn settled() -> WorkloadFacts {
    WorkloadFacts {
        uid: "u".into(),
        version: "1".into(),
        labels: labels([("app", "sbc"), ("tier", "edge")]),
        restarted_for: None,
        paused: false,
        strategy: rolling(1, 0),
        wanted: 3,
        progress: Rollout { observed: true, pods: 3, updated: 3, ready: 3 },
    }
}

fn budget(allowed: i32) -> BudgetFacts {
    BudgetFacts {
        name: "sbc-pdb".into(),
        selector: Some(read(json!({"matchLabels": {"tier": "edge"}}))),
        observed: true,
        allowed,
    }
}

/// For certificate `0b`, which is in the Secret since a minute; the one before ends in ten days.
fn due(named: &WorkloadRef) -> Due<'_> {
    let since = now() - SignedDuration::from_mins(1);
    let before_ends = Some(now() + SignedDuration::from_hours(240));
    Due { named, mark: "0b".into(), since, before_ends, ended: false }
}

fn judged(workload: &WorkloadFacts, budgets: &[BudgetFacts]) -> RestartStep {
    step(&channel(), &due(&named()), Some(workload), budgets, now())
}

fn held_by(step: RestartStep) -> RestartHold {
    match step {
        RestartStep::Hold(held) => held,
        other => panic!("{other:?}"),
    }
}

fn held(workload: &WorkloadFacts, budgets: &[BudgetFacts]) -> String {
    held_by(judged(workload, budgets)).message
}

#[test]
fn a_settled_workload_is_restarted_once_a_serial() {
    assert_eq!(judged(&settled(), &[]), RestartStep::Restart);
    let before = WorkloadFacts { restarted_for: Some("0a".into()), ..settled() };
    assert_eq!(judged(&before, &[]), RestartStep::Restart);
    let told = WorkloadFacts { restarted_for: Some("0b".into()), ..settled() };
    assert_eq!(judged(&told, &[]), RestartStep::Done);
    let crashed = WorkloadFacts { progress: Rollout { ready: 1, updated: 1, ..told.progress }, ..told };
    assert_eq!(judged(&crashed, &[budget(0)]), RestartStep::Done, "whatever became of the rollout");
}

#[test]
fn it_waits_for_whatever_is_under_way_or_in_the_way() {
    let progress = |pods, updated, ready| Rollout { observed: true, pods, updated, ready };
    let with = |progress| WorkloadFacts { progress, ..settled() };
    for (workload, words) in [
        (with(progress(4, 3, 3)), "a rollout of Deployment sbc is under way"),
        (with(progress(3, 2, 3)), "2 of 3 pods are new"),
        (with(Rollout { observed: false, ..progress(3, 3, 3) }), "under way"),
        (with(progress(3, 3, 2)), "2 of 3 pods of Deployment sbc are ready"),
        (WorkloadFacts { paused: true, ..settled() }, "is paused"),
        (WorkloadFacts { strategy: Strategy::OnDelete, ..settled() }, "OnDelete"),
        (
            WorkloadFacts {
                strategy: Strategy::Rolling {
                    unavailable: Amount::exactly(1),
                    surge: Amount::exactly(0),
                    partition: 2,
                },
                ..settled()
            },
            "partition 2",
        ),
        (
            WorkloadFacts { labels: labels([("app", "other")]), ..settled() },
            "not selected by this Channel (app=sbc)",
        ),
    ] {
        let why = held(&workload, &[]);
        assert!(why.contains(words), "{why}");
    }
    let gone = step(&channel(), &due(&named()), None, &[], now());
    let expected =
        RestartHold::in_the_way("there is no Deployment sbc in this namespace: correct spec.workload.ref");
    assert_eq!(gone, RestartStep::Hold(expected));
}

fn ready(ready: i32) -> WorkloadFacts {
    WorkloadFacts { progress: Rollout { ready, ..settled().progress }, ..settled() }
}

#[test]
fn a_hold_says_what_for_and_until_when() {
    let named = named();
    let hour = due(&named).since + SignedDuration::from_hours(1);
    let some = held_by(judged(&ready(2), &[]));
    assert_eq!(
        (some.by, some.by.reason(), some.until),
        (HeldBy::Unready, Reason::RestartAwaitsPods, Some(hour))
    );
    assert!(some.message.contains(&format!("until {hour}")), "{some:?}");
    let rollout = Rollout { updated: 1, ..settled().progress };
    let rollout = WorkloadFacts { progress: rollout, ..settled() };
    let awaited = held_by(judged(&rollout, &[]));
    assert_eq!(
        (awaited.by, awaited.by.reason(), awaited.until),
        (HeldBy::Rollout, Reason::RestartAwaitsRollout, Some(hour))
    );
    // Somebody has to do something: no end is promised.
    let paused = held_by(judged(&WorkloadFacts { paused: true, ..settled() }, &[]));
    assert_eq!((paused.by.reason(), paused.until), (Reason::RestartHeld, None));

    let at = |now, workload: &WorkloadFacts| step(&channel(), &due(&named), Some(workload), &[], now);
    let early = hour - SignedDuration::from_secs(1);
    for waiting in [&ready(2), &rollout] {
        assert!(matches!(at(early, waiting), RestartStep::Hold(_)));
        assert_eq!(at(hour, waiting), RestartStep::Restart, "what was not ready for an hour does not get so");
    }
}

#[test]
fn a_hold_ends_well_before_the_certificate_that_the_pods_have() {
    let named = named();
    let mut due = due(&named);
    let waits = |due: &Due<'_>| due.waits_until() - due.since;
    for (left, minutes) in [(240 * 60, 60), (60, 30), (10, 5), (0, 0), (-60, 0)] {
        due.before_ends = Some(due.since + SignedDuration::from_mins(left));
        assert_eq!(waits(&due).get_seconds(), minutes * 60, "{left}");
    }
    due.before_ends = None;
    assert_eq!(waits(&due).get_seconds(), 3600, "it is not on record");
}

#[test]
fn pods_that_are_unready_because_their_certificate_ended_are_not_waited_for() {
    let named = named();
    let ended = Due { ended: true, ..due(&named) };
    assert_eq!(step(&channel(), &ended, Some(&ready(2)), &[], now()), RestartStep::Restart);
    // Neither are any where nothing is ready: each has to start once more anyway.
    assert_eq!(judged(&ready(0), &[budget(0)]), RestartStep::Restart, "no budget has anything to lose");
    // A rollout of somebody else is, whatever ended.
    let rollout = Rollout { updated: 1, ready: 0, ..settled().progress };
    let rollout = WorkloadFacts { progress: rollout, ..settled() };
    let waits = held_by(step(&channel(), &ended, Some(&rollout), &[], now()));
    assert_eq!(waits.by, HeldBy::Rollout);
}

#[test]
fn a_budget_counts_what_is_ready() {
    let named = named();
    let mut ended = Due { ended: true, ..due(&named) };
    let judged = |due: &Due<'_>, workload: &WorkloadFacts, allowed| {
        step(&channel(), due, Some(workload), &[budget(allowed)], now())
    };
    assert_eq!(judged(&ended, &ready(2), 0), RestartStep::Restart, "the one that is not ready goes first");
    let two = WorkloadFacts { strategy: rolling(2, 0), ..ready(2) };
    let tight = held_by(judged(&ended, &two, 0));
    assert!(tight.by == HeldBy::InTheWay && tight.message.contains("takes down 1"), "{tight:?}");
    assert_eq!(judged(&ended, &two, 1), RestartStep::Restart);
    let recreated = WorkloadFacts { strategy: Strategy::Recreate, ..ready(2) };
    assert!(held_by(judged(&ended, &recreated, 1)).message.contains("takes down 2"));
    // A StatefulSet begins with its last pod, ready or not.
    let db = WorkloadRef { kind: WorkloadKind::StatefulSet, name: "db".into() };
    ended.named = &db;
    assert!(held_by(judged(&ended, &ready(2), 0)).message.contains("takes down 1"));
    assert_eq!(judged(&ended, &ready(0), 0), RestartStep::Restart);
}

#[test]
fn every_budget_on_its_pods_has_to_allow_what_goes_at_once() {
    let why = held(&settled(), &[budget(0)]);
    assert!(
        why.contains("PodDisruptionBudget sbc-pdb allows 0 disruptions") && why.contains("takes down 1"),
        "{why}"
    );
    assert_eq!(judged(&settled(), &[budget(1)]), RestartStep::Restart);
    let both = [budget(3), BudgetFacts { name: "second".into(), ..budget(0) }];
    assert!(held(&settled(), &both).contains("PodDisruptionBudget second"));
    let two = WorkloadFacts { strategy: rolling(2, 0), ..settled() };
    assert!(held(&two, &[budget(1)]).contains("takes down 2"));
    assert!(held(&settled(), &[BudgetFacts { observed: false, ..budget(9) }]).contains("an unknown number"));
    let recreated = WorkloadFacts { strategy: Strategy::Recreate, ..settled() };
    assert!(held(&recreated, &[budget(2)]).contains("takes down 3"));
}

#[test]
fn a_budget_that_is_not_concerned_holds_nothing_back() {
    let surging = WorkloadFacts { strategy: rolling(0, 1), ..settled() };
    assert_eq!(judged(&surging, &[budget(0)]), RestartStep::Restart, "nothing goes before another is ready");
    let others = BudgetFacts { selector: Some(read(json!({"matchLabels": {"app": "db"}}))), ..budget(0) };
    let nobody = BudgetFacts { selector: None, ..budget(0) };
    assert_eq!(judged(&settled(), &[others, nobody]), RestartStep::Restart);
    let all = BudgetFacts { selector: Some(Default::default()), ..budget(0) };
    assert!(held(&settled(), &[all]).contains("sbc-pdb"), "an empty selector is every pod");
}

#[test]
fn shares_are_rounded_as_the_controllers_round_them() {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let share = |text: &str, up| Amount::of(Some(&IntOrString::String(text.into())), 1, up);
    let down =
        |unavailable, surge, pods| Strategy::Rolling { unavailable, surge, partition: 0 }.down_at_once(pods);
    assert_eq!(down(share("25%", false), Amount::exactly(1), 10), 2);
    assert_eq!(down(share("25%", true), Amount::exactly(1), 10), 3);
    assert_eq!(down(share("25%", false), Amount::exactly(0), 1), 1, "something has to move");
    assert_eq!(down(share("25%", false), Amount::exactly(1), 1), 0);
    assert_eq!(down(share("100%", false), Amount::exactly(0), 3), 3);
    assert_eq!(down(Amount::exactly(7), Amount::exactly(0), 3), 3, "no more than there are");
    assert_eq!(down(Amount::exactly(0), Amount::exactly(0), 0), 0);
}
