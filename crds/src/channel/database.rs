//! The databases of a [`Channel`](super::Channel) that are dumped into its backups.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// A server whose databases are dumped. It is the Channel's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseDump {
    /// What the dumps are called in the backups; no volume may have this name.
    #[schemars(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// What makes the dump.
    pub preset: DumpPreset,
    /// The name of the server, which its certificate has.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub host: String,
    /// Its port, which a listener of the Channel has; 5432 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The role that reads the databases, which the server knows by the common name of the certificate.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DATABASE_NAME))]
    pub user: String,
    /// The databases; each is a snapshot of its own.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63), regex(pattern = rules::DATABASE_NAME)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Vec<String>,
    /// An image with `sh` and `pg_dump`, by its digest. pg_dump must not be older than the server, and knows
    /// `--restrict-key` since August 2025.
    #[schemars(length(min = 1, max = 512), regex(pattern = rules::IMAGE))]
    pub image: String,
    /// The Secret of this namespace with `tls.crt` and `tls.key`, a client's certificate whose common name is `user`, and
    /// `ca.crt`, by whom the server's certificate is verified.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub tls_secret: String,
}

/// A way to dump databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DumpPreset {
    /// `pg_dump` in plain format, over TLS that both sides verify.
    PostgreSQL,
}

impl DatabaseDump {
    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(5432)
    }
}
