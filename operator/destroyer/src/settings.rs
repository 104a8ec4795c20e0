//! How the destroyer is set up.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use subrosa_plan::destruction::pace::Limits;

/// How the destroyer is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct DestroyerSettings {
    /// The namespace that the operator and the destroyer run in; CA bundles are ConfigMaps of it.
    #[arg(long, env = "SUBROSA_NAMESPACE", default_value = "subrosa-system")]
    pub namespace: String,
    /// The operator's ServiceAccount: who lists what is due never approves it.
    #[arg(long, env = "SUBROSA_OPERATOR_SERVICE_ACCOUNT", default_value = "subrosa")]
    pub operator_service_account: String,
    /// A file with a token of the destroyer's own ServiceAccount for Vault, as the kubelet projects it.
    #[arg(
        long,
        env = "SUBROSA_VAULT_TOKEN_FILE",
        default_value = "/var/run/secrets/subrosa/vault-token",
        value_name = "FILE"
    )]
    pub vault_token_file: PathBuf,
    /// The destroyer's role in Vault.
    #[arg(long, env = "SUBROSA_VAULT_ROLE", default_value = "subrosa-destroyer", value_name = "NAME")]
    pub vault_role: String,
    /// How many seconds pass between two looks.
    #[arg(long, env = "SUBROSA_INTERVAL", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// How many Destructions are begun in an hour at the most.
    #[arg(long, env = "SUBROSA_MOST_BATCHES", default_value_t = 3, value_name = "COUNT")]
    pub most_batches: usize,
    /// How many percent of all data keys are set aside in an hour at the most; at least one key.
    #[arg(long, env = "SUBROSA_MOST_PERCENT", default_value_t = 5, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub most_percent: u64,
    /// Where more percent of all data keys, ten at least, are due and approved at once, nothing is destroyed until people approve
    /// the TrustDomain; 100 never asks.
    #[arg(long, env = "SUBROSA_BREAKER_PERCENT", default_value_t = 50, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub breaker_percent: u64,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "SUBROSA_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The pod's name, for Events.
    #[arg(long, env = "POD_NAME")]
    pub pod: Option<String>,
}

impl DestroyerSettings {
    /// The time between two looks.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }

    /// The most that is set aside in an hour.
    pub fn limits(&self) -> Limits {
        Limits { batches: self.most_batches, percent: self.most_percent }
    }

    /// The user who lists what is due, as the API server knows it.
    pub fn requester(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.operator_service_account)
    }
}
