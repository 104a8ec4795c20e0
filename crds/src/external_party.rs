//! `ExternalParty`: a carrier, processor or insurer outside; the second consent for a connection to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    common::{ConfigMapKey, Exception, Port},
    rules,
    trust_domain::Direction,
};

/// An organisation outside: where it is, how it is trusted, what was agreed with it, and which
/// Channels it may connect to or be reached from.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "ExternalParty",
    plural = "externalparties",
    shortname = "xp",
    category = "subrosa",
    status = "ExternalPartyStatus",
    derive = "PartialEq",
    cel,
    doc = "An organisation outside, and the consent for every connection with it.",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Agreements", type_ = "string", json_path = ".status.conditions[?(@.type==\"AgreementsValid\")].reason"),
    printcolumn(name = "Until", type_ = "string", json_path = ".status.validUntil"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an ExternalParty's name is a DNS label of at most 63 characters, because it names a file in the Channel's Secret: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.role != 'Processor' || (has(self.agreements) && self.agreements.exists(a, a.type == 'DPA'))")
    .message("a Processor needs a data processing agreement (GDPR Art. 28(3)): add {type: DPA, validUntil: …}")
    .field_path(".agreements"))]
pub struct ExternalPartySpec {
    /// What it is to the controller.
    pub role: PartyRole,
    /// Where it is.
    pub addresses: Addresses,
    /// How it is trusted.
    pub tls: PartyTls,
    /// What was agreed with it. The day after `validUntil` every connection closes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub agreements: Vec<Agreement>,
    /// The connections that are consented to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into(), "direction".into()]))]
    pub channels: Vec<PartyChannel>,
}

/// What a party is to the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PartyRole {
    /// Processes for the controller (GDPR Art. 28).
    Processor,
    /// Decides for itself.
    Controller,
    /// Carries calls or messages.
    Carrier,
    /// Insures.
    Insurer,
    /// Supervises.
    Authority,
}

/// Where a party is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// Ranges of addresses. NetworkPolicy knows no host names.
    #[schemars(length(min = 1, max = 64), inner(length(max = 43), regex(pattern = rules::OUTSIDE_CIDR)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub cidrs: Vec<String>,
}

/// How a party is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'Mutual' || has(self.caBundle)")
        .message("mode Mutual needs the party's certificate authority: name a ConfigMap in the operator's namespace")
        .field_path(".caBundle"),
    validation = Rule::new("(self.mode == 'None') == has(self.exception)")
        .message("mode None needs an exception {control, reason, expires}, and no other mode has one")
        .field_path(".exception"),
    validation = Rule::new("self.mode != 'None' || !(has(self.caBundle) || (has(self.dnsNames) && self.dnsNames.size() > 0))")
        .message("mode None checks no certificate: leave caBundle and dnsNames out")
)]
pub struct PartyTls {
    /// Mutual: both ends show certificates. OneWay: only the server does. None: neither.
    pub mode: PartyTlsMode,
    /// The party's certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<ConfigMapKey>,
    /// The names in its certificates, for workloads that check them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253), regex(pattern = rules::CERTIFICATE_DNS_NAME)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dns_names: Vec<String>,
    /// Why there is no TLS, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
}

/// How both ends prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartyTlsMode {
    /// Both ends show certificates.
    Mutual,
    /// Only the server does.
    OneWay,
    /// Neither; needs an exception.
    None,
}

/// What was agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// DPA (GDPR Art. 28), BAA (45 CFR 164.504(e)), or another.
    #[serde(rename = "type")]
    #[schemars(length(min = 2, max = 32), regex(pattern = rules::AGREEMENT))]
    pub type_: String,
    /// The last valid day, in the trust domain's time zone.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub valid_until: String,
    /// The signed document's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = rules::DIGEST))]
    pub digest: Option<String>,
}

/// A connection that is consented to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartyChannel {
    /// The Channel's namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// The Channel.
    #[schemars(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// Ingress: the party connects to the Channel. Egress: the Channel connects to the party.
    pub direction: Direction,
    /// The ports. For Ingress they are the Channel's, for Egress the party's.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ports: Vec<Port>,
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPartyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The first day on which an agreement ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Ready, AgreementsValid; Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
