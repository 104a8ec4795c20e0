//! No way leads from the destroyer's token to more than its job: it reads what decides and writes what it found.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    operator::secret,
    request::{
        Case,
        Expected::{self, Allowed, Denied, Forbidden},
        RBAC, Request, apply, delete, get, merge, post,
    },
    world::{
        ADMIN, APPROVER, DESTROYER, OFFICER, OPERATOR, World, admission, channels, cluster_rbac, core,
        operator_binding, retention_policy, role_bindings, subrosa, trust_domain,
    },
};

const MEMORY: &str = "subrosa-destroyer";
const HOME: &str = "subrosa-system";

fn tries(what: &'static str, request: Request, expected: Expected) -> Case {
    Case { who: DESTROYER, what, request, expected }
}

fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

pub async fn keeps_its_memory_to_itself(world: &World) -> Result<()> {
    let case = |who, what, request, expected| Case { who, what, request, expected };
    let make = |namespace: &str, name: &str| post(core(namespace, "configmaps", ""), config_map(name));
    let path = core(HOME, "configmaps", MEMORY);
    let edit = |path: &str| merge(path, json!({ "data": { "a": "2" } }));
    let its_own = Denied(MEMORY, "ConfigMap subrosa-destroyer is how the destroyer");
    let one = Denied(MEMORY, "writes ConfigMap subrosa-destroyer of namespace subrosa-system only");
    let cases = vec![
        case(ADMIN, "makes it first", make(HOME, MEMORY).dry(), its_own),
        tries("makes another", make(HOME, "openbao-ca").dry(), one),
        tries("makes it where it does not belong", make("cc-front", MEMORY).dry(), RBAC),
        tries("makes its memory", make(HOME, MEMORY), Allowed),
        tries("keeps it", edit(&path), Allowed),
        tries("reads it", get(&path), Allowed),
        tries("reads certificates", get(core(HOME, "configmaps", "kube-root-ca.crt")), Allowed),
        tries("changes certificates", edit(&core(HOME, "configmaps", "kube-root-ca.crt")).dry(), RBAC),
        tries("lists ConfigMaps", get(core(HOME, "configmaps", "")), RBAC),
        tries("forgets", delete(&path).dry(), RBAC),
        case(APPROVER, "reads it", get(&path), Allowed),
        case(OFFICER, "reads it", get(&path), Allowed),
        case(APPROVER, "changes it", edit(&path).dry(), RBAC),
        case(ADMIN, "changes it", edit(&path).dry(), its_own),
        case(ADMIN, "applies it", apply(&path, config_map(MEMORY)).dry(), its_own),
        case(ADMIN, "deletes it", delete(&path), its_own),
        case(
            ADMIN,
            "deletes all",
            delete(core(HOME, "configmaps", "?fieldSelector=metadata.name%3Dsubrosa-destroyer")),
            its_own,
        ),
        case(OPERATOR, "changes it", edit(&path).dry(), RBAC),
        case(ADMIN, "makes one of that name elsewhere", make("plain", MEMORY).dry(), Allowed),
        case(ADMIN, "makes another beside it", make(HOME, "another").dry(), Allowed),
    ];
    world.try_all("the destroyer's memory", cases).await
}

pub async fn cannot_escalate(world: &World) -> Result<()> {
    world.try_all("the destroyer reads", reading()).await?;
    world.try_all("the destroyer becomes somebody", becoming()).await?;
    world.try_all("the destroyer changes rules", changing_rules()).await?;
    world.try_all("the destroyer changes the world", changing_the_world()).await
}

fn reading() -> Vec<Case> {
    let refused = |what, path: String| tries(what, get(path), RBAC);
    let allowed = |what, path: String| tries(what, get(path), Allowed);
    vec![
        allowed("lists TrustDomains", subrosa("trustdomains", "")),
        allowed("lists RetentionPolicies", subrosa("retentionpolicies", "")),
        allowed("lists LegalHolds", subrosa("legalholds", "")),
        allowed("lists Destructions", subrosa("destructions", "")),
        allowed("lists Approvals", subrosa("approvals", "")),
        allowed(
            "reads the policy of Approvals",
            admission("validatingadmissionpolicies", "subrosa-approval"),
        ),
        allowed("reads its binding", admission("validatingadmissionpolicybindings", "subrosa-approval")),
        allowed("tells the cluster from another", "/api/v1/namespaces/kube-system".into()),
        allowed("asks for the time", "/version".into()),
        refused("reads another namespace", "/api/v1/namespaces/cc-front".into()),
        refused("lists namespaces", "/api/v1/namespaces".into()),
        refused("lists Secrets cluster-wide", "/api/v1/secrets".into()),
        refused("lists Secrets of a Channel", core("cc-front", "secrets", "")),
        refused("lists Secrets at home", core(HOME, "secrets", "")),
        refused("reads a Secret at home", core(HOME, "secrets", "any")),
        refused("lists ConfigMaps cluster-wide", "/api/v1/configmaps".into()),
        refused("reads a ConfigMap of a Channel", core("cc-front", "configmaps", "voice-sealing")),
        refused("lists Channels", channels("cc-front", "")),
        refused("lists ExternalParties", subrosa("externalparties", "")),
        refused("lists pods", "/api/v1/pods".into()),
        refused("reads a pod's log", core("cc-front", "pods/voice/log", "")),
        refused("reads nodes", "/api/v1/nodes".into()),
        refused("lists policies", admission("validatingadmissionpolicies", "")),
        refused("reads another policy", admission("validatingadmissionpolicies", "subrosa-deletion")),
        refused("reads roles", cluster_rbac("clusterroles", "")),
        refused("reads metrics", "/metrics".into()),
        refused(
            "reads the operator's Lease",
            "/apis/coordination.k8s.io/v1/namespaces/subrosa-system/leases/subrosa".into(),
        ),
    ]
}

fn becoming() -> Vec<Case> {
    let token = |namespace: &str, account: &str| {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": ["vault"], "expirationSeconds": 600 },
        });
        post(core(namespace, "serviceaccounts", &format!("{account}/token")), request)
    };
    let acts = |user| get(subrosa("approvals", "")).acting_as(user);
    let nobody = Forbidden("cannot impersonate");
    vec![
        // Its token for Vault is the kubelet's to give.
        tries("takes a token of its own", token(HOME, "subrosa-destroyer"), RBAC),
        tries("takes a token of the operator", token(HOME, "subrosa"), RBAC),
        tries("takes a token of a workload", token("cc-front", "default"), RBAC),
        tries("acts as an approver", acts(APPROVER), nobody),
        tries("acts as an officer", acts(OFFICER), nobody),
        tries("acts as the operator", acts("system:serviceaccount:subrosa-system:subrosa"), nobody),
        tries(
            "makes a ServiceAccount",
            post(core(HOME, "serviceaccounts", ""), json!({ "metadata": { "name": "x" } })).dry(),
            RBAC,
        ),
        tries(
            "makes a token Secret",
            post(core(HOME, "secrets", ""), secret("x", "kubernetes.io/service-account-token")).dry(),
            RBAC,
        ),
        tries(
            "asks for a client certificate",
            post(
                "/apis/certificates.k8s.io/v1/certificatesigningrequests",
                json!({ "metadata": { "name": "x" }, "spec": {} }),
            )
            .dry(),
            RBAC,
        ),
        tries(
            "reviews tokens",
            post(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": "x" } }),
            ),
            RBAC,
        ),
    ]
}

fn changing_rules() -> Vec<Case> {
    let everything = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let policy = admission("validatingadmissionpolicies", "subrosa-approval");
    let binding = admission("validatingadmissionpolicybindings", "subrosa-approval");
    let crd = |plural: &str| {
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.subrosa.dev")
    };
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "x" },
    });
    vec![
        tries(
            "widens its ClusterRole",
            merge(cluster_rbac("clusterroles", MEMORY), everything.clone()).dry(),
            RBAC,
        ),
        tries(
            "moves its binding",
            merge(cluster_rbac("clusterrolebindings", MEMORY), json!({ "subjects": [] })).dry(),
            RBAC,
        ),
        tries(
            "widens its Role",
            merge(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/subrosa-system/roles/subrosa-destroyer",
                everything,
            )
            .dry(),
            RBAC,
        ),
        tries("binds a role", post(role_bindings("cc-front"), operator_binding()).dry(), RBAC),
        tries(
            "loosens the policy of Approvals",
            merge(&policy, json!({ "spec": { "failurePolicy": "Ignore" } })).dry(),
            RBAC,
        ),
        tries("deletes it", delete(&policy).dry(), RBAC),
        tries(
            "loosens its binding",
            merge(&binding, json!({ "spec": { "validationActions": ["Warn"] } })).dry(),
            RBAC,
        ),
        tries("deletes its binding", delete(&binding).dry(), RBAC),
        tries("deletes the definition of holds", delete(crd("legalholds")).dry(), RBAC),
        tries("deletes the definition of Approvals", delete(crd("approvals")).dry(), RBAC),
        tries(
            "puts a webhook in the way",
            post(admission("mutatingwebhookconfigurations", ""), hook).dry(),
            RBAC,
        ),
    ]
}

fn changing_the_world() -> Vec<Case> {
    let note = || json!({ "metadata": { "annotations": { "a": "b" } } });
    let status = |resource: &str, name: &str| {
        merge(format!("{}/status", subrosa(resource, name)), json!({ "status": { "observedGeneration": 1 } }))
            .dry()
    };
    let pods = |name: &str| core("cc-front", "pods", name);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" },
        "spec": { "serviceAccountName": "default", "containers": [{ "name": "x", "image": "x" }] },
    });
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "x", "namespace": "default" },
        "eventTime": "2026-11-29T00:00:00.000000Z", "type": "Normal", "reason": "Destroyed", "action": "Destroy",
        "reportingController": "subrosa-destroyer", "reportingInstance": "subrosa-destroyer-0",
        "regarding": { "kind": "Destruction", "name": "contactcenter.20270101.0a1b2c3d" },
    });
    vec![
        tries(
            "shortens a RetentionPolicy",
            merge(subrosa("retentionpolicies", "contactcenter"), note()).dry(),
            RBAC,
        ),
        tries(
            "writes a RetentionPolicy",
            post(subrosa("retentionpolicies", ""), retention_policy()).dry(),
            RBAC,
        ),
        tries("deletes a RetentionPolicy", delete(subrosa("retentionpolicies", "contactcenter")).dry(), RBAC),
        tries("tells of a RetentionPolicy", status("retentionpolicies", "contactcenter"), RBAC),
        tries("founds a TrustDomain", post(subrosa("trustdomains", ""), trust_domain("x")).dry(), RBAC),
        tries("changes a TrustDomain", merge(subrosa("trustdomains", "oosterlinde"), note()).dry(), RBAC),
        tries("tells of a TrustDomain", status("trustdomains", "oosterlinde"), RBAC),
        tries("changes a Channel", merge(channels("cc-front", "voice"), note()).dry(), RBAC),
        tries("deletes a Channel", delete(channels("cc-front", "voice")).dry(), RBAC),
        tries("changes a namespace", merge("/api/v1/namespaces/cc-front", note()).dry(), RBAC),
        tries("deletes a namespace", delete("/api/v1/namespaces/cc-front").dry(), RBAC),
        tries("starts a pod", post(pods(""), pod).dry(), RBAC),
        tries("runs a command in a pod", post(pods("voice/exec?command=id"), json!({})), RBAC),
        tries("debugs a pod", merge(pods("voice/ephemeralcontainers"), json!({})).dry(), RBAC),
        tries("deletes a pod", delete(pods("voice")).dry(), RBAC),
        tries(
            "writes a Secret",
            post(core("cc-front", "secrets", ""), secret("x", "kubernetes.io/tls")).dry(),
            RBAC,
        ),
        tries(
            "changes its own Deployment",
            merge("/apis/apps/v1/namespaces/subrosa-system/deployments/subrosa-destroyer", note()).dry(),
            RBAC,
        ),
        tries(
            "opens a network policy",
            delete("/apis/networking.k8s.io/v1/namespaces/cc-front/networkpolicies/subrosa-default-deny")
                .dry(),
            RBAC,
        ),
        tries(
            "tells what happened",
            post("/apis/events.k8s.io/v1/namespaces/default/events", event).dry(),
            Allowed,
        ),
    ]
}
