//! The operator as a process of its own: the real binary, with its own ServiceAccount's token.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    Installation,
    control_plane::free_port,
    process::{Invocation, Supervised},
};

/// How long the operator may take until it has seen everything.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running operator; killed on drop.
pub struct Operator {
    process: Supervised,
    address: String,
    directory: TempDir,
}

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kubeconfig, such as one that leads through a proxy; the installation's own unless given.
    pub kubeconfig: Option<PathBuf>,
    /// The least that is logged.
    pub log: &'static str,
    /// How many Channels are worked on at once.
    pub concurrency: u16,
    /// The binary, such as an optimised one; the debug build unless given.
    pub program: Option<PathBuf>,
    /// Whether it stands for election. Not unless asked for: a test that kills one and starts another would
    /// wait for the Lease to run out.
    pub leader_elect: bool,
    /// The name of its pod.
    pub pod: &'static str,
    /// The labels of its pods; with them it probes the pods of Channels.
    pub probe_from_labels: Option<&'static str>,
    /// How often it lists all keys in Vault, in seconds; every hour unless given.
    pub keys_listed_every: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            log: "debug",
            concurrency: 16,
            program: None,
            leader_elect: false,
            pod: "operator",
            probe_from_labels: None,
            keys_listed_every: None,
        }
    }
}

impl Operator {
    /// Starts the operator and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time; the error has the end of its log.
    pub async fn start(installed: &Installation) -> Result<Self> {
        Self::start_with(installed, Options::default()).await
    }

    /// As [`start`](Self::start), but otherwise.
    ///
    /// # Errors
    /// When it ends, or is not ready in time; the error has the end of its log.
    pub async fn start_with(installed: &Installation, options: Options) -> Result<Self> {
        let mut operator = Self::spawn(installed, options)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts the operator without waiting for anything.
    ///
    /// # Errors
    /// When there is no binary to start.
    pub fn spawn(installed: &Installation, options: Options) -> Result<Self> {
        let program = match options.program {
            Some(program) => program,
            None => binary()?,
        };
        let directory = tempfile::Builder::new().prefix("subrosa-operator-").tempdir()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let kubeconfig = options.kubeconfig.unwrap_or_else(|| installed.kubeconfig.clone());
        let settings = [
            ("KUBECONFIG", kubeconfig.into_os_string()),
            ("SUBROSA_NAMESPACE", installed.names.namespace().into()),
            ("SUBROSA_SERVICE_ACCOUNT", installed.names.service_account().into()),
            ("SUBROSA_LISTEN", address.clone().into()),
            ("SUBROSA_CONCURRENCY", options.concurrency.to_string().into()),
            ("SUBROSA_LOG", options.log.into()),
            ("SUBROSA_LEADER_ELECT", options.leader_elect.to_string().into()),
            ("POD_NAME", options.pod.into()),
            ("SUBROSA_LOG_FORMAT", "json".into()),
        ];
        let probes = options.probe_from_labels.map(|labels| ("SUBROSA_PROBE_FROM_LABELS", labels.into()));
        let image = installed.names.worker_image().map(|image| ("SUBROSA_WORKER_IMAGE", image.into()));
        let listed = options.keys_listed_every.map(|every| ("SUBROSA_KEYS_LISTED_EVERY", every.into()));
        let environment: BTreeMap<_, _> = settings
            .into_iter()
            .chain(probes)
            .chain(image)
            .chain(listed)
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let invocation = Invocation { name: "operator", program, arguments: vec!["run".into()], environment };
        let process = Supervised::spawn(invocation, directory.path())?;
        Ok(Self { process, address, directory })
    }

    /// Waits until the operator has seen everything.
    ///
    /// # Errors
    /// When it ends first, or time is up.
    pub async fn ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.address);
        let client = reqwest::Client::new();
        let probe =
            || async { client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) };
        self.process.ready(START_LIMIT, probe).await
    }

    /// Whether it says that it is ready, and what it says.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<(bool, String)> {
        let answer = reqwest::get(format!("http://{}/readyz", self.address)).await?;
        Ok((answer.status().is_success(), answer.text().await?))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Holds it: it stands still until it is [resumed](Self::resume), as on a machine that hangs.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<std::process::ExitStatus> {
        self.process.exited()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.process.end();
    }

    /// Everything it logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.directory.path().join("operator.log")).context("the operator's log")
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(reqwest::get(format!("http://{}/metrics", self.address)).await?.error_for_status()?.text().await?)
    }
}

/// The operator's binary, built like this test; once a process, so that all of a test runs one operator.
///
/// # Errors
/// When it does not build.
pub fn binary() -> Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.is_none() {
        *built = Some(build(like_this_program(), "debug")?);
    }
    built.clone().context("subrosa was not built")
}

/// The plugin of age: the operator's binary under that name, in a directory for the `PATH`.
///
/// # Errors
/// When it does not build.
pub fn age_plugin() -> Result<PathBuf> {
    let binary = binary()?;
    let directory = crate::tools::directory()?.join("plugin");
    std::fs::create_dir_all(&directory).context("a directory for the plugin of age")?;
    let plugin = directory.join("age-plugin-subrosa");
    match std::os::unix::fs::symlink(&binary, &plugin) {
        Ok(()) => Ok(plugin),
        Err(_) if std::fs::read_link(&plugin).is_ok_and(|to| to == binary) => Ok(plugin),
        Err(error) => Err(error).context("the link to the plugin of age"),
    }
}

/// The operator's binary, optimised.
///
/// # Errors
/// When it does not build.
pub fn release_binary() -> Result<PathBuf> {
    build(&["--package", "subrosa", "--release"], "release")
}

/// What cargo has to be told so that it compiles nothing again that is compiled for this program.
///
/// Cargo compiles a library once for each set of features that a command asks for. A test runs by `cargo test`, which asks for
/// those of every crate and of what its tests need: a build of one package alone would compile half of the workspace anew. It
/// takes a test to be built, beside the operator, to ask for the same.
fn like_this_program() -> &'static [&'static str] {
    let program = std::env::current_exe().unwrap_or_default();
    let is_test = program.parent().and_then(Path::file_name).is_some_and(|directory| directory == "deps");
    if is_test { &["--workspace", "--test", "memory"] } else { &["--package", "subrosa"] }
}

fn build(flags: &[&str], profile: &str) -> Result<PathBuf> {
    let workspace = crate::tools::workspace()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // What cargo tells this process of its own package is no business of a build: some build scripts (ring's) look at
    // it, and everything above them would be compiled again each time.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            build.env_remove(name);
        }
    }
    // Who waits at a terminal sees how far it is; a test's output stays its own.
    if !std::io::stderr().is_terminal() {
        build.arg("--quiet");
    }
    let status = build
        .current_dir(&workspace)
        .args(["build", "--locked", "--bin", "subrosa"])
        .args(flags)
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("subrosa does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let program = Path::new(&target).join(profile).join("subrosa");
    Ok(program)
}
