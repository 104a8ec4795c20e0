//! `AccessRevocation`: ends what somebody, a group, a ServiceAccount, an AccessRole or a namespace was given.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    destruction::{Approver, digest_of},
    rules,
};

/// Ends at once what its subject was given, and keeps it ended. It stands until somebody approves its release; nobody edits it.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "AccessRevocation",
    plural = "accessrevocations",
    shortname = "arev",
    category = "subrosa",
    status = "AccessRevocationStatus",
    derive = "PartialEq",
    cel,
    doc = "Ends at once what a leaver, a group, an AccessRole or a namespace was given, until its release is approved.",
    printcolumn(name = "User", type_ = "string", json_path = ".spec.subject.user"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.subject.group"),
    printcolumn(name = "Because", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Milliseconds", type_ = "integer", json_path = ".status.latencyMilliseconds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an AccessRevocation's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("an AccessRevocation is never edited: make another one for more, and have this one released for less"))]
pub struct AccessRevocationSpec {
    /// The TrustDomains in which it ends; left out, all of them. Approvals of a person end in all of them either way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub trust_domains: Vec<String>,
    /// Whose.
    pub subject: RevokedSubject,
    /// Why.
    pub reason: RevocationReason,
    /// More about it, such as a reference. Never a person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = rules::FREE_TEXT))]
    pub note: Option<String>,
}

/// Exactly one of a person, a group, a ServiceAccount, an AccessRole and a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.user), has(self.group), has(self.serviceAccount), has(self.role), has(self.__namespace__)].filter(given, given).size() == 1")
        .message("write exactly one of user, group, serviceAccount, role and namespace"),
    validation = Rule::new("!has(self.kubernetesUser) || has(self.user)")
        .message("it is another name of user: write user too, as the tokens of the identity provider have it")
        .field_path(".kubernetesUser")
)]
pub struct RevokedSubject {
    /// A person, as the identity provider's tokens have them: the claim `spec.access.provider.userClaim` of the TrustDomain. Upper and
    /// lower case are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user: Option<String>,
    /// The same person as the API server knows them (`kubectl auth whoami`), whose Approvals no longer count; left out, `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub kubernetes_user: Option<String>,
    /// A group of the identity provider: no AccessRole gives it anything. Upper and lower case are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::GROUP_NAME))]
    pub group: Option<String>,
    /// A ServiceAccount: no AccessRole gives it anything, nor one that is made anew under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<RevokedAccount>,
    /// An AccessRole: it gives nothing to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RevokedRole>,
    /// A namespace: none of its AccessRoles gives anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: Option<String>,
}

/// An AccessRole. It need not exist: one that is made later gives nothing either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedRole {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
}

/// A ServiceAccount. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedAccount {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub name: String,
}

/// Why something is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevocationReason {
    /// Somebody left.
    Exit,
    /// Somebody does something else now.
    JobChange,
    /// Something happened.
    Incident,
}

/// What is so, as the granter made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRevocationStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Each TrustDomain that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub trust_domains: Vec<RevokedDomain>,
    /// TrustDomains that it does not name and in which the person cannot log in either, since they have an auth mount of the same Vault
    /// in common with one that it names. Told before it is done. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub also_trust_domains: Vec<String>,
    /// How many Approvals of the person that have not expired do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals_voided: Option<i64>,
    /// When everything that it names had first ended in every TrustDomain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// How long that took, in milliseconds. The API server notes whole seconds, so up to one second of it may be too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_milliseconds: Option<i64>,
    /// What an Approval of its release repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_digest: Option<String>,
    /// Who released it. What was released stays released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Approver>,
    /// Ready; Reconciling and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What ended in one TrustDomain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedDomain {
    /// The TrustDomain.
    pub name: String,
    /// How far it is, in one word, such as `Revoked`.
    pub state: String,
    /// How many entities of the person are disabled in Vault. None before their first login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<i64>,
    /// Auth mounts of others by which the same entities log in too, such as `auth/ldap/`: nobody logs in there either. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub also_hits: Vec<String>,
    /// AccessRoles that give nothing, or nothing to the group, such as `cc-front/recording-reviewer`. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<String>,
    /// Why it is not done, and the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl AccessRevocationSpec {
    /// Whether it ends something in the TrustDomain of that name.
    pub fn names_domain(&self, domain: &str) -> bool {
        self.trust_domains.is_empty() || self.trust_domains.iter().any(|one| one == domain)
    }

    /// The digest that Approvals of its release repeat: SHA-256 of what it ends.
    pub fn release_digest(&self) -> String {
        digest_of(&("revocation", &self.trust_domains, &self.subject, self.reason))
    }
}

impl RevokedSubject {
    /// The person as the API server knows them, in lower case.
    pub fn approver(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        Some(self.kubernetes_user.as_ref().unwrap_or(user).to_lowercase())
    }
}
