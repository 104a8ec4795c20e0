//! `subrosa backup now`: asks the operator for a run, by an annotation of the Channel.

use anyhow::{Context as _, Result};
use jiff::{Timestamp, Unit};
use subrosa_crds::{BACKUP_NOW_ANNOTATION, DRILL_NOW_ANNOTATION};
use subrosa_plan::backup::WORKER_LABEL;

use super::{Exit, Screen};
use crate::cli::cluster::ClusterTarget;

const EXAMPLES: &str = "\
Examples:
  subrosa backup now -n cc-records recorder            # a backup, beside the schedule
  subrosa backup now -n cc-records recorder --drill    # a restore of the newest one, verified
  kubectl annotate channel -n cc-records recorder --overwrite subrosa.dev/backup-now=\"$(date -u +%FT%TZ)\"";

/// Asks the operator to back a Channel up now, or to prove that its backup can be restored
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The Channel
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: String,
    /// A drill instead of a backup
    #[arg(long)]
    drill: bool,
    #[command(flatten)]
    cluster: ClusterTarget,
}

pub(super) async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let annotation = if args.drill { DRILL_NOW_ANNOTATION } else { BACKUP_NOW_ANNOTATION };
    let now = Timestamp::now().round(Unit::Second).context("the clock cannot be read")?;
    let client = args.cluster.connect().await?;
    let channel = client.annotate(&args.namespace, &args.channel, annotation, &now.to_string()).await?;
    let backup = channel.spec.backup.as_ref();
    let missing = match backup {
        None => Some("spec.backup"),
        Some(backup) if args.drill && backup.drill.is_none() => Some("spec.backup.drill"),
        Some(_) => None,
    };
    if let Some(field) = missing {
        screen.say(&format!(
            "Channel {}/{} has no {field}: nothing is started",
            args.namespace, args.channel
        ))?;
        return Ok(Exit::Wrong);
    }
    screen.say(&format!(
        "asked for it at {now}; to see what becomes of it: kubectl get jobs,pods -n {} -l {WORKER_LABEL}={}",
        args.namespace, args.channel
    ))?;
    Ok(Exit::Done)
}
