//! How the operator is set up.

use std::net::SocketAddr;

use tracing::level_filters::LevelFilter;

use crate::{
    logging,
    observe::{guards, key_watch, probe::PodLabels},
};

/// How the operator is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// The namespace the operator runs in; CA bundles are ConfigMaps of it.
    #[arg(long, env = "SUBROSA_NAMESPACE", default_value = "subrosa-system")]
    pub namespace: String,
    /// The ServiceAccount the operator runs as, by which it logs in to Vault.
    #[arg(long, env = "SUBROSA_SERVICE_ACCOUNT", default_value = "subrosa")]
    pub service_account: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "SUBROSA_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How many Channels are worked on at once.
    #[arg(long, env = "SUBROSA_CONCURRENCY", default_value_t = 16)]
    pub concurrency: u16,
    /// The pod's name, for Events and the Lease.
    #[arg(long, env = "POD_NAME")]
    pub pod: Option<String>,
    /// Whether to act only while holding the Lease `subrosa`, so that several replicas may run: true or
    /// false; true in a pod where absent, else false.
    #[arg(long, env = "SUBROSA_LEADER_ELECT", num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: Option<bool>,
    /// Labels of the operator's own pods, as key=value,…: the pods of Channels are probed, and their policies let
    /// these in; no probes where absent.
    #[arg(long, env = "SUBROSA_PROBE_FROM_LABELS", value_name = "LABELS")]
    pub probe_from_labels: Option<PodLabels>,
    /// The image of this release, by digest where possible, from which the pods run that make backups; no backups where
    /// absent.
    #[arg(long, env = "SUBROSA_WORKER_IMAGE", value_name = "IMAGE")]
    pub worker_image: Option<String>,
    /// Guards that this installation does without by choice: membership, deletion. Status shows it.
    #[arg(long, env = "SUBROSA_GUARDS_OFF", value_enum, value_delimiter = ',')]
    pub guards_off: Vec<guards::Optional>,
    /// How often all keys in Vault are listed, in seconds: tests do not wait for an hour.
    #[arg(long, env = "SUBROSA_KEYS_LISTED_EVERY", default_value_t = key_watch::LIST_EVERY.as_secs(), hide = true)]
    pub keys_listed_every: u64,
    /// The least that is logged: off, error, warn, info, debug or trace.
    #[arg(long, env = "SUBROSA_LOG", default_value = "info")]
    pub log: LevelFilter,
    /// How a line of the log looks; text on a terminal, else json.
    #[arg(long, env = "SUBROSA_LOG_FORMAT", value_enum)]
    pub log_format: Option<logging::Format>,
    /// Where to send traces by OTLP over HTTP, such as http://collector.monitoring:4318; nowhere where absent.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "ADDRESS")]
    pub otlp_endpoint: Option<String>,
}

impl Settings {
    /// Whether to run leader election.
    pub fn elects(&self) -> bool {
        // Kubernetes sets this variable in every container.
        self.leader_elect.unwrap_or_else(|| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some())
    }
}
