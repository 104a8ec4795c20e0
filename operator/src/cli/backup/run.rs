//! `subrosa backup run`: what the pod of a backup does.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use subrosa_crds::backup::BackupReport;
use subrosa_worker::{
    backup::run::{self, RunOptions},
    shown,
};

use super::{Exit, Login, Screen, following};
use crate::cli::{progress::size, words};

const EXAMPLES: &str = "\
Examples:
  subrosa backup run --volumes /volumes --mounted --report /dev/termination-log
  subrosa backup run --config backup.yaml --credentials ./s3 --volumes /srv --report report.json

Exit codes:
  0  every volume was backed up, and the run counts
  1  the run does not count, or not for every volume: the report says why
  2  the command line is wrong
  3  the report could not be written";

/// Backs up the volumes and databases that the settings name
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The directory that has a directory for each volume
    #[arg(long, value_name = "DIR")]
    volumes: PathBuf,
    /// The directory in which other containers give dumps of databases
    #[arg(long, value_name = "DIR", default_value = "/dumps")]
    dumps: PathBuf,
    /// Take a volume only where something is mounted on its directory
    #[arg(long)]
    mounted: bool,
    /// Let a volume count that holds much less than the last time
    #[arg(long)]
    allow_shrink: bool,
    /// Where the report goes, as JSON, whatever happens
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
}

pub(super) async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let started = Timestamp::now();
    let report = match args.login.open().await {
        Ok(opened) => {
            let options = RunOptions {
                volumes: args.volumes.clone(),
                dumps: args.dumps.clone(),
                mounted: args.mounted,
                allow_shrink: args.allow_shrink,
                at_least: args.login.at_least,
            };
            let (bytes, _progress) = following();
            run::run(&opened.store, &opened.keys, &opened.settings, &options, &bytes).await
        }
        Err(error) => run::failed(started, &error),
    };
    leave(args.report.as_deref(), &report, screen)?;
    screen.say(&told(&report))?;
    Ok(if report.reason.is_none() { Exit::Done } else { Exit::Wrong })
}

/// Leaves the report where it is read, or prints it.
pub(super) fn leave(place: Option<&Path>, report: &BackupReport, screen: &mut Screen) -> Result<()> {
    let text = serde_json::to_string(report)?;
    match place {
        Some(path) => {
            write(path, &text).with_context(|| format!("{}: the report cannot be written", shown(path)))
        }
        None => Ok(screen.print(&format!("{text}\n"))?),
    }
}

/// Writes over what is there: a termination log is a file that is mounted, and cannot be replaced.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn told(report: &BackupReport) -> String {
    let bytes = report.volumes.iter().map(|volume| volume.bytes).sum();
    let volumes = words::counted(report.volumes.len(), "volume");
    let done = match report.run {
        Some(run) => format!("run {run}: {volumes} read, {}", size(bytes)),
        None => "nothing was backed up".to_owned(),
    };
    match (&report.reason, &report.message) {
        (Some(reason), Some(message)) => format!("{done}; {reason}: {message}"),
        _ => done,
    }
}

#[cfg(test)]
mod tests {
    use subrosa_crds::Reason;
    use subrosa_plan::backup::reasons;
    use subrosa_worker::backup::problem::BackupProblem;

    #[test]
    fn what_a_report_says_is_a_reason_that_the_operator_knows() {
        // Only people see it: of a restore into a directory of theirs.
        let for_people = [BackupProblem::KeyStillThere, BackupProblem::NotEmpty];
        for problem in BackupProblem::ALL.iter().filter(|one| !for_people.contains(one)) {
            let known = reasons::read(problem.as_str());
            assert_eq!(known.map(Reason::as_str), Some(problem.as_str()));
        }
    }
}
