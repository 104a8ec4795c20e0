//! `TrustDomain`: one controller organisation, to which everything else belongs.

mod access;
mod backup;
mod break_glass;
mod service_accounts;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::{AccessLogin, AccessSpec, AcrClaim, IdentityProvider, LoginException, seconds_of};
pub use backup::{BackupSpec, StoreLock, StoreSpec};
pub use break_glass::{BREAK_GLASS_LOGIN, BreakGlassLogin, DEFAULT_USE_REVIEW};
pub use service_accounts::{ACCOUNTS_LOGIN, ServiceAccountsLogin};
pub use status::{ChannelCount, Orphans, TrustDomainStatus, VaultStatus};

use crate::{
    common::{ConfigMapKey, Port, SecretKey},
    rules,
};

/// One controller organisation: its law, its Vault, its network, the retention policies it allows.
///
/// Namespaces belong to it by the label `subrosa.dev/trust-domain`. Its name is also the SPIFFE
/// trust domain.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "TrustDomain",
    plural = "trustdomains",
    shortname = "td",
    category = "subrosa",
    status = "TrustDomainStatus",
    derive = "PartialEq",
    cel,
    doc = "One controller organisation, the root of everything Subrosa enforces.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.network.mode"),
    printcolumn(name = "Channels", type_ = "integer", json_path = ".status.channels.total"),
    printcolumn(name = "Attention", type_ = "integer", json_path = ".status.channels.attention"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "a TrustDomain's name is a DNS label of at most 63 characters, because it is the SPIFFE trust domain and a label's value: shorten it and leave out dots"),
    validation = mounts_stay()
)]
#[serde(rename_all = "camelCase")]
pub struct TrustDomainSpec {
    /// The controller, in the sense of GDPR Art. 4(7).
    pub organisation: Organisation,
    /// Whose law applies, such as NL, EU, US.
    #[schemars(length(min = 1, max = 16), inner(length(min = 2, max = 8), regex(pattern = rules::JURISDICTION)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub jurisdictions: Vec<String>,
    /// The frameworks that are claimed, such as GDPR, NEN7510, HIPAA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 2, max = 32), regex(pattern = rules::FRAMEWORK))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub frameworks: Vec<String>,
    /// The IANA time zone in which days begin and end, such as Europe/Amsterdam. Required: dates of
    /// retention and agreements depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(min = 1, max = 64), regex(pattern = rules::TIME_ZONE))]
    pub time_zone: Option<String>,
    /// The cluster's DNS domain; `cluster.local` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub cluster_domain: Option<String>,
    /// Where the keys are.
    pub vault: VaultSpec,
    /// Every Channel's own certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<CertificateAuthority>,
    /// The RetentionPolicies a Channel may choose; the first is the default.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub retention_policies: Vec<String>,
    /// The network.
    pub network: Network,
    /// How people log in before an AccessRole lets them open data. Absent: no AccessRole gives anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessSpec>,
    /// Where backups of Channels are kept. Absent: no Channel can have backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSpec>,
}

/// The paths of the engines and of the auth mount of `object`, as a CEL expression.
fn mounts(object: &str) -> String {
    let or = |field: &str, name: &str, default: &str| {
        let vault = format!("{object}.spec.vault");
        format!("(has({vault}.{field}) && has({vault}.{field}.{name}) ? {vault}.{field}.{name} : {default})")
    };
    let transit = or("mounts", "transit", "'transit'");
    format!(
        "[{transit}, {}, {}, {}]",
        or("mounts", "authorities", &format!("{transit} + '-ca'")),
        or("mounts", "kv", "'subrosa'"),
        or("auth.kubernetes", "mount", "'kubernetes'")
    )
}

/// Forbids a change of mounts, because keys and records do not move with it: other mounts are another store. Allowed
/// while no store is known and no Channel was ready, because nothing was made yet.
fn mounts_stay() -> Rule {
    let known = "(has(oldSelf.status) && has(oldSelf.status.vault) && has(oldSelf.status.vault.storeId))";
    let ready = "(has(oldSelf.status) && has(oldSelf.status.channels) && oldSelf.status.channels.ready > 0)";
    let moved = "has(self.spec.vault.movedFrom) && self.spec.vault.movedFrom == oldSelf.status.vault.storeId && \
                 !(has(oldSelf.spec.vault.movedFrom) && oldSelf.spec.vault.movedFrom == self.spec.vault.movedFrom)";
    let same = format!("{} == {}", mounts("self"), mounts("oldSelf"));
    Rule::new(format!("{same} || ({known} ? {moved} : !{ready})"))
        .message(
            "mounts and the auth mount stay as they are, for keys and records are there: move them in Vault first, then \
             write movedFrom: <status.vault.storeId> with the new mounts; remove a movedFrom of an earlier move before",
        )
        .field_path(".spec.vault")
}

/// The controller organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organisation {
    /// Its name, such as Ziekenhuis Oosterlinde.
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::FREE_TEXT))]
    pub name: String,
    /// ISO 3166-1 alpha-2 country code.
    #[schemars(length(min = 2, max = 2), regex(pattern = rules::COUNTRY))]
    pub country: String,
    /// The role to ask about privacy, such as `privacy-office`; never a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::FREE_TEXT))]
    pub privacy_contact: Option<String>,
}

/// OpenBao or Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.address.startsWith('http://') || (has(self.allowInsecure) && self.allowInsecure)")
    .message("write https://; plain http, for development only, needs allowInsecure: true, which status shows")
    .field_path(".address"))]
pub struct VaultSpec {
    /// Its address, such as `https://openbao.security.svc:8200`: scheme, host and port, nothing else.
    #[schemars(
        length(max = 253), regex(pattern = rules::VAULT_ADDRESS)
    )]
    pub address: String,
    /// Allows http, for development only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// The CA that signed its certificate; only that one is believed. Absent: public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<ConfigMapKey>,
    /// How the operator logs in.
    pub auth: VaultAuth,
    /// Where the engines are mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounts: Option<VaultMounts>,
    /// The store that was moved within Vault to these mounts: its id, as `status.vault.storeId` has it. Only with it may
    /// mounts be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub moved_from: Option<String>,
    /// What the organisation does with Vault's snapshots; decides when a destruction is effective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<VaultSnapshots>,
}

/// How the operator logs in to Vault. Exactly one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.kubernetes) != has(self.token)")
    .message("write exactly one of kubernetes: {} (logs in with the operator's ServiceAccount) and token: {secret, key} (development)"))]
pub struct VaultAuth {
    /// With a token of the operator's own ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// With a token from a Secret in the operator's namespace, for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKey>,
}

/// Kubernetes auth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Where it is mounted; `kubernetes` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::MOUNT))]
    pub mount: Option<String>,
    /// The operator's role; `subrosa` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub role: Option<String>,
    /// The audience of its token; `vault` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub audience: Option<String>,
}

/// Where Vault's engines are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = engines_apart())]
pub struct VaultMounts {
    /// The transit engine with the keys of data; `transit` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::MOUNT))]
    pub transit: Option<String>,
    /// The KV version 2 engine for the record; `subrosa` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::MOUNT))]
    pub kv: Option<String>,
    /// The transit engine with the keys of certificate authorities, which the destroyer of data keys has no right on; the
    /// path of `transit` with `-ca` at its end unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::MOUNT))]
    pub authorities: Option<String>,
}

fn engines_apart() -> Rule {
    let transit = "(has(self.transit) ? self.transit : 'transit')";
    let kv = "(has(self.kv) ? self.kv : 'subrosa')";
    let authorities = format!("(has(self.authorities) ? self.authorities : {transit} + '-ca')");
    Rule::new(format!("{transit} != {kv} && {authorities} != {transit} && {authorities} != {kv}")).message(
        "transit, authorities and kv are three engines: mount them at three paths, such as transit, transit-ca and subrosa",
    )
}

/// What the organisation does with Vault's snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultSnapshots {
    /// The most that may pass between two, such as `24h`.
    #[schemars(length(max = 9), regex(pattern = rules::DURATION))]
    pub max_age: String,
    /// How long each is kept, such as `30d`. A destroyed key is gone everywhere when the last snapshot is.
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub retain: String,
    /// How long copies of the disks of Vault are kept, such as `45d`: images, volume snapshots and backups of its machines, which
    /// hold a key as snapshots of Vault do. Left out: not longer than `retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub disk_retain: Option<String>,
}

/// Every Channel's own certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthority {
    /// How long one generation is valid; `1y` unless said otherwise. A leaf lives at most a quarter of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub duration: Option<String>,
    /// DNS suffixes that `tls.dnsNames` may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "allowedDNSSuffixes")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_dns_suffixes: Vec<String>,
}

/// The network of a trust domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Enforce unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<NetworkMode>,
    /// Namespaces on their way in, with a date by which they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into()]))]
    pub staged: Vec<StagedNamespace>,
    /// Deny what no Channel declares; true unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_deny: Option<bool>,
    /// The cluster's own ranges: never an external party's address.
    #[serde(rename = "clusterCIDRs")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 43), regex(pattern = rules::CIDR)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cluster_cidrs: Vec<String>,
    /// Where the cluster's DNS is. Absent: pods of kube-system labelled k8s-app=kube-dns, port 53.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub dns: Vec<DnsServer>,
    /// What is neither a Channel nor outside: ingress controllers, the API server, identity providers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Vec<NetworkService>,
}

/// Enforce, unless said otherwise: network policies are written. Audit: they are only reported; nothing new
/// is written, what exists stays, withdrawals still apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkMode {
    /// Written.
    #[default]
    Enforce,
    /// Reported; nothing new is written, what exists stays, withdrawals still apply.
    Audit,
}

/// A namespace on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedNamespace {
    /// The namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// Its mode for now.
    pub mode: NetworkMode,
    /// The last day; past it alarms, and never flips by itself.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub until: String,
}

fn at_pods_or_addresses() -> Rule {
    Rule::new("(has(self.cidrs) && self.cidrs.size() > 0) != has(self.__namespace__)")
        .message("write either namespace, with podSelector, or cidrs")
}

fn pods_have_a_namespace() -> Rule {
    Rule::new("!has(self.podSelector) || has(self.__namespace__)")
        .message("podSelector selects pods of one namespace: write that namespace")
        .field_path(".podSelector")
}

/// Where a DNS server is: pods by namespace and labels, or addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = at_pods_or_addresses(), validation = pods_have_a_namespace())]
pub struct DnsServer {
    /// The namespace of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: Option<String>,
    /// Its pods; all of the namespace's unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Its addresses, such as for node-local DNS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43), regex(pattern = rules::CIDR)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cidrs: Vec<String>,
    /// Its ports, TCP and UDP both; 53 unless said otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(range(min = 1, max = 65535)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ports: Vec<i32>,
}

/// A service that Channels may need and that is no Channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = at_pods_or_addresses(),
    validation = pods_have_a_namespace(),
    validation = Rule::new("(has(self.direction) && self.direction == 'Ingress') || (has(self.ports) && self.ports.size() > 0)")
        .message("a service that Channels connect to needs its ports, such as ports: [443]; only direction: Ingress goes without")
        .field_path(".ports"),
    validation = Rule::new("self.__for__ != 'Backup' || !has(self.direction) || self.direction == 'Egress'")
        .message("the pods that make backups connect to it: leave direction out with for: Backup")
        .field_path(".direction")
)]
pub struct NetworkService {
    /// How Channels name it.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// The namespace of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: Option<String>,
    /// Its pods; all of the namespace's unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43), regex(pattern = rules::CIDR)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cidrs: Vec<String>,
    /// Its ports; for Ingress without ports, the Channel's listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ports: Vec<Port>,
    /// Egress: Channels connect to it. Ingress: it connects to Channels. Egress unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Which Channels: All, those with dataClasses (Sealing), or those that name it; or the pods that make backups
    /// (Backup), and then no Channel.
    #[serde(rename = "for")]
    pub for_: ServiceAudience,
}

/// Seen from the Channel. Egress, unless said otherwise: Channels connect to it. Ingress: it connects to
/// Channels.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Direction {
    /// From the Channel.
    #[default]
    Egress,
    /// To the Channel.
    Ingress,
}

impl Direction {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "Egress",
            Self::Ingress => "Ingress",
        }
    }
}

/// Which Channels a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceAudience {
    /// Every Channel.
    All,
    /// Every Channel with dataClasses.
    Sealing,
    /// Those that name it in accepts or connectsTo.
    Named,
    /// None; the pods that make backups.
    Backup,
}
