//! The benchmark: Channels to Ready, one more among many, drift healed, memory, a restart.

mod bare;
mod crowd;
mod drift;
mod part;
mod table;
mod usage;

use std::path::PathBuf;

use anyhow::Result;

use crate::{operator::release_binary, tools::say};
use part::Bench;

/// What can be measured by itself; the Channels of `Crowd` are made in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The same writes as those of the crowd, with nothing around them.
    Bare,
    /// Deleted Secrets.
    Drift,
    /// A restart.
    Restart,
    /// Many Channels among many Secrets of others.
    Many,
    /// A minute in which nothing happens.
    Idle,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which parts.
    pub parts: Vec<Part>,
    /// Channels of the crowd.
    pub channels: usize,
    /// Channels of the part `Many`, the crowd among them.
    pub many: usize,
    /// Secrets that have nothing to do with Subrosa, present in that part.
    pub secrets: usize,
    /// How many Channels a namespace holds.
    pub per_namespace: usize,
    /// How many Channels, and how many bare writers, at once.
    pub concurrency: u16,
    /// How often each program is measured.
    pub rounds: usize,
}

/// Measures each of these programs, by name, in turn and each in a cluster of its own; the operator of this working
/// tree unless there are any. Returns the table.
///
/// # Errors
/// When a part does not come to its end.
pub async fn run(plan: &Plan, mut programs: Vec<(String, PathBuf)>) -> Result<String> {
    if programs.is_empty() {
        say("building the operator optimised (minutes the first time)");
        let program = tokio::task::spawn_blocking(release_binary).await??;
        programs.push(("value".to_owned(), program));
    }
    let mut tables = Vec::new();
    for round in 1..=plan.rounds {
        for (name, program) in &programs {
            say(&format!("{name}, round {round} of {}", plan.rounds));
            let table = Bench::start(plan, program.clone()).await?.measure().await?;
            tables.push((name.clone(), table));
        }
    }
    // The rounds of one program stand beside each other.
    tables.sort_by_key(|(name, _)| programs.iter().position(|(program, _)| program == name));
    Ok(table::beside(&tables))
}
