//! An OpenBao server with TLS, a declared audit device and its keys at hand.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};

use crate::{
    audit::{AuditLog, BaoAuditEntry, Mark},
    control_plane::free_port,
    directory::write_private,
    kubeconfig::Endpoint,
    pki::Authority,
    process::{Invocation, Supervised},
};

const START_LIMIT: Duration = Duration::from_secs(60);
const PORT_ATTEMPTS: usize = 5;
const AUDIT_LOG: &str = "bao-audit.log";

/// Where OpenBao keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Integrated storage on disk: survives a restart, as in production.
    #[default]
    Raft,
    /// Memory: faster, and empty after a restart.
    InMemory,
}

/// All that a server keeps, and what opens it.
pub struct Snapshot {
    /// What `bao operator raft snapshot save` writes.
    pub storage: Vec<u8>,
    /// The root token of then.
    pub root_token: String,
    /// The key that unseals it.
    pub unseal_key: String,
}

/// A running, initialised and unsealed OpenBao. Ended on drop.
pub struct OpenBao {
    endpoint: Endpoint,
    root_token: String,
    unseal_key: String,
    audit: AuditLog,
    http: reqwest::Client,
    /// Program and directory, where it is a process of ours.
    origin: Option<(PathBuf, PathBuf)>,
    process: Mutex<Option<Supervised>>,
}

/// Where a transit key of Subrosa's is: an authority's key has a mount of its own, and the Channel's identity as its name.
#[must_use]
pub fn key_path(name: &str) -> String {
    let mount = if name.contains('.') { "transit" } else { "transit-ca" };
    format!("{mount}/keys/{name}")
}

impl OpenBao {
    /// Starts the server in `directory`, initialises it with one key share and unseals it.
    pub async fn start(
        program: &Path,
        directory: &Path,
        servers: &Authority,
        storage: Storage,
    ) -> Result<Self> {
        let identity = servers.server(&[])?;
        write_private(&directory.join("bao.pem"), &identity.certificate_pem)?;
        write_private(&directory.join("bao-key.pem"), &identity.key_pem)?;
        if storage == Storage::Raft {
            let data = directory.join("bao-raft");
            std::fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
        }
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let (port, cluster_port) = (free_port()?, free_port()?);
            let endpoint = Endpoint {
                url: format!("https://127.0.0.1:{port}"),
                ca_pem: servers.certificate_pem().to_owned(),
            };
            write_private(
                &directory.join("bao.hcl"),
                &configuration(directory, storage, port, cluster_port),
            )?;
            let mut process = spawn(program, directory)?;
            let http = endpoint.http_client()?;
            match listening(&mut process, &http, &endpoint).await {
                Ok(()) => {}
                Err(error) if error.to_string().contains("address already in use") => {
                    last = error.to_string();
                    continue;
                }
                Err(error) => return Err(error),
            }
            let mut server = Self {
                audit: AuditLog::new(directory.join(AUDIT_LOG)),
                root_token: String::new(),
                unseal_key: String::new(),
                origin: Some((program.to_owned(), directory.to_owned())),
                process: Mutex::new(Some(process)),
                endpoint,
                http,
            };
            server.initialise().await?;
            server.unseal().await?;
            return Ok(server);
        }
        bail!("OpenBao found no free port in {PORT_ATTEMPTS} attempts; the last one: {last}")
    }

    /// Initialises and unseals a new server that runs elsewhere, such as in a pod; `http` reaches it. It is nobody's
    /// here to stop or start, and its audit log is where it runs.
    pub async fn adopt(endpoint: Endpoint, http: reqwest::Client) -> Result<Self> {
        let mut server = Self {
            endpoint,
            http,
            root_token: String::new(),
            unseal_key: String::new(),
            audit: AuditLog::new(PathBuf::new()),
            origin: None,
            process: Mutex::new(None),
        };
        server.initialise().await?;
        server.unseal().await?;
        Ok(server)
    }

    /// Where it is and what to trust.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its URL, such as `https://127.0.0.1:34567`.
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The process id, unless it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Supervised::pid)
    }

    /// A request with the root token, such as `("PUT", "sys/policy/x", Some(json))`. Fails on every
    /// status but 2xx with what the server said. The answer is null when there is no body.
    pub async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, answer) = self.request_as(&self.root_token, method, path, body).await?;
        if !(200..300).contains(&status) {
            bail!("OpenBao: {method} {path}: {status}: {}", reasons(&answer));
        }
        Ok(answer)
    }

    /// A request with another token (none if empty): status and body, whatever they are.
    pub async fn request_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let what = || format!("OpenBao: {method} {path}");
        let method = Method::from_bytes(method.as_bytes()).with_context(what)?;
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.url()));
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(what)?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.with_context(what)?;
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).with_context(what)? };
        Ok((status, body))
    }

    /// Logs a ServiceAccount in through the Kubernetes auth method at `auth/<mount>` and returns the client token.
    pub async fn kubernetes_login(&self, mount: &str, role: &str, jwt: &str) -> Result<String> {
        let path = format!("auth/{mount}/login");
        let (status, answer) =
            self.request_as("", "POST", &path, Some(json!({ "role": role, "jwt": jwt }))).await?;
        match answer.pointer("/auth/client_token").and_then(Value::as_str) {
            Some(token) if status == 200 => Ok(token.to_owned()),
            _ => bail!("OpenBao: POST {path} for role {role}: {status}: {}", reasons(&answer)),
        }
    }

    /// Takes all that it keeps.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let request = self.http.get(format!("{}/v1/sys/storage/raft/snapshot", self.url()));
        let answer = request.header("X-Vault-Token", &self.root_token).send().await?.error_for_status()?;
        Ok(Snapshot {
            storage: answer.bytes().await.context("OpenBao: the snapshot")?.to_vec(),
            root_token: self.root_token.clone(),
            unseal_key: self.unseal_key.clone(),
        })
    }

    /// Puts what another server kept in the place of everything here.
    pub async fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let Snapshot { storage, root_token, unseal_key } = snapshot;
        let request = self.http.post(format!("{}/v1/sys/storage/raft/snapshot-force", self.url()));
        let request = request.header("X-Vault-Token", &self.root_token).body(storage);
        request.send().await?.error_for_status().context("OpenBao: restore a snapshot")?;
        (self.root_token, self.unseal_key) = (root_token, unseal_key);
        // It seals itself once it has seen that its key does not open what is there now.
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            let key = json!({ "key": self.unseal_key });
            self.request_as("", "PUT", "sys/unseal", Some(key)).await.ok();
            let healthy = matches!(self.request_as("", "GET", "sys/health", None).await, Ok((200, _)));
            if healthy && self.request("GET", "auth/token/lookup-self", None).await.is_ok() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("OpenBao was not active {START_LIMIT:?} after a snapshot was restored");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One more server of the same program, in a directory of its own.
    pub async fn another(&self, directory: &Path, servers: &Authority) -> Result<Self> {
        let Some((program, _)) = &self.origin else {
            bail!("OpenBao at {} was not started here: its program is not known", self.url());
        };
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        Self::start(program, directory, servers, Storage::Raft).await
    }

    /// Seals it.
    pub async fn seal(&self) -> Result<()> {
        self.request("PUT", "sys/seal", None).await.map(drop)
    }

    /// Unseals it and waits until it is active.
    pub async fn unseal(&self) -> Result<()> {
        self.request("PUT", "sys/unseal", Some(json!({ "key": self.unseal_key }))).await?;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while !matches!(self.request_as("", "GET", "sys/health", None).await, Ok((200, _))) {
            if tokio::time::Instant::now() >= deadline {
                bail!("OpenBao was not active {START_LIMIT:?} after unsealing");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Stops the process: from now on connections are refused. Nothing happens if it is stopped.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            process.end();
        }
    }

    /// Ends the process as a crash would. Nothing happens if it is stopped.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            process.kill();
        }
    }

    /// Starts a stopped server on its old address; it comes up sealed. Nothing happens if it runs.
    pub async fn start_sealed(&self) -> Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        let Some((program, directory)) = &self.origin else {
            bail!("OpenBao at {} was not started here, and cannot be started again", self.url());
        };
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let mut process = spawn(program, directory)?;
            match listening(&mut process, &self.http, &self.endpoint).await {
                Ok(()) => {
                    *self.process() = Some(process);
                    return Ok(());
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("OpenBao did not come back on {}: {last}", self.url())
    }

    /// Stops, starts and unseals it.
    pub async fn restart(&self) -> Result<()> {
        self.stop();
        self.start_sealed().await?;
        self.unseal().await
    }

    /// The whole audit log.
    pub fn audit_log(&self) -> Result<Vec<BaoAuditEntry>> {
        self.audit.entries_since(Mark::default())
    }

    /// The audit log as a file with marks, to read only what is new.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    async fn initialise(&mut self) -> Result<()> {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let answer = self.request("PUT", "sys/init", Some(shares)).await?;
        let field = |pointer: &str| {
            let value = answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            value.with_context(|| format!("OpenBao: sys/init answered without {pointer}"))
        };
        self.unseal_key = field("/keys_base64/0")?;
        self.root_token = field("/root_token")?;
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Supervised>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(program: &Path, directory: &Path) -> Result<Supervised> {
    let configuration = directory.join("bao.hcl");
    let arguments = vec!["server".into(), "-config".into(), configuration.into()];
    let invocation =
        Invocation { name: "openbao", program: program.to_owned(), arguments, environment: BTreeMap::new() };
    Supervised::spawn(invocation, directory)
}

/// Any answer of the health endpoint will do: 501 before initialisation, 503 when sealed.
async fn listening(process: &mut Supervised, http: &reqwest::Client, endpoint: &Endpoint) -> Result<()> {
    let probe = || async { http.get(format!("{}/v1/sys/health", endpoint.url)).send().await.is_ok() };
    process.ready(START_LIMIT, probe).await
}

/// The audit device is declared here because OpenBao's API refuses to enable one.
fn configuration(directory: &Path, storage: Storage, port: u16, cluster_port: u16) -> String {
    let at = |name: &str| hcl_string(&directory.join(name).display().to_string());
    let storage = match storage {
        Storage::InMemory => "storage \"inmem\" {}\n".to_owned(),
        Storage::Raft => format!(
            "storage \"raft\" {{\n  path = {}\n  node_id = \"e2e\"\n  performance_multiplier = 1\n}}\n",
            at("bao-raft")
        ),
    };
    format!(
        r#"{storage}
listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file   = {certificate}
  tls_key_file    = {key}
}}

audit "file" "e2e" {{
  description = "read by the tests"
  options {{
    file_path = {audit}
  }}
}}

api_addr     = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
ui           = false
"#,
        certificate = at("bao.pem"),
        key = at("bao-key.pem"),
        // By a name that is the same everywhere, in the directory that the server runs in: a server whose storage is
        // put into another one has to declare the same device.
        audit = hcl_string(AUDIT_LOG),
    )
}

/// JSON's escapes are HCL's too, except for its interpolation.
fn hcl_string(text: &str) -> String {
    Value::from(text).to_string().replace("${", "$${")
}

/// What the server gave as reasons, never the whole body: that may hold secrets.
fn reasons(answer: &Value) -> String {
    answer.get("errors").map_or_else(|| "no reason given".to_owned(), Value::to_string)
}
