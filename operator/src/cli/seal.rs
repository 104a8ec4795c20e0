//! `subrosa seal` and `subrosa unseal`: files under the keys of a Channel.
//!
//! A file is sealed beside the original, which stays. A file that cannot be sealed or opened is reported, and the
//! others continue.

mod reseal;
pub mod watch;

pub use self::reseal::{ResealArgs, reseal};

use std::{
    io::{self, BufReader, IsTerminal as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{StreamExt as _, stream};
use jiff::{Timestamp, civil::Date};
use subrosa_crds::{names::DataKeyName, sealing::Sealing, trust_domain::ACCOUNTS_LOGIN};
use subrosa_records::vault::sealing::SealingKeys;
use subrosa_worker::{
    cohort,
    item::ItemId,
    seal::{self, Counted, Opened},
    session,
    settings::{self, SettingsError},
    shown,
};
use tokio::task::spawn_blocking;

use super::{exit::Exit, output::Screen, progress::Progress, words};

const SEAL_EXAMPLES: &str = "\
Examples:
  subrosa seal --class call-recording /recordings/*.wav        # makes /recordings/….wav.age beside each
  subrosa seal --class medical-dossier --anchor 2019-05-03 dossier.pdf
  pg_dump app | subrosa seal --class chat-log --item dump-0042 - > dump.age
  subrosa seal --class call-recording --watch /recordings      # every recording there as soon as it is finished

In a pod the settings are mounted from ConfigMap CHANNEL-sealing, and the ServiceAccount's token logs in. Elsewhere
VAULT_TOKEN or BAO_TOKEN does. Stock age opens the files with age-plugin-subrosa.";

const UNSEAL_EXAMPLES: &str = "\
Examples:
  subrosa unseal /recordings/0001.wav.age                       # makes /recordings/0001.wav
  subrosa unseal --item dump-0042 - < dump.age | psql app
  subrosa unseal --access-mount subrosa-people-service-accounts 0001.wav.age   # as a ServiceAccount that an AccessRole names

What comes out of a stream before an error is the beginning of what was sealed, and not all of it: look at the exit code.";

/// The default number of concurrent files. Each waits for Vault once and needs little CPU time.
const JOBS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// Seals files under a key of the Channel, which Vault keeps
#[derive(Debug, clap::Args)]
#[command(after_help = SEAL_EXAMPLES)]
pub struct SealArgs {
    /// The files; - for standard input and output
    #[arg(required_unless_present = "watch", conflicts_with = "watch", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Replace what there is
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    watch: watch::WatchArgs,
    /// The class of the data
    #[arg(long, value_name = "NAME")]
    class: String,
    /// The date from which it is kept, where that is not today: its cohort is that of this date
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor: Option<Date>,
    /// Seal also into a cohort whose data may be destroyed already
    #[arg(long)]
    already_due: bool,
    /// How many files at once [default: 4]
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
}

/// Opens sealed files
#[derive(Debug, clap::Args)]
#[command(after_help = UNSEAL_EXAMPLES)]
pub struct UnsealArgs {
    /// The files; - for standard input and output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Replace what there is
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Whose keys, and who asks for them.
#[derive(Debug, clap::Args)]
pub struct WorkloadLogin {
    /// The contents of ConfigMap CHANNEL-sealing
    #[arg(long, value_name = "FILE", default_value = settings::CONFIG, env = settings::CONFIG_VARIABLE)]
    pub config: PathBuf,
    /// The token of the ServiceAccount that logs in
    #[arg(long, value_name = "FILE", default_value = settings::TOKEN_FILE, env = settings::TOKEN_VARIABLE)]
    pub token_file: PathBuf,
    /// The auth mount of ServiceAccounts that AccessRoles name, where such a one logs in and not the Channel's workload
    #[arg(long, value_name = "MOUNT", env = settings::ACCESS_MOUNT_VARIABLE)]
    pub access_mount: Option<String>,
}

impl WorkloadLogin {
    /// The settings, with the login that is meant.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn settings(&self) -> Result<Sealing, SettingsError> {
        let mut sealing = settings::load(&self.config)?;
        if let Some(mount) = &self.access_mount {
            sealing.vault.auth.clone_from(mount);
            ACCOUNTS_LOGIN.clone_into(&mut sealing.vault.role);
        }
        Ok(sealing)
    }
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    login: WorkloadLogin,
    /// An opaque id of what is sealed, instead of one made of the file's name
    #[arg(long, value_name = "ID")]
    item: Option<ItemId>,
    /// On how many cores at once [default: all]
    #[arg(long, value_name = "NUMBER")]
    cores: Option<NonZeroUsize>,
}

/// Runs `subrosa seal`.
///
/// # Errors
/// When there is no key to seal with, or a stream fails.
pub async fn seal(args: &SealArgs, screen: &mut Screen) -> Result<Exit> {
    let common = &args.common;
    if let Some(directory) = &args.watch.watch {
        return watch::run(directory, args).await;
    }
    let sealing = common.login.settings()?;
    let key = cohort::choose(&sealing, &args.class, args.anchor, args.already_due, Timestamp::now())?;
    let keys = session::connect(&sealing, &settings::identity(&common.login.token_file)).await?;
    if common.is_stream(&args.files)? {
        let item = common.item.clone().context("standard input has no name: give --item <ID>")?;
        refuse_terminal(io::stdout().is_terminal())?;
        let prepared = seal::prepare(&keys, &key, &item).await?;
        let progress = Progress::of(0);
        let input = Counted::new(io::stdin(), progress.counter());
        seal::seal_stream(&prepared, input, &mut io::stdout().lock(), common.cores())?;
        return Ok(Exit::Done);
    }
    let jobs = args.jobs.unwrap_or(JOBS).get().min(args.files.len());
    let workers = NonZeroUsize::new(common.cores().get() / jobs.max(1)).unwrap_or(NonZeroUsize::MIN);
    let progress = Progress::of(length_of(&args.files));
    let (keys, key, counter) = (&keys, &key, &progress.counter());
    let sealing = args.files.iter().map(|from| async move {
        let to = seal::sealed_name(from);
        let result = match common.item_of(from) {
            Ok(item) => seal_one(keys, key, &item, from, &to, args.force, (workers, counter)).await,
            Err(error) => Err(error),
        };
        (from, to, result)
    });
    let mut sealing = stream::iter(sealing).buffered(jobs);
    let mut results = Vec::new();
    while let Some((from, to, result)) = sealing.next().await {
        results.push(progress.aside(|| told(screen, from, &to, result))?);
    }
    drop(progress);
    summary(screen, "sealed", &results, &format!("with {key}"))
}

async fn seal_one(
    keys: &SealingKeys,
    key: &DataKeyName,
    item: &ItemId,
    from: &Path,
    to: &Path,
    force: bool,
    (workers, counter): (NonZeroUsize, &Arc<AtomicU64>),
) -> Result<u64> {
    not_there(to, force)?;
    let prepared = seal::prepare(keys, key, item).await?;
    let (from, to, done) = (from.to_owned(), to.to_owned(), Arc::clone(counter));
    let sealed = spawn_blocking(move || seal::seal_file(&prepared, &from, &to, force, workers, done)).await;
    Ok(sealed.context("the sealing ended early")??)
}

/// Runs `subrosa unseal`.
///
/// # Errors
/// When Vault cannot be reached, or a stream does not open completely.
pub async fn unseal(args: &UnsealArgs, screen: &mut Screen) -> Result<Exit> {
    let common = &args.common;
    let sealing = common.login.settings()?;
    let keys = session::connect(&sealing, &settings::identity(&common.login.token_file)).await?;
    if common.is_stream(&args.files)? {
        let item = common.item.as_ref().context("standard input has no name: give --item <ID>")?;
        let opened = Opened::read(BufReader::new(io::stdin()))?;
        opened.expect(item)?;
        let key = opened.unlock(&keys).await?;
        let progress = Progress::of(0);
        opened.counted(progress.counter()).open_stream(&key, &mut io::stdout().lock(), common.cores())?;
        return Ok(Exit::Done);
    }
    let progress = Progress::of(length_of(&args.files));
    let mut results = Vec::new();
    for from in &args.files {
        let (to, result) = match seal::opened_name(from) {
            Some(to) => (to.clone(), unseal_one(&keys, from, &to, args, &progress).await),
            None => (from.clone(), Err(anyhow!("a sealed file is called <name>.age: rename it"))),
        };
        results.push(progress.aside(|| told(screen, from, &to, result))?);
    }
    drop(progress);
    summary(screen, "opened", &results, "")
}

async fn unseal_one(
    keys: &SealingKeys,
    from: &Path,
    to: &Path,
    args: &UnsealArgs,
    progress: &Progress,
) -> Result<u64> {
    not_there(to, args.force)?;
    let opened = seal::read_file(from)?;
    opened.expect(&args.common.item_of(to)?)?;
    let key = opened.unlock(keys).await?;
    let opened = opened.counted(progress.counter());
    Ok(seal::open_file(opened, &key, to, args.force, args.common.cores())?)
}

impl Common {
    fn is_stream(&self, files: &[PathBuf]) -> Result<bool> {
        let streams = files.iter().filter(|file| file.as_os_str() == "-").count();
        if streams > 0 && files.len() > 1 {
            bail!("- is standard input, and stands alone");
        }
        self.refuse_item_of_several(files)?;
        Ok(streams == 1)
    }

    fn refuse_item_of_several(&self, files: &[PathBuf]) -> Result<()> {
        if self.item.is_some() && files.len() > 1 {
            bail!("--item names one item: give one file");
        }
        Ok(())
    }

    fn item_of(&self, plain: &Path) -> Result<ItemId> {
        if let Some(item) = &self.item {
            return Ok(item.clone());
        }
        let name = plain.file_name().and_then(|name| name.to_str());
        name.map(ItemId::of_name)
            .with_context(|| format!("{}: its name is no UTF-8 text; give --item <ID>", shown(plain)))
    }

    fn cores(&self) -> NonZeroUsize {
        let all = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.cores.unwrap_or_else(all)
    }
}

/// The total length; an unreadable file is reported later in its turn.
fn length_of(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Checked before Vault is asked for a key that would not be used.
fn not_there(to: &Path, force: bool) -> Result<()> {
    if !force && to.symlink_metadata().is_ok() {
        bail!("{} is there already; --force replaces it", shown(to));
    }
    Ok(())
}

fn refuse_terminal(terminal: bool) -> Result<()> {
    if terminal {
        bail!("a sealed file is not text: send standard output to a file");
    }
    Ok(())
}

/// Reports the result of one file; returns whether it succeeded.
fn told<T>(screen: &mut Screen, from: &Path, to: &Path, result: Result<T>) -> Result<bool> {
    match result {
        Ok(_) => {
            screen.print(&format!("{}\n", to.display()))?;
            Ok(true)
        }
        Err(error) => {
            let label = screen.paint_said().bad("error");
            screen.say(&format!("{label}: {}: {}", shown(from), super::told(&error)))?;
            Ok(false)
        }
    }
}

fn summary(screen: &mut Screen, done: &str, results: &[bool], how: &str) -> Result<Exit> {
    let good = results.iter().filter(|good| **good).count();
    let files = words::counted(good, "file");
    screen.say(format!("{files} of {} {done} {how}", results.len()).trim_end())?;
    Ok(if good == results.len() { Exit::Done } else { Exit::Wrong })
}
