//! Where the backups of Channels are kept.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{backup::LockMode, common::ConfigMapKey, rules};

/// Backups of Channels that have `spec.backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// Where they are kept. Workers reach it by the services of `network.services` with `for: Backup`.
    pub store: StoreSpec,
}

/// A bucket of an S3 service, outside of what the backups are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.endpoint.startsWith('http://') || (has(self.allowInsecure) && self.allowInsecure)")
    .message("write https://; plain http, for development only, needs allowInsecure: true")
    .field_path(".endpoint"))]
pub struct StoreSpec {
    /// Its address, such as `https://s3.example.org`: scheme, host and port, nothing else.
    #[schemars(length(max = 253), regex(pattern = rules::VAULT_ADDRESS))]
    pub endpoint: String,
    /// Allows http, for development only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// The CA that signed its certificate; only that one is believed. Absent: public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<ConfigMapKey>,
    /// The region that requests are signed for, such as eu-central-1.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub region: String,
    /// The bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub bucket: String,
    /// How every object is locked, which needs a bucket with object lock; not at all unless said so. The bucket's own default
    /// is not relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<StoreLock>,
}

/// The lock of every object in the store (S3 Object Lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreLock {
    /// Governance: who has the right to may lift it. Compliance: nobody.
    pub mode: LockMode,
    /// For how many days from the run that wrote it.
    #[schemars(range(min = 1, max = 36500))]
    pub days: i32,
}
