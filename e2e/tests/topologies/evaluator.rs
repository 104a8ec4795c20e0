//! The independent judge: a process that reads documents and answers them, one line each.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::town::{End, Question, Town};

/// The verdict, and what the policies of each end say of it.
#[derive(Clone, Copy, Deserialize)]
pub struct Answer {
    pub allowed: bool,
    pub ingress: bool,
    pub egress: bool,
}

/// One line of what is asked.
pub fn document(town: &Town, policies: &[NetworkPolicy], questions: &[Question<'_>]) -> Result<String> {
    let namespaces: BTreeMap<&str, Value> =
        town.namespaces.iter().map(|one| (one.name.as_str(), json!({}))).collect();
    let questions: Vec<_> = questions
        .iter()
        .map(|question| {
            json!({
                "from": end(question.from), "to": end(question.to),
                "port": question.port, "protocol": if question.udp { "UDP" } else { "TCP" },
            })
        })
        .collect();
    let document = json!({"policies": policies, "namespaces": namespaces, "queries": questions});
    serde_json::to_string(&document).context("a document is JSON")
}

fn end(end: End<'_>) -> Value {
    match end {
        End::Pod(pod) => json!({"namespace": pod.namespace, "labels": pod.labels, "ip": pod.address}),
        End::Outside(address) => json!({"ip": address}),
    }
}

/// Asks a judge of its own; answers in the order of the documents.
pub fn judge(program: &Path, documents: Vec<String>) -> Result<Vec<Vec<Answer>>> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut input = child.stdin.take().context("its stdin")?;
    let output = child.stdout.take().context("its stdout")?;
    let count = documents.len();
    // Written from the side: it answers while it reads, and neither pipe may fill up.
    let writer = thread::spawn(move || -> std::io::Result<()> {
        for document in documents {
            input.write_all(document.as_bytes())?;
            input.write_all(b"\n")?;
        }
        Ok(())
    });
    let answers = BufReader::new(output)
        .lines()
        .map(|line| serde_json::from_str(&line?).context("an answer is a JSON array"))
        .collect::<Result<Vec<_>>>();
    let written = writer.join().ok().context("the writer ended by itself")?;
    let status = child.wait().context("wait for the evaluator")?;
    ensure!(status.success(), "the evaluator refused a document; what it said is above");
    written.context("write the documents")?;
    let answers = answers?;
    ensure!(answers.len() == count, "{count} documents, {} answers", answers.len());
    Ok(answers)
}
