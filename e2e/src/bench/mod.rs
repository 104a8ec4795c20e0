//! The benchmark: Channels to Ready, one more among many, drift healed, memory, a restart.

mod bare;
mod crowd;
mod drift;
mod table;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;

use crate::{
    Environment, Installation, Operator,
    audit::{ApiAuditEntry, BaoAuditEntry},
    installation::{apply_object, retention_policy},
    operator::{Options, release_binary},
    tools::say,
};
use bare::Cost;
use crowd::Crowd;
use table::Table;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Channels of the first part.
    pub channels: usize,
    /// Channels of the second part; 0 leaves it out.
    pub many: usize,
    /// Unrelated Secrets, present in the second part.
    pub secrets: usize,
    /// How many Channels, and how many bare writers, at once.
    pub concurrency: u16,
}

/// The trust domain of the benchmark.
const DOMAIN: &str = "oosterlinde";

/// How often a single Channel is added.
const ROUNDS: usize = 9;

/// Measures the operator of this program, or of this working tree, and returns the table.
///
/// # Errors
/// When a part does not come to its end.
pub async fn run(sizes: Sizes, program: Option<PathBuf>) -> Result<String> {
    let program = match program {
        Some(program) => program,
        None => {
            say("building the operator optimised (minutes the first time)");
            tokio::task::spawn_blocking(release_binary).await??
        }
    };
    let env = Environment::builder().local().start().await?;
    let installed = Installation::install(&env, DOMAIN).await?;
    let client = env.admin()?;
    apply_object(&client, &installed.trust_domain(&env)).await?;
    apply_object(&client, &retention_policy()).await?;
    let options =
        Options { log: "warn", concurrency: sizes.concurrency, program: Some(program), ..Options::default() };
    let mut operator = Operator::start_with(&installed, options.clone()).await?;
    let mut table = Table::default();
    let at_once = usize::from(sizes.concurrency);

    let mut crowd = Crowd::prepare(&client, DOMAIN, sizes.channels + sizes.many + 4 * ROUNDS).await?;
    Crowd::warm_up(&client).await?;
    let first = crowd.one_by_one(&client, ROUNDS).await?;
    table.row(&format!("one Channel among few, apply to Ready, median of {ROUNDS}"), seconds(first));

    say(&format!("{} Channels from apply to Ready", sizes.channels));
    let (api, bao) = (env.audit()?.mark(), env.openbao().audit().mark());
    let busy = Busy::now(&operator)?;
    let all = crowd.add(&client, sizes.channels, at_once).await?;
    let busy = Busy::now(&operator)?.since(busy);
    settle().await;
    let user = format!(
        "system:serviceaccount:{}:{}",
        installed.names.namespace(),
        installed.names.service_account()
    );
    let api: Vec<ApiAuditEntry> = env.audit()?.entries_since(api)?;
    let bao: Vec<BaoAuditEntry> = env.openbao().audit().entries_since(bao)?;
    let cost = Cost::count(&api, &bao, &user, sizes.channels);
    say(&format!("the same writes bare, {at_once} at once"));
    operator.pause();
    let bare_busy = Busy::now(&operator)?;
    let bare = bare::write(&env, &cost, sizes.channels, at_once).await?;
    let bare_busy = Busy::now(&operator)?.since(bare_busy);
    bare::clear(&env).await?;
    operator.resume();
    settle().await;
    table.row(&format!("{} Channels, apply to all Ready", sizes.channels), seconds(all));
    table.row("the same writes bare, same concurrency", seconds(bare));
    table.row("ratio (goal: at most 1.5)", format!("{:.2}", all.as_secs_f64() / bare.as_secs_f64()));
    table.row("API writes a Channel (goal: 4)", format!("{:.2} ({})", cost.api_writes(), cost.api_text()));
    table.row("Vault writes a Channel", format!("{:.2} ({})", cost.vault_writes(), cost.vault_text()));
    table.row("reads and refusals a Channel", format!("{:.2} ({})", cost.reads(), cost.reads_text()));
    let each = |busy: Duration| format!("{:.1} ms", busy.as_secs_f64() * 1e3 / sizes.channels as f64);
    table.row("processor time a Channel, operator", each(busy.operator));
    table.row("processor time a Channel, everything", each(busy.machine));
    table.row("processor time of a Channel's bare writes, everything", each(bare_busy.machine));
    table.row(&format!("peak memory with {} Channels", sizes.channels), memory(&operator)?);

    say("50 deleted Secrets");
    let healed = drift::heal(&client, &crowd, 50).await?;
    table.row("50 deleted Secrets healed, p50 (goal: 0.15 s)", seconds(healed.p50));
    table.row("50 deleted Secrets healed, p99 (goal: 0.25 s)", seconds(healed.p99));
    let one = drift::one(&client, &crowd, 10).await?;
    table.row("one deleted Secret healed, median of 10 (goal: 0.03 s)", seconds(one));

    say("a restart");
    settle().await;
    operator.kill();
    let mark = (env.audit()?.mark(), env.openbao().audit().mark());
    let started = Instant::now();
    operator = Operator::start_with(&installed, options.clone()).await?;
    table.row("restart until everything is seen", seconds(started.elapsed()));
    tokio::time::sleep(Duration::from_secs(15)).await;
    let api: Vec<ApiAuditEntry> = env.audit()?.entries_since(mark.0)?;
    let bao: Vec<BaoAuditEntry> = env.openbao().audit().entries_since(mark.1)?;
    let cost = Cost::count(&api, &bao, &user, 1);
    let writes = format!(
        "API {} ({}), Vault {} ({})",
        cost.api_writes(),
        cost.api_text(),
        cost.vault_writes(),
        cost.vault_text()
    );
    table.row("writes in the 15 s after it", writes);

    if sizes.many > 0 {
        say(&format!("{} unrelated Secrets and {} more Channels", sizes.secrets, sizes.many));
        crowd::unrelated_secrets(&client, sizes.secrets, at_once * 2).await?;
        let more = crowd.add(&client, sizes.many - sizes.channels.min(sizes.many), at_once).await?;
        settle().await;
        table.row(&format!("{} Channels in all: time for the rest", sizes.many), seconds(more));
        let one = crowd.one_by_one(&client, ROUNDS).await?;
        table.row(&format!("one more Channel among {}, median of {ROUNDS}", sizes.many), seconds(one));
        table.row(
            "ratio to one among few (goal: at most 1.2)",
            format!("{:.2}", one.as_secs_f64() / first.as_secs_f64()),
        );
        table.row(
            &format!(
                "peak memory with {} Channels and {} Secrets (goal: 128 MiB)",
                sizes.many, sizes.secrets
            ),
            memory(&operator)?,
        );
    }
    operator.stop();
    Ok(table.text())
}

/// Processor time that was spent: who waits for two cores waits for all of it.
#[derive(Clone, Copy)]
struct Busy {
    operator: Duration,
    machine: Duration,
}

impl Busy {
    fn now(operator: &Operator) -> Result<Self> {
        let own = std::fs::read_to_string(format!("/proc/{}/stat", operator.pid()))?;
        // proc_pid_stat(5): behind the name, which may hold spaces, fields 14 and 15 are utime and stime.
        let own: Vec<&str> = own.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // proc_stat(5): user, nice, system; then idle.
        let all = std::fs::read_to_string("/proc/stat")?;
        let all: Vec<&str> = all.split_whitespace().skip(1).take(3).collect();
        Ok(Self {
            operator: ticks(own.get(11..13).context("no times of the operator")?)?,
            machine: ticks(&all)?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            operator: self.operator.saturating_sub(before.operator),
            machine: self.machine.saturating_sub(before.machine),
        }
    }
}

/// The sum of some counts of clock ticks.
fn ticks(numbers: &[&str]) -> Result<Duration> {
    let sum: u64 = numbers.iter().map(|number| number.parse::<u64>()).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(sum * 1000 / clock_ticks_per_second()))
}

/// Lets what still wakes itself up come to rest.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

fn memory(operator: &Operator) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{:.1} MiB", kib / 1024.0))
}
