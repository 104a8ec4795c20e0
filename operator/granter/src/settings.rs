//! How the granter is set up.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How the granter is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct GranterSettings {
    /// The namespace that the operator and the granter run in; CA bundles are ConfigMaps of it.
    #[arg(long, env = "SUBROSA_NAMESPACE", default_value = "subrosa-system")]
    pub namespace: String,
    /// A file with a token of the granter's own ServiceAccount for Vault, as the kubelet projects it.
    #[arg(
        long,
        env = "SUBROSA_VAULT_TOKEN_FILE",
        default_value = "/var/run/secrets/subrosa/vault-token",
        value_name = "FILE"
    )]
    pub vault_token_file: PathBuf,
    /// The granter's role in Vault.
    #[arg(long, env = "SUBROSA_VAULT_ROLE", default_value = "subrosa-granter", value_name = "NAME")]
    pub vault_role: String,
    /// How many seconds pass between two looks when nothing changes.
    #[arg(long, env = "SUBROSA_INTERVAL", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// Vault's audit log, as a file that its `file` audit device writes; without it nobody counts uses.
    #[arg(long, env = "SUBROSA_VAULT_AUDIT_LOG", value_name = "FILE")]
    pub vault_audit_log: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "SUBROSA_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

impl GranterSettings {
    /// The time between two looks when nothing changes.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }
}
