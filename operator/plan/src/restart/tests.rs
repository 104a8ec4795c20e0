use serde_json::json;
use subrosa_crds::channel::{WorkloadKind, WorkloadRef};

use super::*;
use crate::testing::{self, labels, read};

fn channel() -> Channel {
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
        progress: Progress { observed: true, pods: 3, updated: 3, ready: 3 },
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

fn judged(workload: &WorkloadFacts, budgets: &[BudgetFacts]) -> Step {
    step(&channel(), &named(), "0b", Some(workload), budgets)
}

fn held(workload: &WorkloadFacts, budgets: &[BudgetFacts]) -> String {
    match judged(workload, budgets) {
        Step::Hold(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_settled_workload_is_restarted_once_a_serial() {
    assert_eq!(judged(&settled(), &[]), Step::Restart);
    let before = WorkloadFacts { restarted_for: Some("0a".into()), ..settled() };
    assert_eq!(judged(&before, &[]), Step::Restart);
    let told = WorkloadFacts { restarted_for: Some("0b".into()), ..settled() };
    assert_eq!(judged(&told, &[]), Step::Done);
    let crashed = WorkloadFacts { progress: Progress { ready: 1, updated: 1, ..told.progress }, ..told };
    assert_eq!(judged(&crashed, &[budget(0)]), Step::Done, "whatever became of the rollout");
}

#[test]
fn it_waits_for_whatever_is_under_way_or_in_the_way() {
    let progress = |pods, updated, ready| Progress { observed: true, pods, updated, ready };
    let with = |progress| WorkloadFacts { progress, ..settled() };
    for (workload, words) in [
        (with(progress(4, 3, 3)), "a rollout of Deployment sbc is under way"),
        (with(progress(3, 2, 3)), "2 of 3 pods are new"),
        (with(Progress { observed: false, ..progress(3, 3, 3) }), "under way"),
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
    let gone = step(&channel(), &named(), "0b", None, &[]);
    assert_eq!(
        gone,
        Step::Hold("there is no Deployment sbc in this namespace: correct spec.workload.ref".into())
    );
}

#[test]
fn every_budget_on_its_pods_has_to_allow_what_goes_at_once() {
    let why = held(&settled(), &[budget(0)]);
    assert!(
        why.contains("PodDisruptionBudget sbc-pdb allows 0 disruptions") && why.contains("takes down 1"),
        "{why}"
    );
    assert_eq!(judged(&settled(), &[budget(1)]), Step::Restart);
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
    assert_eq!(judged(&surging, &[budget(0)]), Step::Restart, "nothing goes before another is ready");
    let others = BudgetFacts { selector: Some(read(json!({"matchLabels": {"app": "db"}}))), ..budget(0) };
    let nobody = BudgetFacts { selector: None, ..budget(0) };
    assert_eq!(judged(&settled(), &[others, nobody]), Step::Restart);
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
