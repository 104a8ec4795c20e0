//! A handshake between two rustls endpoints in memory, with the files of two Channels.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    files::{Files, files},
    world::World,
};

/// How often the ends of [`Connecting`] connect.
const PAUSE: Duration = Duration::from_millis(50);

/// Two workloads that connect all the time, while something happens to what protects them.
pub struct Connecting {
    /// The rounds that succeeded: each is three handshakes.
    rounds: watch::Receiver<usize>,
    /// Ends when nobody looks at the rounds any more.
    connecting: JoinHandle<Result<(), String>>,
}

impl Connecting {
    /// Has `client` connect to `server` by `name` from now on: with what their Secrets have at each moment, and each of the
    /// also with the files that it has now, as a pod that has not read them again.
    pub async fn begin(
        world: &World,
        namespace: &str,
        client: &'static str,
        server: &'static str,
        name: &'static str,
    ) -> Self {
        let before = (world.files(namespace, client).await, world.files(namespace, server).await);
        let api: Api<Secret> = world.api(namespace);
        let (counted, rounds) = watch::channel(0_usize);
        let connecting = tokio::spawn(async move {
            while !counted.is_closed() {
                let (client, server) = (mounted(&api, client).await?, mounted(&api, server).await?);
                for (client, server) in [(&client, &server), (&before.0, &server), (&client, &before.1)] {
                    between(client, server, name)
                        .map_err(|refused| format!("after {} rounds: {refused}", *counted.borrow()))?;
                }
                counted.send_modify(|rounds| *rounds += 1);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
        Self { rounds, connecting }
    }

    /// Waits until a round that began after this call has succeeded: a count that a slow machine reaches as well.
    ///
    /// # Panics
    /// When a handshake was refused.
    pub async fn once_more(&mut self) {
        let next = *self.rounds.borrow() + 2;
        if self.rounds.wait_for(|rounds| *rounds >= next).await.is_err() {
            let ended = (&mut self.connecting).await.expect("it runs to its end");
            ended.expect("every handshake succeeds");
        }
    }

    /// Ends it: every handshake until now succeeded.
    ///
    /// # Panics
    /// When one was refused.
    pub async fn end(self) {
        drop(self.rounds);
        self.connecting.await.expect("it runs to its end").expect("every handshake succeeds");
    }
}

/// What a pod of the Channel has in its files now.
async fn mounted(secrets: &Api<Secret>, channel: &str) -> Result<Files, String> {
    let secret = secrets.get(&format!("{channel}-mtls")).await;
    secret.map(|secret| files(&secret)).map_err(|error| format!("{channel}: {error}"))
}

/// Lets `client` connect to `server` by `name`; both check the other with their own files.
///
/// # Errors
/// What the end that refused says.
pub fn between(client: &Files, server: &Files, name: &'static str) -> Result<(), String> {
    let clients = Arc::new(roots(server.get("clients-ca.crt")));
    // Loading is part of the promise: a file that stops a server from starting would be an outage.
    let verifier = WebPkiClientVerifier::builder(clients).build().expect("clients-ca.crt loads");
    let accepting = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(server), key(server))
        .expect("tls.crt and tls.key");
    let connecting = ClientConfig::builder()
        .with_root_certificates(roots(client.get("servers-ca.crt")))
        .with_client_auth_cert(chain(client), key(client))
        .expect("tls.crt and tls.key");
    let name = ServerName::try_from(name).expect("a DNS name");
    let mut client = ClientConnection::new(Arc::new(connecting), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(accepting)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server)?;
    }
    // A server's refusal of the client's certificate comes after the client believes to be done.
    pass(&mut client, &mut server)
}

fn pass(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), String> {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).expect("memory");
    }
    let mut bytes = wire.as_slice();
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).expect("memory");
        server.process_new_packets().map_err(|error| format!("the server refuses: {error}"))?;
    }
    let mut wire = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut wire).expect("memory");
    }
    let mut bytes = wire.as_slice();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("memory");
        client.process_new_packets().map_err(|error| format!("the client refuses: {error}"))?;
    }
    Ok(())
}

fn chain(files: &Files) -> Vec<CertificateDer<'static>> {
    certificates(files.get("tls.crt"))
}

fn key(files: &Files) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(files.get("tls.key").as_bytes()).expect("tls.key")
}

fn roots(text: &str) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for certificate in certificates(text) {
        store.add(certificate).expect("a CA certificate");
    }
    store
}

fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().expect("PEM")
}

/// Whether the private key is the leaf's.
pub fn is_pair(files: &Files) -> bool {
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain(files), key(files)).is_ok()
}
