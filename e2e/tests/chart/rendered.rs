//! Alerts over metrics that were really rendered. Most of their faults are made on a real cluster, in the tests of what they are
//! about; a key that is hours late cannot be, for Vault rotates by itself, so its status is counted here.

use std::{borrow::Cow, collections::BTreeSet, fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use subrosa::report::metrics::{Census, Metrics};
use subrosa_crds::ChannelStatus;
use subrosa_e2e::{alerts::History, tools::workspace};
use subrosa_granter::GranterMetrics;

use crate::rules;

/// What the operator tells while a key was due for a new version so long ago.
fn rotation_due_since(late: SignedDuration) -> String {
    let now = Timestamp::now();
    let status: ChannelStatus = serde_json::from_value(json!({"keys": [{
        "dataClass": "call-recording", "cohort": "2026", "versions": 1, "state": "Current",
        "nextRotation": (now - late).to_string(),
    }]}))
    .unwrap();
    let metrics = Metrics::default();
    metrics.set(&Census::of([Some(Cow::Owned(status))], now));
    metrics.text()
}

#[tokio::test]
async fn a_key_that_is_rotated_late_is_told() {
    const ALERT: &str = "SubrosaKeyRotationLate";
    let mut history = History::begin().unwrap();
    for (hours, expected) in [(-24, false), (2, false), (4, true)] {
        let late = SignedDuration::from_hours(hours);
        history.scrape(async || Some(rotation_due_since(late))).await;
        assert_eq!(history.is_true(ALERT, Duration::ZERO).unwrap(), expected, "{late:#}");
    }
}

/// Four hundred grants within two weeks are more than a test makes; that each one that is over counts is tested on a real cluster.
#[tokio::test]
async fn that_no_access_grant_begins_soon_is_told() {
    const ALERT: &str = "SubrosaAccessGrantsCrowded";
    let metrics = GranterMetrics::default();
    let mut history = History::begin().unwrap();
    for (left, expected) in [(500, false), (100, false), (99, true), (0, true), (480, false)] {
        metrics.grants_left("oosterlinde", left);
        history.scrape(async || Some(metrics.text())).await;
        assert_eq!(history.is_true(ALERT, Duration::ZERO).unwrap(), expected, "{left} are left");
    }
}

/// The sources of tests that take a [`History`] of metrics.
fn histories(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            histories(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("History::begin()") {
                into.push_str(&text);
            }
        }
    }
}

#[test]
fn every_alert_was_seen_to_become_true_on_real_metrics() {
    let mut sources = String::new();
    histories(&workspace().unwrap().join("e2e/tests"), &mut sources);
    let unseen: BTreeSet<_> = rules::alerts()
        .iter()
        .filter(|alert| !rules::PLANNED.iter().any(|name| alert["expr"].as_str().unwrap().contains(name)))
        .map(|alert| alert["alert"].as_str().unwrap().to_owned())
        .filter(|name| !sources.contains(&format!("\"{name}\"")))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}: make the fault, and see the alert become true over a History");
}
