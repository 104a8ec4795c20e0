//! Two ends of a TLS connection, each OpenSSL or rustls, on what a workload mounts.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Data;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 ok\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub(super) enum Engine {
    OpenSsl,
    Rustls,
}

pub(super) const ENGINES: [Engine; 2] = [Engine::OpenSsl, Engine::Rustls];

/// Whether a request and its answer pass, with both sides proving themselves.
pub(super) async fn talk(
    server: Engine,
    of_server: &Data,
    client: Engine,
    of_client: &Data,
    name: &str,
) -> bool {
    let server = match server {
        Engine::OpenSsl => Server::openssl(of_server).await,
        Engine::Rustls => Server::rustls(of_server).await,
    };
    let talked = async {
        match client {
            Engine::OpenSsl => openssl_client(server.port, of_client, name).await,
            Engine::Rustls => rustls_client(server.port, of_client, name).await.unwrap_or(false),
        }
    };
    tokio::time::timeout(PATIENCE, talked).await.expect("neither answered nor refused")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn roots(bundle: &[u8]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.unwrap()).unwrap();
    }
    Arc::new(roots)
}

fn identity(data: &Data) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(&data["tls.crt"]).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_slice(&data["tls.key"]).unwrap())
}

struct Server {
    port: u16,
    /// Ends with the server.
    _process: Option<(Child, tempfile::TempDir)>,
}

impl Server {
    async fn rustls(data: &Data) -> Self {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots(&data["clients-ca.crt"]), provider()).build();
        let (chain, key) = identity(data);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).await?;
            stream.write_all(ANSWER).await?;
            stream.shutdown().await
        });
        Self { port, _process: None }
    }

    async fn openssl(data: &Data) -> Self {
        let room = mounted(data);
        let path = |file: &str| room.path().join(file);
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-Verify", "1", "-verify_return_error"])
            .args(["-x509_strict", "-no-CApath", "-no-CAstore"])
            .args([PathBuf::from("-cert"), path("tls.crt"), "-key".into(), path("tls.key")])
            .args([PathBuf::from("-cert_chain"), path("chain.crt"), "-CAfile".into(), path("clients-ca.crt")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the server did not start");
            if let Some((_, port)) = line.strip_prefix("ACCEPT").and_then(|rest| rest.rsplit_once(':')) {
                break port.trim().parse().unwrap();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { port, _process: Some((process, room)) }
    }
}

async fn rustls_client(port: u16, data: &Data, name: &str) -> std::io::Result<bool> {
    let (chain, key) = identity(data);
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&data["servers-ca.crt"]))
        .with_client_auth_cert(chain, key)
        .unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(answer == ANSWER[..12])
}

async fn openssl_client(port: u16, data: &Data, name: &str) -> bool {
    let room = mounted(data);
    let path = |file: &str| room.path().join(file);
    let mut process = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-x509_strict", "-no-CApath", "-no-CAstore"])
        .args(["-connect", &format!("127.0.0.1:{port}"), "-servername", name, "-verify_hostname", name])
        .args([PathBuf::from("-cert"), path("tls.crt"), "-key".into(), path("tls.key")])
        .args([PathBuf::from("-cert_chain"), path("chain.crt"), "-CAfile".into(), path("servers-ca.crt")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // A refused client is gone before it reads this.
    let _ = stdin.write_all(REQUEST).await;
    let output = process.wait_with_output().await.unwrap();
    output.stdout.starts_with(&ANSWER[..12])
}

/// The Secret as a volume, and what follows the leaf as a file of its own: the s_ commands want it apart.
fn mounted(data: &Data) -> tempfile::TempDir {
    let room = tempfile::tempdir().unwrap();
    for (file, bytes) in data {
        std::fs::write(room.path().join(file), bytes).unwrap();
    }
    let chain = super::ders(data, "tls.crt");
    let rest: String = chain.iter().skip(1).map(|der| subrosa_plan::world::pem::encode(der)).collect();
    std::fs::write(room.path().join("chain.crt"), rest).unwrap();
    room
}
