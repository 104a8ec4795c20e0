//! `subrosa destroyer`: the process that destroys approved keys and protects those under LegalHold.

use anyhow::{Context as _, Result};
use subrosa_destroyer::GuardCheck;
use tracing::level_filters::LevelFilter;

use super::exit::Exit;
use crate::{grants::admission::guard_is_unedited, logging, run};

const EXAMPLES: &str = "\
Examples:
  subrosa destroyer                                # in a pod, as its own ServiceAccount
  subrosa destroyer --most-batches 1 --interval 60 # slower
  subrosa destroyer --breaker-percent 20           # asks people sooner

It is a process of its own, beside subrosa run: see docs/destruction.md.";

/// Runs the destroyer: it destroys data keys that people approved, and keeps those that are held
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: subrosa_destroyer::DestroyerSettings,
    /// The least that is logged: off, error, warn, info, debug or trace
    #[arg(long, env = "SUBROSA_LOG", default_value = "info")]
    log: LevelFilter,
    /// How a line of the log looks; text on a terminal, else json
    #[arg(long, env = "SUBROSA_LOG_FORMAT", value_enum)]
    log_format: Option<logging::Format>,
}

/// Runs the command until SIGTERM or Ctrl-C.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Args) -> Result<Exit> {
    logging::start(args.log, args.log_format, None);
    let config = kube::Config::infer()
        .await
        .context("no API server: neither a pod's ServiceAccount nor a kubeconfig")?;
    let stop = run::stopped_by_signals()?;
    // Approvals count only under the admission policy of this release.
    let guard = GuardCheck::new(guard_is_unedited);
    subrosa_destroyer::run(config, args.settings, guard, stop).await?;
    Ok(Exit::Done)
}
