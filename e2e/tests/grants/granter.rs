//! No way leads from the granter's token to more than its job: it reads who may open what and writes what it made of it. Who makes
//! AccessRoles is the compliance office alone.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    operator::secret,
    request::{
        Case,
        Expected::{self, Allowed, Denied, Forbidden},
        RBAC, Request, delete, get, merge, post,
    },
    world::{
        ADMIN, APPROVER, AUDITOR, DESTROYER, ENGINEER, GRANTER, OFFICER, OPERATOR, World, admission, channel,
        channels, cluster_rbac, core, operator_binding, role_bindings, subrosa,
    },
};

const HOME: &str = "subrosa-system";
const NAME: &str = "subrosa-granter";

fn tries(what: &'static str, request: Request, expected: Expected) -> Case {
    Case { who: GRANTER, what, request, expected }
}

fn roles(name: &str) -> String {
    format!("/apis/subrosa.dev/v1alpha1/namespaces/cc-front/accessroles/{name}")
        .trim_end_matches('/')
        .to_owned()
}

fn role() -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "metadata": { "name": "reviewer" },
        "spec": {
            "login": "strong", "subjects": [{ "group": "cc-quality" }],
            "allow": [{ "channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"] }],
        },
    })
}

pub async fn writes_status_and_the_office_writes_roles(world: &World) -> Result<()> {
    let case = |who, what, request, expected| Case { who, what, request, expected };
    let status = format!("{}/status", roles("reviewer"));
    let says = || merge(&status, json!({ "status": { "rights": "1/1" } }));
    let cases = vec![
        case(ENGINEER, "gives themselves a role", post(roles(""), role()).dry(), RBAC),
        case(AUDITOR, "makes a role", post(roles(""), role()).dry(), RBAC),
        case(APPROVER, "makes a role", post(roles(""), role()).dry(), RBAC),
        case(OPERATOR, "makes a role", post(roles(""), role()).dry(), RBAC),
        case(DESTROYER, "makes a role", post(roles(""), role()).dry(), RBAC),
        tries("makes a role", post(roles(""), role()).dry(), RBAC),
        case(OFFICER, "makes a role", post(roles(""), role()), Allowed),
        case(AUDITOR, "reads it", get(roles("reviewer")), Allowed),
        case(OPERATOR, "lists roles", get(subrosa("accessroles", "")), Allowed),
        case(OPERATOR, "says that it is in force", says().dry(), RBAC),
        case(OFFICER, "says that it is in force", says().dry(), RBAC),
        tries("says that it is in force", says(), Allowed),
        tries("changes it", merge(roles("reviewer"), json!({ "spec": { "login": "weak" } })).dry(), RBAC),
        tries("deletes it", delete(roles("reviewer")).dry(), RBAC),
        case(OFFICER, "deletes it", delete(roles("reviewer")), Allowed),
    ];
    world.try_all("AccessRoles", cases).await
}

pub async fn cannot_escalate(world: &World) -> Result<()> {
    let refused = |what, path: String| tries(what, get(path), RBAC);
    let allowed = |what, path: String| tries(what, get(path), Allowed);
    let token = |namespace: &str, account: &str| {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": ["vault"], "expirationSeconds": 600 },
        });
        post(core(namespace, "serviceaccounts", &format!("{account}/token")), request)
    };
    let acts = |user| get(subrosa("accessroles", "")).acting_as(user);
    let nobody = Forbidden("cannot impersonate");
    let everything = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let cases = vec![
        allowed("lists TrustDomains", subrosa("trustdomains", "")),
        allowed("lists AccessRoles", subrosa("accessroles", "")),
        allowed("lists Channels", subrosa("channels", "")),
        allowed("lists namespaces", "/api/v1/namespaces".into()),
        allowed("reads certificates", core(HOME, "configmaps", "kube-root-ca.crt")),
        refused("lists Secrets cluster-wide", "/api/v1/secrets".into()),
        refused("lists Secrets of a Channel", core("cc-front", "secrets", "")),
        refused("reads a Secret at home", core(HOME, "secrets", "any")),
        refused("lists ConfigMaps at home", core(HOME, "configmaps", "")),
        refused("reads a ConfigMap of a Channel", core("cc-front", "configmaps", "voice-sealing")),
        allowed("lists Approvals", subrosa("approvals", "")),
        tries("approves", post(subrosa("approvals", ""), json!({})).dry(), RBAC),
        allowed(
            "reads the policy of Approvals",
            admission("validatingadmissionpolicies", "subrosa-approval"),
        ),
        allowed(
            "reads the policy of authors",
            admission("validatingadmissionpolicies", "subrosa-access-author"),
        ),
        allowed(
            "reads that it is in force",
            admission("validatingadmissionpolicybindings", "subrosa-access-author"),
        ),
        refused("lists RetentionPolicies", subrosa("retentionpolicies", "")),
        refused("lists pods", "/api/v1/pods".into()),
        refused("reads roles", cluster_rbac("clusterroles", "")),
        refused("lists policies", admission("validatingadmissionpolicies", "")),
        tries("takes a token of its own", token(HOME, NAME), RBAC),
        tries("takes a token of the operator", token(HOME, "subrosa"), RBAC),
        tries("takes a token of a workload", token("cc-front", "default"), RBAC),
        tries("acts as an officer", acts(OFFICER), nobody),
        tries("acts as the operator", acts("system:serviceaccount:subrosa-system:subrosa"), nobody),
        tries("makes a Secret", post(core(HOME, "secrets", ""), secret("x", "Opaque")).dry(), RBAC),
        tries(
            "widens its ClusterRole",
            merge(cluster_rbac("clusterroles", NAME), everything.clone()).dry(),
            RBAC,
        ),
        tries(
            "moves its binding",
            merge(cluster_rbac("clusterrolebindings", NAME), json!({ "subjects": [] })).dry(),
            RBAC,
        ),
        tries(
            "widens its Role",
            merge(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/subrosa-system/roles/subrosa-granter",
                everything,
            )
            .dry(),
            Forbidden("attempting to grant"),
        ),
        tries(
            "empties its Role",
            merge(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/subrosa-system/roles/subrosa-granter",
                json!({ "rules": [] }),
            )
            .dry(),
            Denied("subrosa-access-role", "subrosa-access-<AccessRole>"),
        ),
        tries(
            "binds the operator's role",
            post(role_bindings("cc-front"), operator_binding()).dry(),
            Forbidden("attempting to grant"),
        ),
        tries("makes a Channel", post(channels("cc-front", ""), channel("mine")).dry(), RBAC),
        tries(
            "says of a Channel what is not so",
            merge(format!("{}/status", channels("cc-front", "voice")), json!({ "status": {} })).dry(),
            RBAC,
        ),
        tries(
            "changes how people log in",
            merge(subrosa("trustdomains", "oosterlinde"), json!({ "spec": { "access": null } })).dry(),
            RBAC,
        ),
        tries("labels a namespace", merge("/api/v1/namespaces/plain", json!({ "metadata": {} })).dry(), RBAC),
        tries(
            "deletes a policy",
            delete(admission("validatingadmissionpolicies", "subrosa-approval")).dry(),
            RBAC,
        ),
    ];
    world.try_all("the granter", cases).await
}

fn of_role(kind: &str, patch: Value) -> Value {
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {
            "name": "subrosa-access-reviewer", "labels": { "subrosa.dev/access-role": "reviewer" },
            "ownerReferences": [{
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "name": "reviewer",
                "uid": "0a1b2c3d-0000-4000-8000-aabbccddeeff",
            }],
        },
    });
    let more = if kind == "Role" {
        json!({ "rules": [rule("get", "channels", &["voice"])] })
    } else {
        json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "subrosa-access-reviewer" },
            "subjects": [group("oidc:cc-quality")],
        })
    };
    for part in [more, patch] {
        for (field, value) in part.as_object().into_iter().flatten() {
            match (field.as_str(), value.as_object()) {
                ("metadata", Some(fields)) => {
                    for (field, value) in fields {
                        object["metadata"][field] = value.clone();
                    }
                }
                _ => object[field] = value.clone(),
            }
        }
    }
    object
}

fn rule(verb: &str, resource: &str, names: &[&str]) -> Value {
    json!({ "apiGroups": ["subrosa.dev"], "resources": [resource], "resourceNames": names, "verbs": [verb] })
}

fn group(name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name })
}

/// Roles and bindings it makes: only those that let groups of people get named Channels.
pub async fn binds_groups_to_named_channels_only(world: &World) -> Result<()> {
    let api = |namespace: &str, resource: &str| {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{resource}")
    };
    let makes = |what, namespace: &str, kind: &str, patch: Value, expected| {
        let resource = if kind == "Role" { "roles" } else { "rolebindings" };
        tries(what, post(api(namespace, resource), of_role(kind, patch)).dry(), expected)
    };
    let in_front = |what, kind: &str, patch, expected| makes(what, "cc-front", kind, patch, expected);
    let (role, binding) = ("subrosa-access-role", "subrosa-access-binding");
    let of = |kind: &str| if kind == "Role" { role } else { binding };
    let more = Denied(role, "the verb get on channels.subrosa.dev");
    let people = Denied(binding, "binds groups of people only");
    let not_held = Forbidden("attempting to grant");
    let named = |what, kind: &str, metadata: Value| {
        in_front(what, kind, json!({ "metadata": metadata }), Denied(of(kind), "subrosa-access-<AccessRole>"))
    };
    let other = |name: &str, kind: &str| json!({ "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name } });
    let foreign = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "of-others", "namespace": "cc-front" }, "rules": [rule("get", "channels", &["voice"])],
    });
    let foreign_binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "of-others", "namespace": "cc-front" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "of-others" },
    });
    // Without an owner, since that of the others is nowhere. Whoever binds a role that is not there is told just that.
    let bound = |namespace: &str| {
        post(api(namespace, "roles"), of_role("Role", json!({ "metadata": { "ownerReferences": [] } })))
    };
    for request in [post(api("cc-front", "roles"), foreign), bound("cc-front"), bound("plain")] {
        world.must(ADMIN, request).await?;
    }
    world.must(ADMIN, post(api("cc-front", "rolebindings"), foreign_binding)).await?;
    let at = |resource: &str| format!("{}/of-others", api("cc-front", resource));
    let not_ours = |policy| Denied(policy, "subrosa-access-<AccessRole>");
    let cases = vec![
        in_front(
            "gives get on a Channel",
            "Role",
            json!({ "metadata": {
                "name": "subrosa-access-second", "labels": { "subrosa.dev/access-role": "second" },
                "ownerReferences": [{
                    "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "name": "second", "uid": "u",
                }],
            } }),
            Allowed,
        ),
        in_front("binds a group", "RoleBinding", json!({}), Allowed),
        in_front(
            "lists every Channel",
            "Role",
            json!({ "rules": [rule("list", "channels", &["voice"])] }),
            more,
        ),
        in_front("gives all names", "Role", json!({ "rules": [rule("get", "channels", &[])] }), more),
        in_front(
            "gives a status",
            "Role",
            json!({ "rules": [rule("patch", "accessroles/status", &["x"])] }),
            more,
        ),
        in_front(
            "gives AccessRoles",
            "Role",
            json!({ "rules": [rule("list", "accessroles", &["x"])] }),
            more,
        ),
        in_front(
            "gives what it does not have",
            "Role",
            json!({ "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }] }),
            not_held,
        ),
        in_front(
            "hides a rule behind a good one",
            "Role",
            json!({ "rules": [
            rule("get", "channels", &["voice"]), rule("list", "accessroles", &[]),
        ] }),
            more,
        ),
        makes("gives elsewhere", "plain", "Role", json!({}), Denied(role, "belongs to no TrustDomain")),
        makes(
            "binds elsewhere",
            "plain",
            "RoleBinding",
            json!({}),
            Denied(binding, "belongs to no TrustDomain"),
        ),
        named("makes another Role", "Role", json!({ "name": "mine" })),
        named("makes one without the label", "Role", json!({ "labels": {} })),
        named("makes another RoleBinding", "RoleBinding", json!({ "name": "mine" })),
        named(
            "makes one of another AccessRole",
            "RoleBinding",
            json!({ "labels": { "subrosa.dev/access-role": "x" } }),
        ),
        in_front(
            "makes one that stays",
            "RoleBinding",
            json!({ "metadata": { "ownerReferences": [] } }),
            Denied(binding, "has to go with its AccessRole"),
        ),
        in_front(
            "makes one of another owner",
            "Role",
            json!({ "metadata": { "ownerReferences": [{
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "name": "reviewer", "uid": "u",
            }] } }),
            Denied(role, "has to go with its AccessRole"),
        ),
        in_front("binds a ClusterRole", "RoleBinding", other("view", "ClusterRole"), not_held),
        in_front(
            "binds another Role",
            "RoleBinding",
            other("of-others", "Role"),
            Denied(binding, "of the same name only"),
        ),
        in_front(
            "binds everybody",
            "RoleBinding",
            json!({ "subjects": [group("system:authenticated")] }),
            people,
        ),
        in_front(
            "binds a user",
            "RoleBinding",
            json!({ "subjects": [
            { "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "anna" },
        ] }),
            people,
        ),
        in_front(
            "binds itself",
            "RoleBinding",
            json!({ "subjects": [
            { "kind": "ServiceAccount", "name": NAME, "namespace": HOME },
        ] }),
            people,
        ),
        tries(
            "changes another Role",
            merge(at("roles"), json!({ "metadata": { "labels": { "a": "b" } } })).dry(),
            not_ours(role),
        ),
        tries(
            "takes another Role over",
            merge(
                at("roles"),
                json!({ "metadata": { "labels": { "subrosa.dev/access-role": "of-others" } } }),
            )
            .dry(),
            not_ours(role),
        ),
        tries("deletes another Role", delete(at("roles")).dry(), not_ours(role)),
        tries("deletes another RoleBinding", delete(at("rolebindings")).dry(), not_ours(binding)),
    ];
    world.try_all("what the granter binds", cases).await
}
