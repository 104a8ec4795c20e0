//! The answer: each group and ServiceAccount, what it can open, seal and list, and by which role.

use kube::ResourceExt as _;
use serde::Serialize;
use subrosa_crds::{
    AccessRole, Reason,
    access_role::{AccessAction, RoleSubject},
    channel::WorkloadAction,
    condition::{self, BREAK_GLASS, READY},
};
use subrosa_plan::roles::{break_glass, conflicts};

use super::{grants, is_none, seen::AccessObjects};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "question")]
pub enum Asked {
    /// Who can open data of a Channel.
    #[serde(rename = "who")]
    Channel {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// One of its classes.
        #[serde(skip_serializing_if = "is_none")]
        class: Option<String>,
    },
    /// What a group can open.
    #[serde(rename = "what")]
    Group {
        /// As it was written.
        name: String,
    },
    /// What a ServiceAccount can open.
    #[serde(rename = "what", rename_all = "camelCase")]
    Account {
        /// Its namespace.
        namespace: String,
        /// Its name.
        service_account: String,
    },
    /// What a single person can open by AccessGrants.
    #[serde(rename = "what")]
    User {
        /// As it was written.
        user: String,
    },
}

/// A group or a ServiceAccount, and what it can do with a class of a Channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// The group; empty where it is a single person or a ServiceAccount.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The ServiceAccount, of the same namespace.
    #[serde(skip_serializing_if = "is_none")]
    pub service_account: Option<String>,
    /// The single person.
    #[serde(skip_serializing_if = "is_none")]
    pub user: Option<String>,
    /// Until when.
    #[serde(skip_serializing_if = "is_none")]
    pub until: Option<String>,
    /// The namespace of Channel and role.
    pub namespace: String,
    /// The Channel.
    pub channel: String,
    /// The class.
    pub data_class: String,
    /// What they can do: `Open`, `Seal` or `List`.
    pub action: AccessAction,
    /// After which login.
    pub login: String,
    /// With one of these second factors; none where the login is not known, or asks for one in another way.
    pub accepted_amr: Vec<String>,
    /// With one of these levels of authentication.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_acr: Vec<String>,
    /// The last day on which no second factor is asked for.
    #[serde(skip_serializing_if = "is_none")]
    pub no_second_factor_until: Option<String>,
    /// How long a session lasts.
    pub session: Option<String>,
    /// The AccessRole.
    pub role: String,
    /// Why it is so, as one word.
    pub state: String,
    /// Whether the role gives this now, or would as it is written.
    pub gives: bool,
}

impl Opening {
    /// What is asked for beside a password, in words.
    pub fn second_factor(&self) -> String {
        match &self.no_second_factor_until {
            None if self.service_account.is_some() => "none: a machine".to_owned(),
            Some(until) => format!("none, until {until}"),
            None if self.accepted_acr.is_empty() => self.accepted_amr.join(", "),
            None => format!("level {}", self.accepted_acr.join(", ")),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Openings {
    /// What was asked.
    pub asked: Asked,
    /// Each group, class and role.
    pub openings: Vec<Opening>,
    /// What this does not say.
    pub notes: Vec<String>,
}

impl Openings {
    /// The answer to `asked`.
    pub fn of(seen: &AccessObjects, asked: Asked) -> Self {
        let excluded = conflicts::conflicting(&seen.roles);
        let mut openings = Vec::new();
        for role in &seen.roles {
            let namespace = role.namespace().unwrap_or_default();
            let login = seen.login(&namespace, &role.spec.login);
            for (channel, class, action) in role.spec.rights() {
                if matches!(asked, Asked::User { .. }) || !is_asked(&asked, &namespace, &channel, &class) {
                    continue;
                }
                if action == AccessAction::Open {
                    openings.extend(in_an_emergency(seen, role, &asked, &channel, &class));
                }
                let is_excluded = excluded.contains_key(&conflicts::name(role));
                let (state, gives) = state(role, seen, &channel, &class, action, is_excluded);
                for subject in &role.spec.subjects {
                    if !is_whom(&asked, &namespace, subject) {
                        continue;
                    }
                    let account = subject.service_account.as_ref().map(|account| account.name.clone());
                    openings.push(Opening {
                        group: subject.group.clone().unwrap_or_default(),
                        service_account: account,
                        user: None,
                        until: None,
                        namespace: namespace.clone(),
                        channel: channel.clone(),
                        data_class: class.clone(),
                        action,
                        login: role.spec.login.clone(),
                        accepted_amr: login
                            .as_ref()
                            .map(|login| login.accepted_amr.clone())
                            .unwrap_or_default(),
                        accepted_acr: login
                            .as_ref()
                            .map(|login| login.accepted_acr.clone())
                            .unwrap_or_default(),
                        no_second_factor_until: login
                            .as_ref()
                            .and_then(|login| login.exception.as_ref())
                            .map(|exception| exception.expires.clone()),
                        session: login.as_ref().map(|login| login.ttl().to_owned()),
                        role: role.name_any(),
                        state: state.clone(),
                        gives,
                    });
                }
            }
        }
        openings.extend(grants::openings(seen, &asked));
        openings.sort();
        let notes = notes(seen, &asked);
        Self { asked, openings, notes }
    }

    /// That there is no such Channel or class.
    pub fn missing(&self, seen: &AccessObjects) -> Option<String> {
        let Asked::Channel { namespace, name, class } = &self.asked else { return None };
        if seen.hidden.contains(&"Channels") {
            return None;
        }
        let Some(channel) = seen.channel(namespace, name) else {
            return Some(format!("there is no Channel {namespace}/{name}; give its namespace with -n"));
        };
        let class = class.as_ref().filter(|class| !channel.spec.data_classes.contains(class))?;
        let declared = &channel.spec.data_classes;
        let declared = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
        Some(format!("Channel {namespace}/{name} declares no data class {class}, but {declared}"))
    }

    /// What is said where nobody can.
    pub fn nobody(&self) -> String {
        match &self.asked {
            Asked::Channel { namespace, name, class } => {
                let class = class.as_ref().map_or_else(|| "data".to_owned(), Clone::clone);
                format!("No AccessRole lets anybody do anything with {class} of Channel {namespace}/{name}.")
            }
            Asked::Group { name } => format!("No AccessRole names group {name}."),
            Asked::Account { namespace, service_account } => {
                format!("No AccessRole names ServiceAccount {namespace}/{service_account}.")
            }
            Asked::User { user } => format!("No AccessGrant gives {user} anything now."),
        }
    }
}

/// Whether `subject` of a role in `namespace` is whom was asked for, if anybody.
fn is_whom(asked: &Asked, namespace: &str, subject: &RoleSubject) -> bool {
    match (asked, &subject.group, &subject.service_account) {
        (Asked::Group { name }, group, _) => {
            group.as_ref().is_some_and(|group| group.to_lowercase() == name.to_lowercase())
        }
        (Asked::Account { namespace: of, service_account }, _, account) => {
            of == namespace && account.as_ref().is_some_and(|account| account.name == *service_account)
        }
        (Asked::Channel { .. } | Asked::User { .. }, _, _) => true,
    }
}

/// Who opens it by break-glass.
fn in_an_emergency(
    seen: &AccessObjects,
    role: &AccessRole,
    asked: &Asked,
    channel: &str,
    class: &str,
) -> Option<Opening> {
    let group = &role.spec.break_glass.as_ref()?.group;
    if matches!(asked, Asked::Account { .. })
        || matches!(asked, Asked::Group { name } if group.to_lowercase() != name.to_lowercase())
    {
        return None;
    }
    let namespace = role.namespace().unwrap_or_default();
    let login = seen.access(&namespace).and_then(|access| access.break_glass.as_ref());
    let enrolled = login.filter(|login| login.is_for(group));
    let (state, gives) = if seen.is_live {
        condition_of(role, BREAK_GLASS)
    } else if login.is_none() {
        (Reason::LoginMissing.as_str().to_owned(), false)
    } else if enrolled.is_none() {
        (Reason::GroupNotEnrolled.as_str().to_owned(), false)
    } else if role.spec.granted_by.is_none() {
        (Reason::AwaitingApproval.as_str().to_owned(), false)
    } else {
        ("Declared".to_owned(), true)
    };
    // A use that waits for its review takes nothing away.
    let gives = gives || state == Reason::UseNotReviewed.as_str();
    Some(Opening {
        group: group.clone(),
        service_account: None,
        user: None,
        until: None,
        namespace,
        channel: channel.to_owned(),
        data_class: class.to_owned(),
        action: AccessAction::Open,
        login: break_glass::LOGIN.to_owned(),
        accepted_amr: login.map(|login| login.accepted_amr.clone()).unwrap_or_default(),
        accepted_acr: login.map(|login| login.accepted_acr.clone()).unwrap_or_default(),
        no_second_factor_until: None,
        session: login.map(|login| login.ttl().to_owned()),
        role: role.name_any(),
        state,
        gives,
    })
}

/// The reason of a condition of the role as it is now, and whether it is true.
fn condition_of(role: &AccessRole, kind: &str) -> (String, bool) {
    let conditions = role.status.as_ref().map(|status| status.conditions.as_slice());
    let is_current =
        role.status.as_ref().is_some_and(|status| status.observed_generation == role.metadata.generation);
    match condition::find(conditions.unwrap_or_default(), kind) {
        Some(found) if is_current => (found.reason.clone(), found.status == "True"),
        Some(_) | None => (Reason::WorkUnderWay.as_str().to_owned(), false),
    }
}

pub(super) fn is_asked(asked: &Asked, namespace: &str, channel: &str, class: &str) -> bool {
    match asked {
        Asked::Channel { namespace: in_namespace, name, class: of } => {
            in_namespace == namespace && name == channel && of.as_ref().is_none_or(|of| of == class)
        }
        Asked::Group { .. } | Asked::Account { .. } | Asked::User { .. } => true,
    }
}

fn state(
    role: &AccessRole,
    seen: &AccessObjects,
    channel: &str,
    class: &str,
    action: AccessAction,
    is_excluded: bool,
) -> (String, bool) {
    let namespace = role.namespace().unwrap_or_default();
    if seen.is_live {
        return condition_of(role, READY);
    }
    let reason = match seen.channel(&namespace, channel) {
        _ if is_excluded => Reason::ConflictingRoles,
        None => Reason::NotFound,
        Some(found) if !found.spec.data_classes.iter().any(|one| one == class) => Reason::UnknownDataClass,
        Some(_) if seen.login(&namespace, &role.spec.login).is_none() => Reason::LoginMissing,
        Some(_) if seen.has_ended(&namespace, &role.spec.login) => Reason::ExceptionExpired,
        Some(_) if action == AccessAction::List && !seen.has_groups_prefix(&namespace) => {
            Reason::NoGroupsPrefix
        }
        // Whether it was approved stands in the cluster alone.
        Some(_) if role.spec.granted_by.is_none() => Reason::AwaitingApproval,
        Some(_) => return ("Declared".to_owned(), true),
    };
    (reason.as_str().to_owned(), false)
}

fn notes(seen: &AccessObjects, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    if let Asked::Channel { namespace, name, .. } = asked
        && let Some(channel) = seen.channel(namespace, name)
        && let Some(encryption) = &channel.spec.encryption
        && encryption.workload_may.iter().flatten().any(|action| *action == WorkloadAction::Open)
    {
        notes.push(format!(
            "The workload of Channel {namespace}/{name} opens its data too: encryption.workloadMay has Open."
        ));
    }
    if matches!(asked, Asked::User { .. }) {
        notes.push(
            "What they can open as a member of a group is not listed: subrosa access what GROUP.".to_owned(),
        );
    }
    notes.push(
        "Who is a member of a group is known to the identity provider alone. Administrators of Vault are not listed.".to_owned(),
    );
    notes
}
