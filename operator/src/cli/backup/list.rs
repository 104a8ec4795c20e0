//! `subrosa backup list`, `show` and `check`: what there is, as verified manifests say.

use anyhow::{Context as _, Result, bail};
use subrosa_crds::cohort::Cohort;
use subrosa_worker::backup::{
    check::{self, CheckReport, ReadData},
    manifest::{BackupManifest, ManifestChain},
    restore::WhichRun,
};

use super::{Exit, Format, Login, Opened, Screen, following};
use crate::cli::{
    progress::size,
    table::{Cell, Table, Tone},
    words,
};

const LIST_EXAMPLES: &str = "\
Examples:
  subrosa backup list
  subrosa backup list --at-least 41 -o json     # refuses fewer than the operator has seen";

const SHOW_EXAMPLES: &str = "\
Examples:
  subrosa backup show          # the newest run
  subrosa backup show 41";

const CHECK_EXAMPLES: &str = "\
Examples:
  subrosa backup check                        # every repository: objects and directories
  subrosa backup check --read-data 3/30       # and the third of thirty parts of the data
  subrosa backup check --window 2026m12 --read-data all";

/// Lists the runs
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct Args {
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: Login,
}

/// Shows the snapshots of a run
#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArgs {
    /// Its number; the newest otherwise
    run: Option<u64>,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: Login,
}

/// Checks the repositories
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(super) struct CheckArgs {
    /// Only that of this window, such as 2026m12
    #[arg(long, value_name = "WINDOW")]
    window: Option<Cohort>,
    /// Also read data: all, a part such as 5%, or one part of several such as 3/30
    #[arg(long, value_name = "HOW MUCH", value_parser = how_much)]
    read_data: Option<ReadData>,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: Login,
}

fn how_much(text: &str) -> Result<ReadData> {
    if text == "all" {
        return Ok(ReadData::All);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().context("expected a number before %")?;
        if !(percent > 0. && percent <= 100.) {
            bail!("expected more than 0 % and at most 100 %");
        }
        return Ok(ReadData::Percent(percent));
    }
    let (part, of) = text.split_once('/').context("expected all, 5% or 3/30")?;
    let (part, of): (u32, u32) = (part.parse()?, of.parse()?);
    if part == 0 || part > of {
        bail!("expected a part from 1 to {of}");
    }
    Ok(ReadData::Part(part, of))
}

impl Opened {
    async fn chain(&self, at_least: u64) -> Result<ManifestChain> {
        Ok(ManifestChain::read(&self.store, &self.keys, &self.settings, at_least).await?)
    }
}

pub(super) async fn list(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let chain = args.login.open().await?.chain(args.login.at_least).await?;
    match args.output {
        Format::Json => screen.print(&(serde_json::to_string_pretty(chain.manifests())? + "\n"))?,
        Format::Table => {
            let mut table = Table::new(["RUN", "TIME", "WINDOW", "VOLUMES", "FILES", "SIZE", "COUNTS"]);
            for run in chain.manifests() {
                let (files, bytes) = run
                    .volumes
                    .iter()
                    .fold((0, 0), |(files, bytes), volume| (files + volume.files, bytes + volume.bytes));
                table.row([
                    run.number.to_string().into(),
                    format!("{:.0}", run.time).into(),
                    run.window.clone().into(),
                    run.volumes.len().to_string().into(),
                    files.to_string().into(),
                    size(bytes).into(),
                    counts(run, &chain),
                ]);
            }
            screen.print(&table.text(screen.paint()))?;
        }
    }
    Ok(Exit::Done)
}

fn counts(run: &BackupManifest, chain: &ManifestChain) -> Cell {
    if chain.is_destroyed(run) {
        return Cell::new("Destroyed", Tone::Plain);
    }
    let problem = run.volumes.iter().find_map(|volume| volume.problem.clone());
    match problem {
        None => Cell::new("Yes", Tone::Good),
        Some(problem) => Cell::new(problem, Tone::Bad),
    }
}

pub(super) async fn show(args: &ShowArgs, screen: &mut Screen) -> Result<Exit> {
    let chain = args.login.open().await?.chain(args.login.at_least).await?;
    let number = args.run.unwrap_or(chain.newest());
    let run = chain.find(WhichRun::Number(number))?;
    match args.output {
        Format::Json => screen.print(&(serde_json::to_string_pretty(run)? + "\n"))?,
        Format::Table => {
            let mut table = Table::new(["VOLUME", "SNAPSHOT", "FILES", "SIZE", "UNREADABLE", "COUNTS"]);
            for volume in &run.volumes {
                let counts = match &volume.problem {
                    None => Cell::new("Yes", Tone::Good),
                    Some(problem) => Cell::new(problem.clone(), Tone::Bad),
                };
                table.row([
                    volume.name.clone().into(),
                    volume.snapshot.chars().take(16).collect::<String>().into(),
                    volume.files.to_string().into(),
                    size(volume.bytes).into(),
                    volume.unreadable.to_string().into(),
                    counts,
                ]);
            }
            screen.print(&table.text(screen.paint()))?;
            screen.say(&format!("run {} of {:.0}, window {}", run.number, run.time, run.window))?;
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn check(args: &CheckArgs, screen: &mut Screen) -> Result<Exit> {
    let opened = args.login.open().await?;
    let (bytes, progress) = following();
    let wanted = (args.window, args.login.at_least, args.read_data.unwrap_or_default());
    let report = check::check(&opened.store, &opened.keys, &opened.settings, wanted, &bytes).await;
    drop(progress);
    let report = report?;
    match args.output {
        Format::Json => screen.print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Table => screen.print(&checked(&report, screen))?,
    }
    let manifests = words::counted(usize::try_from(report.manifests).unwrap_or(usize::MAX), "manifest");
    screen.say(&format!("{manifests} verified"))?;
    Ok(if report.is_good() { Exit::Done } else { Exit::Wrong })
}

fn checked(report: &CheckReport, screen: &Screen) -> String {
    let mut table = Table::new(["WINDOW", "SNAPSHOTS", "LEFT OVER", "GOOD"]);
    for repository in &report.repositories {
        let good = match &repository.problem {
            None => Cell::new("Yes", Tone::Good),
            Some(problem) => Cell::new(problem.clone(), Tone::Bad),
        };
        table.row([
            repository.window.clone().into(),
            repository.snapshots.to_string().into(),
            repository.left_over.to_string().into(),
            good,
        ]);
        for finding in &repository.findings {
            table.below(Cell::new(finding.clone(), Tone::Bad));
        }
    }
    table.text(screen.paint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_read_is_understood_or_refused() {
        assert_eq!(how_much("all").unwrap(), ReadData::All);
        assert_eq!(how_much("2.5%").unwrap(), ReadData::Percent(2.5));
        assert_eq!(how_much("3/30").unwrap(), ReadData::Part(3, 30));
        for other in ["", "5", "0%", "101%", "NaN%", "0/3", "4/3", "a/b"] {
            assert!(how_much(other).is_err(), "{other}");
        }
    }
}
