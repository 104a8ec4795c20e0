//! What processes used: processor time and memory, as the kernel counts it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;

use crate::{Environment, Operator};

/// Processor time of each process that the benchmark started, and of itself.
#[derive(Clone)]
pub(super) struct Busy(BTreeMap<&'static str, Duration>);

/// The operator's name among the processes.
const OPERATOR: &str = "operator";

impl Busy {
    pub(super) fn now(env: &Environment, operator: &Operator) -> Result<Self> {
        let mut pids = env.pids();
        pids.extend([(OPERATOR, operator.pid()), ("benchmark", std::process::id())]);
        pids.into_iter().map(|(name, pid)| Ok((name, spent(pid)?))).collect::<Result<_>>().map(Self)
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let spent =
            |name: &str, now: Duration| now.saturating_sub(before.0.get(name).copied().unwrap_or_default());
        Self(self.0.iter().map(|(name, now)| (*name, spent(name, *now))).collect())
    }

    pub(super) fn operator(&self) -> Duration {
        self.0.get(OPERATOR).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Duration {
        self.0.values().sum()
    }

    /// The share of each process, divided by `count`.
    pub(super) fn text(&self, count: usize) -> String {
        let each = |(name, spent): (&&str, &Duration)| format!("{name} {}", milliseconds(*spent, count));
        self.0.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

/// A time divided by `count`.
pub(super) fn milliseconds(time: Duration, count: usize) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3 / count.max(1) as f64)
}

/// Processor time of a process, its ended children not counted.
fn spent(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // proc_pid_stat(5): behind the name, which may hold spaces, fields 14 and 15 are utime and stime.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let times = fields.get(11..13).context("no times in /proc/<pid>/stat")?;
    let sum: u64 = times.iter().map(|number| number.parse::<u64>()).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(sum * 1000 / clock_ticks_per_second()))
}

/// The most memory that the operator ever had, and what it has now.
pub(super) fn memory(operator: &Operator) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid()))?;
    let mib = |field: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: f64 =
            found.context("no such field in /proc/<pid>/status")?.trim().trim_end_matches(" kB").parse()?;
        anyhow::Ok(kib / 1024.0)
    };
    Ok(format!("{:.1} MiB (now {:.1})", mib("VmHWM:")?, mib("VmRSS:")?))
}
