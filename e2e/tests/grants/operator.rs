//! What somebody with the operator's token can do: its job, and nothing that leads to more.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Forbidden},
        RBAC, Request, apply, delete, get, json_patch, merge, post, put,
    },
    world::{
        ADMIN, OFFICER, OPERATOR, World, admission, channel, channels, cluster_rbac, core, external_party,
        network_policies, operator_binding, retention_policy, role_bindings, role_ref, subrosa, trust_domain,
        user,
    },
};

const BINDING: &str = "subrosa-role-binding";
const SECRET: &str = "subrosa-secret";
const NETWORK_POLICY: &str = "subrosa-network-policy";
const TRUST_DOMAIN: &str = "subrosa-trust-domain";

fn tries(what: &'static str, request: Request, expected: Expected) -> Case {
    Case { who: OPERATOR, what, request, expected }
}

/// The operator's binding with one field changed.
fn binding_with(pointer: &str, value: Value) -> Value {
    let mut binding = operator_binding();
    *binding.pointer_mut(pointer).unwrap() = value;
    binding
}

pub async fn binds_itself_where_it_governs(world: &World) -> Result<()> {
    let bind = |namespace: &str, body| post(role_bindings(namespace), body).dry();
    let itself = json!({ "kind": "ServiceAccount", "name": "subrosa", "namespace": "subrosa-system" });
    let another = |name: &str, namespace: &str| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    let subjects = |subjects| binding_with("/subjects", subjects);
    let only_itself = Denied(BINDING, "binds itself only");
    let ungoverned = Denied(BINDING, "belongs to no TrustDomain");
    let existing = format!("{}/subrosa", role_bindings("cc-west"));
    let mut local_role = operator_binding();
    local_role["roleRef"]["kind"] = json!("Role");
    let more = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "subrosa-namespace" },
        "rules": [{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }],
    });
    world.must(ADMIN, post("/apis/rbac.authorization.k8s.io/v1/namespaces/cc-front/roles", more)).await?;
    let cases = vec![
        tries("reads Secrets before it is bound", get(core("cc-front", "secrets", "")), RBAC),
        tries("binds itself in a governed namespace", bind("cc-front", operator_binding()), Allowed),
        tries(
            "applies its binding",
            apply(format!("{}/subrosa", role_bindings("cc-front")), operator_binding()).dry(),
            Allowed,
        ),
        tries("binds itself in a namespace of nobody", bind("plain", operator_binding()), ungoverned),
        tries("binds itself in kube-system", bind("kube-system", operator_binding()), ungoverned),
        tries("binds itself at home", bind("subrosa-system", operator_binding()), ungoverned),
        tries(
            "makes a binding of another name",
            bind("cc-front", binding_with("/metadata/name", json!("more"))),
            Denied(BINDING, "RoleBinding subrosa only, not more"),
        ),
        tries(
            "binds another account",
            bind("cc-front", subjects(json!([another("default", "cc-front")]))),
            only_itself,
        ),
        tries(
            "binds its namesake elsewhere",
            bind("cc-front", subjects(json!([another("subrosa", "cc-front")]))),
            only_itself,
        ),
        tries(
            "binds somebody besides itself",
            bind("cc-front", subjects(json!([itself, another("default", "cc-front")]))),
            only_itself,
        ),
        tries("binds a user", bind("cc-front", subjects(json!([user("subrosa")]))), only_itself),
        tries("binds nobody", bind("cc-front", subjects(json!([]))), only_itself),
        tries(
            "binds cluster-admin",
            bind("cc-front", binding_with("/roleRef/name", json!("cluster-admin"))),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "binds admin",
            bind("cc-front", binding_with("/roleRef/name", json!("admin"))),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "binds a role it holds already",
            bind("cc-front", binding_with("/roleRef/name", json!("subrosa"))),
            Denied(BINDING, "binds ClusterRole subrosa-namespace only"),
        ),
        tries(
            "binds a Role of that name that holds more",
            bind("cc-front", local_role),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "adds a subject to its binding",
            merge(&existing, json!({ "subjects": [itself, another("default", "cc-west")] })).dry(),
            only_itself,
        ),
        tries("replaces its binding", put(&existing, operator_binding()).dry(), RBAC),
        tries("deletes its binding", delete(&existing).dry(), RBAC),
        tries("lists bindings", get(role_bindings("cc-front")), RBAC),
        tries(
            "adds itself to the team's binding",
            merge(format!("{}/team", role_bindings("cc-front")), json!({ "subjects": [itself] })).dry(),
            RBAC,
        ),
        tries(
            "binds its namespace role cluster-wide",
            post(
                cluster_rbac("clusterrolebindings", ""),
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                    "metadata": { "name": "subrosa-more" },
                    "roleRef": role_ref("subrosa-namespace"), "subjects": [itself],
                }),
            )
            .dry(),
            RBAC,
        ),
        // The policy is about the operator, not about administrators.
        Case {
            who: ADMIN,
            what: "binds another account",
            request: bind("cc-front", subjects(json!([another("default", "cc-front")]))),
            expected: Allowed,
        },
        // For real: from here on it may.
        tries("binds itself", post(role_bindings("cc-front"), operator_binding()), Allowed),
    ];
    world.try_all("role binding", cases).await?;
    world
        .eventually("the operator's rights in cc-front", async || {
            Ok(world.call(OPERATOR, get(core("cc-front", "secrets", ""))).await?.status == 200)
        })
        .await
}

fn secret(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/managed-by": "subrosa", "subrosa.dev/channel": "voice" },
            "ownerReferences": [{
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "name": "voice", "uid": "voice-uid",
                "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "data": { "tls.crt": "", "tls.key": "" },
    })
}

fn without(mut object: Value, pointer: &str, field: &str) -> Value {
    object.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field);
    object
}

fn network_policy(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] },
    })
}

pub async fn writes_its_own_objects_only(world: &World) -> Result<()> {
    let secrets = core("cc-front", "secrets", "");
    let voice = world.must(ADMIN, get(channels("cc-front", "voice"))).await?;
    let tls = || {
        let mut secret = secret("voice-mtls", "kubernetes.io/tls");
        secret["metadata"]["ownerReferences"][0]["uid"] = voice["metadata"]["uid"].clone();
        secret
    };
    // What the team has there.
    let foreign = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "database" } });
    world.must(ADMIN, post(&secrets, foreign)).await?;
    world.must(ADMIN, post(network_policies("cc-front", ""), network_policy("team"))).await?;
    for name in ["voice-mtls", "unlabelled", "orphaned"] {
        let mut own = tls();
        own["metadata"]["name"] = json!(name);
        world.must(OPERATOR, post(&secrets, own)).await?;
    }
    // What a tenant, or a deletion that orphans, may leave of the operator's own.
    let unlabelled = json!({ "metadata": { "labels": null } });
    world.must(ADMIN, merge(core("cc-front", "secrets", "unlabelled"), unlabelled)).await?;
    let orphaned = json!({ "metadata": { "ownerReferences": null } });
    world.must(ADMIN, merge(core("cc-front", "secrets", "orphaned"), orphaned)).await?;

    let named = |name: &str, mut object: Value| {
        object["metadata"]["name"] = json!(name);
        object
    };
    let mut token = named("stolen", secret("stolen", "kubernetes.io/service-account-token"));
    token["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": "default" });
    token.as_object_mut().unwrap().remove("data");
    let no_other = Denied(SECRET, "writes Secrets of type kubernetes.io/tls that are owned by a Channel");
    let untouched = Denied(SECRET, "Secret database is not of Subrosa");
    let own_names =
        Denied(NETWORK_POLICY, "writes NetworkPolicies subrosa-default-deny and subrosa-channel-*");
    let item = |name: &str| core("cc-front", "secrets", name);
    let heal = |name: &str| apply(item(name), named(name, tls())).dry();
    let cases = vec![
        tries("writes a certificate", post(&secrets, named("ivr-mtls", tls())).dry(), Allowed),
        tries("applies a certificate", apply(item("voice-mtls"), tls()).dry(), Allowed),
        tries("heals one without its labels", heal("unlabelled"), Allowed),
        tries("heals one without its owner", heal("orphaned"), Allowed),
        tries("deletes one of its own", delete(item("orphaned")).dry(), Allowed),
        tries("makes a token of a workload", post(&secrets, token).dry(), no_other),
        tries("writes an opaque Secret", post(&secrets, named("x", secret("x", "Opaque"))).dry(), no_other),
        tries(
            "writes a Secret without an owner",
            post(&secrets, named("x", without(tls(), "/metadata", "ownerReferences"))).dry(),
            no_other,
        ),
        tries(
            "writes a Secret without labels",
            post(&secrets, named("x", without(tls(), "/metadata", "labels"))).dry(),
            no_other,
        ),
        tries(
            "sheds the owner",
            merge(item("voice-mtls"), json!({ "metadata": { "ownerReferences": null } })).dry(),
            no_other,
        ),
        tries("changes a foreign Secret", merge(item("database"), json!({ "data": {} })).dry(), untouched),
        tries(
            "takes over a foreign Secret",
            merge(item("database"), json!({ "metadata": without(tls(), "/metadata", "name")["metadata"] }))
                .dry(),
            untouched,
        ),
        tries("deletes a foreign Secret", delete(item("database")).dry(), untouched),
        tries("deletes all Secrets", delete(&secrets).dry(), RBAC),
        tries("replaces its Secret", put(item("voice-mtls"), tls()).dry(), RBAC),
        tries(
            "writes the default deny",
            post(network_policies("cc-front", ""), network_policy("subrosa-default-deny")).dry(),
            Allowed,
        ),
        tries(
            "applies a Channel's policy",
            apply(
                network_policies("cc-front", "subrosa-channel-voice"),
                network_policy("subrosa-channel-voice"),
            )
            .dry(),
            Allowed,
        ),
        tries(
            "writes another policy",
            post(network_policies("cc-front", ""), network_policy("allow-all")).dry(),
            own_names,
        ),
        tries(
            "changes a team's policy",
            merge(network_policies("cc-front", "team"), json!({ "spec": { "podSelector": {} } })).dry(),
            own_names,
        ),
        tries("deletes a policy", delete(network_policies("cc-front", "team")).dry(), RBAC),
        tries(
            "writes a policy where it does not govern",
            post(network_policies("plain", ""), network_policy("subrosa-default-deny")).dry(),
            RBAC,
        ),
        // The policies are about the operator only.
        Case {
            who: ADMIN,
            what: "deletes a Secret",
            request: delete(item("database")).dry(),
            expected: Allowed,
        },
    ];
    world.try_all("own objects", cases).await?;
    trust_domains(world).await
}

async fn trust_domains(world: &World) -> Result<()> {
    let domain = subrosa("trustdomains", "oosterlinde");
    let finalizer = |name: &str| merge(&domain, json!({ "metadata": { "finalizers": [name] } }));
    let nothing_else =
        Denied(TRUST_DOMAIN, "changes the finalizer subrosa.dev/withdraw-access of a TrustDomain");
    let metadata = |field: &str| merge(&domain, json!({ "metadata": { field: { "a": "b" } } })).dry();
    let cases = vec![
        tries("sets a foreign finalizer", finalizer("example.org/stay").dry(), nothing_else),
        tries("sets its finalizer", finalizer("subrosa.dev/withdraw-access"), Allowed),
        tries(
            "lifts its finalizer",
            json_patch(&domain, json!([{ "op": "remove", "path": "/metadata/finalizers" }])),
            Allowed,
        ),
        tries(
            "points a TrustDomain at another Vault",
            merge(&domain, json!({ "spec": { "vault": { "address": "https://elsewhere:8200" } } })).dry(),
            nothing_else,
        ),
        tries("sets an annotation", metadata("annotations"), nothing_else),
        tries("sets a label", metadata("labels"), nothing_else),
        tries(
            "reports",
            merge(format!("{domain}/status"), json!({ "status": { "observedGeneration": 1 } })).dry(),
            Allowed,
        ),
        tries(
            "changes the spec through status",
            // Goes through and changes nothing but status: the resource has the subresource.
            merge(format!("{domain}/status"), json!({ "spec": { "timeZone": "UTC" } })),
            Allowed,
        ),
        Case {
            who: OFFICER,
            what: "changes the time zone",
            request: merge(&domain, json!({ "spec": { "timeZone": "UTC" } })).dry(),
            expected: Allowed,
        },
    ];
    world.try_all("trust domains", cases).await?;
    let after = world.must(ADMIN, get(&domain)).await?;
    anyhow::ensure!(after["spec"]["timeZone"] == "Europe/Amsterdam", "{after}");
    anyhow::ensure!(after["metadata"].get("finalizers").is_none(), "{after}");
    Ok(())
}

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
        refused("reads ConfigMaps of a team", core("cc-front", "configmaps", "")),
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
            RBAC,
        ),
        tries(
            "changes a ServiceAccount",
            merge(core("cc-front", "serviceaccounts", "default"), json!({ "metadata": { "labels": {} } }))
                .dry(),
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
            "restarts a workload",
            merge("/apis/apps/v1/namespaces/cc-front/deployments/voice", note()).dry(),
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
