//! No way leads from the operator's token to more than its job.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    operator::{secret, tries},
    request::{
        Case,
        Expected::{Allowed, Denied, Forbidden},
        RBAC, delete, get, merge, post,
    },
    world::{
        OFFICER, World, admission, channel, channels, cluster_rbac, core, external_party, retention_policy,
        subrosa, trust_domain,
    },
};

pub async fn cannot_escalate(world: &World) -> Result<()> {
    world.try_all("reading", reading()).await?;
    world.try_all("becoming somebody", becoming()).await?;
    world.try_all("changing rules", changing_rules()).await?;
    world.try_all("changing the world", changing_the_world()).await
}

fn reading() -> Vec<Case> {
    let refused = |what, path: String| tries(what, get(path), RBAC);
    let allowed = |what, path: &str| tries(what, get(path), Allowed);
    vec![
        refused("lists Secrets cluster-wide", "/api/v1/secrets".into()),
        refused("watches Secrets cluster-wide", "/api/v1/secrets?watch=true&timeoutSeconds=1".into()),
        refused(
            "lists its own Secrets cluster-wide",
            "/api/v1/secrets?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dsubrosa".into(),
        ),
        refused("lists Secrets where it does not govern", core("plain", "secrets", "")),
        refused("reads a Secret where it does not govern", core("plain", "secrets", "any")),
        refused("lists Secrets of kube-system", core("kube-system", "secrets", "")),
        refused("lists Secrets at home", core("subrosa-system", "secrets", "")),
        refused("reads a Secret at home", core("subrosa-system", "secrets", "any")),
        refused("lists ConfigMaps cluster-wide", "/api/v1/configmaps".into()),
        refused("reads ConfigMaps where it does not govern", core("plain", "configmaps", "")),
        refused("reads a ConfigMap of kube-system", core("kube-system", "configmaps", "any")),
        refused("reads nodes", "/api/v1/nodes".into()),
        refused("reads a pod's log", core("cc-front", "pods/voice/log", "")),
        refused("reads roles", cluster_rbac("clusterroles", "cluster-admin")),
        refused("lists policies", admission("validatingadmissionpolicies", "")),
        refused("reads metrics", "/metrics".into()),
        allowed("lists pods", "/api/v1/pods?limit=1"),
        allowed("lists namespaces", "/api/v1/namespaces?limit=1"),
        allowed("lists Channels", &subrosa("channels", "")),
        allowed("lists its ConfigMaps", &core("subrosa-system", "configmaps", "")),
        allowed("looks at what the API server offers", "/apis"),
    ]
}

fn becoming() -> Vec<Case> {
    let workers_alone = Denied("subrosa-backup-account", "writes ServiceAccounts subrosa-backup-<channel>");
    let token = |namespace: &str, account: &str| {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": ["vault"], "expirationSeconds": 600 },
        });
        post(core(namespace, "serviceaccounts", &format!("{account}/token")), request)
    };
    let namespaces = || get("/api/v1/namespaces");
    let review = |kind: &str, spec: Value, group: &str| {
        let path = format!("/apis/{group}/v1/{}s", kind.to_lowercase());
        post(path, json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec }))
    };
    vec![
        tries("takes a token of its own", token("subrosa-system", "subrosa"), Allowed),
        tries("takes a token of a neighbour", token("subrosa-system", "default"), RBAC),
        tries("takes a token of a workload", token("cc-front", "default"), RBAC),
        tries("takes a token of a namesake", token("cc-front", "subrosa"), RBAC),
        tries("takes a token of a controller", token("kube-system", "namespace-controller"), RBAC),
        tries(
            "acts as the namespace controller",
            namespaces().acting_as("system:serviceaccount:kube-system:namespace-controller"),
            Forbidden("cannot impersonate"),
        ),
        tries("acts as an officer", namespaces().acting_as(OFFICER), Forbidden("cannot impersonate")),
        tries(
            "acts as itself",
            namespaces().acting_as("system:serviceaccount:subrosa-system:subrosa"),
            Forbidden("cannot impersonate"),
        ),
        tries(
            "makes a ServiceAccount",
            post(core("cc-front", "serviceaccounts", ""), json!({ "metadata": { "name": "x" } })).dry(),
            workers_alone,
        ),
        tries(
            "changes a ServiceAccount",
            merge(core("cc-front", "serviceaccounts", "default"), json!({ "metadata": { "labels": {} } }))
                .dry(),
            workers_alone,
        ),
        tries(
            "makes a ServiceAccount at home",
            post(core("subrosa-system", "serviceaccounts", ""), json!({ "metadata": { "name": "x" } })).dry(),
            RBAC,
        ),
        tries(
            "makes a token Secret at home",
            post(core("subrosa-system", "secrets", ""), secret("x", "kubernetes.io/service-account-token"))
                .dry(),
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
            review("TokenReview", json!({ "token": "x" }), "authentication.k8s.io"),
            RBAC,
        ),
        tries(
            "asks what others may",
            review(
                "SubjectAccessReview",
                json!({ "user": "x", "nonResourceAttributes": { "path": "/", "verb": "get" } }),
                "authorization.k8s.io",
            ),
            RBAC,
        ),
    ]
}

fn changing_rules() -> Vec<Case> {
    let everything = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    let role = |kind: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": "x" },
            "rules": everything,
        })
    };
    let rules = || json!({ "rules": everything });
    let own_role = "/apis/rbac.authorization.k8s.io/v1/namespaces/subrosa-system/roles";
    let policy = |name: &str| admission("validatingadmissionpolicies", name);
    let binding = |name: &str| admission("validatingadmissionpolicybindings", name);
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/channels.subrosa.dev";
    let hook = |kind: &str| {
        let body = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": "x" } });
        post(admission(&format!("{}s", kind.to_lowercase()), ""), body).dry()
    };
    vec![
        tries("widens its ClusterRole", merge(cluster_rbac("clusterroles", "subrosa"), rules()).dry(), RBAC),
        tries(
            "widens its role in governed namespaces",
            merge(cluster_rbac("clusterroles", "subrosa-namespace"), rules()).dry(),
            RBAC,
        ),
        tries("makes a ClusterRole", post(cluster_rbac("clusterroles", ""), role("ClusterRole")).dry(), RBAC),
        tries("widens its Role", merge(format!("{own_role}/subrosa"), rules()).dry(), RBAC),
        tries("makes a Role", post(own_role, role("Role")).dry(), RBAC),
        tries(
            "moves its ClusterRoleBinding",
            merge(cluster_rbac("clusterrolebindings", "subrosa"), json!({ "subjects": [] })).dry(),
            RBAC,
        ),
        tries("reads the policies about it", get(policy("subrosa-secret")), Allowed),
        tries("reads another policy", get(policy("another")), RBAC),
        tries(
            "loosens a policy",
            merge(policy("subrosa-secret"), json!({ "spec": { "failurePolicy": "Ignore" } })).dry(),
            RBAC,
        ),
        tries("deletes a policy", delete(policy("subrosa-secret")).dry(), RBAC),
        tries(
            "loosens a binding",
            merge(binding("subrosa-secret"), json!({ "spec": { "validationActions": ["Warn"] } })).dry(),
            RBAC,
        ),
        tries("deletes a binding", delete(binding("subrosa-deletion")).dry(), RBAC),
        tries("deletes a definition", delete(crd).dry(), RBAC),
        tries("changes a definition", merge(crd, json!({ "metadata": { "labels": {} } })).dry(), RBAC),
        tries("puts a webhook in the way", hook("MutatingWebhookConfiguration"), RBAC),
        tries("mutates by policy", hook("ValidatingWebhookConfiguration"), RBAC),
    ]
}

fn changing_the_world() -> Vec<Case> {
    let note = || json!({ "metadata": { "annotations": { "a": "b" } } });
    let voice = channels("cc-front", "voice");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" },
        "spec": { "serviceAccountName": "default", "containers": [{ "name": "x", "image": "x" }] },
    });
    let pods = |name: &str| core("cc-front", "pods", name);
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "name": "x", "namespace": "cc-front" },
        "eventTime": "2026-11-22T00:00:00.000000Z", "type": "Normal", "reason": "Issued", "action": "Issue",
        "reportingController": "subrosa", "reportingInstance": "subrosa-0",
        "regarding": { "kind": "Channel", "name": "voice", "namespace": "cc-front" },
    });
    vec![
        tries(
            "makes a namespace",
            post("/api/v1/namespaces", json!({ "metadata": { "name": "x" } })).dry(),
            RBAC,
        ),
        tries("changes a namespace", merge("/api/v1/namespaces/cc-front", note()).dry(), RBAC),
        tries("deletes a namespace", delete("/api/v1/namespaces/cc-front").dry(), RBAC),
        tries("declares a Channel", post(channels("cc-front", ""), channel("x")).dry(), RBAC),
        tries("confirms a Channel's deletion", merge(&voice, note()).dry(), RBAC),
        tries("deletes a Channel", delete(&voice).dry(), RBAC),
        tries("deletes all Channels", delete(channels("cc-front", "")).dry(), RBAC),
        tries(
            "reports on a Channel",
            merge(format!("{voice}/status"), json!({ "status": { "observedGeneration": 1 } })).dry(),
            Allowed,
        ),
        tries("founds a TrustDomain", post(subrosa("trustdomains", ""), trust_domain("x")).dry(), RBAC),
        tries("deletes a TrustDomain", delete(subrosa("trustdomains", "oosterlinde")).dry(), RBAC),
        tries(
            "writes a RetentionPolicy",
            post(subrosa("retentionpolicies", ""), retention_policy()).dry(),
            RBAC,
        ),
        tries(
            "shortens a RetentionPolicy",
            merge(subrosa("retentionpolicies", "contactcenter"), note()).dry(),
            RBAC,
        ),
        tries("consents for the outside", post(subrosa("externalparties", ""), external_party()).dry(), RBAC),
        tries("changes consent", merge(subrosa("externalparties", "insurer"), note()).dry(), RBAC),
        tries("starts a pod", post(pods(""), pod).dry(), RBAC),
        tries("deletes a pod", delete(pods("voice")).dry(), RBAC),
        tries("runs a command in a pod", post(pods("voice/exec?command=id"), json!({})), RBAC),
        tries("attaches to a pod", post(pods("voice/attach"), json!({})), RBAC),
        tries("forwards a port", post(pods("voice/portforward"), json!({})), RBAC),
        tries("debugs a pod", merge(pods("voice/ephemeralcontainers"), json!({})).dry(), RBAC),
        tries("evicts a pod", post(pods("voice/eviction"), json!({})).dry(), RBAC),
        tries(
            "changes its own Deployment",
            merge("/apis/apps/v1/namespaces/subrosa-system/deployments/subrosa", note()).dry(),
            RBAC,
        ),
        tries(
            "restarts a workload where it does not govern",
            merge("/apis/apps/v1/namespaces/plain/deployments/voice", note()).dry(),
            RBAC,
        ),
        tries(
            "changes trusted certificates",
            merge(core("subrosa-system", "configmaps", "kube-root-ca.crt"), json!({ "data": {} })).dry(),
            RBAC,
        ),
        tries("changes a Service", merge(core("cc-front", "services", "voice"), note()).dry(), RBAC),
        tries(
            "tells what happened",
            post("/apis/events.k8s.io/v1/namespaces/cc-front/events", event).dry(),
            Allowed,
        ),
    ]
}
