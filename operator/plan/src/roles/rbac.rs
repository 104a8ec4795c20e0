//! The Role and the RoleBinding of an AccessRole: its groups may read the Channels that it names.
//!
//! `list` and `watch` cannot be limited to names, so only `get` is given. Role and RoleBinding have the same name, derived
//! from the AccessRole's, so a RoleBinding never needs another `roleRef`.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt as _};
use subrosa_crds::{ACCESS_ROLE_LABEL, AccessRole, GROUP};

use crate::world::objects;

/// The API group of roles.
pub const API_GROUP: &str = "rbac.authorization.k8s.io";
/// How the names of these objects begin.
pub const PREFIX: &str = "subrosa-access-";
/// The prefix of the API server's own groups, which no identity provider may use.
const RESERVED: &str = "system:";

/// The name of the Role and of the RoleBinding of an AccessRole.
pub fn object_name(role: &str) -> String {
    format!("{PREFIX}{role}")
}

/// Both objects.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleObjects {
    /// What may be read.
    pub role: Role,
    /// By whom.
    pub binding: RoleBinding,
}

/// The objects that let the groups of `role` read `channels`. `groups_prefix` is what the API server writes before a group
/// of the provider. `None` without groups or Channels.
pub fn wanted(role: &AccessRole, groups_prefix: &str, channels: &BTreeSet<String>) -> Option<RoleObjects> {
    let reserved = reserved(role, groups_prefix);
    let subjects: BTreeSet<String> =
        names(role, groups_prefix).filter(|name| !reserved.contains(name)).collect();
    if subjects.is_empty() || channels.is_empty() {
        return None;
    }
    let name = object_name(&role.name_any());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: role.namespace(),
        labels: Some(objects::access_role_labels(&role.name_any())),
        owner_references: Some(vec![owner(role)?]),
        ..ObjectMeta::default()
    };
    let rule = PolicyRule {
        api_groups: Some(vec![GROUP.to_owned()]),
        resources: Some(vec!["channels".to_owned()]),
        resource_names: Some(channels.iter().cloned().collect()),
        verbs: vec!["get".to_owned()],
        non_resource_urls: None,
    };
    let subject = |name: String| Subject {
        api_group: Some(API_GROUP.to_owned()),
        kind: "Group".to_owned(),
        name,
        namespace: None,
    };
    Some(RoleObjects {
        role: Role { metadata: metadata.clone(), rules: Some(vec![rule]) },
        binding: RoleBinding {
            metadata,
            role_ref: RoleRef { api_group: Some(API_GROUP.to_owned()), kind: "Role".to_owned(), name },
            subjects: Some(subjects.into_iter().map(subject).collect()),
        },
    })
}

/// The groups of `role`, as the API server would write them, for which nothing is written: their names are its own.
pub fn reserved(role: &AccessRole, groups_prefix: &str) -> BTreeSet<String> {
    names(role, groups_prefix).filter(|name| name.starts_with(RESERVED)).collect()
}

fn names(role: &AccessRole, groups_prefix: &str) -> impl Iterator<Item = String> {
    let groups = role.spec.subjects.iter().filter_map(|subject| subject.group.as_ref());
    groups.map(move |group| format!("{groups_prefix}{group}"))
}

fn owner(role: &AccessRole) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: AccessRole::api_version(&()).into_owned(),
        kind: AccessRole::kind(&()).into_owned(),
        name: role.name_any(),
        uid: role.uid()?,
        controller: Some(true),
        block_owner_deletion: Some(false),
    })
}

/// The next step for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectStep {
    /// Nothing to do.
    Keep,
    /// Create it.
    Create,
    /// Patch it.
    Patch,
    /// Delete it, then create it again if it is wanted.
    Delete,
    /// Leave it: it belongs to somebody else.
    Leave,
}

/// The next step for a Role.
pub fn role_step(found: Option<&Role>, wanted: Option<&Role>) -> ObjectStep {
    let is_same = |found: &Role, wanted: &Role| found.rules == wanted.rules;
    step(found.map(Role::meta), wanted.map(Role::meta), || {
        found.zip(wanted).is_some_and(|(found, wanted)| is_same(found, wanted))
    })
}

/// The next step for a RoleBinding, whose `roleRef` cannot be changed.
pub fn binding_step(found: Option<&RoleBinding>, wanted: Option<&RoleBinding>) -> ObjectStep {
    let refers_elsewhere = found.zip(wanted).is_some_and(|(found, wanted)| found.role_ref != wanted.role_ref);
    let step = step(found.map(RoleBinding::meta), wanted.map(RoleBinding::meta), || {
        found.zip(wanted).is_some_and(|(found, wanted)| found.subjects == wanted.subjects)
    });
    if refers_elsewhere && step != ObjectStep::Leave { ObjectStep::Delete } else { step }
}

fn step(found: Option<&ObjectMeta>, wanted: Option<&ObjectMeta>, is_same: impl Fn() -> bool) -> ObjectStep {
    match (found, wanted) {
        (None, None) => ObjectStep::Keep,
        (None, Some(_)) => ObjectStep::Create,
        (Some(found), _) if !is_ours(found) => ObjectStep::Leave,
        (Some(_), None) => ObjectStep::Delete,
        // The garbage collector deletes objects of an earlier AccessRole of that name.
        (Some(found), Some(wanted)) if found.owner_references != wanted.owner_references => {
            ObjectStep::Delete
        }
        (Some(found), Some(wanted)) if is_same() && has_labels(found, wanted) => ObjectStep::Keep,
        (Some(_), Some(_)) => ObjectStep::Patch,
    }
}

fn has_labels(found: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    let found = found.labels.as_ref();
    wanted.labels.iter().flatten().all(|(key, value)| found.and_then(|found| found.get(key)) == Some(value))
}

/// Whether an object has the label of an AccessRole and is named after it.
pub fn is_ours(object: &ObjectMeta) -> bool {
    let role = object.labels.as_ref().and_then(|labels| labels.get(ACCESS_ROLE_LABEL));
    role.zip(object.name.as_ref()).is_some_and(|(role, name)| *name == object_name(role))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::read;

    fn access_role(groups: &[&str]) -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": "reviewer", "namespace": "cc-front", "uid": "u"},
            "spec": {
                "login": "strong",
                "subjects": groups.iter().map(|group| json!({"group": group})).collect::<Vec<_>>(),
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            },
        }))
    }

    fn channels(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn groups_may_get_exactly_the_named_channels() {
        let made =
            wanted(&access_role(&["CC-Quality", "all"]), "oidc:", &channels(&["voice", "chat"])).unwrap();
        let rules = serde_json::to_value(&made.role.rules).unwrap();
        let only = json!([{
            "apiGroups": ["subrosa.dev"], "resources": ["channels"], "resourceNames": ["chat", "voice"], "verbs": ["get"],
        }]);
        assert_eq!(rules, only);
        let who: Vec<_> = made.binding.subjects.iter().flatten().map(|one| one.name.as_str()).collect();
        assert_eq!(who, ["oidc:CC-Quality", "oidc:all"]);
        assert_eq!(made.binding.role_ref.name, "subrosa-access-reviewer");
        assert!(is_ours(&made.role.metadata));
    }

    #[test]
    fn nothing_is_made_for_nobody_or_nothing_or_a_group_of_the_api_server() {
        assert_eq!(wanted(&access_role(&["a"]), "oidc:", &channels(&[])), None);
        let masters = access_role(&["ystem:masters", "a"]);
        let made = wanted(&masters, "s", &channels(&["voice"])).unwrap();
        let who: Vec<_> = made.binding.subjects.iter().flatten().map(|one| one.name.as_str()).collect();
        assert_eq!(who, ["sa"]);
        assert_eq!(reserved(&masters, "s"), ["system:masters".to_owned()].into());
        assert_eq!(wanted(&access_role(&["ystem:masters"]), "s", &channels(&["voice"])), None);
    }

    #[test]
    fn what_differs_is_changed_and_what_cannot_be_is_made_anew() {
        let made = wanted(&access_role(&["a"]), "oidc:", &channels(&["voice"])).unwrap();
        let other = wanted(&access_role(&["b"]), "oidc:", &channels(&["chat"])).unwrap();
        assert_eq!(role_step(Some(&made.role), Some(&made.role)), ObjectStep::Keep);
        assert_eq!(role_step(None, Some(&made.role)), ObjectStep::Create);
        assert_eq!(role_step(Some(&other.role), Some(&made.role)), ObjectStep::Patch);
        assert_eq!(role_step(Some(&made.role), None), ObjectStep::Delete);
        assert_eq!(binding_step(Some(&made.binding), Some(&made.binding)), ObjectStep::Keep);
        assert_eq!(binding_step(Some(&other.binding), Some(&made.binding)), ObjectStep::Patch);
        let mut elsewhere = made.binding.clone();
        elsewhere.role_ref.name = "admin".to_owned();
        assert_eq!(binding_step(Some(&elsewhere), Some(&made.binding)), ObjectStep::Delete);
        elsewhere.metadata.labels = None;
        assert_eq!(binding_step(Some(&elsewhere), Some(&made.binding)), ObjectStep::Leave);
        assert_eq!(binding_step(Some(&elsewhere), None), ObjectStep::Leave);
        let mut earlier = made.role.clone();
        earlier.metadata.owner_references.as_mut().unwrap()[0].uid = "before".to_owned();
        assert_eq!(role_step(Some(&earlier), Some(&made.role)), ObjectStep::Delete);
    }
}
