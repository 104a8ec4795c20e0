//! `Adoption`: lets Channels adopt the data keys of earlier Channels of their names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    destruction::{Approver, digest_of},
    names::ChannelRef,
    rules,
};

/// How many Channels one Adoption names at the most.
pub const MOST_CHANNELS: usize = 1_000;

/// Asks that Channels may open what was sealed by earlier Channels of their names, whose namespaces were deleted and made
/// anew. It happens when enough other people approve exactly this list; nobody edits it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "Adoption",
    plural = "adoptions",
    shortname = "adopt",
    category = "subrosa",
    status = "AdoptionStatus",
    derive = "PartialEq",
    cel,
    doc = "Asks that Channels may open what earlier Channels of their names sealed; other people approve it.",
    selectable = ".status.state",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Channels", type_ = "integer", json_path = ".status.total"),
    printcolumn(name = "Adopted", type_ = "integer", json_path = ".status.adopted"),
    printcolumn(name = "Approvals", type_ = "string", json_path = ".status.approvals"),
    printcolumn(name = "Requested By", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an Adoption's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("an Adoption is never edited: people approve exactly this list; make another one"))]
pub struct AdoptionSpec {
    /// The TrustDomain of the Channels, in whose Vault the keys are.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub trust_domain: String,
    /// The user who makes this object, exactly as the API server knows them: `kubectl auth whoami`. Their own Approval does
    /// not count.
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: String,
    /// Which Channel takes over which keys.
    #[schemars(length(min = 1, max = 1_000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["adopts".into()]))]
    pub channels: Vec<AdoptingChannel>,
}

/// A Channel, and the earlier one of its name whose keys it takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.id != self.adopts")
    .message("a Channel has its own keys already: adopts names the identity of an earlier Channel, as status.orphans has it")
    .field_path(".adopts"))]
pub struct AdoptingChannel {
    /// The Channel's namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// The Channel's name.
    #[schemars(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// Its identity, `status.id` of the Channel: one in a namespace that is made anew later is not meant.
    #[schemars(length(max = 16), regex(pattern = rules::CHANNEL_ID))]
    pub id: String,
    /// The identity of the earlier Channel, as `status.orphans` of the Channel or of the TrustDomain has it.
    #[schemars(length(max = 16), regex(pattern = rules::CHANNEL_ID))]
    pub adopts: String,
}

/// What is so, as the operator found or made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is, in one word: the reason of condition Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many people approved, of how many that are needed, such as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<String>,
    /// Whose Approvals count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["approver".into()]))]
    pub approved_by: Vec<Approver>,
    /// What an Approval of it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many Channels it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// How many of them have the keys now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<i64>,
    /// When one of them was seen to have them first. It stays, whatever became of it since: this object is the record of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_at: Option<String>,
    /// Each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["adopts".into()]))]
    pub channels: Vec<AdoptionOutcome>,
    /// Ready, Approved; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What became of one Channel of the list, or would if people approved now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionOutcome {
    /// The identity that is adopted.
    pub adopts: String,
    /// In one word, such as `Adopted` or `NotOrphaned`.
    pub state: String,
    /// Why, and the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl AdoptingChannel {
    /// The Channel.
    pub fn channel(&self) -> ChannelRef {
        ChannelRef::new(&self.namespace, &self.name)
    }
}

impl AdoptionSpec {
    /// The digest that Approvals repeat: SHA-256 of everything in the request.
    pub fn digest(&self) -> String {
        digest_of(&("adoption", &self.trust_domain, &self.requested_by, &self.channels))
    }
}
