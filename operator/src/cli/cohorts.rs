//! `subrosa cohorts`: the cohorts into which a workload seals today, and when they are due. Needs no server.

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use subrosa_worker::{
    cohort::{self, Current},
    settings,
};

use super::{exit::Exit, output::Screen, table::Table};

const EXAMPLES: &str = "\
Examples:
  subrosa cohorts                                     # in a pod, by ConfigMap CHANNEL-sealing
  kubectl get configmap recorder-sealing -o jsonpath='{.data.sealing\\.yaml}' > sealing.yaml
  subrosa cohorts --config sealing.yaml -o json | jq -r '.[] | select(.class == \"call-recording\").due'";

/// Shows into which cohorts data is sealed today, and when they are due
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The contents of ConfigMap CHANNEL-sealing
    #[arg(long, value_name = "FILE", default_value = settings::CONFIG, env = settings::CONFIG_VARIABLE)]
    config: PathBuf,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the settings cannot be read, or a date cannot be counted.
pub fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let current = cohort::current(&settings::load(&args.config)?, Timestamp::now())?;
    let text = match args.output {
        Format::Table => table(&current).text(screen.paint()),
        Format::Json => serde_json::to_string_pretty(&current)? + "\n",
    };
    screen.print(&text)?;
    Ok(Exit::Done)
}

fn table(current: &[Current]) -> Table {
    let mut table = Table::new(["CLASS", "COHORT", "LAST DAY", "DUE"]);
    for one in current {
        let cells = [one.class.clone(), one.cohort.clone(), one.until.to_string(), due(one)];
        table.row(cells.map(Into::into));
    }
    table
}

fn due(one: &Current) -> String {
    match (&one.due, &one.awaits, &one.reseal_by) {
        (Some(due), _, _) => due.to_string(),
        (None, Some(anchor), Some(by)) => format!("waits for {anchor:?}, to be resealed by {by}"),
        (None, Some(anchor), None) => format!("waits for {anchor:?}"),
        (None, None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use subrosa_crds::retention_policy::Anchor;

    use super::*;
    use crate::cli::output::Paint;

    #[test]
    fn each_class_has_a_line() {
        let recording = Current {
            class: "call-recording".into(),
            cohort: "2026w49".into(),
            until: date(2026, 12, 6),
            due: Some(date(2027, 3, 7)),
            awaits: None,
            reseal_by: None,
        };
        let (due, awaits) = (None, Some(Anchor::LastChange));
        let dossier =
            Current { class: "dossier".into(), cohort: "open-2026".into(), due, awaits, ..recording.clone() };
        let late = Current { reseal_by: Some(date(2032, 1, 1)), ..dossier.clone() };
        insta::assert_snapshot!(table(&[recording, dossier, late]).text(Paint(false)), @r"
        CLASS            COHORT      LAST DAY     DUE
        call-recording   2026w49     2026-12-06   2027-03-07
        dossier          open-2026   2026-12-06   waits for LastChange
        dossier          open-2026   2026-12-06   waits for LastChange, to be resealed by 2032-01-01
        ");
    }
}
