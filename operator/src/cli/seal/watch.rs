//! `subrosa seal --watch DIR`: runs beside a recorder until it is stopped. Serves `/healthz`, `/readyz` and
//! `/metrics`.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use axum::{Router, http::StatusCode, routing::get};
use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use subrosa_crds::sealing;
use subrosa_records::vault::auth::SessionState;
use subrosa_worker::{
    session, settings, shown,
    watch::{self, AnchorOf, FinishedRule, VaultKeys, Watch, WatchCounts, WatchScope, WatchSnapshot},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch::Receiver,
};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::{JOBS, SealArgs};
use crate::{cli::exit::Exit, logging};

/// When a recording is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Finished {
    /// It has not changed for --quiet-for seconds, and no writer is known to hold it open
    Quiet,
    /// Its writer closed it or renamed it, as the kernel tells; else as quiet
    Closed,
    /// It has a name that does not end with --unfinished: the recorder renames what is finished
    Named,
}

/// What `seal --watch` is asked for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Watching a directory")]
pub struct WatchArgs {
    /// Seals every recording in this directory as soon as it is finished, and removes its plaintext, until it is ended
    #[arg(long, value_name = "DIR", conflicts_with_all = ["item", "force"])]
    pub watch: Option<PathBuf>,
    /// How it is known that a recording is finished [default: as the Channel's preset says, else quiet]
    #[arg(long, value_enum, value_name = "HOW", requires = "watch")]
    finished: Option<Finished>,
    /// After how many seconds without a change
    #[arg(long, default_value_t = 60, value_name = "SECONDS", requires = "watch")]
    quiet_for: u64,
    /// After how many seconds without a change a recording is finished that was there at the start, and that nobody was seen to
    /// close: a call on hold may be older than this process
    #[arg(long, default_value_t = 900, value_name = "SECONDS", requires = "watch")]
    quiet_at_start: u64,
    /// What the names of recordings end with that are not finished
    #[arg(
        long,
        value_delimiter = ',',
        default_value = ".tmp,.part,.partial,.lock",
        value_name = "ENDS",
        requires = "watch"
    )]
    unfinished: Vec<String>,
    /// Takes its subdirectories as well
    #[arg(long, requires = "watch")]
    recursive: bool,
    /// The day on which a recording was last written is its anchor date, not today
    #[arg(long, requires = "watch", conflicts_with = "anchor")]
    anchor_modified: bool,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, default_value = "0.0.0.0:9187", value_name = "ADDRESS", requires = "watch")]
    listen: SocketAddr,
    /// How much is logged: error, warn, info or debug, which names every sealed file
    #[arg(long, default_value_t = LevelFilter::INFO, value_name = "LEVEL", requires = "watch", env = "SUBROSA_LOG")]
    log: LevelFilter,
    /// How a line of the log looks [default: text on a terminal, json elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", requires = "watch", env = "SUBROSA_LOG_FORMAT")]
    log_format: Option<logging::Format>,
}

/// The requested rule, else the one of the Channel's preset.
fn finished(asked: Option<Finished>, of_preset: Option<sealing::Finished>) -> Finished {
    asked.unwrap_or(match of_preset.unwrap_or_default() {
        sealing::Finished::Quiet => Finished::Quiet,
        sealing::Finished::Closed => Finished::Closed,
        sealing::Finished::Named => Finished::Named,
    })
}

/// Seals finished files in `directory` until it is stopped.
///
/// # Errors
/// When the settings are invalid, or nothing can be served or watched.
pub async fn run(directory: &Path, args: &SealArgs) -> Result<Exit> {
    let (common, asked) = (&args.common, &args.watch);
    logging::start(asked.log, asked.log_format, None);
    let sealing = common.login.settings()?;
    let (keys, session) = session::open(&sealing, &settings::identity(&common.login.token_file))?;
    let anchor = match (args.anchor, asked.anchor_modified) {
        (Some(date), _) => AnchorOf::Date(date),
        (None, true) => AnchorOf::Modified,
        (None, false) => AnchorOf::Today,
    };
    let keys = VaultKeys {
        keys,
        config: common.login.config.clone(),
        class: args.class.clone(),
        anchor,
        already_due: args.already_due,
    };
    // Reports an unknown class now, not at the first recording.
    keys.choose(SystemTime::now(), Timestamp::now())?;
    let quiet = Duration::from_secs(asked.quiet_for);
    let jobs = args.jobs.unwrap_or(JOBS);
    let watch = Watch {
        scope: WatchScope {
            root: directory.to_owned(),
            recursive: asked.recursive,
            unfinished: asked.unfinished.iter().filter(|end| !end.is_empty()).cloned().collect(),
        },
        rule: match finished(asked.finished, sealing.finished) {
            Finished::Quiet => FinishedRule::Quiet(quiet),
            Finished::Closed => FinishedRule::Closed(quiet),
            Finished::Named => FinishedRule::Named,
        },
        jobs,
        workers: NonZeroUsize::new(common.cores().get() / jobs).unwrap_or(NonZeroUsize::MIN),
        every: Duration::from_secs(1),
        grace: Duration::from_secs(10),
        quiet_at_start: Duration::from_secs(asked.quiet_at_start),
    };
    let listener = TcpListener::bind(asked.listen).await;
    let listener = listener.with_context(|| format!("--listen {}", asked.listen))?;
    let stop = stopped()?;
    let counts = Arc::new(WatchCounts::default());
    let serving = tokio::spawn(serve(listener, Arc::clone(&counts), session.state(), stop.clone()));
    let (stopping, mut state) = (stop.clone(), session.state());
    tokio::spawn(async move { session.run(stopping).await });
    // Waits for the first login, so that the first recording does not fail.
    let first = state.wait_for(|state| !matches!(state, SessionState::Starting));
    let _ = stop.run_until_cancelled(first).await;
    tracing::info!("sealing what is finished in {}", shown(directory));
    let ended = watch::run(watch, Arc::new(keys), counts, stop.clone()).await;
    stop.cancel();
    ended?;
    // An open request for metrics must not delay the exit.
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    Ok(Exit::Done)
}

/// A token that SIGTERM or Ctrl-C cancels.
fn stopped() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}

async fn serve(
    listener: TcpListener,
    counts: Arc<WatchCounts>,
    session: Receiver<SessionState>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let asked = Arc::clone(&counts);
    let now = |counts: &WatchCounts| counts.snapshot(SystemTime::now());
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness(&now(&asked), &session.borrow())))
        .route("/metrics", get(async move || ([("content-type", OPENMETRICS)], metrics(&now(&counts)))));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Ready means able to seal: logged in, the directory was read, and the last try did not fail for a general reason.
fn readiness(now: &WatchSnapshot, session: &SessionState) -> (StatusCode, String) {
    let not = |text: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
    match (session, &now.trouble) {
        (SessionState::LoggedOut(error), _) => not(format!("{error}; {}", session::next_step(error))),
        (SessionState::Starting, _) => not("not logged in to Vault yet".into()),
        (SessionState::LoggedIn, Some(trouble)) => not(trouble.clone()),
        (SessionState::LoggedIn, None) if !now.looked => not("the directory was not looked at yet".into()),
        (SessionState::LoggedIn, None) => (StatusCode::OK, "ok\n".into()),
    }
}

/// The content of `/metrics`.
#[must_use]
pub fn metrics(now: &WatchSnapshot) -> String {
    let mut registry = Registry::with_prefix("subrosa_sealing");
    let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(
        "oldest_plaintext_seconds",
        "For how long the oldest recording that is not sealed yet has not been written",
        gauge(now.oldest),
    );
    registry.register(
        "plaintext_files",
        "Recordings that are not sealed yet, those that are being written among them",
        gauge(now.waiting),
    );
    registry.register("under_way_files", "Recordings that are being sealed", gauge(now.under_way));
    registry.register("files", "Recordings that were sealed and removed", ConstCounter::new(now.sealed));
    registry.register("plaintext_bytes", "Bytes of their plaintext", ConstCounter::new(now.bytes));
    registry.register("failures", "Tries to seal a recording that failed", ConstCounter::new(now.failed));
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use subrosa_records::vault::VaultError;

    use super::*;

    fn snapshot() -> WatchSnapshot {
        WatchSnapshot {
            sealed: 3,
            bytes: 500,
            failed: 1,
            waiting: 2,
            under_way: 1,
            oldest: 77,
            trouble: None,
            looked: true,
        }
    }

    #[test]
    fn metrics_tell_the_age_of_plaintext() {
        let text = metrics(&snapshot());
        for line in [
            "subrosa_sealing_oldest_plaintext_seconds 77\n",
            "subrosa_sealing_plaintext_files 2\n",
            "subrosa_sealing_under_way_files 1\n",
            "subrosa_sealing_files_total 3\n",
            "subrosa_sealing_plaintext_bytes_total 500\n",
            "subrosa_sealing_failures_total 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn ready_is_who_can_seal() {
        let ready = |now: &WatchSnapshot, session: &SessionState| readiness(now, session).0 == StatusCode::OK;
        assert!(ready(&snapshot(), &SessionState::LoggedIn));
        assert!(!ready(&snapshot(), &SessionState::Starting));
        let (_, told) = readiness(&snapshot(), &SessionState::LoggedOut(VaultError::Sealed));
        assert!(told.contains("unseal Vault"), "{told}");
        assert!(!ready(&WatchSnapshot { looked: false, ..snapshot() }, &SessionState::LoggedIn));
        let full = WatchSnapshot { trouble: Some("no space left on device".into()), ..snapshot() };
        assert!(readiness(&full, &SessionState::LoggedIn).1.contains("no space left"));
    }
}
