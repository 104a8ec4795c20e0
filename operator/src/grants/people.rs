//! ClusterRoles for the people who work with Subrosa. Nobody is bound by installing them.

use k8s_openapi::api::rbac::v1::ClusterRole;

use super::{
    rbac::{named, rules},
    table::{Grant, GrantScope, Verb},
};

use Verb::{Create, Delete, DeleteCollection, Get, Govern, List, Patch, Update, Watch};

const READ: &[Verb] = &[Get, List, Watch];
const OWN: &[Verb] = &[Get, List, Watch, Create, Update, Patch, Delete];

/// A role, whom it is for, and what it grants.
pub struct PeopleRole {
    /// The ClusterRole's name.
    pub name: &'static str,
    /// Whom it is for and what it does not hold.
    pub description: &'static str,
    /// Kubernetes' own roles that take it in.
    pub aggregate_to: &'static [&'static str],
    /// What it grants.
    pub grants: Vec<Grant>,
}

impl PeopleRole {
    pub(super) fn cluster_role(&self) -> ClusterRole {
        let mut metadata = named(self.name, Some(self.description));
        let label =
            |role: &&str| (format!("rbac.authorization.k8s.io/aggregate-to-{role}"), "true".to_owned());
        metadata.labels.get_or_insert_default().extend(self.aggregate_to.iter().map(label));
        ClusterRole { metadata, rules: Some(rules(&self.grants)), aggregation_rule: None }
    }
}

/// The roles, those with the least first.
pub fn roles() -> Vec<PeopleRole> {
    vec![
        PeopleRole {
            name: "subrosa-view",
            description: "For auditors and whoever may view: all resources of Subrosa with their status. No Secret.",
            aggregate_to: &["view"],
            grants: vec![
                subrosa("channels", READ, "What is protected, and how well."),
                subrosa("trustdomains", READ, "For whom."),
                subrosa("externalparties", READ, "Who outside is connected."),
                subrosa("retentionpolicies", READ, "How long data lives."),
            ],
        },
        PeopleRole {
            name: "subrosa-edit",
            description: "For platform teams: the Channels of the namespaces it is bound in.",
            aggregate_to: &["edit", "admin"],
            grants: vec![subrosa(
                "channels",
                &[Create, Update, Patch, Delete, DeleteCollection],
                "Declare Channels. Deleting one has to be confirmed.",
            )],
        },
        PeopleRole {
            name: "subrosa-compliance",
            description: "For the compliance office: everything that is decided for all teams. Bind it cluster-wide, \
                          or copy it with resourceNames on govern for an office that has one of several TrustDomains.",
            aggregate_to: &[],
            grants: vec![
                subrosa("trustdomains", OWN, "The organisation, its Vault, its network."),
                subrosa("trustdomains", &[Govern], "Which namespaces belong to it."),
                subrosa("externalparties", OWN, "Consent to every connection with the outside."),
                subrosa("retentionpolicies", OWN, "How long data lives."),
                subrosa("channels", READ, "What the teams made of it."),
                core("namespaces", READ, "Which namespaces there are, and whose."),
            ],
        },
        PeopleRole {
            name: "subrosa-membership",
            description: "For those of the compliance office who label namespaces themselves. Apart, because whoever may \
                          change a namespace may change all its labels; and it does nothing for membership without govern.",
            aggregate_to: &[],
            grants: vec![core(
                "namespaces",
                &[Get, List, Watch, Patch],
                "Set the label, confirm a deletion.",
            )],
        },
    ]
}

fn subrosa(resource: &'static str, verbs: &'static [Verb], why: &'static str) -> Grant {
    Grant::new(GrantScope::Cluster, subrosa_crds::GROUP, resource, verbs, why)
}

fn core(resource: &'static str, verbs: &'static [Verb], why: &'static str) -> Grant {
    Grant::new(GrantScope::Cluster, "", resource, verbs, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_office_governs_and_nobody_gets_secrets_or_roles() {
        for role in roles() {
            let governs = role.grants.iter().any(|grant| grant.verbs.contains(&Govern));
            assert_eq!(governs, role.name == "subrosa-compliance");
            for grant in &role.grants {
                assert!(["subrosa.dev", ""].contains(&grant.group), "{grant:?}");
                assert!(!["secrets", "serviceaccounts", "pods"].contains(&grant.resource), "{grant:?}");
                // Status is what the operator saw.
                assert_eq!(grant.subresource, None, "{grant:?}");
            }
        }
    }

    #[test]
    fn what_a_team_holds_by_aggregation_is_no_more_than_channels() {
        for role in roles().iter().filter(|role| role.aggregate_to.contains(&"edit")) {
            assert!(role.grants.iter().all(|grant| grant.resource == "channels"));
        }
    }
}
