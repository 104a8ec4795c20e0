//! The certificate of a [`Channel`](super::Channel): what is in it, who issues it and how it reaches the pods.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{common::ConfigMapKey, rules};

/// The certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(format!("{} || (has(self.reload) && self.reload != 'None')", rules::when_set("self.duration", ">= 604800")))
        .message("a certificate under 7d needs a workload that reloads it: set tls.reload to Workload or Restart, or a longer duration")
        .field_path(".duration"),
    validation = Rule::new(rules::when_set("self.duration", ">= 3600"))
        .message("duration must be at least 1h: renewal needs time to try again")
        .field_path(".duration"),
    validation = Rule::new(rules::when_set("self.renewBefore", &format!(
            "< (has(self.duration) && {} ? {} : 2592000)",
            rules::matches("self.duration", rules::DURATION), rules::seconds("self.duration")
        )))
        .message("renewBefore must be shorter than duration (30d unless set), or the certificate would never stop renewing")
        .field_path(".renewBefore"),
    validation = Rule::new("!has(self.issuance) || self.issuance != 'External' || has(self.secretName)")
        .message("issuance: External leaves the certificate to somebody else: name the Secret that holds it in secretName")
        .field_path(".secretName"),
    validation = Rule::new("!has(self.issuance) || self.issuance != 'External' || !(has(self.duration) || has(self.renewBefore) || has(self.keyAlgorithm) || has(self.commonName) || has(self.dnsNames))")
        .message("with issuance: External whoever issues decides on duration, renewBefore, keyAlgorithm, commonName and dnsNames: leave them out")
        .field_path(".issuance"),
    validation = Rule::new("!has(self.delivery) || self.delivery != 'PodCertificate' || !(has(self.secretName) || (has(self.issuance) && self.issuance == 'External'))")
        .message("delivery: PodCertificate puts no key into a Secret: leave out secretName and issuance: External")
        .field_path(".delivery"),
    validation = Rule::new("!has(self.delivery) || self.delivery != 'PodCertificate' || (has(self.reload) && self.reload == 'Workload')")
        .message("with delivery: PodCertificate kubelet renews the files under the running workload, daily unless the pod says otherwise: set tls.reload to Workload, and have it watch its files")
        .field_path(".reload")
)]
pub struct Tls {
    /// How long a certificate is valid, such as `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = rules::DURATION))]
    pub duration: Option<String>,
    /// How long before its end it is renewed; a third of `duration` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = rules::DURATION))]
    pub renew_before: Option<String>,
    /// The leaf's key; ECDSA-P256 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<KeyAlgorithm>,
    /// The subject's common name; the Channel's name unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub common_name: Option<String>,
    /// Further DNS names, each under a suffix the trust domain allows. One under a suffix that was allowed after the
    /// Channel's authority was made waits for its next generation: `status.pendingNames`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253), regex(pattern = rules::CERTIFICATE_DNS_NAME)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dns_names: Vec<String>,
    /// The Secret to write; `<channel>-mtls` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub secret_name: Option<String>,
    /// How the workload takes a renewed certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// How the certificate and its key reach the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Who issues the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuance: Option<Issuance>,
    /// Further authorities that this Channel trusts while it is moved; a loosened control, each with its last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extra_trust: Vec<ExtraTrust>,
}

/// How the certificate and its key reach the pods; Secret unless said otherwise. PodCertificate: kubelet makes the
/// key, which never leaves the node, and asks for the certificate (Kubernetes' PodCertificateRequest v1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Delivery {
    /// In a Secret of type `kubernetes.io/tls`.
    #[default]
    Secret,
    /// By a projected volume with a `podCertificate` of the signer `subrosa.dev/channel`.
    PodCertificate,
}

/// Who issues the certificate; Subrosa unless said otherwise. External: the Secret is somebody else's, such as
/// cert-manager's; it is read and never written, and the trust files stand in a Secret of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Issuance {
    /// The Channel's own authority.
    #[default]
    Subrosa,
    /// Somebody else.
    External,
}

/// Authorities trusted beside those of the peers, until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraTrust {
    /// The entry's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// Whom they vouch for; both unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<TrustDirection>,
    /// Their certificates, in PEM, in the operator's namespace: the platform team's consent.
    pub ca_bundle: ConfigMapKey,
    /// The last day on which they are trusted, in the trust domain's time zone.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub expires: String,
}

/// Whom further authorities vouch for; both unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TrustDirection {
    /// Those who connect here.
    Ingress,
    /// Those it connects to.
    Egress,
}

/// The algorithm of the certificate's key; ECDSA-P256 unless said otherwise.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum KeyAlgorithm {
    /// NIST P-256.
    #[default]
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    /// NIST P-384.
    #[serde(rename = "ECDSA-P384")]
    EcdsaP384,
}

/// As the field is written.
impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
        })
    }
}

/// How the workload takes a renewed certificate. None, unless said otherwise: somebody restarts it before
/// the old one ends. Workload: it watches its files. Restart: what `workload.ref` names is restarted in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reload {
    /// It does not; someone restarts it before the certificate ends.
    #[default]
    None,
    /// It watches its files.
    Workload,
    /// What `workload.ref` names is restarted in turn, within its PodDisruptionBudgets.
    Restart,
}
