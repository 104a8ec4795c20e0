//! The status of a [`Channel`](super::Channel), written for auditors.

use std::collections::BTreeMap;

use jiff::civil::Date;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackupStatus, ChannelType};

/// What an auditor reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What kind of traffic this is: the spec's, or its preset's.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ChannelType>,
    /// The identity under which Vault knows this Channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Earlier Channels of its namespace and name whose keys it adopted: its workload may open what they sealed, where it may
    /// open anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub adopted: Vec<AdoptedStatus>,
    /// The identities of earlier Channels of its namespace and name, in a namespace that is gone, that left keys: nobody opens
    /// what they sealed until an Adoption of it is approved. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub orphans: Vec<String>,
    /// The trust domain its namespace belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// The certificate in the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// Names that the certificate has only once another generation of the authority signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pending_names: Vec<PendingNameStatus>,
    /// The Channel's own certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityStatus>,
    /// Keys that matter now: current, next, due within 90 days, abnormal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["dataClass".into(), "cohort".into()]))]
    pub keys: Vec<KeyStatus>,
    /// How many keys there are in each state that `keys` does not list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_keys: BTreeMap<String, i64>,
    /// Its backups, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Every declared connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "direction".into()]))]
    pub connections: Vec<ConnectionStatus>,
    /// How many connections are open, of how many declared: `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_summary: Option<String>,
    /// Exceptions in force or overdue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["control".into()]))]
    pub exceptions: Vec<ExceptionStatus>,
    /// Ready, Connected, Served, Isolated, KeysReady, Retained; Issuing, Reconciling and Stalled while true;
    /// TrustFits once the trust files are nearly as large as may be; BackedUp with backups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An earlier Channel whose keys were adopted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedStatus {
    /// Its identity.
    pub id: String,
    /// The Adoption that people approved.
    pub adoption: String,
    /// When (RFC 3339).
    pub at: String,
}

/// The certificate in the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The SPIFFE ID in it.
    pub spiffe_id: String,
    /// From when it is valid (RFC 3339).
    pub not_before: String,
    /// Until when it is valid (RFC 3339).
    pub not_after: String,
    /// When it will be renewed (RFC 3339).
    pub renew_at: String,
    /// The Secret that holds it; absent where each pod has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// How many running pods have one of their own: this is the one that ends first. Absent where a Secret holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<i64>,
    /// What every ready pod was last seen to present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedStatus>,
}

/// A name that waits for another generation of the authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingNameStatus {
    /// The DNS name, or the common name.
    pub name: String,
    /// When it can be in the certificate at the latest, as far as is known (RFC 3339).
    pub from: String,
}

/// What every ready pod was last seen to present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedStatus {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Since when every ready pod presents it (RFC 3339).
    pub at: String,
    /// How many ready pods present it, of how many: `3/3`.
    pub pods: String,
}

/// The Channel's own certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityStatus {
    /// The generation that signs: the version of its transit key.
    pub generation: i64,
    /// SHA-256 of its certificate, lower-case hex.
    pub fingerprint: String,
    /// Until when it is valid (RFC 3339).
    pub not_after: String,
    /// The generation already published that will sign next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// Generations that sign no more and are trusted until the last leaf they signed has expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retiring: Vec<i64>,
}

/// One data key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The class of data.
    pub data_class: String,
    /// The cohort of anchor dates it seals.
    pub cohort: String,
    /// How many versions it has had; absent for a cohort that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<i64>,
    /// When its newest version was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<String>,
    /// When the next version is due (RFC 3339); absent for a closed cohort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<String>,
    /// The day its data is due for destruction; absent while the cohort is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// By when its data gets its anchor date; absent unless the cohort is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseal_by: Option<String>,
    /// `Current`, `Next`, `Pending`, `Closed`, `Due`, `AnchorOverdue`, `KeptTooLong`, `RotationLate`, `NotPlanned`,
    /// `Unknown`; or what is wrong with it: `Missing`, `Replaced`, `SoftDeleted`, `VersionsWithheld`, `Irreversible`,
    /// `Unrecorded`.
    pub state: String,
}

/// One declared connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// The entry's name in `accepts` or `connectsTo`.
    pub name: String,
    /// `Ingress` for accepts, `Egress` for connectsTo.
    pub direction: String,
    /// The agreed listeners or ports, where any are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<String>,
    /// `Open`, `AwaitingConsent`, `ListenerMismatch`, `NotFound`, `Refused`, `AgreementExpired`,
    /// `Closing` or `Closed`.
    pub state: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do next, by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// What the annotation `subrosa.dev/consents` of this Channel must have, `<namespace>=<UID>`, where the other end's
    /// namespace was deleted and made anew and the new one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consents: Option<String>,
}

/// One exception.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionStatus {
    /// The loosened control.
    pub control: String,
    /// The last valid day.
    pub expires: String,
    /// Whether that day is past.
    pub overdue: bool,
    /// How many days are left after today; told from 30 days before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
}

impl ExceptionStatus {
    /// How many days before its end it is told.
    pub const TOLD: i64 = 30;

    /// An exception that lasts until the day `expires`, on the day `today`.
    pub fn on(control: String, expires: &str, today: Date) -> Self {
        let left = expires.parse::<Date>().ok().map(|last| i64::from((last - today).get_days()));
        Self {
            control,
            expires: expires.to_owned(),
            overdue: left.is_some_and(|left| left < 0),
            days_left: left.filter(|left| (0..=Self::TOLD).contains(left)),
        }
    }
}
