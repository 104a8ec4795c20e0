//! The expressions of the alerts, evaluated by Prometheus' own engine over metrics that an operator really gave.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{helm::promtool, tools::workspace};

/// The time between two scrapes.
const INTERVAL: i64 = 5;

/// Scrapes of an operator's metrics, one after another.
///
/// promtool's clock begins at 0. Times in metrics are therefore counted from the first scrape.
pub struct History {
    began: Timestamp,
    scrapes: Vec<BTreeMap<String, f64>>,
}

impl History {
    /// Begins the clock of the scrapes, once promtool is there: building it takes minutes, and the scrapes that were due
    /// meanwhile would be taken all at once.
    ///
    /// # Errors
    /// When promtool cannot be built.
    pub fn begin() -> Result<Self> {
        promtool()?;
        Ok(Self { began: Timestamp::now(), scrapes: Vec::new() })
    }

    /// Waits for the moment of the next scrape, and takes what the operator says then: nothing where there is none.
    pub async fn scrape(&mut self, metrics: impl AsyncFnOnce() -> Option<String>) {
        let due = i64::try_from(self.scrapes.len()).unwrap_or(i64::MAX).saturating_mul(INTERVAL);
        let passed = Timestamp::now().duration_since(self.began).as_secs();
        if let Ok(wait) = u64::try_from(due - passed) {
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
        let text = metrics().await.unwrap_or_default();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let value: f64 = value.parse().ok()?;
            // 0 says that there is none.
            let is_time = series.contains("_timestamp_seconds") && value > 0.0;
            #[allow(clippy::cast_precision_loss)] // Seconds since 1970 fit.
            let began = if is_time { self.began.as_second() as f64 } else { 0.0 };
            Some((series.to_owned(), value - began))
        });
        self.scrapes.push(samples.collect());
    }

    /// Whether the expression of an alert is true so long after the last scrape, if nothing changes until then.
    ///
    /// # Errors
    /// When there is no such alert, or promtool does not run.
    pub fn is_true(&self, alert: &str, later: Duration) -> Result<bool> {
        let expression = expression(alert)?;
        let holds = u64::try_from(INTERVAL)?;
        let last = holds * u64::try_from(self.scrapes.len().saturating_sub(1))?;
        let test = |expected: Value| {
            json!({
                // Samples are loaded no faster than rules are evaluated.
                "evaluation_interval": format!("{INTERVAL}s"),
                "tests": [{
                    "interval": format!("{INTERVAL}s"),
                    "input_series": self.series(later.as_secs() / holds),
                    "promql_expr_test": [{
                        "expr": format!("group({expression})"),
                        "eval_time": format!("{}s", last + later.as_secs()),
                        "exp_samples": expected,
                    }],
                }],
            })
        };
        if passes(&test(json!([{"labels": "{}", "value": 1}])))? {
            return Ok(true);
        }
        ensure!(passes(&test(json!([])))?, "{alert}: promtool finds it neither true nor false");
        Ok(false)
    }

    /// Every series, as another cluster's beside the operator's own would have it.
    fn series(&self, held: u64) -> Vec<Value> {
        let names: BTreeSet<_> = self.scrapes.iter().flat_map(BTreeMap::keys).collect();
        names
            .into_iter()
            .map(|name| {
                let mut values: Vec<_> = self
                    .scrapes
                    .iter()
                    .map(|scrape| scrape.get(name).map_or_else(|| "_".to_owned(), |value| format!("{value}")))
                    .collect();
                if let Some(last) = values.last_mut() {
                    // What stops being scraped is stale at once.
                    *last = if last == "_" { "stale".into() } else { format!("{last}x{held}") };
                }
                json!({"series": labelled(name), "values": values.join(" ")})
            })
            .collect()
    }
}

fn labelled(series: &str) -> String {
    const SCRAPED: &str = r#"cluster="b",job="subrosa",namespace="subrosa-system",pod="subrosa-0""#;
    match series.strip_suffix('}') {
        Some(open) => format!("{open},{SCRAPED}}}"),
        None => format!("{series}{{{SCRAPED}}}"),
    }
}

fn expression(alert: &str) -> Result<String> {
    let text = std::fs::read_to_string(workspace()?.join("charts/subrosa/files/rules.yaml"))?;
    let file: Value = serde_saphyr::from_str(&text)?;
    let groups = file.get("groups").and_then(Value::as_array).context("rules.yaml has groups")?;
    let rules = groups.iter().filter_map(|group| group.get("rules")?.as_array()).flatten();
    let rule = rules.into_iter().find(|rule| rule.get("alert").is_some_and(|name| name == alert));
    match rule.and_then(|rule| rule.get("expr")?.as_str()) {
        Some(expression) => Ok(expression.to_owned()),
        None => bail!("rules.yaml has no alert {alert}"),
    }
}

fn passes(test: &Value) -> Result<bool> {
    let directory = tempfile::tempdir()?;
    // JSON is YAML.
    let file = directory.path().join("test.json");
    std::fs::write(&file, test.to_string())?;
    Ok(Command::new(promtool()?).args(["test", "rules"]).arg(&file).output()?.status.success())
}
