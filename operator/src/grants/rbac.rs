//! The roles and bindings of the operator, the destroyer and the granter, generated from their tables.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use subrosa_plan::world::objects;

use super::{
    DESTROYER_ACCOUNT, GRANTER_ACCOUNT, Installation,
    destroyer::{self, DESTROYER_ROLE},
    granter::{self, GRANTER_ROLE},
    table::{Grant, GrantScope, table},
};

/// The name of the operator's ClusterRole, Role and their bindings.
pub const OPERATOR_ROLE: &str = "subrosa";
/// The ClusterRole with the operator's rights in a governed namespace.
pub const NAMESPACE_ROLE: &str = "subrosa-namespace";
/// The RoleBinding to it in each governed namespace.
pub const NAMESPACE_BINDING: &str = "subrosa";

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The binding that gives the operator its rights in a namespace of `domain`.
///
/// The policy `subrosa-role-binding` lets the operator create no other.
pub fn namespace_binding(installation: &Installation, namespace: &str, domain: &str) -> RoleBinding {
    RoleBinding {
        metadata: ObjectMeta {
            name: Some(NAMESPACE_BINDING.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(objects::domain_labels(domain)),
            ..ObjectMeta::default()
        },
        role_ref: cluster_role(NAMESPACE_ROLE),
        subjects: Some(vec![subject(installation.service_account(), installation)]),
    }
}

/// The rules of one scope, one for each row.
pub fn rules(grants: &[Grant]) -> Vec<PolicyRule> {
    let rule = |grant: &Grant| PolicyRule {
        api_groups: Some(vec![grant.group.to_owned()]),
        resources: Some(vec![grant.path()]),
        resource_names: (!grant.names.is_empty()).then(|| grant.names.clone()),
        verbs: grant.verbs.iter().map(ToString::to_string).collect(),
        non_resource_urls: None,
    };
    grants.iter().map(rule).collect()
}

pub(super) fn namespace(installation: &Installation) -> Namespace {
    let mut metadata = named(installation.namespace(), None);
    let restricted = ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
    metadata.labels.get_or_insert_default().extend([restricted]);
    Namespace { metadata, ..Namespace::default() }
}

/// A process with its own ServiceAccount, table and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// The operator.
    Operator,
    /// The destroyer.
    Destroyer,
    /// The granter.
    Granter,
}

impl Process {
    /// The name of its roles and their bindings.
    fn role(self) -> &'static str {
        match self {
            Self::Operator => OPERATOR_ROLE,
            Self::Destroyer => DESTROYER_ROLE,
            Self::Granter => GRANTER_ROLE,
        }
    }

    fn account(self, installation: &Installation) -> &str {
        match self {
            Self::Operator => installation.service_account(),
            Self::Destroyer => DESTROYER_ACCOUNT,
            Self::Granter => GRANTER_ACCOUNT,
        }
    }

    /// Its grants in one scope.
    pub(super) fn of_scope(self, installation: &Installation, scope: GrantScope) -> Vec<Grant> {
        let rows = match self {
            Self::Operator => table(installation),
            Self::Destroyer => destroyer::table(),
            Self::Granter => granter::table(),
        };
        rows.into_iter().filter(|grant| grant.scope == scope).collect()
    }

    pub(super) fn service_account(self, installation: &Installation) -> ServiceAccount {
        let mut metadata = named(self.account(installation), None);
        metadata.namespace = Some(installation.namespace().to_owned());
        ServiceAccount { metadata, ..ServiceAccount::default() }
    }

    pub(super) fn cluster_wide(self, grants: &[Grant]) -> ClusterRole {
        let what = match self {
            Self::Operator => "What the operator may do in the whole cluster.",
            Self::Destroyer => {
                "What the destroyer may do in the whole cluster: it reads what decides and writes what it found."
            }
            Self::Granter => {
                "What the granter may do in the whole cluster: it reads who may open what and writes what it made of it."
            }
        };
        ClusterRole {
            metadata: named(self.role(), Some(what)),
            rules: Some(rules(grants)),
            aggregation_rule: None,
        }
    }

    pub(super) fn cluster_wide_binding(self, installation: &Installation) -> ClusterRoleBinding {
        ClusterRoleBinding {
            metadata: named(self.role(), None),
            role_ref: cluster_role(self.role()),
            subjects: Some(vec![subject(self.account(installation), installation)]),
        }
    }

    pub(super) fn own_namespace(self, installation: &Installation, grants: &[Grant]) -> Role {
        let what = match self {
            Self::Operator => "What the operator may do in its own namespace.",
            Self::Destroyer => "What the destroyer may do in its own namespace.",
            Self::Granter => "What the granter may do in its own namespace.",
        };
        let mut metadata = named(self.role(), Some(what));
        metadata.namespace = Some(installation.namespace().to_owned());
        Role { metadata, rules: Some(rules(grants)) }
    }

    pub(super) fn own_namespace_binding(self, installation: &Installation) -> RoleBinding {
        let mut metadata = named(self.role(), None);
        metadata.namespace = Some(installation.namespace().to_owned());
        RoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: Some(API_GROUP.to_owned()),
                kind: "Role".to_owned(),
                name: self.role().to_owned(),
            },
            subjects: Some(vec![subject(self.account(installation), installation)]),
        }
    }
}

pub(super) fn governed_namespace(grants: &[Grant]) -> ClusterRole {
    let what = "What the operator may do in a namespace of a TrustDomain. Bound there, never cluster-wide.";
    ClusterRole {
        metadata: named(NAMESPACE_ROLE, Some(what)),
        rules: Some(rules(grants)),
        aggregation_rule: None,
    }
}

/// Metadata with name, recommended labels and, where useful, a description.
pub(super) fn named(name: &str, description: Option<&str>) -> ObjectMeta {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([
            text("app.kubernetes.io/name", "subrosa"),
            text("app.kubernetes.io/part-of", "subrosa"),
        ])),
        annotations: description.map(|what| BTreeMap::from([text("kubernetes.io/description", what)])),
        ..ObjectMeta::default()
    }
}

fn cluster_role(name: &str) -> RoleRef {
    RoleRef { api_group: Some(API_GROUP.to_owned()), kind: "ClusterRole".to_owned(), name: name.to_owned() }
}

fn subject(account: &str, installation: &Installation) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: account.to_owned(),
        namespace: Some(installation.namespace().to_owned()),
        api_group: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_becomes_one_rule_of_one_role() {
        let installation = Installation::default();
        let scopes = [GrantScope::Cluster, GrantScope::OperatorNamespace, GrantScope::GovernedNamespace];
        let by_scope = scopes.map(|scope| Process::Operator.of_scope(&installation, scope));
        let total: usize = by_scope.iter().map(Vec::len).sum();
        assert_eq!(total, table(&installation).len());
        let of_destroyer = scopes.map(|scope| Process::Destroyer.of_scope(&installation, scope));
        assert_eq!(of_destroyer.iter().map(Vec::len).sum::<usize>(), destroyer::table().len());
        assert_eq!(of_destroyer[2], [], "it has no rights in governed namespaces");
        let of_granter = scopes.map(|scope| Process::Granter.of_scope(&installation, scope));
        assert_eq!(of_granter.iter().map(Vec::len).sum::<usize>(), granter::table().len());
        assert_eq!(of_granter[2], [], "it has no rights in governed namespaces");
        let by_scope = by_scope.into_iter().chain(of_destroyer).chain(of_granter);
        for grants in by_scope {
            for (grant, rule) in grants.iter().zip(rules(&grants)) {
                assert_eq!(rule.resources, Some(vec![grant.path()]));
                assert_eq!(rule.resource_names.unwrap_or_default(), grant.names);
                assert_eq!(rule.verbs.len(), grant.verbs.len());
                assert_eq!(rule.non_resource_urls, None);
            }
        }
    }
}
