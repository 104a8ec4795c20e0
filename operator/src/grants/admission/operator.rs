//! What the operator's verbs would allow beyond its job, and policies forbid.

use subrosa_crds::{
    CHANNEL_LABEL, GROUP, TRUST_DOMAIN_LABEL, VERSION, WITHDRAW_ACCESS_FINALIZER as FINALIZER,
};
use subrosa_plan::{
    backup, network, sealing,
    world::objects::{MANAGED_BY, MANAGER},
};

use super::{Draft, Guard, condition, demand, rule, workload};
use crate::grants::{
    Installation,
    rbac::{NAMESPACE_BINDING, NAMESPACE_ROLE},
};

/// A Secret with only trust files, which gives nobody an identity.
const TRUST_ALONE: &str =
    "(object.type == 'Opaque' && object.?data.orValue({}).all(file, file.endsWith('ca.crt')))";

pub(super) fn guards(installation: &Installation) -> [Guard; 6] {
    [
        role_binding(installation),
        secret(installation),
        config_map(installation),
        network_policy(installation),
        trust_domain(installation),
        workload::draft(),
    ]
    .map(|mut draft| {
        let user = installation.user();
        draft.conditions = vec![condition("operator", format!("request.userInfo.username == '{user}'"))];
        draft.finish()
    })
}

/// RBAC cannot limit `create` by name, and `bind` does not restrict the subject or the namespace.
fn role_binding(installation: &Installation) -> Draft {
    let (namespace, account) = (installation.namespace(), installation.service_account());
    Draft {
        name: "subrosa-role-binding",
        description: "The operator binds ClusterRole subrosa-namespace to itself, in governed namespaces; nothing else.",
        rules: vec![rule("rbac.authorization.k8s.io", "v1", &["rolebindings"], &["CREATE", "UPDATE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                format!("object.metadata.name == '{NAMESPACE_BINDING}'"),
                format!(
                    "'the operator writes RoleBinding {NAMESPACE_BINDING} only, not ' + object.metadata.name"
                ),
            ),
            demand(
                format!("object.roleRef.kind == 'ClusterRole' && object.roleRef.name == '{NAMESPACE_ROLE}'"),
                format!(
                    "'the operator binds ClusterRole {NAMESPACE_ROLE} only, not ' + object.roleRef.kind + ' ' + \
                     object.roleRef.name"
                ),
            ),
            demand(
                format!(
                    "size(object.?subjects.orValue([])) == 1 && object.subjects.all(subject, \
                     subject.kind == 'ServiceAccount' && subject.name == '{account}' && \
                     subject.?namespace.orValue('') == '{namespace}')"
                ),
                format!(
                    "'the operator binds itself only: one subject, ServiceAccount {namespace}/{account}'"
                ),
            ),
            demand(
                format!("namespaceObject.metadata.?labels['{TRUST_DOMAIN_LABEL}'].orValue('') != ''"),
                format!(
                    "'namespace ' + namespaceObject.metadata.name + ' belongs to no TrustDomain: it lacks the label \
                     {TRUST_DOMAIN_LABEL}'"
                ),
            ),
        ],
    }
}

/// CEL: the object has our label.
fn managed(object: &str) -> String {
    format!("{object}.metadata.?labels['{MANAGED_BY}'].orValue('') == '{MANAGER}'")
}

/// CEL: a Channel owns the object.
fn owned(object: &str) -> String {
    format!(
        "{object}.metadata.?ownerReferences.orValue([]).exists(owner, \
         owner.kind == 'Channel' && owner.apiVersion.startsWith('{GROUP}/'))"
    )
}

/// Other ConfigMaps contain programs' configuration and trust.
fn config_map(_: &Installation) -> Draft {
    let suffixes = [sealing::config_map_name(""), backup::config_map_name("")];
    let suffix = suffixes.join(" and <channel>");
    let named = suffixes.map(|suffix| {
        format!("object.metadata.name == object.metadata.labels['{CHANNEL_LABEL}'] + '{suffix}'")
    });
    Draft {
        name: "subrosa-config-map",
        description: "The operator writes the ConfigMaps that tell the workloads of Channels how to seal, and backup workers what to do; it neither makes, changes nor deletes another.",
        rules: vec![rule("", "v1", &["configmaps"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            // An object that lost its labels or its owner, but not both, can still be repaired.
            demand(
                format!(
                    "request.operation == 'CREATE' || {} || {}",
                    managed("oldObject"),
                    owned("oldObject")
                ),
                "'ConfigMap ' + oldObject.metadata.name + ' is not of Subrosa: the operator does not touch it'"
                    .to_owned(),
            ),
            demand(
                format!(
                    "request.operation == 'DELETE' || ('{CHANNEL_LABEL}' in object.metadata.?labels.orValue({{}}) && \
                     ({}) && {} && {})",
                    named.join(" || "),
                    managed("object"),
                    owned("object")
                ),
                format!(
                    "'the operator writes ConfigMaps <channel>{suffix} that are owned by a Channel and labelled \
                     {MANAGED_BY} and {CHANNEL_LABEL}; this one, ' + object.metadata.name + ', is not'"
                ),
            ),
        ],
    }
}

/// A Secret of another type could hold a token of any ServiceAccount in the namespace, and with it that workload's
/// identity in Vault.
fn secret(_: &Installation) -> Draft {
    // A deleted Channel's Secret has lost its owner, but the operator must still empty its trust files.
    let left = format!(
        "request.operation == 'UPDATE' && !{} && \
         object.?data.orValue({{}}).all(file, file.endsWith('ca.crt') || \
         (file in oldObject.?data.orValue({{}}) && oldObject.data[file] == object.data[file])) && \
         oldObject.?data.orValue({{}}).all(file, file in object.?data.orValue({{}}))",
        owned("oldObject")
    );
    Draft {
        name: "subrosa-secret",
        description: "The operator writes TLS Secrets of Channels, and Secrets with their trust files alone; it neither makes, changes nor deletes another.",
        rules: vec![rule("", "v1", &["secrets"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            // An object that lost its labels or its owner, but not both, can still be repaired.
            demand(
                format!(
                    "request.operation == 'CREATE' || {} || {}",
                    managed("oldObject"),
                    owned("oldObject")
                ),
                "'Secret ' + oldObject.metadata.name + ' is not of Subrosa: the operator does not touch it'"
                    .to_owned(),
            ),
            demand(
                format!(
                    "request.operation == 'DELETE' || ((object.type == 'kubernetes.io/tls' || {TRUST_ALONE}) && {} && \
                     '{CHANNEL_LABEL}' in object.metadata.labels && ({} || ({left})))",
                    managed("object"),
                    owned("object")
                ),
                format!(
                    "'the operator writes Secrets of type kubernetes.io/tls, or Opaque with *ca.crt alone, that are owned by a Channel and labelled \
                     {MANAGED_BY} and {CHANNEL_LABEL}, and of those without an owner *ca.crt alone; this one, ' + object.metadata.name + ', is not'"
                ),
            ),
        ],
    }
}

fn network_policy(_: &Installation) -> Draft {
    let (deny, channel) = (network::DEFAULT_DENY, network::policy_name(""));
    let worker = backup::PREFIX;
    Draft {
        name: "subrosa-network-policy",
        description: "The operator writes NetworkPolicies by its own names; it neither makes, changes nor deletes another.",
        rules: vec![rule("networking.k8s.io", "v1", &["networkpolicies"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![super::variable(
            "name",
            "request.operation == 'DELETE' ? oldObject.metadata.name : object.metadata.name".to_owned(),
        )],
        validations: vec![demand(
            format!(
                "variables.name == '{deny}' || variables.name.startsWith('{channel}') || \
                 variables.name.startsWith('{worker}')"
            ),
            format!(
                "'the operator writes NetworkPolicies {deny}, {channel}* and {worker}*, not ' + variables.name"
            ),
        )],
    }
}

/// A finalizer is metadata of the object itself, and no right is smaller than patching all of it.
fn trust_domain(_: &Installation) -> Draft {
    let same = |field: &str| format!("object.metadata.?{field} == oldObject.metadata.?{field}");
    let others = |object: &str| {
        format!("{object}.metadata.?finalizers.orValue([]).filter(finalizer, finalizer != '{FINALIZER}')")
    };
    Draft {
        name: "subrosa-trust-domain",
        description: "The operator sets and lifts its finalizer on a TrustDomain and changes nothing else.",
        rules: vec![rule(GROUP, VERSION, &["trustdomains"], &["UPDATE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![demand(
            [
                "object.spec == oldObject.spec".to_owned(),
                same("labels"),
                same("annotations"),
                same("ownerReferences"),
                format!("{} == {}", others("object"), others("oldObject")),
            ]
            .join(" && "),
            format!("'the operator changes the finalizer {FINALIZER} of a TrustDomain and nothing else'"),
        )],
    }
}
