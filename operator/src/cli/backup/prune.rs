//! `subrosa backup prune`.

use anyhow::Result;
use subrosa_worker::backup::{
    prune::{self, PruneReport},
    versions::Remover,
};

use super::{Exit, Format, Login, Screen};
use crate::cli::{
    progress::size,
    table::{Cell, Table, Tone},
};

const EXAMPLES: &str = "\
Examples:
  subrosa backup prune --dry-run --credentials /run/secrets/store-owner
  subrosa backup prune --credentials /run/secrets/store-owner

It removes the repositories of months whose keys were destroyed, with all versions of their objects, and nothing else.
The credentials must be allowed to list and delete versions; those of the pods that make backups should not be.";

/// Removes from the store what no key opens any more
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: Login,
}

pub(super) async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let (settings, credentials, keys) = args.login.given().await?;
    let store = Remover::open(&settings.store, credentials.as_ref())?;
    let report = prune::prune(&store, &keys, &settings, args.dry_run).await?;
    match args.output {
        Format::Json => screen.print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Table => screen.print(&table(&report).text(screen.paint()))?,
    }
    let (removed, locked) = report
        .windows
        .iter()
        .fold((0, 0), |(removed, locked), window| (removed + window.removed, locked + window.locked));
    let verb = if args.dry_run { "would be tried" } else { "removed" };
    screen.say(&format!("{removed} versions of objects {verb}, {locked} stay locked"))?;
    Ok(Exit::Done)
}

fn table(report: &PruneReport) -> Table {
    let mut table = Table::new(["WINDOW", "REMOVED", "SIZE", "LOCKED", "LOCKED UNTIL"]);
    for window in &report.windows {
        let tone = if window.locked == 0 { Tone::Plain } else { Tone::Odd };
        table.row([
            window.window.clone().into(),
            window.removed.to_string().into(),
            size(window.bytes).into(),
            Cell::new(window.locked.to_string(), tone),
            window.locked_until.map_or_else(String::new, |until| format!("{until:.0}")).into(),
        ]);
    }
    table
}
