//! Types that several kinds share.

use std::{fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::rules;

/// A key of a ConfigMap in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap, in the namespace the operator runs in.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub config_map: String,
    /// The key that holds the PEM text.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DATA_KEY))]
    pub key: String,
}

/// A key of a Secret in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret, in the namespace the operator runs in.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub secret: String,
    /// The key that holds the value.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DATA_KEY))]
    pub key: String,
}

/// A loosened control: why, and until when. Nothing else loosens one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// The control that is loosened, as the control catalogue names it, such as `SR-NET-01`.
    #[schemars(length(max = 16), regex(pattern = rules::CONTROL))]
    pub control: String,
    /// Why it is acceptable. Never a person.
    #[schemars(length(min = 1, max = 512), regex(pattern = rules::FREE_TEXT))]
    pub reason: String,
    /// The last valid day.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub expires: String,
}

/// The transport protocol; TCP unless said otherwise.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Ports from `start` to `end`, both included, of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port, from 1.
    pub start: u16,
    /// The last port, not below `start`.
    pub end: u16,
}

impl PortRange {
    /// The ports that both ranges hold.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (self.protocol == other.protocol && start <= end).then_some(Self {
            protocol: self.protocol,
            start,
            end,
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start)?;
        if self.end != self.start {
            write!(f, "-{}", self.end)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

/// A port as people write it outside `listeners`: `443` (TCP), `"5060/UDP"` or `"10000-20000/UDP"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(pub IntOrString);

/// Why a port is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "port {0:?}: expected 443, \"443/TCP\", \"5060/UDP\" or \"10000-20000/UDP\" with ports from 1 to 65535, the first not above the last"
)]
pub struct PortError(pub String);

impl Port {
    /// The ports this stands for.
    ///
    /// # Errors
    /// When the text is none of the documented forms.
    pub fn range(&self) -> Result<PortRange, PortError> {
        match &self.0 {
            IntOrString::Int(port) => port.to_string().parse(),
            IntOrString::String(text) => text.parse(),
        }
    }
}

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Self(IntOrString::Int(i32::from(port)))
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let wrong = || PortError(text.to_owned());
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "TCP")) => (ports, Protocol::Tcp),
            Some((ports, "UDP")) => (ports, Protocol::Udp),
            Some(_) => return Err(wrong()),
        };
        let (start, end) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(wrong()),
        };
        let (start, end) = (number(start)?, number(end)?);
        if start > end {
            return Err(wrong());
        }
        Ok(Self { protocol, start, end })
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn inline_schema() -> bool {
        true
    }

    // `pattern` applies only to strings and `minimum` only to integers, so together they cover both types. Only the
    // order of a range's ends needs CEL.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "description": "A port: 443 (TCP), \"5060/UDP\" or \"10000-20000/UDP\".",
            "maxLength": 15,
            "pattern": rules::PORT,
            "x-kubernetes-validations": [{
                "rule": format!(
                    "!string(self).contains('-') || !{} || int(string(self).split('-')[0]) <= \
                     int(string(self).split('/')[0].split('-')[1])",
                    rules::matches("string(self)", rules::PORT)
                ),
                "message": "the first port of a range must not be above the last: write it as \"10000-20000/UDP\""
            }]
        })
    }
}
