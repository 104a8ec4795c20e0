//! `AccessRole`: which people may open which data of the Channels of a namespace.

mod break_glass;
mod effective;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    break_glass::{BreakGlassStatus, BreakGlassUse, MAX_LISTED, RoleBreakGlass, digest as uses_digest},
    effective::{AccessRule, EffectiveGrants, EffectiveRules, MAX_RULES, SessionStatus, rules_digest},
    uses::SeenUses,
};
use crate::{
    access_grant::RoleGrants,
    channel::ExceptionStatus,
    destruction::Approver,
    rules,
    trust_domain::{ACCOUNTS_LOGIN, BREAK_GLASS_LOGIN},
};

/// Lets people open data of Channels of its namespace, or seal it, after a login that the TrustDomain has.
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
#[x_kube(
    validation = Rule::new("!has(self.breakGlass) || self.allow.exists(one, one.actions.exists(action, action in ['Open', 'Reseal']))")
        .message("break-glass gives what the role opens, and it opens nothing: add Open to actions, or leave breakGlass out")
        .field_path(".allow"),
    validation = Rule::new("!has(self.grants) || self.allow.exists(one, one.actions.exists(action, action in ['Open', 'Reseal']))")
        .message("an AccessGrant gives what the role opens, and it opens nothing: add Open to actions, or leave grants out")
        .field_path(".allow"),
    validation = Rule::new("self.subjects.all(subject, has(subject.serviceAccount) == (self.login == 'service-accounts'))")
        .message("ServiceAccounts log in by service-accounts, and nobody else does: write login service-accounts for a role of ServiceAccounts alone, and another one for groups")
        .field_path(".login"),
    validation = Rule::new("self.login != 'service-accounts' || (!has(self.breakGlass) && !has(self.grants))")
        .message("break-glass and AccessGrants are for people: leave breakGlass and grants out, and write an AccessRole for people")
        .field_path(".login"),
    validation = Rule::new("self.login != 'service-accounts' || !self.allow.exists(one, one.actions.exists(action, action == 'List'))")
        .message("List reads Channels in Kubernetes: leave it out, and give the ServiceAccount a Role")
        .field_path(".allow")
)]
pub struct AccessRoleSpec {
    /// The login of the TrustDomain (`spec.access.logins`) that people have to use; `service-accounts` for ServiceAccounts
    /// (`spec.access.serviceAccounts`).
    #[schemars(length(min = 1, max = 20), regex(pattern = rules::DNS_LABEL))]
    pub login: String,
    /// Who: groups, or ServiceAccounts.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub subjects: Vec<RoleSubject>,
    /// What: at most 24 Channels altogether, of which one that two entries name counts twice.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.map(one, one.channels.size()).sum() <= 24")
        .message("names more than 24 Channels altogether, and the API server asks of each whether the author may grant it: write several AccessRoles"))]
    pub allow: Vec<Allowance>,
    /// AccessRoles of the namespace that no group and no ServiceAccount may have beside this one. Where both name it, the younger of the
    /// two gives nothing. Who is a member of two groups is not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub conflicts_with: Vec<String>,
    /// How often somebody looks whether it is still right. Left out, nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<RoleReview>,
    /// Who may open what it opens in an emergency, by a login that needs neither the operator nor the API server. Left out, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<RoleBreakGlass>,
    /// That single persons may open the same for a time, by AccessGrants that others approve. Left out, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<RoleGrants>,
    /// Who gives it: the user who writes it, exactly as the API server knows them (`kubectl auth whoami`), who has the verb `grant` on
    /// each of its Channels. Left out, it gives nothing until somebody who has approves it (`subrosa approve`). A ServiceAccount, such
    /// as Argo CD's, leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("!self.startsWith('system:')")
        .message("a person gives it: no user whose name begins with system:, such as a ServiceAccount or a node; leave it out and let a person approve"))]
    pub granted_by: Option<String>,
}

/// How many Channels a role names at most.
pub const MAX_CHANNELS: usize = 24;

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

/// People, or a ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.group) != has(self.serviceAccount)")
    .message("write exactly one of group and serviceAccount"))]
pub struct RoleSubject {
    /// A group, as the identity provider's tokens name it. Vault does not tell upper from lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::GROUP_NAME))]
    pub group: Option<String>,
    /// A ServiceAccount of the AccessRole's own namespace: whoever may write there can run as it, and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<SubjectAccount>,
}

/// A ServiceAccount, by its name. One that is made anew under that name is another one, which is given the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAccount {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::DNS_SUBDOMAIN))]
    pub name: String,
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
    /// What may be done with them. `Seal` cannot open, and takes a slot of the login's `sealSlots`; who may `Reseal` can open and seal;
    /// `List` only reads the Channels in Kubernetes.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<AccessAction>,
}

/// What may be done with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AccessAction {
    /// Opened: Vault unwraps its file keys.
    Open,
    /// Sealed: Vault makes and wraps file keys, and unwraps none.
    Seal,
    /// Moved to another key. Vault cannot tell that from opening and sealing, so it is Open and Seal, and is shown as these.
    Reseal,
    /// Its Channel is read in Kubernetes, and nothing of it opened or sealed.
    List,
}

/// What is so, as the granter made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRoleStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many of its rights are given, of how many that it names, such as `2/3`: each is one action on one class of one Channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
    /// SHA-256 of every rule that it names, in force or not, and of how single persons can get the same for a time: what an Approval
    /// of a review repeats.
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
    /// How often people opened what it names after a login that it names, whichever role let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<SeenUses>,
    /// Ready, Given, Bound; BreakGlass where the role has `spec.breakGlass`; Stalled and Suspended while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A Channel's name and one of its data classes.
pub type ChannelClass = (String, String);
/// The same, and what may be done with it.
pub type ClassRight = (String, String, AccessAction);

impl AccessAction {
    /// What it is in force: `Reseal` is two actions, each other is itself.
    pub const fn means(self) -> &'static [Self] {
        match self {
            Self::Open => &[Self::Open],
            Self::Seal => &[Self::Seal],
            Self::Reseal => &[Self::Open, Self::Seal],
            Self::List => &[Self::List],
        }
    }
}

impl Allowance {
    /// Whether it lets people open data.
    pub fn opens(&self) -> bool {
        self.actions.iter().any(|action| action.means().contains(&AccessAction::Open))
    }
}

impl AccessRoleSpec {
    /// What it lets people do. `Reseal` is in it as what it means.
    pub fn rights(&self) -> BTreeSet<ClassRight> {
        let rights = self.allow.iter().flat_map(|one| {
            let actions: BTreeSet<AccessAction> =
                one.actions.iter().flat_map(|action| action.means().iter().copied()).collect();
            let pairs = one
                .channels
                .iter()
                .flat_map(|channel| one.data_classes.iter().map(move |class| (channel, class)));
            pairs.flat_map(move |(channel, class)| {
                actions.clone().into_iter().map(move |action| (channel.clone(), class.clone(), action))
            })
        });
        rights.collect()
    }

    /// What it lets people open.
    pub fn opens(&self) -> BTreeSet<ChannelClass> {
        let opening = self.rights().into_iter().filter(|(_, _, action)| *action == AccessAction::Open);
        opening.map(|(channel, class, _)| (channel, class)).collect()
    }

    /// Every Channel that it names.
    pub fn channels(&self) -> BTreeSet<String> {
        self.allow.iter().flat_map(|one| one.channels.iter().cloned()).collect()
    }

    /// SHA-256 of all that it says, except who gives it: what somebody repeats who gives it by an Approval.
    pub fn scope_digest(&self) -> String {
        let said = Self { granted_by: None, ..self.clone() };
        let mut hash = Sha256::new();
        // It always serializes; an empty text would be no Approval's.
        hash.update(b"AccessRole\n");
        hash.update(serde_json::to_vec(&said).unwrap_or_default());
        format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
    }

    /// The groups that it names, in lower case, as Vault compares them.
    pub fn groups(&self) -> BTreeSet<String> {
        self.subjects.iter().filter_map(|subject| Some(subject.group.as_ref()?.to_lowercase())).collect()
    }

    /// The ServiceAccounts that it names.
    pub fn accounts(&self) -> BTreeSet<String> {
        self.subjects
            .iter()
            .filter_map(|subject| Some(subject.service_account.as_ref()?.name.clone()))
            .collect()
    }

    /// Whether ServiceAccounts log in for it, and no people.
    pub fn is_for_accounts(&self) -> bool {
        self.login == ACCOUNTS_LOGIN
    }

    /// Whom it names: ServiceAccounts where it is for these, otherwise groups.
    pub fn names(&self) -> BTreeSet<String> {
        if self.is_for_accounts() { self.accounts() } else { self.groups() }
    }

    /// What it names, of what is in `rights`: each group or ServiceAccount, class, action and login; in an emergency what can be opened. Sorted.
    pub fn rules(&self, rights: &BTreeSet<ClassRight>) -> impl Iterator<Item = AccessRule> {
        let mut logins = BTreeMap::from([(self.login.clone(), self.names())]);
        if let Some(glass) = &self.break_glass {
            logins.entry(BREAK_GLASS_LOGIN.to_owned()).or_default().insert(glass.group.to_lowercase());
        }
        logins.into_iter().flat_map(move |(login, groups)| {
            let opens_only = login == BREAK_GLASS_LOGIN;
            groups.into_iter().flat_map(move |group| {
                let login = login.clone();
                let rights = rights.iter().filter(move |right| !opens_only || right.2 == AccessAction::Open);
                rights.map(move |right| AccessRule::new(&login, &group, right))
            })
        })
    }

    /// SHA-256 over [`rules`](Self::rules) and how single persons can get them.
    pub fn digest(&self, rights: &BTreeSet<ClassRight>) -> String {
        rules_digest(self.rules(rights), self.grants.as_ref().map(EffectiveGrants::from).as_ref())
    }
}
