//! The pods of a [`Channel`](super::Channel) and the ports on which they listen.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{PortRange, Protocol},
    rules,
};

/// The pods behind a Channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Selects the pods, in the Channel's namespace. No other Channel may select any of them.
    #[x_kube(validation = Rule::new("(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)")
        .message("an empty selector would take every pod of the namespace: write the workload's labels in matchLabels"))]
    pub selector: LabelSelector,
    /// The ServiceAccount the pods run as: their identity in Vault. No other Channel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub service_account_name: Option<String>,
    /// What runs the pods, for `tls.reload: Restart`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub ref_: Option<WorkloadRef>,
}

/// What runs the pods, in the Channel's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub name: String,
}

/// What can run the pods of a Channel and be restarted in turn, of the group `apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

/// A port, or a range of ports, on which the pods listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.endPort) || self.endPort >= self.port")
        .message("endPort is the last port of the range: it must not be below port")
        .field_path(".endPort"),
    validation = Rule::new("!has(self.tls) || self.tls == 'None' || ((!has(self.protocol) || self.protocol == 'TCP') && !has(self.endPort))")
        .message("TLS is probed at one TCP port: leave tls out for UDP and for a range")
        .field_path(".tls")
)]
pub struct Listener {
    /// How peers name it.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// The pod's port, or the first of the range.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The last port of the range, such as for RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<i32>,
    /// TCP unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How TLS begins there; Direct for one TCP port and None otherwise, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// How TLS begins at a listener, where one TCP port is Direct and all else None unless said otherwise. The others
/// begin in plain text and change to TLS: PostgreSQL by its SSLRequest, SMTP (RFC 3207) and IMAP (RFC 3501) by
/// STARTTLS. None: it does not speak TLS, or not over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ListenerTls {
    /// With the first byte.
    Direct,
    /// After PostgreSQL's SSLRequest.
    PostgreSQL,
    /// After STARTTLS of SMTP.
    #[serde(rename = "SMTP")]
    Smtp,
    /// After STARTTLS of IMAP.
    #[serde(rename = "IMAP")]
    Imap,
    /// Not at all.
    None,
}

impl ListenerTls {
    /// As a manifest has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "Direct",
            Self::PostgreSQL => "PostgreSQL",
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::None => "None",
        }
    }
}

impl Listener {
    /// How TLS begins here.
    pub fn tls(&self) -> ListenerTls {
        let one_tcp_port = self.protocol.unwrap_or_default() == Protocol::Tcp && self.end_port.is_none();
        self.tls.unwrap_or(if one_tcp_port { ListenerTls::Direct } else { ListenerTls::None })
    }

    /// The ports; none when the numbers are not ports, which the schema refuses.
    pub fn range(&self) -> Option<PortRange> {
        let start = u16::try_from(self.port).ok().filter(|port| *port > 0)?;
        let end = u16::try_from(self.end_port.unwrap_or(self.port)).ok()?;
        (start <= end).then_some(PortRange { protocol: self.protocol.unwrap_or_default(), start, end })
    }
}
