//! `Channel`: a workload that carries conversations, what it may talk to and what it keeps.

mod backup;
mod database;
mod status;
mod tls;
mod workload;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use backup::{Backup, BackupDrill, BackupStatus};
pub use database::{DatabaseDump, DumpPreset};
pub use status::{
    AdoptedStatus, AuthorityStatus, CertificateStatus, ChannelStatus, ConnectionStatus, ExceptionStatus,
    KeyStatus, PendingNameStatus, ServedStatus,
};
pub use tls::{Delivery, ExtraTrust, Issuance, KeyAlgorithm, Reload, Tls, TrustDirection};
pub use workload::{Listener, ListenerTls, Workload, WorkloadKind, WorkloadRef};

use crate::{common::Exception, preset::name::Preset, rules};

/// What a Channel is: its workload, who may connect to it, where it connects, and what data it keeps.
///
/// It becomes a certificate that exactly its peers trust, keys in Vault, an identity, and network
/// policies that open what both ends declared.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "Channel",
    plural = "channels",
    shortname = "chan",
    category = "subrosa",
    namespaced,
    status = "ChannelStatus",
    derive = "PartialEq",
    cel,
    doc = "A contact-center workload whose confidentiality Subrosa enforces.",
    printcolumn(name = "Type", type_ = "string", json_path = ".status.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Connections", type_ = "string", json_path = ".status.connectionSummary"),
    printcolumn(name = "Served", type_ = "string", json_path = ".status.conditions[?(@.type==\"Served\")].status"),
    printcolumn(name = "Not After", type_ = "string", json_path = ".status.certificate.notAfter"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(36, "a Channel's name is a DNS label of at most 36 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.dataClasses) || self.dataClasses.size() == 0 || has(self.workload.serviceAccountName)")
        .message("dataClasses need an identity in Vault: set workload.serviceAccountName to the workload's own ServiceAccount")
        .field_path(".workload"),
    validation = Rule::new("!has(self.accepts) || self.accepts.size() == 0 || has(self.preset) || (has(self.listeners) && self.listeners.size() > 0)")
        .message("accepts without listeners opens nothing: declare the pod's ports in listeners")
        .field_path(".listeners"),
    validation = Rule::new("!has(self.tls) || !has(self.tls.reload) || self.tls.reload != 'Restart' || has(self.workload.ref)")
        .message("tls.reload: Restart needs to know what to restart: name the Deployment, StatefulSet or DaemonSet in workload.ref")
        .field_path(".workload"),
    validation = Rule::new("!has(self.accepts) || !has(self.listeners) || self.accepts.all(a, !has(a.listeners) || a.listeners.all(l, self.listeners.exists(own, own.name == l)))")
        .message("an entry of accepts names a listener that this Channel does not have: name one of spec.listeners")
        .field_path(".accepts"),
    validation = Rule::new("!has(self.retentionPolicy) || has(self.backup) || (has(self.dataClasses) && self.dataClasses.size() > 0)")
        .message("retentionPolicy without dataClasses and backup keeps nothing: list the data classes or leave it out")
        .field_path(".retentionPolicy")
)]
pub struct ChannelSpec {
    /// A server whose listeners, closed plaintext ports, type and way of reloading are known. What is written
    /// beside it replaces what it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What kind of traffic this is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ChannelType>,
    /// The pods behind this Channel.
    pub workload: Workload,
    /// The ports on which the pods listen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(a, self.filter(b, a.port <= (has(b.endPort) ? b.endPort : b.port) && b.port <= (has(a.endPort) ? a.endPort : a.port) && (has(a.protocol) ? a.protocol : 'TCP') == (has(b.protocol) ? b.protocol : 'TCP')).size() <= 1)")
            .message("two listeners share a port of the same protocol: leave one out or make the ranges apart")
    )]
    pub listeners: Vec<Listener>,
    /// Who may connect here. The other end must say so too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub accepts: Vec<Peer>,
    /// Where this Channel connects. The other end must say so too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(peer, !has(peer.kind) || peer.kind == 'Channel' || !has(peer.listeners))")
            .message("listeners are those of a Channel: an ExternalParty or a Service names its own ports, leave listeners out")
    )]
    pub connects_to: Vec<Peer>,
    /// The certificate. Absent: 30 days, renewed 10 days before, ECDSA P-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The classes of data that the workload seals, as its retention policy names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("!('subrosa-backup' in self)")
            .message("workloads do not seal with the keys of backups: leave subrosa-backup out, and write spec.backup")
    )]
    pub data_classes: Vec<String>,
    /// One of the trust domain's retention policies. Absent: its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub retention_policy: Option<String>,
    /// Encryption at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Scheduled backups. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<Backup>>,
    /// Loosened controls; shown in status, and alarmed when overdue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["control".into()]))]
    pub exception: Vec<Exception>,
}

/// The kind of traffic a Channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ChannelType {
    Voice,
    Video,
    Chat,
    Email,
    #[serde(rename = "SMS")]
    Sms,
    Voicemail,
    Recording,
    Database,
    Integration,
}

/// One end of a connection, as the other end names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kind) || self.kind == 'Channel' || !(has(self.__namespace__) || has(self.channel))")
        .message("namespace and channel name a Channel: leave them out for an ExternalParty or a Service"),
    validation = Rule::new("(has(self.kind) && self.kind != 'Channel') || has(self.channel) || self.name.size() <= 36")
        .message("a Channel's name has at most 36 characters: write the Channel's own name, or add channel where the entry is called otherwise")
        .field_path(".name")
)]
pub struct Peer {
    /// The entry's name and, unless `channel` is given, the peer's.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// What kind of peer; a Channel unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PeerKind>,
    /// The peer Channel's namespace; this Channel's own unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: Option<String>,
    /// The peer Channel's name, where the entry is called otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL))]
    pub channel: Option<String>,
    /// Which of the listening side's listeners; all that it offers unless said otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub listeners: Vec<String>,
}

impl Peer {
    /// What kind of peer this names.
    pub fn kind(&self) -> PeerKind {
        self.kind.unwrap_or_default()
    }

    /// The peer Channel's name.
    pub fn channel_name(&self) -> &str {
        self.channel.as_deref().unwrap_or(&self.name)
    }

    /// The peer Channel's namespace, for a Channel in `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// What the peer is; a Channel unless said otherwise. ExternalParty: an organisation outside. Service: one
/// of the trust domain's `network.services`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PeerKind {
    /// Another Channel.
    #[default]
    Channel,
    /// An organisation outside.
    ExternalParty,
    /// A service of the trust domain.
    Service,
}

/// Encryption at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::when_set("self.rotateEvery", ">= 3600"))
    .message("Vault rotates no more often than hourly: rotateEvery must be at least 1h")
    .field_path(".rotateEvery"))]
pub struct Encryption {
    /// The keys' type; aes256-gcm96 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<KeyType>,
    /// How often the current cohort's key gets a new version; `30d` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = rules::DURATION))]
    pub rotate_every: Option<String>,
    /// What the workload itself may do; only Seal unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub workload_may: Option<Vec<WorkloadAction>>,
    /// Data from before, sealed under the dates it has: keys of past cohorts are made for it. Absent: only those of the
    /// current and the next cohort are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
}

/// Which data from before is to be sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// The earliest anchor date of that data. Of each class, cohorts from this day on get a key, but for those that are due
    /// already. Keys that were made stay when this is removed.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub from: String,
}

/// The type of the data keys, as Vault names it; aes256-gcm96 unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// AES-256 in Galois counter mode.
    #[default]
    #[serde(rename = "aes256-gcm96")]
    Aes256Gcm96,
    /// ChaCha20 with Poly1305.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl KeyType {
    /// As Vault's transit engine names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm96 => "aes256-gcm96",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }
}

/// What a workload may do with its own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadAction {
    /// Encrypt.
    Seal,
    /// Decrypt.
    Open,
}
