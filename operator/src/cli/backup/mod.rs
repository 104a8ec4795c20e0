//! `subrosa backup`: the backups of a Channel's volumes, made and restored with its worker's own identity.

mod drill;
mod list;
mod now;
mod prune;
mod restore;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use subrosa_crds::backup::BackupSettings;
use subrosa_records::vault::backup::BackupKeys;
use subrosa_worker::{
    backup::{
        problem::BackupError,
        progress::BytesDone,
        settings::{self, StoreCredentials},
        store::Bucket,
    },
    settings as sealing,
};

use super::{exit::Exit, output::Screen, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  subrosa backup list                               # the runs, and which of them count
  subrosa backup restore --to /restored --at 2026-12-01T02:00:00Z
  subrosa backup now -n cc-records recorder         # asks the operator for a run
  subrosa backup check --read-data 5%               # and reads about a twentieth of the data

In a pod the settings are mounted from ConfigMap CHANNEL-backup, and the ServiceAccount's token logs in. Elsewhere
VAULT_TOKEN or BAO_TOKEN does.";

/// Backs up a Channel's volumes, and restores them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    Run(run::Args),
    List(list::Args),
    Show(list::ShowArgs),
    Check(list::CheckArgs),
    Drill(drill::Args),
    Now(now::Args),
    Restore(restore::Args),
    Prune(prune::Args),
}

/// Whose backups, where they are, and who asks for them.
#[derive(Debug, clap::Args)]
struct Login {
    /// The contents of ConfigMap CHANNEL-backup
    #[arg(long, value_name = "FILE", default_value = settings::BACKUP_CONFIG, env = "SUBROSA_BACKUP")]
    config: PathBuf,
    /// The token of the ServiceAccount that logs in
    #[arg(long, value_name = "FILE", default_value = sealing::TOKEN_FILE, env = sealing::TOKEN_VARIABLE)]
    token_file: PathBuf,
    /// The directory of the store's credentials: accessKeyId and secretAccessKey
    #[arg(long, value_name = "DIR", default_value = settings::CREDENTIALS, env = "SUBROSA_BACKUP_CREDENTIALS")]
    credentials: PathBuf,
    /// How many runs are known to have written a manifest: fewer are refused
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    at_least: u64,
}

/// A way to the backups.
struct Opened {
    settings: BackupSettings,
    store: Bucket,
    keys: BackupKeys,
}

impl Login {
    /// Reads the settings, and logs in to Vault.
    async fn open(&self) -> Result<Opened, BackupError> {
        let (settings, credentials, keys) = self.given().await?;
        let store = Bucket::open(&settings.store, credentials.as_ref())?;
        Ok(Opened { settings, store, keys })
    }

    /// Reads the settings and the store's credentials, and logs in to Vault.
    async fn given(&self) -> Result<(BackupSettings, Option<StoreCredentials>, BackupKeys), BackupError> {
        let settings = settings::load(&self.config)?;
        let credentials = match settings.store.endpoint.starts_with("file://") {
            true => None,
            false => Some(settings::credentials(&self.credentials)?),
        };
        let (keys, session) = settings::connect(&settings, &sealing::identity(&self.token_file))?;
        session.login().await?;
        Ok((settings, credentials, keys))
    }
}

/// The format of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A progress line that follows what rustic does.
fn following() -> (BytesDone, Progress) {
    let bytes = BytesDone::default();
    let progress = Progress::watching(bytes.done.clone(), bytes.total.clone());
    (bytes, progress)
}

/// Runs `subrosa backup`.
///
/// # Errors
/// When settings, Vault or the store cannot be used, or what is there cannot be trusted.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    match &args.command {
        BackupCommand::Run(args) => run::run(args, screen).await,
        BackupCommand::List(args) => list::list(args, screen).await,
        BackupCommand::Show(args) => list::show(args, screen).await,
        BackupCommand::Check(args) => list::check(args, screen).await,
        BackupCommand::Drill(args) => drill::run(args, screen).await,
        BackupCommand::Now(args) => now::run(args, screen).await,
        BackupCommand::Restore(args) => restore::run(args, screen).await,
        BackupCommand::Prune(args) => prune::run(args, screen).await,
    }
}
