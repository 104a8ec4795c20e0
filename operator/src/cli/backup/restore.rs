//! `subrosa backup restore`.

use std::{panic, path::PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use subrosa_worker::{
    backup::{
        problem::BackupProblem,
        restore::{self, RestoreReport, RestoreRequest, WhichRun},
    },
    shown,
};

use super::{Exit, Format, Login, Screen, following};
use crate::cli::{
    progress::size,
    table::{Cell, Table, Tone},
};

const EXAMPLES: &str = "\
Examples:
  subrosa backup restore --to /restored                      # the newest run that counts
  subrosa backup restore --to /restored --run 41 --volume recordings
  subrosa backup restore --to /volumes --at 2026-12-01T02:00:00Z --overwrite

Each volume gets a directory of its name below --to. Files appear when all of a volume are complete; an interrupted
restore continues when the same command runs again.";

/// Restores the volumes of a run
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The directory that gets a directory for each volume
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The number of the run, also where it does not count
    #[arg(long, value_name = "NUMBER", conflicts_with = "at")]
    run: Option<u64>,
    /// The newest run that counts and began no later
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// This volume only
    #[arg(long, value_name = "NAME")]
    volume: Option<String>,
    /// Replace what is there and in the backup too; without it, a volume's directory must be empty
    #[arg(long)]
    overwrite: bool,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: Login,
}

pub(super) async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let opened = args.login.open().await?;
    let run = match (args.run, args.at) {
        (Some(number), _) => WhichRun::Number(number),
        (None, Some(time)) => WhichRun::At(time),
        (None, None) => WhichRun::Newest,
    };
    let request = RestoreRequest {
        run,
        volume: args.volume.clone(),
        to: args.to.clone(),
        overwrite: args.overwrite,
        at_least: args.login.at_least,
    };
    let (bytes, progress) = following();
    quiet();
    let restored = restore::restore(&opened.store, &opened.keys, &opened.settings, &request, &bytes).await;
    drop(progress);
    let report = restored?;
    match args.output {
        Format::Json => screen.print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Table => screen.print(&table(&report).text(screen.paint()))?,
    }
    let lost: u64 = report.volumes.iter().map(|volume| volume.owners_lost).sum();
    if lost > 0 {
        screen.say(&format!(
            "{}: {lost} files and directories had other owners, which only root can give back",
            BackupProblem::OwnershipNotKept
        ))?;
    }
    screen.say(&format!("restored run {} of {:.0}", report.run, report.time))?;
    Ok(if lost == 0 { Exit::Done } else { Exit::Wrong })
}

/// rustic panics where a file cannot be read or written. The error is told, and needs no trace before it.
pub(super) fn quiet() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(panic::Location::file);
        if !place.is_some_and(|file| file.contains("rustic_core")) {
            before(panic);
        }
    }));
}

fn table(report: &RestoreReport) -> Table {
    let mut table = Table::new(["VOLUME", "FILES", "SIZE", "KEPT", "OWNERS LOST", "PATH"]);
    for volume in &report.volumes {
        let tone = if volume.owners_lost == 0 { Tone::Plain } else { Tone::Odd };
        table.row([
            volume.name.clone().into(),
            volume.files.to_string().into(),
            size(volume.bytes).into(),
            size(volume.kept).into(),
            Cell::new(volume.owners_lost.to_string(), tone),
            shown(&volume.path).into(),
        ]);
    }
    table
}
