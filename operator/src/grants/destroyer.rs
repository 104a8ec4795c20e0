//! The destroyer's rights in the cluster: read what decides, and write what it found. Its rights on keys are in Vault
//! (`operator/records/src/vault/setup/policy.rs`).

use subrosa_destroyer::cluster::MIRROR;

use super::{
    admission::APPROVAL,
    table::{ADMISSION, CORE, Grant, GrantScope, SUBROSA, Verb},
};

use Verb::{Create, Get, List, Patch};

/// The name of the destroyer's ClusterRole, Role and their bindings.
pub const DESTROYER_ROLE: &str = "subrosa-destroyer";

const READ: &[Verb] = &[List];

/// All rights of the destroyer. It needs no watch, because it reads everything at each look.
pub fn table() -> Vec<Grant> {
    let read = |resource, why| Grant::new(GrantScope::Cluster, SUBROSA, resource, READ, why);
    let status = |resource, why| {
        Grant::new(GrantScope::Cluster, SUBROSA, resource, &[Patch], why).subresource("status")
    };
    let named = |group, resource, name: &str, why| {
        Grant::new(GrantScope::Cluster, group, resource, &[Get], why).named([name])
    };
    let here = |resource, verbs, why| Grant::new(GrantScope::OperatorNamespace, CORE, resource, verbs, why);
    vec![
        read("trustdomains", "Where the Vaults are, and how long their snapshots are kept."),
        read("retentionpolicies", "When keys are due, and how many people have to approve."),
        read("legalholds", "What must not be destroyed."),
        status("legalholds", "Which keys are held."),
        read("destructions", "Which keys are listed for destruction."),
        status("destructions", "What became of each key."),
        read("approvals", "Who approved what."),
        read("accessrevocations", "Whose Approvals do not count any more."),
        named(
            ADMISSION,
            "validatingadmissionpolicies",
            APPROVAL,
            "See that the policy by which Approvals can be trusted is there and unedited.",
        ),
        named(ADMISSION, "validatingadmissionpolicybindings", APPROVAL, "See that it is in force."),
        named(CORE, "namespaces", "kube-system", "Its UID, by which a cluster is told from another one."),
        Grant::new(
            GrantScope::Cluster,
            "events.k8s.io",
            "events",
            &[Create, Patch],
            "Tell what happened, beside the object it happened to; a repeated Event becomes a series.",
        ),
        here("configmaps", &[Get], "CA certificates that TrustDomains name."),
        here(
            "configmaps",
            &[Create],
            "Its memory of what stands in Vault. The policy subrosa-destroyer refuses to make any other.",
        ),
        here("configmaps", &[Patch], "Keep that memory.").named([MIRROR]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_decides_and_writes_what_it_found() {
        for row in table() {
            assert!(!row.verbs.is_empty() && row.why.ends_with('.'), "{row:?}");
            assert!(
                !["secrets", "pods", "serviceaccounts", "rolebindings", "channels"].contains(&row.resource)
            );
            assert!(row.subresource.is_none_or(|subresource| subresource == "status"), "{row:?}");
            let writes = row.verbs.iter().any(|verb| ![Get, List].contains(verb));
            let its_own =
                row.resource == "events" || row.resource == "configmaps" || row.subresource.is_some();
            assert!(!writes || its_own, "{row:?}");
            assert!(!row.verbs.contains(&Verb::Approve) && !row.verbs.contains(&Verb::Delete), "{row:?}");
            if row.group == ADMISSION || row.resource == "namespaces" {
                assert!(row.verbs == [Get] && row.names.len() == 1, "{row:?}");
            }
        }
    }
}
