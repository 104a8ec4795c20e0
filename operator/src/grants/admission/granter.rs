//! Policies that limit the granter to its job: it lets groups of people get Channels by name, in namespaces of a
//! TrustDomain, with objects that an AccessRole owns.

use k8s_openapi::api::admissionregistration::v1::Validation;
use subrosa_crds::{ACCESS_ROLE_LABEL, GROUP, TRUST_DOMAIN_LABEL};
use subrosa_plan::roles::rbac::{API_GROUP, PREFIX};

use super::{Draft, Guard, condition, demand, rule};
use crate::grants::Installation;

pub(super) fn guards(installation: &Installation) -> [Guard; 2] {
    [role(), binding()].map(|mut draft| {
        let user = installation.granter_user();
        draft.conditions = vec![condition("granter", format!("request.userInfo.username == '{user}'"))];
        draft.finish()
    })
}

fn role() -> Draft {
    let mut validations = common("Role").to_vec();
    validations.push(demand(
        format!(
            "request.operation == 'DELETE' || object.?rules.orValue([]).all(rule, rule.verbs == ['get'] && \
             rule.?apiGroups.orValue([]) == ['{GROUP}'] && rule.?resources.orValue([]) == ['channels'] && \
             size(rule.?resourceNames.orValue([])) > 0 && size(rule.?nonResourceURLs.orValue([])) == 0)"
        ),
        format!("'the granter gives the verb get on channels.{GROUP} with resourceNames only; Role ' + object.metadata.name + ' gives more'"),
    ));
    Draft {
        name: "subrosa-access-role",
        description: "The granter writes Roles of AccessRoles, which give get on named Channels; it neither makes, changes nor deletes another.",
        rules: vec![rule(API_GROUP, "v1", &["roles"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![],
        validations,
    }
}

fn binding() -> Draft {
    let mut validations = common("RoleBinding").to_vec();
    validations.push(demand(
        "request.operation == 'DELETE' || (object.roleRef.kind == 'Role' && object.roleRef.name == object.metadata.name)"
            .to_owned(),
        "'the granter binds the Role of the same name only, not ' + object.roleRef.kind + ' ' + object.roleRef.name".to_owned(),
    ));
    validations.push(demand(
        "request.operation == 'DELETE' || object.?subjects.orValue([]).all(subject, subject.kind == 'Group' && \
         !subject.name.startsWith('system:'))"
            .to_owned(),
        "'the granter binds groups of people only, no user, ServiceAccount or group that begins with system:; RoleBinding ' + \
         object.metadata.name + ' has another subject'"
            .to_owned(),
    ));
    Draft {
        name: "subrosa-access-binding",
        description: "The granter binds Roles of AccessRoles to groups of people; it neither makes, changes nor deletes another RoleBinding.",
        rules: vec![rule(API_GROUP, "v1", &["rolebindings"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![],
        validations,
    }
}

/// What both kinds have in common: name, label, owner and namespace.
fn common(kind: &str) -> [Validation; 3] {
    let ours = |object: &str| {
        format!(
            "({object}.metadata.?labels['{ACCESS_ROLE_LABEL}'].orValue('') != '' && \
             {object}.metadata.name == '{PREFIX}' + {object}.metadata.labels['{ACCESS_ROLE_LABEL}'])"
        )
    };
    [
        demand(
            format!(
                "(request.operation == 'CREATE' || {}) && (request.operation == 'DELETE' || {})",
                ours("oldObject"),
                ours("object")
            ),
            format!(
                "'the granter writes {kind}s {PREFIX}<AccessRole> that have the label {ACCESS_ROLE_LABEL} only, not ' + request.name"
            ),
        ),
        demand(
            format!(
                "request.operation == 'DELETE' || (size(object.metadata.?ownerReferences.orValue([])) == 1 && \
                 object.metadata.ownerReferences.all(owner, owner.kind == 'AccessRole' && \
                 owner.apiVersion.startsWith('{GROUP}/') && '{PREFIX}' + owner.name == object.metadata.name))"
            ),
            format!(
                "'{kind} ' + object.metadata.name + ' has to go with its AccessRole: one ownerReference, to that'"
            ),
        ),
        demand(
            format!(
                "request.operation == 'DELETE' || namespaceObject.metadata.?labels['{TRUST_DOMAIN_LABEL}'].orValue('') != ''"
            ),
            format!(
                "'namespace ' + namespaceObject.metadata.name + ' belongs to no TrustDomain: it lacks the label {TRUST_DOMAIN_LABEL}'"
            ),
        ),
    ]
}
