//! A handshake between two rustls endpoints in memory, with the files of two Channels.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::files::Files;

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
