//! An OpenBao of its own, or one beside a real API server with ServiceAccounts; and captured logs.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use http::Method;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use subrosa_e2e::Environment;
use subrosa_e2e::directory::WorkDirectory;
use subrosa_e2e::kubeconfig::install_crypto_provider;
use subrosa_e2e::openbao::{OpenBao, Storage};
use subrosa_e2e::pki::Authority;
use subrosa_e2e::tools;
use subrosa_records::vault::auth::{Login, Session};
use subrosa_records::vault::setup::apply::{StepReport, apply};
use subrosa_records::vault::setup::{KubernetesApi, SetupParams, VaultSetup};
use subrosa_records::vault::{AliasName, MountPath, RoleName, Vault, VaultAddress, VaultConfig};

/// What stands for a JWT where no API server is asked; searched for in logs.
pub const REVIEWER: &str = "reviewer-canary-77ab21";
/// The namespace of the operator, one of the trust domain, and one of another.
pub const SYSTEM: &str = "subrosa-system";
pub const DESTROYER: &str = "subrosa-destroyer";
pub const MEMBER: &str = "cc-front";
pub const FOREIGN: &str = "elsewhere";
const LABEL: &str = "subrosa.dev/trust-domain";

/// A running OpenBao and the ways to it. Ended when dropped.
pub struct Bao {
    server: Server,
    http: reqwest::Client,
}

enum Server {
    Alone {
        openbao: Box<OpenBao>,
        /// Removed after the server has ended.
        _directory: WorkDirectory,
    },
    Environment(Box<Environment>),
}

impl Bao {
    /// One in memory, without an API server.
    pub async fn start() -> Self {
        Self::start_with(Storage::InMemory).await
    }

    /// One on disk, as in production, without an API server.
    pub async fn start_on_disk() -> Self {
        Self::start_with(Storage::Raft).await
    }

    async fn start_with(storage: Storage) -> Self {
        install_crypto_provider();
        let program = tokio::task::spawn_blocking(tools::bao).await.unwrap().unwrap();
        let directory = WorkDirectory::create().unwrap();
        let servers = Authority::new("subrosa vault tests").unwrap();
        let server = OpenBao::start(&program, directory.path(), &servers, storage).await.unwrap();
        Self::new(Server::Alone { openbao: Box::new(server), _directory: directory })
    }

    fn new(server: Server) -> Self {
        capture_logs();
        let openbao = match &server {
            Server::Alone { openbao, .. } => openbao,
            Server::Environment(environment) => environment.openbao(),
        };
        let http = openbao.endpoint().http_client().unwrap();
        Self { server, http }
    }

    pub fn server(&self) -> &OpenBao {
        match &self.server {
            Server::Alone { openbao, .. } => openbao,
            Server::Environment(environment) => environment.openbao(),
        }
    }

    pub fn root_token(&self) -> &str {
        self.server().root_token()
    }

    /// The client under test, without a token.
    pub fn connect(&self) -> Vault {
        let address = VaultAddress::parse(self.server().url(), false).unwrap();
        let ca_bundle = Some(self.server().endpoint().ca_pem.clone());
        Vault::new(VaultConfig { ca_bundle, ..VaultConfig::new(address) }).unwrap()
    }

    /// The client under test with that token.
    pub fn with_token(&self, token: &str) -> Vault {
        let vault = self.connect();
        vault.set_token(&token.into()).unwrap();
        vault
    }

    /// The client under test as an administrator.
    pub fn root(&self) -> Vault {
        self.with_token(self.root_token())
    }

    /// The client under test with a token that has the operator's policy and no other.
    pub async fn operator(&self) -> Vault {
        self.set_up().await;
        let wanted = json!({"policies": ["subrosa-operator"], "no_default_policy": true});
        let answer = self.admin("POST", "auth/token/create", wanted).await;
        self.with_token(answer["auth"]["client_token"].as_str().unwrap())
    }

    /// The client under test with a token that has the destroyer's policy and no other.
    pub async fn destroyer(&self) -> Vault {
        self.set_up().await;
        let wanted = json!({"policies": ["subrosa-destroyer"], "no_default_policy": true});
        let answer = self.admin("POST", "auth/token/create", wanted).await;
        self.with_token(answer["auth"]["client_token"].as_str().unwrap())
    }

    /// The static setup, for an API server that is never asked.
    pub async fn set_up(&self) -> Vec<StepReport> {
        apply(&self.root(), &VaultSetup::new(&self.params()).unwrap()).await.unwrap()
    }

    pub fn params(&self) -> SetupParams {
        params(KubernetesApi {
            host: "https://kubernetes.invalid".into(),
            ca_pem: Some(self.server().endpoint().ca_pem.clone()),
            reviewer_jwt: Some(REVIEWER.into()),
        })
    }

    /// A request past the client under test: status and body.
    pub async fn raw(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.server().url());
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if method == "PATCH" {
            request = request.header("Content-Type", "application/merge-patch+json");
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// A request as an administrator that has to succeed.
    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.raw(self.root_token(), method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}

fn params(kubernetes: KubernetesApi) -> SetupParams {
    SetupParams {
        kubernetes_mount: mount("kubernetes"),
        transit_mount: mount("transit"),
        authorities_mount: mount("transit-ca"),
        kv_mount: mount("subrosa"),
        operator_role: RoleName::new("subrosa").unwrap(),
        operator_namespace: SYSTEM.into(),
        operator_service_account: "subrosa".into(),
        destroyer_service_account: DESTROYER.into(),
        shared_transit: false,
        audience: "vault".into(),
        trust_domain: "oosterlinde".into(),
        kubernetes,
        people: None,
    }
}

pub fn mount(path: &str) -> MountPath {
    MountPath::new(path).unwrap()
}

/// OpenBao beside a real API server, set up, with the operator's ServiceAccount and three namespaces.
pub struct World {
    pub bao: Bao,
    pub operator_jwt: String,
    pub operator_uid: AliasName,
}

impl World {
    pub async fn start() -> Self {
        let environment = Environment::builder().local().start().await.unwrap();
        let reviewer = environment.token_reviewer_jwt().await.unwrap();
        may_get_namespaces(environment.admin().unwrap()).await;
        for (name, labels) in
            [(SYSTEM, &[][..]), (MEMBER, &[(LABEL, "oosterlinde")]), (FOREIGN, &[(LABEL, "another")])]
        {
            environment.create_namespace(name, labels).await.unwrap();
        }
        let kubernetes = KubernetesApi {
            host: environment.api().url.clone(),
            ca_pem: Some(environment.api().ca_pem.clone()),
            reviewer_jwt: Some(reviewer.as_str().into()),
        };
        let bao = Bao::new(Server::Environment(Box::new(environment)));
        apply(&bao.root(), &VaultSetup::new(&params(kubernetes)).unwrap()).await.unwrap();
        let mut world =
            Self { bao, operator_jwt: String::new(), operator_uid: AliasName::new("unknown").unwrap() };
        (world.operator_uid, world.operator_jwt) = world.service_account(SYSTEM, "subrosa").await;
        world
    }

    fn environment(&self) -> &Environment {
        match &self.bao.server {
            Server::Environment(environment) => environment,
            Server::Alone { .. } => unreachable!("a world has an API server"),
        }
    }

    /// Makes a ServiceAccount, again if it exists, and answers its UID and a token of Vault's audience.
    pub async fn service_account(&self, namespace: &str, name: &str) -> (AliasName, String) {
        let environment = self.environment();
        let accounts: Api<ServiceAccount> = Api::namespaced(environment.admin().unwrap(), namespace);
        let _ = accounts.delete(name, &DeleteParams::default()).await;
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let made = accounts.create(&PostParams::default(), &account).await.unwrap();
        let jwt = environment.service_account_token(namespace, name, "vault").await.unwrap();
        (AliasName::new(made.metadata.uid.unwrap()).unwrap(), jwt)
    }

    /// Takes the membership of a namespace away.
    pub async fn unlabel(&self, namespace: &str) {
        let namespaces: Api<Namespace> = Api::all(self.environment().admin().unwrap());
        let patch = json!({"metadata": {"labels": {LABEL: null}}});
        namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// The client under test, logged in as the operator.
    pub async fn operator(&self) -> Vault {
        let vault = self.bao.connect();
        Session::new(vault.clone(), login("subrosa", &self.operator_jwt)).login().await.unwrap();
        vault
    }

    /// A login of the destroyer past the client under test: its ServiceAccount's UID, its JWT, and the answer.
    pub async fn destroyer(&self) -> (AliasName, String, Value) {
        let (uid, jwt) = self.service_account(SYSTEM, DESTROYER).await;
        let body = json!({"role": DESTROYER, "jwt": jwt});
        let (status, answer) = self.bao.raw("", "POST", "auth/kubernetes/login", body).await;
        assert_eq!(status, 200, "{answer}");
        (uid, jwt, answer)
    }

    /// A login past the client under test: the token, or status and body.
    pub async fn log_in(&self, role: &str, jwt: &str) -> Result<String, (u16, Value)> {
        let body = json!({"role": role, "jwt": jwt});
        let (status, answer) = self.bao.raw("", "POST", "auth/kubernetes/login", body).await;
        match answer["auth"]["client_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err((status, answer)),
        }
    }
}

/// The harness's reviewer may review tokens; the workloads' role also looks at namespaces.
async fn may_get_namespaces(client: Client) {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "get-namespaces"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
    }))
    .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "get-namespaces"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "get-namespaces"},
        "subjects": [{"kind": "ServiceAccount", "name": "token-reviewer", "namespace": "openbao"}],
    }))
    .unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &role).await.unwrap();
    Api::all(client).create(&PostParams::default(), &binding).await.unwrap();
}

/// A login with that token.
pub fn login(role: &str, jwt: &str) -> Login {
    let jwt = jwt.to_owned();
    let source = move || std::future::ready(Ok(jwt.as_str().into()));
    Login::Kubernetes {
        mount: mount("kubernetes"),
        role: RoleName::new(role).unwrap(),
        jwt: Arc::new(source),
    }
}

pub fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// From the first call on, everything any crate of this process traces is kept.
fn capture_logs() {
    LOG.get_or_init(|| {
        let sink = Sink(Arc::default());
        let kept = sink.0.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        kept
    });
}

pub fn captured_logs() -> String {
    capture_logs();
    String::from_utf8_lossy(&LOG.get().unwrap().lock().unwrap()).into_owned()
}

/// The service tokens (`s.` and 24 letters or digits) in a text.
pub fn service_tokens(text: &str) -> Vec<&str> {
    let starts = text.match_indices("s.").map(|(at, _)| at);
    let token = |at: usize| {
        let token = text.get(at..at + 26)?;
        token.bytes().skip(2).all(|c| c.is_ascii_alphanumeric()).then_some(token)
    };
    starts.filter_map(token).collect()
}
