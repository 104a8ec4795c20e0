//! Requests to the API server, by a member of a group whose role names one Channel, with what the granter bound.

use std::collections::BTreeSet;

use http::Request;
use serde_json::{Value, json};

use super::{Operation, Tried, compare};
use crate::world::{NS, World};

/// As the API server calls the group of the role.
const GROUP: &str = "oidc:CC-Quality";
const OURS: &str = "/apis/subrosa.dev/v1alpha1";

pub async fn tried(world: &World) -> Tried {
    let all: Vec<Operation> = [on_channels(), on_our_kinds(), on_workloads(), on_rules(), on_oneself()]
        .into_iter()
        .flatten()
        .collect();
    let mut allowed = BTreeSet::new();
    for one in &all {
        if goes_through(world, one).await {
            allowed.insert(one.name());
        }
    }
    // Verbs that no request has: the API server asks for them while it looks at another one.
    let asked = asked();
    for one in &asked {
        if may(world, one).await {
            allowed.insert(one.to_string());
        }
    }
    let mut expected = vec![format!("GET {OURS}/namespaces/{NS}/channels/voice")];
    expected.extend(EVERYBODYS.iter().map(|one| (*one).to_owned()));
    compare("the API server", all.len() + asked.len(), allowed, &expected)
}

/// What every user may do, whatever roles there are (ClusterRoles system:basic-user, system:discovery).
const EVERYBODYS: [&str; 12] = [
    "POST /apis/authentication.k8s.io/v1/selfsubjectreviews",
    "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "GET /api",
    "GET /api/v1",
    "GET /apis",
    "GET /apis/subrosa.dev/v1alpha1",
    "GET /healthz",
    "GET /livez",
    "GET /readyz",
    "GET /openapi/v2",
    "GET /version",
];

async fn sent(world: &World, one: &Operation) -> Result<String, kube::Error> {
    let kind = match one.method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if one.body.is_null() { Vec::new() } else { one.body.to_string().into_bytes() };
    let request = Request::builder()
        .method(one.method)
        .uri(&one.path)
        .header("Content-Type", kind)
        .header("Impersonate-User", "anna")
        .header("Impersonate-Group", GROUP)
        .header("Impersonate-Group", "system:authenticated")
        .body(body)
        .unwrap();
    world.admin.request_text(request).await
}

/// Whether it came past the rights, whatever became of it then.
async fn goes_through(world: &World, one: &Operation) -> bool {
    match sent(world, one).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) => status.code != 403,
        Err(error) => panic!("{}: {error}", one.name()),
    }
}

/// What the API server answers about somebody's own right.
async fn may(world: &World, attributes: &Value) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = sent(world, &Operation::new("POST", path, review)).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["status"]["allowed"].as_bool().unwrap()
}

/// Nothing comes of it where it is allowed.
fn dry(method: &'static str, path: String, body: Value) -> Operation {
    Operation::new(method, format!("{path}?dryRun=All"), body)
}

/// Reads and writes of one kind, of one object and of all.
fn every_way(collection: &str, name: &str) -> Vec<Operation> {
    let one = format!("{collection}/{name}");
    let note = || json!({"metadata": {"annotations": {"a": "b"}}});
    vec![
        Operation::new("GET", collection, Value::Null),
        Operation::new("GET", one.clone(), Value::Null),
        dry("POST", collection.to_owned(), json!({"metadata": {"name": "mine"}})),
        dry("PATCH", one.clone(), note()),
        dry("DELETE", one, Value::Null),
    ]
}

fn on_channels() -> Vec<Operation> {
    let channels = format!("{OURS}/namespaces/{NS}/channels");
    let (voice, video) = (format!("{channels}/voice"), format!("{channels}/video"));
    let watch = "?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dvoice";
    let mut all = vec![
        Operation::new("GET", voice.clone(), Value::Null),
        Operation::new("GET", channels.clone(), Value::Null),
        Operation::new("GET", format!("{channels}?fieldSelector=metadata.name%3Dvoice"), Value::Null),
        Operation::new("GET", format!("{channels}{watch}"), Value::Null),
        Operation::new("GET", format!("{OURS}/channels"), Value::Null),
        Operation::new("GET", format!("{OURS}/namespaces/kube-system/channels/voice"), Value::Null),
        Operation::new("GET", format!("{OURS}/namespaces/default/channels/voice"), Value::Null),
        dry("DELETE", channels.clone(), Value::Null),
        dry("POST", channels, json!({"metadata": {"name": "mine"}})),
    ];
    for one in [&voice, &video] {
        let body = || json!({"metadata": {"annotations": {"subrosa.dev/confirm-delete": "x"}}});
        all.extend([
            dry("PATCH", one.clone(), body()),
            dry("PUT", one.clone(), body()),
            dry("DELETE", one.clone(), Value::Null),
            Operation::new("GET", format!("{one}/status"), Value::Null),
            dry("PATCH", format!("{one}/status"), json!({"status": {}})),
            dry("PUT", format!("{one}/status"), json!({"status": {}})),
        ]);
    }
    all.push(Operation::new("GET", video, Value::Null));
    all
}

fn on_our_kinds() -> Vec<Operation> {
    let roles = format!("{OURS}/namespaces/{NS}/accessroles");
    let mut all = every_way(&roles, "reviewer");
    all.push(dry("PATCH", format!("{roles}/reviewer/status"), json!({"status": {}})));
    for (kind, name) in [
        ("trustdomains", "oosterlinde"),
        ("accessrevocations", "anna"),
        ("approvals", "any"),
        ("retentionpolicies", "contactcenter"),
        ("destructions", "any"),
        ("legalholds", "any"),
        ("adoptions", "any"),
        ("externalparties", "any"),
    ] {
        all.extend(every_way(&format!("{OURS}/{kind}"), name));
    }
    all
}

fn on_workloads() -> Vec<Operation> {
    let core = |resource: &str| format!("/api/v1/namespaces/{NS}/{resource}");
    let apis = |rest: &str| format!("/apis/{rest}");
    let mut all = Vec::new();
    for (collection, name) in [
        (core("secrets"), "voice-mtls"),
        (core("configmaps"), "voice-sealing"),
        (core("pods"), "voice"),
        (core("serviceaccounts"), "voice"),
        (core("services"), "voice"),
        (core("events"), "any"),
        ("/api/v1/namespaces".to_owned(), NS),
        ("/api/v1/nodes".to_owned(), "any"),
        (apis(&format!("apps/v1/namespaces/{NS}/deployments")), "voice"),
        (apis(&format!("networking.k8s.io/v1/namespaces/{NS}/networkpolicies")), "voice"),
    ] {
        all.extend(every_way(&collection, name));
    }
    let pod = core("pods/voice");
    let token = json!({"spec": {"audiences": ["vault"], "expirationSeconds": 600}});
    all.extend([
        Operation::new("GET", format!("{pod}/log"), Value::Null),
        Operation::new("POST", format!("{pod}/exec?command=id&stdout=true"), Value::Null),
        Operation::new("GET", format!("{pod}/exec?command=id&stdout=true"), Value::Null),
        Operation::new("POST", format!("{pod}/attach"), Value::Null),
        Operation::new("POST", format!("{pod}/portforward"), Value::Null),
        Operation::new("GET", format!("{pod}/proxy/"), Value::Null),
        dry("PATCH", format!("{pod}/ephemeralcontainers"), json!({"spec": {}})),
        dry("POST", format!("{pod}/eviction"), json!({})),
        Operation::new("GET", "/api/v1/secrets", Value::Null),
        Operation::new("GET", "/api/v1/pods", Value::Null),
        Operation::new("POST", core("serviceaccounts/voice/token"), token.clone()),
        Operation::new(
            "POST",
            "/api/v1/namespaces/subrosa-system/serviceaccounts/subrosa-granter/token",
            token,
        ),
        Operation::new("GET", "/api/v1/namespaces/subrosa-system/secrets", Value::Null),
        Operation::new("GET", "/metrics", Value::Null),
        Operation::new("GET", "/debug/pprof/", Value::Null),
        Operation::new("GET", "/logs", Value::Null),
    ]);
    all
}

/// Rights, policies and definitions.
fn on_rules() -> Vec<Operation> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let object = "subrosa-access-reviewer";
    let everything = json!({
        "metadata": {"name": "mine"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    });
    let admin = json!({
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "anna"}],
    });
    let mut all = Vec::new();
    for (collection, name) in [
        (format!("{rbac}/namespaces/{NS}/roles"), object),
        (format!("{rbac}/namespaces/{NS}/rolebindings"), object),
        (format!("{rbac}/clusterroles"), "subrosa-compliance"),
        (format!("{rbac}/clusterrolebindings"), "reviewers"),
        ("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies".to_owned(), "subrosa-approval"),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), "channels.subrosa.dev"),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(), "any"),
    ] {
        all.extend(every_way(&collection, name));
    }
    all.extend([
        dry("POST", format!("{rbac}/namespaces/{NS}/roles"), everything.clone()),
        dry("POST", format!("{rbac}/clusterroles"), everything),
        dry("POST", format!("{rbac}/namespaces/{NS}/rolebindings"), admin.clone()),
        dry("POST", format!("{rbac}/clusterrolebindings"), admin),
        dry("DELETE", format!("{rbac}/namespaces/{NS}/rolebindings"), Value::Null),
    ]);
    all
}

fn on_oneself() -> Vec<Operation> {
    let review = |group: &str, kind: &str, spec: Value| {
        let path = format!("/apis/{group}/v1/{}s", kind.to_lowercase());
        let body = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
        Operation::new("POST", path, body)
    };
    let attributes = || json!({"verb": "get", "resource": "secrets", "namespace": NS});
    let mut all = vec![
        review("authentication.k8s.io", "SelfSubjectReview", Value::Null),
        review("authentication.k8s.io", "TokenReview", json!({"token": "x"})),
        review(
            "authorization.k8s.io",
            "SelfSubjectAccessReview",
            json!({"resourceAttributes": attributes()}),
        ),
        review("authorization.k8s.io", "SelfSubjectRulesReview", json!({"namespace": NS})),
        review(
            "authorization.k8s.io",
            "SubjectAccessReview",
            json!({"user": "petra", "resourceAttributes": attributes()}),
        ),
    ];
    let reads = EVERYBODYS.iter().filter_map(|one| one.strip_prefix("GET "));
    all.extend(reads.map(|path| Operation::new("GET", path, Value::Null)));
    all
}

/// Verbs beside those of requests.
fn asked() -> Vec<Value> {
    let mut all = Vec::new();
    for (verb, group, resource, name) in [
        ("approve", "subrosa.dev", "accessroles", "reviewer"),
        ("approve", "subrosa.dev", "accessrevocations", "anna"),
        ("approve", "subrosa.dev", "retentionpolicies", "contactcenter"),
        ("approve", "subrosa.dev", "trustdomains", "oosterlinde"),
        ("govern", "subrosa.dev", "trustdomains", "oosterlinde"),
        ("grant", "subrosa.dev", "channels", "voice"),
        ("escalate", "rbac.authorization.k8s.io", "roles", "subrosa-access-reviewer"),
        ("bind", "rbac.authorization.k8s.io", "roles", "subrosa-access-reviewer"),
        ("bind", "rbac.authorization.k8s.io", "clusterroles", "cluster-admin"),
        ("impersonate", "", "users", "petra"),
        ("impersonate", "", "groups", "system:masters"),
        ("impersonate", "", "serviceaccounts", "voice"),
        ("list", "subrosa.dev", "channels", ""),
        ("get", "subrosa.dev", "channels", "video"),
        ("*", "*", "*", ""),
    ] {
        all.push(json!({"verb": verb, "group": group, "resource": resource, "name": name, "namespace": NS}));
    }
    all
}
