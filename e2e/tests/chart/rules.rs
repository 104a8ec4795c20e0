//! The alerts: each fires and is silent as its tests say, has a page, and asks for metrics that are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use subrosa::report::metrics::{Census, ConditionLabels, Metrics};
use subrosa_crds::Reason;
use subrosa_e2e::helm::promtool;
use subrosa_plan::world::fault::Fault;
use subrosa_records::vault::{RequestObserver as _, RequestSample};
use subrosa_worker::watch::WatchSnapshot;

use crate::support::{beside, objects, read, rendered};

const RULES: &str = "charts/subrosa/files/rules.yaml";

/// Metrics that an alert asks for and the operator does not have yet. A name leaves this list when it
/// has; the test below says so.
pub const PLANNED: [&str; 0] = [];

pub fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_alert_fires_when_it_should_and_is_silent_when_it_should() -> Result<()> {
    let promtool = promtool()?;
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let file = beside("rules").join(format!("{name}.yaml"));
        let text = fs::read_to_string(&file)?;
        let tests: Value = serde_saphyr::from_str(&text)?;
        let (mut fires, mut silent) = (false, false);
        for test in tests["tests"].as_array().unwrap() {
            let looks = test["alert_rule_test"].as_array().unwrap();
            assert!(looks.iter().all(|look| look["alertname"] == name), "{name}.yaml is of another alert");
            let expected = |look: &Value| look["exp_alerts"].as_array().is_some_and(|all| !all.is_empty());
            fires |= looks.iter().any(expected);
            silent |= !looks.iter().any(expected);
        }
        assert!(fires && silent, "{name}.yaml has to show it firing, and in a test of its own silent");
        assert!(
            text.contains(r#"cluster="a""#) && text.contains(", cluster: b"),
            "{name}.yaml has to show it firing for one cluster of two, with that cluster's label"
        );
        let output = Command::new(&promtool).args(["test", "rules"]).arg(&file).output()?;
        ensure!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(fs::read_dir(beside("rules"))?.count(), alerts().len(), "a test of an alert that is gone");
    Ok(())
}

#[test]
fn every_alert_has_a_page_that_says_what_to_do() {
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = format!("{name}.md");
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(url, format!("https://subrosa.dev/docs/runbooks/{page}"));
        for annotation in ["summary", "description"] {
            assert!(alert["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}");
        let text = read(&format!("docs/runbooks/{page}"));
        assert!(text.starts_with(&format!("# {name}\n")), "{page} is of another alert");
        for heading in ["## Cause", "## Check", "## Next step"] {
            assert!(text.contains(&format!("\n{heading}\n")), "{page} lacks {heading}");
        }
        assert!(read("docs/runbooks/README.md").contains(&format!("]({page})")), "{page} is not in the list");
        pages.insert(page);
    }
    let folder = subrosa_e2e::tools::workspace().unwrap().join("docs/runbooks");
    for entry in fs::read_dir(folder).unwrap() {
        let page = entry.unwrap().file_name().into_string().unwrap();
        assert!(page == "README.md" || pages.contains(&page), "{page} is of no alert");
    }
}

#[test]
fn what_is_asked_for_is_measured() {
    let measured = measured();
    let files = [RULES, "charts/subrosa/files/dashboard.json"];
    for file in files {
        for name in asked(&read(file)) {
            let planned = file == RULES && PLANNED.contains(&name.as_str());
            assert!(measured.contains(&name) || planned, "{file} asks for {name}, which no process has");
        }
    }
    let rules = asked(&read(RULES));
    for name in PLANNED {
        assert!(!measured.contains(name), "the operator has {name} now: take it out of PLANNED");
        assert!(rules.contains(name), "nothing asks for {name}: take it out of PLANNED");
    }
}

/// Labels are written in the rules too: a value that the operator never gives would keep an alert silent.
#[test]
fn outcomes_and_states_are_the_operators_own() {
    let status = read("docs/status.md");
    for alert in alerts() {
        let expression = alert["expr"].as_str().unwrap();
        for part in expression.split('"').skip(1).step_by(2) {
            for word in part.split('|').filter(|word| word.starts_with(char::is_uppercase)) {
                let known = ["Isolated", "BackedUp", "False"].contains(&word)
                    || status.contains(&format!("`{word}`"));
                assert!(known, "{}: {word} is no word of docs/status.md", alert["alert"]);
            }
        }
    }
}

#[test]
fn the_rule_object_holds_the_file_and_follows_the_runbooks() -> Result<()> {
    let rule = |values: &[&str]| -> Result<Value> {
        let objects = objects(&rendered(values)?)?;
        Ok(objects.into_iter().find(|object| object["kind"] == "PrometheusRule").unwrap())
    };
    let file: Value = serde_saphyr::from_str(&read(RULES))?;
    assert_eq!(rule(&["prometheusRule.enabled=true"])?["spec"], file);
    let moved =
        rule(&["prometheusRule.enabled=true", "prometheusRule.runbookBaseURL=https://wiki.example/x/"])?;
    let text = moved.to_string();
    assert_eq!(text.matches("https://wiki.example/x/Subrosa").count(), alerts().len());
    assert!(!text.contains("subrosa.dev"), "a runbook is still elsewhere");
    Ok(())
}

/// The names of all series that the operator, the destroyer, the granter and the sealing sidecar have.
fn measured() -> BTreeSet<String> {
    let metrics = Metrics::default();
    // A family without a member is not written.
    metrics.reconciled("Channel", false);
    metrics.issued("Missing");
    let labels = ConditionLabels { condition: "Ready", status: "True", reason: "InForceUnproven" };
    metrics.set(&Census {
        connections: [("Open", 1)].into(),
        conditions: [(labels, 1)].into(),
        ..Census::default()
    });
    metrics.observe(RequestSample { operation: "sys.health", outcome: "ok", duration: Default::default() });
    let sealing = subrosa::cli::seal::watch::metrics(&WatchSnapshot::default());
    let text = metrics.text() + &destroyers() + &granters() + &sealing;
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            types.insert(name, kind);
        }
    }
    let series = types.iter().flat_map(|(name, kind)| {
        let endings: &[&str] = match *kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    series.collect()
}

/// What the granter tells.
fn granters() -> String {
    let metrics = subrosa_granter::GranterMetrics::default();
    metrics.looked("oosterlinde", true, 1, 1);
    let role = ("cc-front".to_owned(), "reviewer".to_owned());
    let then = jiff::Timestamp::UNIX_EPOCH;
    metrics.grants_left("oosterlinde", 500);
    metrics.reviews("oosterlinde", &[(role.clone(), then)].into());
    metrics.break_glass("oosterlinde", &[(role.clone(), (then, then))].into());
    metrics.break_glass_closed("oosterlinde", &[(role, Reason::AuditLogNotGiven)].into());
    let revocation = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation",
        "metadata": {"name": "leaver", "creationTimestamp": "2026-11-22T10:00:00Z"},
        "spec": {"subject": {"user": "anna"}, "reason": "Exit"},
    });
    metrics.revoking(&[std::sync::Arc::new(serde_json::from_value(revocation).unwrap())]);
    metrics.text()
}

/// What the destroyer tells.
fn destroyers() -> String {
    let metrics = subrosa_destroyer::DestroyerMetrics::default();
    let fault = Fault::new(Reason::VaultSealed, "sealed");
    metrics.looked("oosterlinde", Some(&fault));
    metrics.frozen("oosterlinde", Some(&fault));
    metrics.listed("oosterlinde", std::iter::empty());
    metrics.text()
}

/// The names of series in expressions; the comments of the rules have none.
fn asked(text: &str) -> BTreeSet<String> {
    let letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    text.split(|other| !letter(other))
        .filter(|word| word.starts_with("subrosa_"))
        .map(str::to_owned)
        .collect()
}
