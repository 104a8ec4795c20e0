//! `AccessRole`: which people may open which data of the Channels of a namespace.

mod break_glass;
mod effective;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    break_glass::{BreakGlassStatus, BreakGlassUse, MAX_LISTED, RoleBreakGlass, digest as uses_digest},
    effective::{AccessRule, EffectiveRules, MAX_RULES, SessionStatus, rules_digest},
};
use crate::{
    access_grant::RoleGrants, channel::ExceptionStatus, destruction::Approver, rules,
    trust_domain::BREAK_GLASS_LOGIN,
};

/// Lets people open data of Channels of its namespace, after a login that the TrustDomain has.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "subrosa.dev",
    version = "v1alpha1",
    kind = "AccessRole",
    plural = "accessroles",
    shortname = "arole",
    category = "subrosa",
    namespaced,
    status = "AccessRoleStatus",
    derive = "PartialEq",
    cel,
    doc = "Lets people open data of Channels of its namespace, after a login with a second factor.",
    printcolumn(name = "Login", type_ = "string", json_path = ".spec.login"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Rights", type_ = "string", json_path = ".status.rights"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.effective.count"),
    printcolumn(name = "Outlives", type_ = "string", json_path = ".status.session.outlives"),
    printcolumn(name = "Review Due", type_ = "string", json_path = ".status.reviewDue"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::object_name(63, "an AccessRole's name is a DNS label of at most 63 characters: shorten it and leave out dots")
)]
#[serde(rename_all = "camelCase")]
pub struct AccessRoleSpec {
    /// The login of the TrustDomain (`spec.access.logins`) that people have to use.
    #[schemars(length(min = 1, max = 20), regex(pattern = rules::DNS_LABEL))]
    pub login: String,
    /// Who.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub subjects: Vec<RoleSubject>,
    /// What.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub allow: Vec<Allowance>,
    /// AccessRoles of the namespace that no group may have beside this one. Where both name a group, the younger of the two gives
    /// nothing. Who is a member of two groups is not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub conflicts_with: Vec<String>,
    /// How often somebody looks whether it is still right. Left out, nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<RoleReview>,
    /// Who may open the same in an emergency, by a login that needs neither the operator nor the API server. Left out, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<RoleBreakGlass>,
    /// That single persons may get it for a time, by AccessGrants that others approve. Left out, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<RoleGrants>,
}

/// A look at a role by somebody who did not write it: an Approval of the AccessRole (`subrosa approve`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleReview {
    /// How often, such as `90d`, counted from when the role was made or reviewed last.
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub every: String,
    /// Who wrote the role, exactly as the API server knows them: `kubectl auth whoami`. Their own Approval is no review. Who changes
    /// the role writes their own name; a ServiceAccount such as Argo CD's brings the name that stands in Git.
    #[schemars(length(min = 1, max = 256))]
    pub author: String,
    /// What happens when a review is overdue; `Suspend` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_overdue: Option<OverdueAction>,
}

/// What happens when a review is overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverdueAction {
    /// The role gives nothing until it is reviewed.
    #[default]
    Suspend,
    /// It is told, and the role gives what it says all the same.
    Warn,
}

/// People.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSubject {
    /// A group, as the identity provider's tokens name it. Vault does not tell upper from lower case.
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::GROUP_NAME))]
    pub group: String,
}

/// Each class of each Channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allowance {
    /// Channels of the AccessRole's own namespace.
    #[schemars(length(min = 1, max = 24), inner(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub channels: Vec<String>,
    /// Classes that each of the Channels declares.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 40), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub data_classes: Vec<String>,
    /// What may be done with them.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<AccessAction>,
}

/// What may be done with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AccessAction {
    /// Opened.
    Open,
}

/// What is so, as the granter made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRoleStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many pairs of a Channel and a class can be opened, of how many that it names, such as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
    /// SHA-256 of every rule that it names, whether that is in force or not: what an Approval of a review repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What exactly may be done by it as it stands; absent while nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveRules>,
    /// How long a session lasts, and a right after its reason is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionStatus>,
    /// That its login asks for no second factor, and until when; only where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionStatus>,
    /// By when it has to be reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due: Option<String>,
    /// The last review that counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Approver>,
    /// Who used break-glass; only where the role has `spec.breakGlass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassStatus>,
    /// Ready, Bound; BreakGlass where the role has `spec.breakGlass`; Stalled and Suspended while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A Channel's name and one of its data classes.
pub type ChannelClass = (String, String);

impl AccessRoleSpec {
    /// What it lets people open.
    pub fn opens(&self) -> BTreeSet<ChannelClass> {
        let opening = self.allow.iter().filter(|one| one.actions.contains(&AccessAction::Open));
        let pairs = opening.flat_map(|one| {
            one.channels.iter().flat_map(|channel| {
                one.data_classes.iter().map(move |class| (channel.clone(), class.clone()))
            })
        });
        pairs.collect()
    }

    /// The groups that it names, in lower case, as Vault compares them.
    pub fn groups(&self) -> BTreeSet<String> {
        self.subjects.iter().map(|subject| subject.group.to_lowercase()).collect()
    }

    /// What it names, of what is in `opened`: each group, class and login, in an emergency too. Sorted.
    pub fn rules(&self, opened: &BTreeSet<ChannelClass>) -> impl Iterator<Item = AccessRule> {
        let mut logins = BTreeMap::from([(self.login.clone(), self.groups())]);
        if let Some(glass) = &self.break_glass {
            logins.entry(BREAK_GLASS_LOGIN.to_owned()).or_default().insert(glass.group.to_lowercase());
        }
        logins.into_iter().flat_map(move |(login, groups)| {
            groups.into_iter().flat_map(move |group| {
                let login = login.clone();
                opened.iter().map(move |(channel, class)| AccessRule {
                    login: login.clone(),
                    group: group.clone(),
                    channel: channel.clone(),
                    data_class: class.clone(),
                    action: AccessAction::Open,
                })
            })
        })
    }

    /// SHA-256 over [`rules`](Self::rules).
    pub fn digest(&self, opened: &BTreeSet<ChannelClass>) -> String {
        rules_digest(self.rules(opened))
    }
}
