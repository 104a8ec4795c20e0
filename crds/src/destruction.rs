//! `Destruction`: a list of due data keys for approval; once finished, the record of their destruction.

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    names::{ChannelRef, data_key_name},
    rules,
};

/// How many keys one Destruction lists at the most. What is due beyond that gets a Destruction of its own.
pub const MOST_KEYS: usize = 1_000;

/// Data keys of one RetentionPolicy that are due on one day, listed for approval. The operator makes it; nobody edits it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "Destruction",
    plural = "destructions",
    shortname = "dst",
    category = "subrosa",
    status = "DestructionStatus",
    derive = "PartialEq",
    cel,
    doc = "Data keys that are due, listed for approval; finished, the record of their destruction.",
    selectable = ".status.state",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Due", type_ = "string", json_path = ".spec.due"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.total"),
    printcolumn(name = "Destroyed", type_ = "integer", json_path = ".status.destroyed"),
    printcolumn(name = "Approvals", type_ = "string", json_path = ".status.approvals"),
    printcolumn(name = "Grace Until", type_ = "string", json_path = ".status.graceUntil"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.startsWith(self.spec.retentionPolicy.name + '.')")
        .message("a Destruction's name begins with its RetentionPolicy's name and a dot: who may approve is asked of that policy")
        .field_path(".metadata.name")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a Destruction is never edited: people approved exactly this list"))]
pub struct DestructionSpec {
    /// The TrustDomain whose Vault holds the keys.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub trust_domain: String,
    /// The policy under which they are due, as it was when the list was made.
    pub retention_policy: PolicyAsListed,
    /// The day on which they are due, in the time zone of the trust domain.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub due: String,
    /// A random text that makes this list's digest its own: an Approval of an earlier list never fits.
    #[schemars(length(min = 16, max = 64), regex(pattern = rules::NONCE))]
    pub nonce: String,
    /// The keys.
    #[schemars(length(min = 1, max = 1_000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into(), "dataClass".into(), "cohort".into()]))]
    pub keys: Vec<ListedKey>,
    /// SHA-256 of all the above. An Approval repeats it.
    #[schemars(length(max = 71), regex(pattern = rules::DIGEST))]
    pub digest: String,
}

/// A RetentionPolicy as it was when a list was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAsListed {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// Its UID; `gone` where the trust domain has no such policy any more: keys keep the days of the terms they were made under.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// SHA-256 of its spec, or of its name where it is gone. Where the policy was changed since, nothing of this list is
    /// destroyed.
    #[schemars(length(max = 71), regex(pattern = rules::DIGEST))]
    pub digest: String,
}

/// A key in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedKey {
    /// The Channel it was made for. It may be gone.
    pub channel: ChannelRef,
    /// The Channel's identity, the first part of the key's name.
    #[schemars(length(max = 16), regex(pattern = rules::CHANNEL_ID))]
    pub id: String,
    /// The class of data.
    #[schemars(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL))]
    pub data_class: String,
    /// The cohort, such as `2026m11`.
    #[schemars(length(min = 4, max = 16), regex(pattern = rules::COHORT))]
    pub cohort: String,
}

/// In the place of the UID of a policy that is gone.
const GONE: &str = "gone";

impl PolicyAsListed {
    /// A policy of that name that the trust domain does not have any more.
    pub fn gone(name: &str) -> Self {
        Self { name: name.to_owned(), uid: GONE.to_owned(), digest: digest_of(&(GONE, name)) }
    }

    /// Whether the policy was gone when the list was made.
    pub fn is_gone(&self) -> bool {
        *self == Self::gone(&self.name)
    }
}

impl ListedKey {
    /// The key's name in the transit engine.
    pub fn key_name(&self) -> String {
        data_key_name(&self.id, &self.data_class, &self.cohort)
    }
}

impl KeyOutcome {
    /// The key's name in the transit engine.
    pub fn key_name(&self) -> String {
        data_key_name(&self.id, &self.data_class, &self.cohort)
    }
}

/// What is so, as the destroyer found or made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestructionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is, in one word: the reason of condition Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many people approved, of how many that are needed, such as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<String>,
    /// Whose Approvals counted when the keys were set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["approver".into()]))]
    pub approved_by: Vec<Approver>,
    /// How many keys the list has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// How many of them are set aside and can still be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<i64>,
    /// How many of them are gone, seen by a canary that no longer opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<i64>,
    /// When the grace of the key that was set aside last ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<String>,
    /// When the last key of the list was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<String>,
    /// When the last snapshot of Vault or copy of its disks that may hold a key of the list is gone; none while a key of it is back.
    /// By the TrustDomain's `spec.vault.snapshots`, `retain` or `diskRetain`, whichever is longer: declared, and not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<String>,
    /// How the data was made unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Each key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into(), "dataClass".into(), "cohort".into()]))]
    pub keys: Vec<KeyOutcome>,
    /// Ready, Approved, Held; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One person's Approval that counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approver {
    /// The user, as the API server knew them.
    pub approver: String,
    /// The Approval's name.
    pub approval: String,
    /// The Approval's UID.
    pub uid: String,
    /// When it was made.
    pub at: String,
}

/// What became of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOutcome {
    /// The Channel's identity.
    pub id: String,
    /// The class of data.
    pub data_class: String,
    /// The cohort.
    pub cohort: String,
    /// In one word, such as `Held`, `SetAside` or `Destroyed`.
    pub state: String,
    /// When its first version was made: tells it from another key of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it was set aside (soft delete): nothing opens with it since, and it can be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside_at: Option<String>,
    /// When Vault said that there is no such key any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<String>,
    /// When it was last found to be back after that, from a snapshot or a backup of Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_at: Option<String>,
    /// When it was found to be gone again after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_again_at: Option<String>,
    /// A ciphertext of no data that the destroyer opened with the key before, and could not open after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

impl DestructionSpec {
    /// The digest of everything but the field `digest`: SHA-256 of the fields as JSON, in the order in which they are
    /// declared here, as `sha256:` and lower-case hex.
    pub fn computed_digest(&self) -> String {
        digest_of(&(&self.trust_domain, &self.retention_policy, &self.due, &self.nonce, &self.keys))
    }
}

/// When the last snapshot or disk copy is deleted that may contain a key that was `gone` then: by the current
/// declaration, or by the date `written` before if that is later. `None` where nobody declared how long snapshots are kept.
pub fn effective_at(
    gone: Timestamp,
    snapshots_kept: Option<SignedDuration>,
    written: Option<Timestamp>,
) -> Option<Timestamp> {
    snapshots_kept.and_then(|kept| gone.checked_add(kept).ok()).max(written)
}

/// SHA-256 of a value as JSON, as `sha256:` and lower-case hex. Fields stand in the order in which they are declared.
pub fn digest_of(value: &impl Serialize) -> String {
    // The hashed values are structs of strings and lists, which always serialize.
    let text = serde_json::to_vec(value).unwrap_or_default();
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&text)))
}

/// The name of a Destruction: its policy, its day and the beginning of its digest, joined by dots.
pub fn name(policy: &str, due: &str, digest: &str) -> String {
    let first: String = digest.trim_start_matches("sha256:").chars().take(8).collect();
    format!("{policy}.{}.{first}", due.replace('-', ""))
}
