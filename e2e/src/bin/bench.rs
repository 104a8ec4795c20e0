//! `cargo bench-operator`: how fast and how small the operator is, beside what its writes alone cost.
//!
//! Everything that is compared is measured in one run on one machine: read the ratios, not the seconds.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use subrosa_e2e::bench::{self, Part, Plan};

/// Measures the operator on a real API server and a real OpenBao.
#[derive(Parser)]
struct Arguments {
    /// What is measured besides the crowd of Channels.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["bare", "drift", "restart", "many", "idle"])]
    parts: Vec<Part>,
    /// Channels of the crowd.
    #[arg(long, default_value_t = 500)]
    channels: usize,
    /// Channels of the part "many", the crowd among them.
    #[arg(long, default_value_t = 5000)]
    many: usize,
    /// Secrets that have nothing to do with Subrosa, present in that part.
    #[arg(long, default_value_t = 20_000)]
    secrets: usize,
    /// How many Channels a namespace holds.
    #[arg(long, default_value_t = 50)]
    per_namespace: usize,
    /// How many Channels the operator works on at once, and how many bare writers write.
    #[arg(long, default_value_t = 16)]
    concurrency: u16,
    /// The operator's program as name=path, such as that of another commit; several are measured in turn. Built of
    /// this working tree where there is none.
    #[arg(long, value_parser = named)]
    program: Vec<(String, PathBuf)>,
    /// How often each program is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Where the table goes as well.
    #[arg(long, default_value = "target/bench.md")]
    out: PathBuf,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write name=path")?;
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), path))
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { parts, channels, many, secrets, per_namespace, concurrency, program, rounds, out } =
        Arguments::parse();
    let plan =
        Plan { parts, channels, many, secrets, per_namespace: per_namespace.max(1), concurrency, rounds };
    let table = bench::run(&plan, program).await?;
    std::fs::write(&out, &table)?;
    subrosa_e2e::tools::say(&format!("\n{table}\nsaved to {}", out.display()));
    Ok(())
}
