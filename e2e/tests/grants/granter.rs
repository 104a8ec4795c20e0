//! No way leads from the granter's token to more than its job: it reads who may open what and writes what it made of it. Who makes
//! AccessRoles is the compliance office alone.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    operator::secret,
    request::{
        Case,
        Expected::{self, Allowed, Forbidden},
        RBAC, Request, delete, get, merge, post,
    },
    world::{
        APPROVER, AUDITOR, DESTROYER, ENGINEER, GRANTER, OFFICER, OPERATOR, World, admission, channel,
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
        refused("lists Approvals", subrosa("approvals", "")),
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
            RBAC,
        ),
        tries("binds a role", post(role_bindings("cc-front"), operator_binding()).dry(), RBAC),
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
