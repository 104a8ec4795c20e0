//! A hospital with two TrustDomains, its people, and the operator's ServiceAccount.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use subrosa::grants::{DESTROYER_ACCOUNT, GRANTER_ACCOUNT, Installation};
use subrosa_e2e::Environment;

use crate::request::{Answer, Case, Expected, Request, apply, get, merge, post};

const PATIENCE: Duration = Duration::from_secs(60);

/// The people, each with a token of their own.
pub const ADMIN: &str = "admin";
/// The compliance office: decides for every TrustDomain.
pub const OFFICER: &str = "officer";
/// Decides for TrustDomain westerlinde only.
pub const OFFICER_WEST: &str = "officer-west";
/// Administrates namespace cc-front, and may do everything to any namespace object, but governs nothing.
pub const ENGINEER: &str = "engineer";
/// May view.
pub const AUDITOR: &str = "auditor";
/// May approve or deny whatever there is to decide.
pub const APPROVER: &str = "approver";
/// May decide about RetentionPolicy contactcenter alone.
pub const APPROVER_OF_ONE: &str = "approver-of-one";
/// May write every object of destruction by RBAC, status too, and approve nothing.
pub const MEDDLER: &str = "meddler";
/// The operator's ServiceAccount.
pub const OPERATOR: &str = "operator";
/// The granter's ServiceAccount.
pub const GRANTER: &str = "granter";
/// The destroyer's ServiceAccount.
pub const DESTROYER: &str = "destroyer";

/// A ServiceAccount with nothing but what every one has.
pub const WORKLOAD: &str = "workload";

pub struct World {
    pub env: Environment,
    pub installation: Installation,
    tokens: BTreeMap<&'static str, String>,
    /// How many different requests of each were refused as they should.
    refused: Mutex<BTreeMap<&'static str, BTreeSet<String>>>,
}

impl World {
    pub async fn start() -> Result<Self> {
        let env = Environment::builder()
            .local()
            .user(OFFICER, &[])
            .user(OFFICER_WEST, &[])
            .user(ENGINEER, &[])
            .user(AUDITOR, &[])
            .user(APPROVER, &[])
            .user(APPROVER_OF_ONE, &[])
            .user(MEDDLER, &[])
            .start()
            .await?;
        let mut tokens = BTreeMap::new();
        tokens.insert(ADMIN, env.control_plane().context("local")?.admin_token().to_owned());
        for person in [OFFICER, OFFICER_WEST, ENGINEER, AUDITOR, APPROVER, APPROVER_OF_ONE, MEDDLER] {
            tokens.insert(person, env.user_token(person)?.to_owned());
        }
        let (installation, refused) = (Installation::default(), Mutex::default());
        let mut world = Self { env, installation, tokens, refused };
        world.install().await?;
        let (namespace, account) = (world.installation.namespace(), world.installation.service_account());
        for (who, account) in
            [(OPERATOR, account), (DESTROYER, DESTROYER_ACCOUNT), (GRANTER, GRANTER_ACCOUNT)]
        {
            let token = world.env.service_account_token(namespace, account, "").await?;
            world.tokens.insert(who, token);
        }
        world.populate().await?;
        let token = world.env.service_account_token("plain", "default", "").await?;
        world.tokens.insert(WORKLOAD, token);
        Ok(world)
    }

    /// As the README says it: the definitions, then `deploy/`.
    async fn install(&self) -> Result<()> {
        for folder in ["crds/yaml", "deploy"] {
            let folder = root().join(folder);
            let output = self.kubectl(ADMIN, &["apply", "-f", &folder.to_string_lossy()]).await?;
            ensure!(output.status.success(), "{output:?}");
        }
        for crd in subrosa_crds::all() {
            let path = format!("/apis/subrosa.dev/v1alpha1/{}", crd.spec.names.plural);
            self.eventually(&format!("{path} being served"), async || {
                Ok(self.call(ADMIN, get(&path)).await?.status == 200)
            })
            .await?;
        }
        Ok(())
    }

    async fn populate(&self) -> Result<()> {
        for (namespace, labels) in [
            ("cc-front", &[("subrosa.dev/trust-domain", "oosterlinde")][..]),
            ("cc-west", &[("subrosa.dev/trust-domain", "westerlinde")]),
            ("plain", &[]),
        ] {
            self.env.create_namespace(namespace, labels).await?;
        }
        let govern_west = json!([
            { "apiGroups": ["subrosa.dev"], "resources": ["trustdomains"], "resourceNames": ["westerlinde"], "verbs": ["govern"] },
        ]);
        let namespaces = json!([
            { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"] },
            { "apiGroups": [""], "resources": ["namespaces/status", "namespaces/finalize"], "verbs": ["update", "patch"] },
        ]);
        let approve_one = json!([
            { "apiGroups": ["subrosa.dev"], "resources": ["approvals"], "verbs": ["create"] },
            { "apiGroups": ["subrosa.dev"], "resources": ["retentionpolicies"], "resourceNames": ["contactcenter"], "verbs": ["approve"] },
        ]);
        let meddle = json!([{
            "apiGroups": ["subrosa.dev"],
            "resources": ["approvals", "destructions", "destructions/status", "legalholds", "legalholds/status", "adoptions", "adoptions/status"],
            "verbs": ["get", "list", "create", "update", "patch", "delete", "deletecollection"],
        }]);
        for (name, rules) in [
            ("govern-west", govern_west),
            ("namespaces", namespaces),
            ("approve-one", approve_one),
            ("meddle", meddle),
        ] {
            let role = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": { "name": name }, "rules": rules,
            });
            self.must(ADMIN, apply(cluster_rbac("clusterroles", name), role)).await?;
        }
        for (person, role) in [
            (OFFICER, "subrosa-compliance"),
            (OFFICER, "subrosa-membership"),
            (OFFICER_WEST, "govern-west"),
            (OFFICER_WEST, "subrosa-membership"),
            (ENGINEER, "namespaces"),
            (AUDITOR, "view"),
            (APPROVER, "subrosa-approver"),
            (APPROVER_OF_ONE, "approve-one"),
            (MEDDLER, "meddle"),
        ] {
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": { "name": format!("{person}-{role}") },
                "roleRef": role_ref(role), "subjects": [user(person)],
            });
            self.must(ADMIN, post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).await?;
        }
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "team" }, "roleRef": role_ref("admin"), "subjects": [user(ENGINEER)],
        });
        self.must(ADMIN, post(role_bindings("cc-front"), binding)).await?;

        // The office writes what is the office's; the team's right comes by aggregation, which takes a moment.
        // So does a right that was just bound: an API server authorizes by what it has watched.
        self.eventually("the rights of the office", async || {
            let founding = post(subrosa("trustdomains", ""), trust_domain("oosterlinde")).dry();
            Ok(self.call(OFFICER, founding).await?.status == 201)
        })
        .await?;
        for domain in ["oosterlinde", "westerlinde"] {
            self.must(OFFICER, post(subrosa("trustdomains", ""), trust_domain(domain))).await?;
        }
        self.must(OFFICER, post(subrosa("retentionpolicies", ""), retention_policy())).await?;
        self.must(OFFICER, post(subrosa("externalparties", ""), external_party())).await?;
        self.eventually("a Channel of the team", async || {
            Ok(self.call(ENGINEER, post(channels("cc-front", ""), channel("voice"))).await?.status == 201)
        })
        .await?;
        self.policies_in_force().await
    }

    /// An API server takes a second or so to learn of a policy.
    pub async fn policies_in_force(&self) -> Result<()> {
        let operator_patch = json!({ "metadata": { "annotations": { "probe": "1" } } });
        let foreign = |kind: &str, version: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "probe" } });
        // Bound here already, so that RBAC lets it come as far as the policies.
        let binding = subrosa::grants::rbac::namespace_binding(&self.installation, "cc-west", "westerlinde");
        self.must(
            ADMIN,
            apply(format!("{}/subrosa", role_bindings("cc-west")), serde_json::to_value(binding)?),
        )
        .await?;
        let label = json!({ "metadata": { "labels": { "subrosa.dev/trust-domain": "oosterlinde" } } });
        for (policy, who, request) in [
            ("subrosa-membership", ENGINEER, merge("/api/v1/namespaces/plain", label)),
            ("subrosa-deletion", ENGINEER, crate::request::delete(channels("cc-front", "voice"))),
            ("subrosa-role-binding", OPERATOR, post(role_bindings("plain"), operator_binding())),
            ("subrosa-secret", OPERATOR, post(core("cc-west", "secrets", ""), foreign("Secret", "v1"))),
            (
                "subrosa-config-map",
                OPERATOR,
                post(core("cc-west", "configmaps", ""), foreign("ConfigMap", "v1")),
            ),
            (
                "subrosa-network-policy",
                OPERATOR,
                post(network_policies("cc-west", ""), foreign("NetworkPolicy", "networking.k8s.io/v1")),
            ),
            (
                "subrosa-approval",
                ADMIN,
                post(subrosa("approvals", ""), approval("probe", "Destruction", "p.20270101.0a1b2c3d", "x")),
            ),
            ("subrosa-destruction", ADMIN, post(subrosa("destructions", ""), destruction())),
            ("subrosa-legal-hold", ADMIN, post(subrosa("legalholds", ""), owned(legal_hold("probe")))),
            (
                "subrosa-destroyer",
                DESTROYER,
                post(core("subrosa-system", "configmaps", ""), foreign("ConfigMap", "v1")),
            ),
            ("subrosa-trust-domain", OPERATOR, merge(subrosa("trustdomains", "oosterlinde"), operator_patch)),
        ] {
            self.eventually(policy, async || {
                let answer = self.call(who, request.clone().dry()).await?;
                Ok(answer.message().contains(&format!("'{policy}'")))
            })
            .await?;
        }
        Ok(())
    }

    /// Sends a request as somebody.
    pub async fn call(&self, who: &str, request: Request) -> Result<Answer> {
        let token = self.tokens.get(who).with_context(|| format!("nobody called {who}"))?;
        let api = self.env.api();
        let mut call = api
            .http_client()?
            .request(request.method, format!("{}{}", api.url, request.path))
            .bearer_auth(token)
            .header("Content-Type", request.content_type);
        if let Some(user) = request.impersonate {
            call = call.header("Impersonate-User", user);
        }
        if let Some(body) = request.body {
            call = call.body(body.to_string());
        }
        let answer = call.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// Sends a request that has to succeed, and returns the object.
    pub async fn must(&self, who: &str, request: Request) -> Result<Value> {
        let what = format!("{who}: {} {}", request.method, request.path);
        let answer = self.call(who, request).await?;
        ensure!((200..300).contains(&answer.status), "{what}: {} {}", answer.status, answer.message());
        Ok(answer.body)
    }

    /// Tries all, and fails with all that came out otherwise.
    pub async fn try_all(&self, about: &str, cases: Vec<Case>) -> Result<()> {
        let mut faults = Vec::new();
        let total = cases.len();
        for Case { who, what, request, expected } in cases {
            let name = format!("{} {} {:?}", request.method, request.path, request.body);
            match self.call(who, request).await?.fault(expected) {
                Some(fault) => faults.push(format!("{who} {what}: {fault}")),
                None if matches!(expected, Expected::Allowed) => {}
                None => drop(self.refused().entry(who).or_default().insert(name)),
            }
        }
        eprintln!("{about}: {total} tries");
        ensure!(faults.is_empty(), "{about}\n{}", faults.join("\n"));
        Ok(())
    }

    /// How many different requests of somebody were refused.
    pub fn refusals(&self, who: &str) -> usize {
        self.refused().get(who).map_or(0, BTreeSet::len)
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<&'static str, BTreeSet<String>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn eventually(&self, what: &str, probe: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !probe().await? {
            if Instant::now() > deadline {
                bail!("{what} did not come to pass in {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub async fn kubectl(&self, who: &str, arguments: &[&str]) -> Result<Output> {
        let token = self.tokens.get(who).with_context(|| format!("nobody called {who}"))?;
        let kubeconfig: PathBuf = self.env.kubeconfig_for_token(who, token)?;
        let kubectl = tokio::task::spawn_blocking(subrosa_e2e::tools::kubectl).await??;
        Command::new(kubectl)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .env("HOME", self.env.directory())
            .output()
            .context("run kubectl")
    }
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn subrosa(resource: &str, name: &str) -> String {
    item(format!("/apis/subrosa.dev/v1alpha1/{resource}"), name)
}

pub fn channels(namespace: &str, name: &str) -> String {
    item(format!("/apis/subrosa.dev/v1alpha1/namespaces/{namespace}/channels"), name)
}

pub fn core(namespace: &str, resource: &str, name: &str) -> String {
    item(format!("/api/v1/namespaces/{namespace}/{resource}"), name)
}

pub fn network_policies(namespace: &str, name: &str) -> String {
    item(format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"), name)
}

pub fn role_bindings(namespace: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
}

pub fn cluster_rbac(resource: &str, name: &str) -> String {
    item(format!("/apis/rbac.authorization.k8s.io/v1/{resource}"), name)
}

pub fn admission(resource: &str, name: &str) -> String {
    item(format!("/apis/admissionregistration.k8s.io/v1/{resource}"), name)
}

fn item(collection: String, name: &str) -> String {
    if name.is_empty() { collection } else { format!("{collection}/{name}") }
}

pub fn role_ref(role: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role })
}

pub fn user(name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name })
}

/// The one binding the operator may make, without a namespace: the path says which.
pub fn operator_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "subrosa" },
        "roleRef": role_ref("subrosa-namespace"),
        "subjects": [{ "kind": "ServiceAccount", "name": "subrosa", "namespace": "subrosa-system" }],
    })
}

pub fn channel(name: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": { "name": name },
        "spec": {
            "workload": { "selector": { "matchLabels": { "app": name } } },
            "connectsTo": [{ "name": "archive", "namespace": "cc-data" }],
        },
    })
}

pub fn trust_domain(name: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": { "name": name },
        "spec": {
            "organisation": { "name": "Ziekenhuis Oosterlinde", "country": "NL" },
            "jurisdictions": ["NL"],
            "timeZone": "Europe/Amsterdam",
            "vault": { "address": "https://openbao.security.svc:8200", "auth": { "kubernetes": {} } },
            "retentionPolicies": ["contactcenter"],
            "network": { "clusterCIDRs": ["10.244.0.0/16"] },
        },
    })
}

pub fn retention_policy() -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": { "name": "contactcenter" },
        "spec": { "classes": [{ "name": "call-recording", "keep": "90d" }] },
    })
}

pub fn external_party() -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "ExternalParty", "metadata": { "name": "insurer" },
        "spec": { "role": "Insurer", "addresses": { "cidrs": ["203.0.113.7/32"] }, "tls": { "mode": "OneWay" } },
    })
}

/// One person's yes to `name` of `kind`.
pub fn approval(name: &str, kind: &str, target: &str, approver: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": { "name": name },
        "spec": {
            "target": { "kind": kind, "name": target, "uid": "1", "digest": digest() },
            "decision": "Approve", "approver": approver, "expires": "2099-01-01T00:00:00Z",
        },
    })
}

/// What the operator lists.
pub fn destruction() -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Destruction",
        "metadata": { "name": "contactcenter.20270101.0a1b2c3d" },
        "spec": {
            "trustDomain": "oosterlinde",
            "retentionPolicy": { "name": "contactcenter", "uid": "1", "digest": digest() },
            "due": "2027-01-01", "nonce": "0123456789abcdef",
            "keys": [{
                "channel": { "namespace": "cc-front", "name": "voice" },
                "id": "abcdefghijklmnop", "dataClass": "call-recording", "cohort": "2026m09",
            }],
            "digest": digest(),
        },
    })
}

pub fn legal_hold(name: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold", "metadata": { "name": name },
        "spec": { "selector": { "namespaces": ["cc-front"] }, "matter": "2026-114" },
    })
}

/// The object, as one that goes with another.
pub fn owned(mut object: Value) -> Value {
    object["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "Namespace", "name": "plain", "uid": "1" }]);
    object
}

fn digest() -> String {
    format!("sha256:0a1b2c3d{}", "0".repeat(56))
}
