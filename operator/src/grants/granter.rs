//! The granter's rights in the cluster: read what AccessRoles name, and write what it found. Its rights in Vault are
//! in `operator/records/src/vault/setup/people.rs`.

use super::{
    admission::{APPROVAL, AUTHOR},
    table::{ADMISSION, CORE, Grant, GrantScope, RBAC, SUBROSA, Verb},
};

use Verb::{Create, Delete, Get, List, Patch, Watch};

/// The name of the granter's ClusterRole, Role and their bindings.
pub const GRANTER_ROLE: &str = "subrosa-granter";

const FOLLOW: &[Verb] = &[List, Watch];

/// All rights of the granter.
pub fn table() -> Vec<Grant> {
    let follow = |resource, why| Grant::new(GrantScope::Cluster, SUBROSA, resource, FOLLOW, why);
    // The policies subrosa-access-role and subrosa-access-binding limit these rights by label and content.
    let of_access = |resource, why| {
        Grant::new(GrantScope::Cluster, RBAC, resource, &[Create, Delete, List, Patch, Watch], why)
    };
    let guard = |resource, why| {
        Grant::new(GrantScope::Cluster, ADMISSION, resource, &[Get], why).named([APPROVAL, AUTHOR])
    };
    vec![
        follow("trustdomains", "Where the Vaults are, and how people log in."),
        follow("accessroles", "Who may open what."),
        follow("channels", "Whether the Channels that they name declare the classes that they name."),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "channels",
            &[Get],
            "Nobody can give in a Role what they may not do themselves.",
        ),
        follow("accessgrants", "Who asked for what, for a time."),
        follow("accessrevocations", "What was revoked."),
        follow(
            "approvals",
            "Who reviewed an AccessRole, approved an AccessGrant or released an AccessRevocation, and what a leaver approved.",
        ),
        guard(
            "validatingadmissionpolicies",
            "See that the policies by which Approvals and authors of AccessRoles can be trusted are there and unedited.",
        ),
        guard("validatingadmissionpolicybindings", "See that they are in force."),
        Grant::new(
            GrantScope::Cluster,
            "events.k8s.io",
            "events",
            &[Create],
            "Remind of reviews, and tell what became of grants, beside the AccessRole or AccessGrant.",
        ),
        of_access("roles", "What the groups of an AccessRole may read."),
        of_access("rolebindings", "That they may."),
        Grant::new(GrantScope::Cluster, SUBROSA, "accessroles", &[Patch], "What was made of each role.")
            .subresource("status"),
        Grant::new(GrantScope::Cluster, SUBROSA, "accessgrants", &[Patch], "What became of each grant.")
            .subresource("status"),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "accessrevocations",
            &[Patch],
            "What ended by each revocation.",
        )
        .subresource("status"),
        Grant::new(
            GrantScope::Cluster,
            CORE,
            "namespaces",
            &[Get, List, Watch],
            "To which TrustDomain a namespace belongs, and the UID by which its Channels and the cluster are told from others.",
        ),
        Grant::new(
            GrantScope::Cluster,
            CORE,
            "serviceaccounts",
            FOLLOW,
            "Which ServiceAccount has a name that an AccessRole names: its UID, and that it is gone.",
        ),
        Grant::new(
            GrantScope::OperatorNamespace,
            CORE,
            "configmaps",
            &[Get],
            "CA certificates that TrustDomains name.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_the_status_of_access_roles_and_what_they_become_and_nothing_else() {
        for row in table() {
            assert!(!row.verbs.is_empty() && row.why.ends_with('.'), "{row:?}");
            assert!(!["secrets", "pods", "clusterroles", "clusterrolebindings"].contains(&row.resource));
            assert!(row.resource != "serviceaccounts" || (row.verbs == FOLLOW && row.subresource.is_none()));
            let writes = row.verbs.iter().any(|verb| ![Get, List, Watch].contains(verb));
            assert!(
                !writes
                    || (row.resource.starts_with("access") && row.subresource == Some("status"))
                    || (row.resource == "events" && row.verbs == [Create])
                    || (row.group == RBAC && ["roles", "rolebindings"].contains(&row.resource)),
                "{row:?}"
            );
            assert!(row.verbs.iter().all(|verb| ![Verb::Bind, Verb::Update].contains(verb)), "{row:?}");
        }
    }
}
