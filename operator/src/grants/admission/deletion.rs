//! Protection against accidental deletion.

use subrosa_crds::{CONFIRM_DELETE_ANNOTATION as CONFIRM, GROUP, TRUST_DOMAIN_LABEL as LABEL, VERSION};

use super::{Draft, Guard, condition, demand, rule};

/// Deletes the content of a namespace whose deletion was confirmed.
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";

/// The garbage collector needs the confirmation too, so that a Channel is not deleted because an owner that somebody
/// gave it was. ExternalParties need none: deleting one only closes connections, which must not be delayed.
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
            // It was confirmed when the deletion began.
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
            // Some clusters do not give their controllers separate users. The content of a namespace was confirmed
            // with it, whoever deletes it.
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
