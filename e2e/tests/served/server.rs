//! A TLS server as a workload would be: it asks its clients for certificates, and reloads when it is told to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// The files of a Secret.
pub type Files = BTreeMap<String, String>;

/// A server at one address; ends when it is dropped.
pub struct Server {
    config: Arc<RwLock<Option<Arc<ServerConfig>>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens at `ip`, on `port` or, where that is 0, on a free one; returns the port too.
    pub async fn listen(ip: IpAddr, port: u16) -> (Self, u16) {
        let listener = TcpListener::bind(SocketAddr::new(ip, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config: Arc<RwLock<Option<Arc<ServerConfig>>>> = Arc::default();
        let current = Arc::clone(&config);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let config = current.read().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(async move {
                    match config {
                        // Whoever has no certificate is refused: so is a probe, after it has seen the server's.
                        Some(config) => {
                            if let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await {
                                let _ = tls.read_u8().await;
                            }
                        }
                        None => {
                            let _ = stream.write_all(b"this server speaks plain text\r\n").await;
                            let _ = stream.read_u8().await;
                        }
                    }
                });
            }
        });
        (Self { config, task }, port)
    }

    /// Serves these files from now on; before, it speaks plain text.
    pub fn load(&self, files: &Files) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(config(files)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(files: &Files) -> ServerConfig {
    let certificates = |file: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(files[file].as_bytes()).collect::<Result<_, _>>().expect("PEM")
    };
    let mut clients = RootCertStore::empty();
    for certificate in certificates("clients-ca.crt") {
        clients.add(certificate).expect("a CA certificate");
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(clients)).build().expect("clients-ca.crt loads");
    let key = PrivateKeyDer::from_pem_slice(files["tls.key"].as_bytes()).expect("tls.key");
    ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates("tls.crt"), key)
        .expect("tls.crt and tls.key")
}
