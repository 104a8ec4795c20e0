//! `Approval`: one person's decision about a Destruction, the release of a LegalHold, a weaker policy, a freeze, an
//! Adoption, an AccessRole, an AccessGrant or the release of an AccessRevocation.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// One person's decision. It is made by that person, never edited, and never through GitOps: an admission policy holds
/// `approver` against who makes the request.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "Approval",
    plural = "approvals",
    shortname = "appr",
    category = "subrosa",
    derive = "PartialEq",
    cel,
    doc = "What one person decided about a Destruction, the release of a LegalHold, a weaker RetentionPolicy, a freeze, an Adoption, an AccessRole, an AccessGrant, or the release of an AccessRevocation.",
    selectable = ".spec.target.name",
    selectable = ".spec.target.kind",
    selectable = ".spec.decision",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expires"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an Approval's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("an Approval is never edited: make another one, or deny"))]
pub struct ApprovalSpec {
    /// What is decided about.
    pub target: ApprovalTarget,
    /// Approve or Deny. One Deny that has not expired stops what others approved.
    pub decision: Decision,
    /// The user who decides, exactly as the API server knows them: `kubectl auth whoami`.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.startsWith('system:')")
        .message("a person decides: no user whose name begins with system:, such as a ServiceAccount or a node"))]
    pub approver: String,
    /// Until when the decision counts, such as `2027-02-14T17:00:00Z`. An Approval has to be valid when a key is set aside.
    #[schemars(length(min = 20, max = 32), regex(pattern = rules::INSTANT))]
    pub expires: String,
}

/// What is decided about: one object in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind in ['AccessRole', 'AccessGrant']) == has(self.__namespace__)")
    .message("an AccessRole and an AccessGrant have a namespace, and no other of these kinds has one: write namespace for these two only"))]
#[x_kube(validation = Rule::new("!has(self.channels) || self.kind == 'AccessRole'")
    .message("only an AccessRole gives Channels: leave channels out for other kinds"))]
pub struct ApprovalTarget {
    /// The kind.
    pub kind: TargetKind,
    /// The namespace of an AccessRole or AccessGrant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: Option<String>,
    /// The object's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub name: String,
    /// Its UID: another object of that name is not meant.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// What exactly is approved, as the object shows it: `subrosa approve` fills it in.
    #[schemars(length(max = 71), regex(pattern = rules::DIGEST))]
    pub digest: String,
    /// The Channels of an AccessRole that the approver gives by it: they have the verb `grant` on each. `subrosa approve` fills it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 24), inner(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub channels: Vec<String>,
}

/// What can be decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// That its keys are destroyed. The right to approve is asked of its RetentionPolicy.
    Destruction,
    /// That it ends: `spec.released` is true.
    LegalHold,
    /// That its shorter periods, fewer approvals, shorter grace or `Enforce` bind.
    RetentionPolicy,
    /// That destruction goes on after clock or store were found changed.
    TrustDomain,
    /// That its Channels may open what earlier ones of their names sealed.
    Adoption,
    /// That who may open what by it is still right: a review. With `channels`, that the approver gives these by it.
    AccessRole,
    /// That the person gets it.
    AccessGrant,
    /// That it ends.
    AccessRevocation,
}

impl TargetKind {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destruction => "Destruction",
            Self::LegalHold => "LegalHold",
            Self::RetentionPolicy => "RetentionPolicy",
            Self::TrustDomain => "TrustDomain",
            Self::Adoption => "Adoption",
            Self::AccessRole => "AccessRole",
            Self::AccessGrant => "AccessGrant",
            Self::AccessRevocation => "AccessRevocation",
        }
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// It may be done.
    Approve,
    /// It must not be done while this has not expired.
    Deny,
}
