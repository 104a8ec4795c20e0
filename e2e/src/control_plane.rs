//! etcd, kube-apiserver and kube-controller-manager on loopback, or where a node reaches them.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;

use crate::{
    audit::AuditLog,
    cluster::{Component, Components},
    directory::write_private,
    kubeconfig::Endpoint,
    pki::Authority,
    process::{Invocation, Supervised},
};
use files::Files;

/// Time for a cold start on a busy machine; a usual one takes three seconds.
const START_LIMIT: Duration = Duration::from_secs(90);
const PORT_ATTEMPTS: usize = 5;

/// The controllers that tests rely on; those for nodes and workloads have nothing to do without a node.
const CONTROLLERS: [&str; 11] = [
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
    "certificatesigningrequest-signing-controller",
    "podcertificaterequest-cleaner-controller",
];

/// What is to be done besides where pods run.
const WORKLOAD_CONTROLLERS: [&str; 8] = [
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "disruption-controller",
];

/// Whether there is a node, and so from where the API server has to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// No pod runs; everything is on loopback.
    #[default]
    Alone,
    /// A node reaches the API server at this address of the machine.
    WithNode(Ipv4Addr),
}

impl Setting {
    fn address(self) -> Ipv4Addr {
        match self {
            Self::Alone => Ipv4Addr::LOCALHOST,
            Self::WithNode(address) => address,
        }
    }

    fn controllers(self) -> Vec<&'static str> {
        let more: &[&str] = if self == Self::Alone { &[] } else { &WORKLOAD_CONTROLLERS };
        CONTROLLERS.iter().chain(more).copied().collect()
    }
}

/// A user of the API server with a token.
#[derive(Clone)]
pub struct User {
    /// The name, as in RBAC subjects.
    pub name: String,
    /// The groups, besides `system:authenticated`.
    pub groups: Vec<String>,
    /// The bearer token.
    pub token: String,
}

impl User {
    /// A user with a random token.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(ToString::to_string).collect();
        Self { name: name.to_owned(), groups, token: random_token() }
    }
}

/// A running control plane. Ended on drop.
pub struct ControlPlane {
    endpoint: Endpoint,
    admin: User,
    audit: AuditLog,
    cluster_ca: PathBuf,
    etcd_socket: PathBuf,
    // Ended in this order.
    controller_manager: Supervised,
    apiserver: Supervised,
    etcd: Supervised,
}

impl ControlPlane {
    /// Starts all three in `directory` and returns once the API is ready and the first controllers have worked.
    pub async fn start(
        components: &Components,
        directory: &Path,
        servers: &Authority,
        users: &[User],
        setting: Setting,
    ) -> Result<Self> {
        let admin = User::new("e2e-admin", &["system:masters"]);
        let files = Files::write(directory, servers, users, &admin, setting)?;
        let etcd = start_etcd(&components.etcd, directory)?;
        let (apiserver, endpoint) =
            start_apiserver(&components.apiserver, &files, servers, &admin, setting).await?;
        let controller_manager =
            start_controller_manager(&components.controller_manager, &files, &endpoint, &admin, setting)?;
        let mut plane = Self {
            endpoint,
            admin,
            audit: AuditLog::new(files.audit_log),
            cluster_ca: files.cluster_ca,
            etcd_socket: etcd_socket(directory),
            controller_manager,
            apiserver,
            etcd,
        };
        plane.wait_for_first_objects().await?;
        Ok(plane)
    }

    /// Where the API server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The token of a member of `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin.token
    }

    /// The API server's audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The file with the CA of what the cluster signs, as of the API server's own client certificate.
    pub fn cluster_ca(&self) -> &Path {
        &self.cluster_ca
    }

    /// The socket on which etcd answers.
    pub fn etcd_socket(&self) -> &Path {
        &self.etcd_socket
    }

    /// The process ids by component.
    pub fn pids(&self) -> BTreeMap<&'static str, u32> {
        BTreeMap::from([
            ("etcd", self.etcd.pid()),
            ("kube-apiserver", self.apiserver.pid()),
            ("kube-controller-manager", self.controller_manager.pid()),
        ])
    }

    /// Ends all at once: nothing of what they hold outlives the environment.
    pub fn kill(&mut self) {
        self.controller_manager.kill();
        self.apiserver.kill();
        self.etcd.kill();
    }

    /// The default ServiceAccount shows that controllers run; kube-system is made by the API server itself.
    async fn wait_for_first_objects(&mut self) -> Result<()> {
        let client = self.endpoint.http_client()?;
        let get =
            |path: &str| client.get(format!("{}{path}", self.endpoint.url)).bearer_auth(&self.admin.token);
        let probe = || async {
            for path in
                ["/api/v1/namespaces/kube-system", "/api/v1/namespaces/default/serviceaccounts/default"]
            {
                let answer = get(path).send().await;
                if !answer.is_ok_and(|answer| answer.status().is_success()) {
                    return false;
                }
            }
            true
        };
        self.controller_manager.ready(START_LIMIT, probe).await
    }
}

fn etcd_socket(directory: &Path) -> PathBuf {
    directory.join("etcd.sock")
}

fn start_etcd(component: &Component, directory: &Path) -> Result<Supervised> {
    // Sockets in the private directory: no port to lose a race for, and no other user gets in.
    let client = format!("unix://{}", etcd_socket(directory).display());
    let peer = format!("unix://{}", directory.join("etcd-peer.sock").display());
    let arguments = [
        "--name=e2e".to_owned(),
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=e2e={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
    ];
    Supervised::spawn(invocation("etcd", component, arguments), directory)
}

async fn start_apiserver(
    component: &Component,
    files: &Files,
    servers: &Authority,
    admin: &User,
    setting: Setting,
) -> Result<(Supervised, Endpoint)> {
    let mut last = String::new();
    for _ in 0..PORT_ATTEMPTS {
        let port = free_port()?;
        let endpoint = Endpoint {
            url: format!("https://{}:{port}", setting.address()),
            ca_pem: servers.certificate_pem().to_owned(),
        };
        let arguments = apiserver_arguments(files, port, setting);
        let mut process =
            Supervised::spawn(invocation("kube-apiserver", component, arguments), &files.directory)?;
        let client = endpoint.http_client()?;
        let ready = || async {
            let probe = client.get(format!("{}/readyz", endpoint.url)).bearer_auth(&admin.token);
            probe.send().await.is_ok_and(|answer| answer.status().is_success())
        };
        match process.ready(START_LIMIT, ready).await {
            Ok(()) => return Ok((process, endpoint)),
            Err(error) if error.to_string().contains("address already in use") => last = error.to_string(),
            Err(error) => return Err(error),
        }
    }
    bail!("kube-apiserver found no free port in {PORT_ATTEMPTS} attempts; the last one: {last}")
}

fn apiserver_arguments(files: &Files, port: u16, setting: Setting) -> Vec<String> {
    let issuer = "https://kubernetes.default.svc";
    let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    let mut arguments = vec![
        format!("--etcd-servers=unix://{}", etcd_socket(&files.directory).display()),
        format!("--bind-address={}", setting.address()),
        format!("--secure-port={port}"),
        // Advertising a loopback address is refused otherwise.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=RBAC,Node".to_owned(),
        // As every real cluster has it: a kubelet changes nothing but what is its own.
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        path("token-auth-file", &files.tokens),
        path("client-ca-file", &files.cluster_ca),
        path("tls-cert-file", &files.serving_certificate),
        path("tls-private-key-file", &files.serving_key),
        format!("--service-account-issuer={issuer}"),
        path("service-account-key-file", &files.service_account_public_key),
        path("service-account-signing-key-file", &files.service_account_key),
        path("audit-policy-file", &files.audit_policy),
        path("audit-log-path", &files.audit_log),
        // No rotation: tests read the one file from its start.
        "--audit-log-maxsize=0".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if setting != Setting::Alone {
        arguments.extend([
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            path("kubelet-client-certificate", &files.kubelet_client_certificate),
            path("kubelet-client-key", &files.kubelet_client_key),
        ]);
    }
    arguments
}

fn start_controller_manager(
    component: &Component,
    files: &Files,
    endpoint: &Endpoint,
    admin: &User,
    setting: Setting,
) -> Result<Supervised> {
    let kubeconfig = files.directory.join("controller-manager.kubeconfig");
    write_private(&kubeconfig, &endpoint.kubeconfig("controller-manager", &admin.token)?)?;
    let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    let arguments = [
        path("kubeconfig", &kubeconfig),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
        format!("--controllers={}", setting.controllers().join(",")),
        path("service-account-private-key-file", &files.service_account_key),
        path("root-ca-file", &files.server_ca),
        path("cluster-signing-cert-file", &files.cluster_ca),
        path("cluster-signing-key-file", &files.cluster_ca_key),
        "--concurrent-namespace-syncs=20".to_owned(),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    Supervised::spawn(invocation("kube-controller-manager", component, arguments), &files.directory)
}

fn invocation(
    name: &'static str,
    component: &Component,
    arguments: impl IntoIterator<Item = String>,
) -> Invocation {
    let selector = component.selector.map(OsString::from);
    let arguments = selector.into_iter().chain(arguments.into_iter().map(OsString::from)).collect();
    Invocation { name, program: component.program.clone(), arguments, environment: BTreeMap::new() }
}

/// Ports that were given to somebody of this process already.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that was free a moment ago, a different one each time; whoever binds it must be ready to lose
/// the race against another process.
pub(crate) fn free_port() -> Result<u16> {
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr().context("find a free port")?.port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}

/// 256 random bits in hexadecimal.
pub(crate) fn random_token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
