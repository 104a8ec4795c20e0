//! Deleting what protects has to be meant.

use subrosa_crds::{CONFIRM_DELETE_ANNOTATION as CONFIRM, GROUP, TRUST_DOMAIN_LABEL as LABEL, VERSION};

use super::{Draft, Guard, condition, demand, rule};

/// Removes what is in a namespace whose deletion was confirmed.
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";

/// The garbage collector is asked like everybody: a Channel does not go because something it was
/// made to depend on went. ExternalParties may go at once: that only closes, and closing has no
/// time to lose.
pub(super) fn guard() -> Guard {
    Draft {
        name: "subrosa-deletion",
        description: "Channels, TrustDomains, RetentionPolicies and governed namespaces are deleted only with the \
                      annotation subrosa.dev/confirm-delete that names their UID.",
        rules: vec![
            rule(GROUP, VERSION, &["channels", "trustdomains", "retentionpolicies"], &["DELETE"]),
            rule("", "v1", &["namespaces"], &["DELETE"]),
        ],
        conditions: vec![
            // Confirmed when it began.
            condition("not-going-already", "!has(oldObject.metadata.deletionTimestamp)".to_owned()),
            condition(
                "protects",
                format!(
                    "request.resource.resource != 'namespaces' || '{LABEL}' in oldObject.metadata.?labels.orValue({{}})"
                ),
            ),
            condition(
                "not-the-namespace-controller",
                format!("request.userInfo.username != '{NAMESPACE_CONTROLLER}'"),
            ),
        ],
        variables: vec![],
        validations: vec![demand(
            // Not every cluster gives its controllers names of their own: what goes with its
            // namespace was confirmed with it, whoever removes it.
            format!(
                "(namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp)) || \
                 oldObject.metadata.?annotations['{CONFIRM}'].orValue('') == oldObject.metadata.uid"
            ),
            format!(
                "request.kind.kind + ' ' + oldObject.metadata.name + ' protects what it governs, so deleting it has to \
                 be confirmed: kubectl annotate ' + request.resource.resource + \
                 (request.resource.group == '' ? '' : '.' + request.resource.group) + ' ' + oldObject.metadata.name + \
                 (has(oldObject.metadata.namespace) ? ' --namespace ' + oldObject.metadata.namespace : '') + \
                 ' --overwrite {CONFIRM}=' + oldObject.metadata.uid"
            ),
        )],
    }
    .finish()
}
