//! Who decides which namespaces belong to a TrustDomain.

use subrosa_crds::{GROUP, TRUST_DOMAIN_LABEL as LABEL};

use super::{Draft, Guard, condition, demand, rule, variable};
use crate::grants::Installation;

/// Kubernetes' own namespaces: a default deny would break the cluster, and the operator may read Secrets of governed
/// namespaces.
const OF_THE_CLUSTER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

pub(super) fn guard(installation: &Installation) -> Guard {
    let domain = |object: &str| format!("{object}.metadata.?labels['{LABEL}']");
    let never: Vec<String> = [installation.namespace()]
        .iter()
        .chain(&OF_THE_CLUSTER)
        .map(|namespace| format!("'{namespace}'"))
        .collect();
    Draft {
        name: "subrosa-membership",
        description: "Only who has the verb govern on a TrustDomain puts a namespace into it or takes one out.",
        // Labels can also be changed through subresources.
        rules: vec![rule(
            "",
            "v1",
            &["namespaces", "namespaces/status", "namespaces/finalize"],
            &["CREATE", "UPDATE"],
        )],
        conditions: vec![condition(
            "membership-changes",
            format!(
                "request.operation == 'CREATE' ? '{LABEL}' in object.metadata.?labels.orValue({{}}) : {} != {}",
                domain("object"),
                domain("oldObject")
            ),
        )],
        variables: vec![
            variable(
                "before",
                format!("request.operation == 'CREATE' ? '' : {}.orValue('')", domain("oldObject")),
            ),
            variable("after", format!("{}.orValue('')", domain("object"))),
        ],
        validations: vec![
            demand(
                format!("variables.after != '' || !('{LABEL}' in object.metadata.?labels.orValue({{}}))"),
                format!(
                    "'namespace ' + object.metadata.name + ': the label {LABEL} is empty; write the name of a \
                     TrustDomain or leave the label out'"
                ),
            ),
            demand(
                format!("variables.after == '' || !(object.metadata.name in [{}])", never.join(", ")),
                format!(
                    "'namespace ' + object.metadata.name + ' can never carry the label {LABEL}: it holds the \
                     cluster or Subrosa itself; keep Channels in namespaces of their own'"
                ),
            ),
            demand(governs("before"), unauthorised("before", "take namespaces out of")),
            demand(governs("after"), unauthorised("after", "put namespaces into")),
        ],
    }
    .finish()
}

fn governs(domain: &str) -> String {
    format!(
        "variables.{domain} == '' || \
         authorizer.group('{GROUP}').resource('trustdomains').name(variables.{domain}).check('govern').allowed()"
    )
}

fn unauthorised(domain: &str, what: &str) -> String {
    format!(
        "'namespace ' + object.metadata.name + ': to {what} TrustDomain ' + variables.{domain} + ' takes the verb \
         govern on trustdomains.{GROUP} ' + variables.{domain} + ', which ' + request.userInfo.username + \
         ' does not have; ask the compliance office (ClusterRole subrosa-compliance)'"
    )
}
