//! Charts as arguments, rendered text as objects.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use subrosa::grants::Installation;
use subrosa_e2e::helm::{Helm, chart};

pub const NAMESPACE: &str = "subrosa-system";

/// Everything that is optional, turned on.
pub const EVERYTHING: [&str; 6] = [
    "networkPolicy.enabled=true",
    "serviceMonitor.enabled=true",
    "prometheusRule.enabled=true",
    "grafanaDashboard.enabled=true",
    "rbac.tokenSecrets={openbao-token}",
    "spread=Required",
];

/// The path of a chart of this repository, as an argument.
pub fn path(name: &str) -> String {
    chart(name).unwrap().to_str().unwrap().to_owned()
}

/// A file beside these tests.
pub fn beside(name: &str) -> PathBuf {
    subrosa_e2e::tools::workspace().unwrap().join("e2e/tests/chart").join(name)
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = subrosa_e2e::tools::workspace().unwrap().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the chart `subrosa` renders with these values, without a cluster.
pub fn rendered(values: &[&str]) -> Result<String> {
    let chart = path("subrosa");
    let mut arguments = vec!["template", "subrosa", &chart, "--namespace", NAMESPACE];
    arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
    Helm::offline()?.run(&arguments)
}

/// The objects of rendered text.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
    let filled = documents.filter(|document| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    filled.map(|document| serde_saphyr::from_str(document).with_context(|| document.to_owned())).collect()
}

/// What an object is called: `Deployment subrosa`.
pub fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// An installation whose backup workers run from the image that the chart has unless told otherwise.
pub fn released(installation: Installation) -> Result<Installation> {
    Ok(installation.with_worker_image(concat!("subrosa:", env!("CARGO_PKG_VERSION")))?)
}
