//! `cargo bench-operator`: how fast and how small the operator is, beside what its writes alone cost.
//!
//! Everything that is compared is measured in one run on one machine: read the ratios, not the seconds.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use subrosa_e2e::bench::{self, Sizes};

/// Measures the operator on a real API server and a real OpenBao.
#[derive(Parser)]
struct Arguments {
    /// Channels of the first part.
    #[arg(long, default_value_t = 500)]
    channels: usize,
    /// Channels of the second part; 0 leaves it out.
    #[arg(long, default_value_t = 5000)]
    many: usize,
    /// Secrets that have nothing to do with Subrosa, present in the second part.
    #[arg(long, default_value_t = 20_000)]
    secrets: usize,
    /// How many Channels the operator works on at once, and how many bare writers write.
    #[arg(long, default_value_t = 16)]
    concurrency: u16,
    /// The operator's program, such as that of another commit; built of this working tree unless given.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the table goes as well.
    #[arg(long, default_value = "target/bench.md")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { channels, many, secrets, concurrency, program, out } = Arguments::parse();
    let table = bench::run(Sizes { channels, many, secrets, concurrency }, program).await?;
    std::fs::write(&out, &table)?;
    subrosa_e2e::tools::say(&format!("\n{table}\nsaved to {}", out.display()));
    Ok(())
}
