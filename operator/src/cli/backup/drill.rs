//! `subrosa backup drill`: what the pod of a drill does.

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use subrosa_crds::backup::{BackupReport, DrillReport};
use subrosa_worker::{
    backup::{
        drill::{self, DrillOptions},
        run,
    },
    shown,
};

use super::{Exit, Login, Screen, following, restore::quiet, run::leave};
use crate::cli::progress::size;

const EXAMPLES: &str = "\
Examples:
  subrosa backup drill --to /drill --report /dev/termination-log
  subrosa backup drill --config backup.yaml --credentials ./s3 --to ./somewhere-empty

Exit codes:
  0  the newest run that counts was restored, and is what was backed up
  1  it was not: the report says why
  2  the command line is wrong
  3  the report could not be written";

/// Restores the newest run that counts into an empty directory, verifies it, and removes it again
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// An empty directory with room for the run; it is emptied again
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where the report goes, as JSON, whatever happens
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
}

pub(super) async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let started = Timestamp::now();
    // Everything below the directory is removed afterwards.
    anyhow::ensure!(drill::is_free(&args.to), "{} is not an empty directory", shown(&args.to));
    let report = match args.login.open().await {
        Ok(opened) => {
            let options = DrillOptions { to: args.to.clone(), at_least: args.login.at_least, started };
            let (bytes, _progress) = following();
            quiet();
            drill::drill(&opened.store, &opened.keys, &opened.settings, &options, &bytes).await
        }
        Err(error) => run::failed(started, &error),
    };
    leave(args.report.as_deref(), &report, screen)?;
    screen.say(&told(&report))?;
    Ok(if report.reason.is_none() { Exit::Done } else { Exit::Wrong })
}

fn told(report: &BackupReport) -> String {
    match (&report.drill, &report.reason, &report.message) {
        (Some(DrillReport { run, time, recovery_seconds, files, bytes, .. }), ..) => format!(
            "run {run} of {time:.0} was restored and verified in {recovery_seconds} s: {files} files, {}",
            size(*bytes)
        ),
        (None, Some(reason), Some(message)) => format!("nothing is proven; {reason}: {message}"),
        _ => "nothing is proven".to_owned(),
    }
}
