//! The table of the operator's rights. RBAC is generated from it, and tests compare it with what the operator did.

use std::fmt;

use subrosa_plan::pod_certificate::SIGNER;

use super::{Installation, LEASE, rbac};

/// Where a grant applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantScope {
    /// In the whole cluster.
    Cluster,
    /// In the namespace the operator runs in.
    OperatorNamespace,
    /// In each namespace of a TrustDomain, by a RoleBinding that the operator creates there.
    GovernedNamespace,
}

/// The verbs. There is no wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one; server-side apply too.
    Patch,
    /// Remove one.
    Delete,
    /// Remove several at once.
    DeleteCollection,
    /// Refer to a role in a binding without having all its rights.
    Bind,
    /// Decide which namespaces belong to a TrustDomain. Checked only by admission policies.
    Govern,
    /// Decide about a Destruction, the release of a LegalHold, a weaker RetentionPolicy, a freeze, an Adoption, an
    /// AccessRole, an AccessGrant or the release of an AccessRevocation. Checked only by the policy `subrosa-approval`.
    Approve,
    /// Give others, by an AccessRole, what its Channels seal. Checked only by the policies `subrosa-access-author` and
    /// `subrosa-approval`.
    Grant,
    /// Issue certificates for a signer. The API server checks it when a certificate is written.
    Sign,
}

impl Verb {
    /// As RBAC writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Bind => "bind",
            Self::Govern => "govern",
            Self::Approve => "approve",
            Self::Grant => "grant",
            Self::Sign => "sign",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row: verbs on a resource, and why they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where it applies.
    pub scope: GrantScope,
    /// The API group; empty for core.
    pub group: &'static str,
    /// The plural resource.
    pub resource: &'static str,
    /// The subresource, if the grant is on one.
    pub subresource: Option<&'static str>,
    /// The only objects to which it applies; all if empty.
    pub names: Vec<String>,
    /// The verbs.
    pub verbs: &'static [Verb],
    /// Why it is needed.
    pub why: &'static str,
}

impl Grant {
    pub(super) fn new(
        scope: GrantScope,
        group: &'static str,
        resource: &'static str,
        verbs: &'static [Verb],
        why: &'static str,
    ) -> Self {
        Self { scope, group, resource, subresource: None, names: Vec::new(), verbs, why }
    }

    pub(super) fn subresource(mut self, subresource: &'static str) -> Self {
        self.subresource = Some(subresource);
        self
    }

    pub(super) fn named<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The resource as RBAC and audit logs write it, such as `channels/status`.
    pub fn path(&self) -> String {
        match self.subresource {
            None => self.resource.to_owned(),
            Some(subresource) => format!("{}/{subresource}", self.resource),
        }
    }

    /// Whether this grant allows `access` to the operator of `installation`.
    ///
    /// Every namespace other than the operator's counts as governed, because only the cluster knows which ones are.
    pub fn covers(&self, access: &AccessRequest<'_>, installation: &Installation) -> bool {
        let here = match self.scope {
            GrantScope::Cluster => true,
            GrantScope::OperatorNamespace => access.namespace == installation.namespace(),
            GrantScope::GovernedNamespace => {
                !access.namespace.is_empty() && access.namespace != installation.namespace()
            }
        };
        here && self.group == access.group
            && self.path() == access.resource
            && (self.names.is_empty() || self.names.iter().any(|name| name == access.name))
            && self.verbs.iter().any(|verb| verb.as_str() == access.verb)
    }
}

/// A request as an authorizer and the audit log see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRequest<'a> {
    /// The namespace; empty for cluster-scoped resources and for lists over all namespaces.
    pub namespace: &'a str,
    /// The API group; empty for core.
    pub group: &'a str,
    /// The plural resource with its subresource, such as `channels/status`.
    pub resource: &'a str,
    /// The object; empty where the request names none.
    pub name: &'a str,
    /// The verb.
    pub verb: &'a str,
}

use Verb::{Bind, Create, Delete, Get, List, Patch, Sign, Update, Watch};

const FOLLOW: &[Verb] = &[List, Watch];

pub(super) const SUBROSA: &str = subrosa_crds::GROUP;
pub(super) const CORE: &str = "";
pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
pub(super) const ADMISSION: &str = "admissionregistration.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const APPS: &str = "apps";
const BATCH: &str = "batch";
const POLICY: &str = "policy";
const CERTIFICATES: &str = "certificates.k8s.io";

/// All rights of the operator. API discovery (`/api`, `/apis`) and self reviews are allowed to every ServiceAccount
/// by the server's own roles.
pub fn table(installation: &Installation) -> Vec<Grant> {
    let mut rows = subrosa_kinds();
    rows.extend(surroundings());
    rows.extend(signer());
    rows.extend(itself(installation));
    rows.extend(reach(installation));
    rows.extend(governed_namespaces());
    rows
}

fn subrosa_kinds() -> Vec<Grant> {
    let status = |resource, why| {
        Grant::new(GrantScope::Cluster, SUBROSA, resource, &[Patch], why).subresource("status")
    };
    let follow = |resource, why| Grant::new(GrantScope::Cluster, SUBROSA, resource, FOLLOW, why);
    vec![
        follow("trustdomains", "Which TrustDomains there are."),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "trustdomains",
            &[Patch],
            "Its finalizer. The policy subrosa-trust-domain refuses any other change.",
        ),
        status("trustdomains", "What the operator found."),
        follow("externalparties", "Who outside may be connected to."),
        status("externalparties", "What the operator found."),
        follow("retentionpolicies", "How long data lives."),
        status("retentionpolicies", "What the operator found."),
        follow("channels", "What is to be protected."),
        status("channels", "What the operator found."),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "destructions",
            &[List, Create],
            "List keys that are due, each once. The policy subrosa-destruction refuses to change or delete one.",
        ),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "adoptions",
            &[List],
            "Which Channels are to take over the keys of earlier ones.",
        ),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "accessroles",
            &[List],
            "What people are to open: the operator says in Vault what that is, and not who they are.",
        ),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "accessrevocations",
            &[List],
            "Which roles give nothing, and whose Approvals do not count.",
        ),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "accessgrants",
            &[List],
            "Whether somebody asked for what the granter's record says: only that is opened for a single person.",
        ),
        status("adoptions", "Who approved, and what the operator did then."),
        Grant::new(
            GrantScope::Cluster,
            SUBROSA,
            "approvals",
            &[List],
            "Whether people approved an Adoption or an AccessGrant. The policy subrosa-approval lets no ServiceAccount make one.",
        ),
    ]
}

fn surroundings() -> Vec<Grant> {
    let follow = |group, resource, why| Grant::new(GrantScope::Cluster, group, resource, FOLLOW, why);
    vec![
        follow(CORE, "namespaces", "Which namespaces belong to a TrustDomain, and their UIDs."),
        follow(CORE, "pods", "Which pods a Channel selects, and whether a policy reaches them."),
        follow(CORE, "services", "The DNS names of a Channel's certificate."),
        follow(CORE, "serviceaccounts", "The UID by which a workload is known in Vault."),
        follow(NETWORKING, "networkpolicies", "Foreign policies that open what Subrosa closes."),
        Grant::new(
            GrantScope::Cluster,
            "events.k8s.io",
            "events",
            &[Create, Patch],
            "Tell what happened, beside the object it happened to; a repeated Event becomes a series.",
        ),
    ]
}

/// Certificates for pods whose key stays on their node.
fn signer() -> Vec<Grant> {
    let requests =
        |verbs, why| Grant::new(GrantScope::Cluster, CERTIFICATES, "podcertificaterequests", verbs, why);
    vec![
        requests(FOLLOW, "Which pods ask for the certificate of their Channel."),
        requests(&[Patch], "Answer them; only those of a signer whom it may sign for.").subresource("status"),
        Grant::new(GrantScope::Cluster, CERTIFICATES, "signers", &[Sign], "Be this signer, and no other.")
            .named([SIGNER]),
    ]
}

fn itself(installation: &Installation) -> Vec<Grant> {
    let here =
        |group, resource, verbs, why| Grant::new(GrantScope::OperatorNamespace, group, resource, verbs, why);
    let mut rows = vec![
        here(CORE, "configmaps", FOLLOW, "CA certificates that TrustDomains and ExternalParties name."),
        here(CORE, "serviceaccounts", &[Create], "A token of its own for Vault's audience, to log in with.")
            .subresource("token")
            .named([installation.service_account()]),
        here(COORDINATION, "leases", &[Create], "Stand for election; RBAC grants no create by name."),
        here(COORDINATION, "leases", &[Get, Update], "Be elected, stay it and give it up: one replica acts.")
            .named([LEASE]),
    ];
    // A rule without names would apply to every Secret, so without names there is none.
    if !installation.token_secrets().is_empty() {
        rows.push(
            here(CORE, "secrets", &[Get], "The Vault token a TrustDomain names; for development.")
                .named(installation.token_secrets()),
        );
    }
    rows
}

/// How the operator gets its rights in a governed namespace, and checks the policies that limit it.
fn reach(installation: &Installation) -> Vec<Grant> {
    let guards = || super::admission::names(installation);
    vec![
        Grant::new(
            GrantScope::Cluster,
            RBAC,
            "rolebindings",
            &[Create],
            "Reach into a governed namespace. The policy subrosa-role-binding admits this one binding only.",
        ),
        Grant::new(
            GrantScope::Cluster,
            RBAC,
            "rolebindings",
            &[Get, List, Watch, Patch],
            "Keep that binding as it was, and notice when somebody changes it.",
        )
        .named([rbac::NAMESPACE_BINDING]),
        Grant::new(
            GrantScope::Cluster,
            RBAC,
            "clusterroles",
            &[Bind],
            "Refer to this role, and to no other.",
        )
        .named([rbac::NAMESPACE_ROLE]),
        Grant::new(
            GrantScope::Cluster,
            ADMISSION,
            "validatingadmissionpolicies",
            &[Get],
            "See that the policies are there and unedited (condition Guarded).",
        )
        .named(guards()),
        Grant::new(
            GrantScope::Cluster,
            ADMISSION,
            "validatingadmissionpolicybindings",
            &[Get],
            "See that they are in force.",
        )
        .named(guards()),
    ]
}

/// For `tls.reload: Restart`.
const RESTART: &str =
    "Restart what a Channel names in workload.ref. The policy subrosa-workload admits no other change.";

fn governed_namespaces() -> Vec<Grant> {
    let here =
        |group, resource, verbs, why| Grant::new(GrantScope::GovernedNamespace, group, resource, verbs, why);
    vec![
        here(
            CORE,
            "secrets",
            &[Get, List, Watch, Create, Patch, Delete],
            "Certificates and trust of the Channels. The policy subrosa-secret refuses to write any other.",
        ),
        here(
            CORE,
            "configmaps",
            &[Get, List, Watch, Create, Patch, Delete],
            "What tells workloads how to seal. The policy subrosa-config-map refuses to write any other.",
        ),
        // Without delete: a Channel's policy is deleted with its owner, and the default deny stays.
        here(
            NETWORKING,
            "networkpolicies",
            &[Get, Create, Patch],
            "What is closed and open. The policy subrosa-network-policy refuses to write any other.",
        ),
        here(
            CORE,
            "serviceaccounts",
            &[Get, Create, Patch],
            "The identity of a Channel's backup worker. The policy subrosa-backup-account refuses any other.",
        ),
        here(
            BATCH,
            "cronjobs",
            &[Get, Create, Patch, Delete],
            "When a Channel's backup worker runs. The policy subrosa-backup-form refuses any other form.",
        ),
        here(
            BATCH,
            "jobs",
            &[Get, Create],
            "A run that a person asks for, and the first drill. The policy subrosa-backup-form refuses any other form.",
        ),
        here(APPS, "deployments", &[Get, Patch], RESTART),
        here(APPS, "statefulsets", &[Get, Patch], RESTART),
        here(APPS, "daemonsets", &[Get, Patch], RESTART),
        here(POLICY, "poddisruptionbudgets", &[List], "Restart nothing that they do not allow to go."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Grant> {
        let installation = Installation::default().with_token_secrets(&["openbao-token"]).unwrap();
        table(&installation)
    }

    fn allowed(namespace: &str, group: &str, resource: &str, name: &str, verb: &str) -> bool {
        let access = AccessRequest { namespace, group, resource, name, verb };
        rows().iter().any(|row| row.covers(&access, &Installation::default()))
    }

    #[test]
    fn no_wildcard_and_no_row_without_a_reason() {
        for row in rows() {
            let texts = [row.group, row.resource, row.subresource.unwrap_or_default(), row.why];
            assert!(texts.iter().all(|text| !text.contains('*')), "{row:?}");
            assert!(row.names.iter().all(|name| !name.is_empty() && !name.contains('*')), "{row:?}");
            assert!(!row.verbs.is_empty() && row.why.ends_with('.'), "{row:?}");
        }
    }

    #[test]
    fn nothing_cluster_wide_on_secrets_or_their_likes() {
        for row in rows().iter().filter(|row| row.scope == GrantScope::Cluster) {
            assert!(!["secrets", "configmaps"].contains(&row.resource), "{row:?}");
            assert!(row.subresource.is_none_or(|subresource| subresource == "status"), "{row:?}");
            // Roles, policies and definitions decide what everybody may do.
            if ["clusterroles", "validatingadmissionpolicies", "validatingadmissionpolicybindings"]
                .contains(&row.resource)
            {
                assert!(row.verbs == [Get] || row.verbs == [Bind], "{row:?}");
                assert!(!row.names.is_empty(), "{row:?}");
            }
            // Nothing in the cluster at large is ever removed or replaced.
            assert!(row.verbs.iter().all(|verb| ![Delete, Update, Verb::DeleteCollection].contains(verb)));
            assert!(!row.verbs.contains(&Verb::Govern), "the operator never decides membership");
            assert!(!row.verbs.contains(&Verb::Approve), "nor what is destroyed or adopted");
            assert!(row.resource != "approvals" || row.verbs == [List], "{row:?}");
        }
    }

    #[test]
    fn a_secret_is_read_by_name_or_not_at_all() {
        assert!(allowed("subrosa-system", "", "secrets", "openbao-token", "get"));
        assert!(!allowed("subrosa-system", "", "secrets", "another", "get"));
        let without = table(&Installation::default());
        assert!(
            !without
                .iter()
                .any(|row| row.scope == GrantScope::OperatorNamespace && row.resource == "secrets")
        );
    }

    #[test]
    fn covering_asks_for_place_name_and_verb() {
        assert!(allowed("", "subrosa.dev", "channels", "", "watch"));
        assert!(allowed("cc-front", "subrosa.dev", "channels/status", "voice", "patch"));
        assert!(!allowed("cc-front", "subrosa.dev", "channels", "voice", "patch"));
        assert!(allowed("cc-front", "", "secrets", "voice-mtls", "create"));
        assert!(!allowed("", "", "secrets", "", "list"), "over all namespaces");
        assert!(allowed("subrosa-system", "", "configmaps", "", "list"));
        assert!(allowed("cc-front", "", "configmaps", "voice-sealing", "patch"));
        assert!(!allowed("subrosa-system", "", "configmaps", "roots", "patch"));
        assert!(!allowed("cc-front", "", "configmaps", "voice-sealing", "update"));
        assert!(!allowed("", "", "configmaps", "", "list"));
        assert!(allowed("subrosa-system", "", "serviceaccounts/token", "subrosa", "create"));
        assert!(!allowed("subrosa-system", "", "serviceaccounts/token", "default", "create"));
        assert!(allowed("subrosa-system", COORDINATION, "leases", "subrosa", "update"));
        assert!(!allowed("subrosa-system", COORDINATION, "leases", "another", "update"));
        assert!(!allowed("kube-system", COORDINATION, "leases", "subrosa", "create"));
        assert!(allowed("cc-front", RBAC, "rolebindings", "subrosa", "patch"));
        assert!(!allowed("cc-front", RBAC, "rolebindings", "another", "patch"));
        assert!(!allowed("", RBAC, "clusterroles", "cluster-admin", "bind"));
    }
}
