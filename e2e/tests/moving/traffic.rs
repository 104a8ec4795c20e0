//! Workloads that talk over TCP and mutual TLS on loopback all the time, with the files of the Secrets that they
//! mount. A mount follows its Secrets a moment later, as kubelet has it; a workload reads its files for each
//! connection, as one that reloads does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How far a mount may be behind its Secret.
const KUBELET: Duration = Duration::from_millis(150);
/// The pause between two connections.
const PAUSE: Duration = Duration::from_millis(15);

/// Which file of which Secret: `voice-tls/tls.crt`.
#[derive(Clone, Debug)]
pub struct Mount {
    pub certificate: &'static str,
    pub key: &'static str,
    pub trust: &'static str,
}

/// What stands in the files.
#[derive(Clone, Default)]
pub struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    trust: Vec<u8>,
}

/// A pod: what it mounts, and what is there.
#[derive(Clone)]
pub struct Pod {
    secrets: Api<Secret>,
    mount: Arc<RwLock<Mount>>,
    files: Arc<RwLock<Files>>,
}

impl Pod {
    pub async fn start(client: &Client, namespace: &str, mount: Mount) -> Self {
        let secrets = Api::namespaced(client.clone(), namespace);
        let files = Arc::new(RwLock::new(read(&secrets, &mount).await.unwrap()));
        let pod = Self { secrets, mount: Arc::new(RwLock::new(mount)), files };
        tokio::spawn(pod.clone().follow());
        pod
    }

    /// As a rollout does: the next pod mounts these. It starts only when all of them are there.
    pub async fn roll(&self, mount: Mount) {
        let files = read(&self.secrets, &mount).await.unwrap();
        *self.mount.write().unwrap() = mount;
        *self.files.write().unwrap() = files;
    }

    /// What is in the files now.
    pub fn files(&self) -> Files {
        self.files.read().unwrap().clone()
    }

    async fn follow(self) {
        loop {
            tokio::time::sleep(KUBELET.mul_f64(rand::random_range(0.2..1.0))).await;
            let mount = self.mount.read().unwrap().clone();
            // A Secret that is gone leaves in place what was mounted of it.
            let Some(found) = read(&self.secrets, &mount).await else { continue };
            let still = self.mount.read().unwrap();
            if still.certificate == mount.certificate && still.trust == mount.trust {
                *self.files.write().unwrap() = found;
            }
        }
    }
}

async fn read(secrets: &Api<Secret>, mount: &Mount) -> Option<Files> {
    // As one volume: files of one Secret are read together.
    let mut seen: BTreeMap<&str, Secret> = BTreeMap::new();
    for path in [mount.certificate, mount.key, mount.trust] {
        let (name, _) = path.split_once('/').unwrap();
        if !seen.contains_key(name) {
            seen.insert(name, secrets.get_opt(name).await.ok()??);
        }
    }
    let file = |path: &str| {
        let (name, file) = path.split_once('/').unwrap();
        Some(seen.get(name)?.data.as_ref()?.get(file)?.0.clone())
    };
    Some(Files { certificate: file(mount.certificate)?, key: file(mount.key)?, trust: file(mount.trust)? })
}

impl Files {
    /// Whether this certificate stands in the trust file.
    pub fn trusts(&self, certificate: &str) -> bool {
        String::from_utf8_lossy(&self.trust).contains(certificate.trim())
    }

    /// Files that no pod mounts any more, as somebody may have kept them.
    pub fn with_trust_of(mut self, other: &Self) -> Self {
        self.trust = other.trust.clone();
        self
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>().expect("tls.crt")
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(&self.key).expect("tls.key")
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.trust) {
            roots.add(certificate.expect("PEM")).expect("a CA certificate");
        }
        Arc::new(roots)
    }

    fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let verifier =
            WebPkiClientVerifier::builder(self.roots()).build().map_err(|error| error.to_string())?;
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        let config = config.with_single_cert(self.chain(), self.key()).map_err(|error| error.to_string())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn connector(&self) -> Result<TlsConnector, String> {
        let config = ClientConfig::builder().with_root_certificates(self.roots());
        let config =
            config.with_client_auth_cert(self.chain(), self.key()).map_err(|error| error.to_string())?;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A server, and a client that connects to it without end.
pub struct Traffic {
    name: String,
    connections: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl Traffic {
    pub async fn start(server: Pod, client: Pod, name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, failures) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(server.files(), stream));
            }
        });
        let (counted, failed) = (Arc::clone(&connections), Arc::clone(&failures));
        tasks.spawn(async move {
            loop {
                match TcpStream::connect(address).await {
                    Ok(stream) => match ask(&client.files(), stream, name).await {
                        Ok(()) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error),
                    },
                    Err(error) => failed.lock().unwrap().push(error.to_string()),
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { name: name.to_owned(), connections, failures, tasks }
    }

    /// Waits until further connections were made, and fails where a single one did not come about.
    pub async fn goes_on(&self, step: &str) {
        let enough = self.connections.load(Ordering::Relaxed) + 25;
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while self.connections.load(Ordering::Relaxed) < enough
                && self.failures.lock().unwrap().is_empty()
            {
                tokio::time::sleep(PAUSE).await;
            }
        });
        let in_time = waited.await.is_ok();
        let failures = self.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{step}: {} was interrupted: {failures:?}", self.name);
        assert!(in_time, "{step}: {} stands still", self.name);
    }

    /// How many connections were made.
    pub fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// One connection between two sets of files; what the end that refuses says.
pub async fn once(server: &Files, client: &Files, name: &'static str) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let (served, asked) = tokio::join!(answer(server.clone(), accepted), ask(client, stream, name));
    match (served, asked) {
        (Ok(()), Ok(())) => Ok(()),
        (served, asked) => Err(format!("server: {served:?}, client: {asked:?}")),
    }
}

async fn answer(files: Files, stream: TcpStream) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = files.acceptor()?.accept(stream).await.map_err(text)?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map_err(text)?;
    stream.write_all(&byte).await.map_err(text)?;
    stream.shutdown().await.map_err(text)
}

/// In TLS 1.3 a client learns only by reading that it was refused.
async fn ask(files: &Files, stream: TcpStream, name: &'static str) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let name = ServerName::try_from(name).expect("a DNS name");
    let mut stream = files.connector()?.connect(name, stream).await.map_err(text)?;
    stream.write_all(&[7]).await.map_err(text)?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map_err(text)?;
    if byte == [7] { Ok(()) } else { Err("the server said something else".to_owned()) }
}
