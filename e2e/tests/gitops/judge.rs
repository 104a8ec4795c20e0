//! How healthy an object is, by the scripts and expressions of `examples/gitops`.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use subrosa_e2e::tools::{argohealth, workspace};

use crate::fleet::read;

/// What each finds.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Argo CD, with the scripts of `argocd-cm.yaml`.
    pub argo: Health,
    /// Flux, with the expressions of its Kustomizations.
    pub flux: Health,
    /// Any tool that knows nothing but Kubernetes' conventions.
    pub kstatus: Health,
}

#[derive(Debug, Deserialize)]
pub struct Health {
    pub status: String,
    pub message: String,
}

impl Answer {
    /// The three words.
    pub fn words(&self) -> [&str; 3] {
        [&self.argo.status, &self.flux.status, &self.kstatus.status]
    }
}

/// Answers by a program of its own, see `e2e/argohealth`.
pub struct Judge {
    program: PathBuf,
    config: Value,
    checks: Value,
}

impl Judge {
    pub fn new() -> Result<Self> {
        let examples = workspace()?.join("examples/gitops");
        let text = fs::read_to_string(examples.join("argocd/argocd-cm.yaml"))?;
        let config: Value = serde_saphyr::from_str(&text).context("argocd-cm.yaml")?;
        let flux = read(&examples.join("flux"))?;
        let checks: Vec<Value> = flux
            .iter()
            .filter_map(|document| document["spec"]["healthCheckExprs"].as_array())
            .flatten()
            .cloned()
            .collect();
        Ok(Self { program: argohealth()?, config: config["data"].clone(), checks: json!(checks) })
    }

    pub fn of(&self, object: &Value) -> Result<Answer> {
        let mut child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start argohealth")?;
        let document = json!({"config": self.config, "checks": self.checks, "object": object});
        writeln!(child.stdin.take().context("its stdin")?, "{document}")?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("an answer is JSON")
    }
}
