//! ClusterRoles for people who work with Subrosa. Installing them binds nobody.

use k8s_openapi::api::rbac::v1::ClusterRole;
use subrosa_destroyer::cluster::MIRROR;

use super::{
    rbac::{named, rules},
    table::{Grant, GrantScope, Verb},
};

use Verb::{Approve, Create, Delete, DeleteCollection, Get, Govern, List, Patch, Update, Watch};

const READ: &[Verb] = &[Get, List, Watch];
const OWN: &[Verb] = &[Get, List, Watch, Create, Update, Patch, Delete];

/// A role, for whom it is, and its grants.
pub struct PeopleRole {
    /// The ClusterRole's name.
    pub name: &'static str,
    /// For whom it is, and what it does not include.
    pub description: &'static str,
    /// The Kubernetes roles into which it is aggregated.
    pub aggregate_to: &'static [&'static str],
    /// Its grants.
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

/// The roles, from the least privileged.
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
                subrosa("legalholds", READ, "What must not be destroyed."),
                subrosa("destructions", READ, "What is to be destroyed, and was."),
                subrosa("adoptions", READ, "Which Channels took over the keys of earlier ones."),
                subrosa("accessroles", READ, "Who may open what."),
                subrosa("accessgrants", READ, "Who got what for a time."),
                subrosa("accessrevocations", READ, "What was taken from whom."),
                subrosa("approvals", READ, "Who decided it."),
                memory(),
            ],
        },
        PeopleRole {
            name: "subrosa-requester",
            description: "For people who may ask for a grant, for themselves or for somebody else. Others approve it. Bind it in the \
                          namespaces whose AccessRoles they may ask for.",
            aggregate_to: &[],
            grants: vec![
                subrosa("accessgrants", &[Get, List, Watch, Create], "Ask, in your own name."),
                subrosa("accessroles", READ, "What can be asked for."),
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
                subrosa(
                    "legalholds",
                    OWN,
                    "What must not be destroyed. One can be deleted after its release was approved.",
                ),
                subrosa("destructions", READ, "What is to be destroyed, and was."),
                subrosa(
                    "adoptions",
                    OWN,
                    "Ask that Channels take over the keys of earlier ones. Others approve.",
                ),
                subrosa("approvals", READ, "Who decided it."),
                subrosa(
                    "accessroles",
                    OWN,
                    "Who may open what. Only the office gives it: a team would give it to itself.",
                ),
                subrosa(
                    "accessrevocations",
                    OWN,
                    "End at once what somebody was given. One can be deleted after its release was approved.",
                ),
                subrosa("accessgrants", OWN, "Who gets what for a time. Deleting one ends it at once."),
                memory(),
                subrosa("channels", READ, "What the teams made of it."),
                core("namespaces", READ, "Which namespaces there are, and whose."),
            ],
        },
        PeopleRole {
            name: "subrosa-approver",
            description: "For each of the people who decide that data ends, and may not do it alone. Bind it to users, never \
                          to ServiceAccounts, or copy it with resourceNames on approve for some RetentionPolicies. Apart, \
                          because who writes the rules should not be alone in approving by them.",
            aggregate_to: &[],
            grants: vec![
                subrosa(
                    "approvals",
                    &[Get, List, Watch, Create],
                    "Approve or deny, in your own name. It stays.",
                ),
                subrosa("retentionpolicies", &[Approve], "Destructions under it, and weaker rules of it."),
                subrosa("legalholds", &[Approve], "The end of a hold."),
                subrosa(
                    "trustdomains",
                    &[Approve],
                    "That destruction goes on after a restore or a changed clock.",
                ),
                subrosa("adoptions", &[Approve], "That Channels take over the keys of earlier ones."),
                subrosa("accessroles", &[Approve], "That who may open what by it is still right: a review."),
                subrosa("accessgrants", &[Approve], "That somebody gets what a role names for a time."),
                subrosa("accessgrants", READ, "Who asks for what."),
                subrosa("accessrevocations", &[Approve], "That what was revoked is given again."),
                subrosa("accessrevocations", READ, "What was taken from whom."),
                subrosa("accessroles", READ, "Who may open what."),
                subrosa("adoptions", READ, "Which would."),
                subrosa("destructions", READ, "What would be destroyed."),
                subrosa("legalholds", READ, "What would be held no more."),
                subrosa("retentionpolicies", READ, "Which rules would bind."),
                subrosa("trustdomains", READ, "Which Vault it is about."),
                memory(),
            ],
        },
        PeopleRole {
            name: "subrosa-channel-granter",
            description: "For people who may let others open what Channels seal: an AccessRole gives nothing until one of them wrote or \
                          approved it. Bind it in the namespaces whose Channels they answer for, to users and never to \
                          ServiceAccounts, or copy it with resourceNames for some Channels. Apart, because who may write \
                          AccessRoles should not thereby give every Channel. It lets nobody write an AccessRole.",
            aggregate_to: &[],
            grants: vec![
                subrosa("channels", &[Verb::Grant], "Give them by an AccessRole, in your own name."),
                subrosa("channels", READ, "Which Channels there are."),
                subrosa("accessroles", READ, "Who would open what."),
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

/// For `subrosa status --destruction` and `subrosa approve TrustDomain/…`.
fn memory() -> Grant {
    core("configmaps", &[Get], "Why nothing is destroyed, and which weaker rules wait.").named([MIRROR])
}

fn core(resource: &'static str, verbs: &'static [Verb], why: &'static str) -> Grant {
    Grant::new(GrantScope::Cluster, "", resource, verbs, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_office_governs_only_approvers_approve_and_nobody_gets_secrets_or_roles() {
        for role in roles() {
            let governs = role.grants.iter().any(|grant| grant.verbs.contains(&Govern));
            assert_eq!(governs, role.name == "subrosa-compliance");
            let approves = |grant: &Grant| grant.verbs.contains(&Approve);
            assert_eq!(role.grants.iter().any(approves), role.name == "subrosa-approver");
            let gives = |grant: &Grant| grant.verbs.contains(&Verb::Grant);
            assert_eq!(role.grants.iter().any(gives), role.name == "subrosa-channel-granter");
            for grant in &role.grants {
                assert!(["subrosa.dev", ""].contains(&grant.group), "{grant:?}");
                assert!(!["secrets", "serviceaccounts", "pods"].contains(&grant.resource), "{grant:?}");
                // An Approval is made, and then it stays; what is destroyed is listed by the operator.
                let writes = grant.verbs.iter().any(|verb| !READ.contains(verb) && *verb != Create);
                assert!(!(grant.resource == "approvals" && writes), "{grant:?}");
                assert!(grant.resource != "destructions" || grant.verbs == READ, "{grant:?}");
                // Status is what the operator or the destroyer saw.
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
