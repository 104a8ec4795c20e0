//! Speaking to a server in a pod from the machine, with the files of a Channel's Secret: one mutual TLS connection,
//! and the first words of the server's own protocol.
//!
//! Since TLS 1.3 a client is done before the server has looked at its certificate, so a handshake alone says
//! nothing about being let in. An answer of the protocol does.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Node;

/// How long a server may take over all of it.
const LIMIT: Duration = Duration::from_secs(20);

/// What a server speaks over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL, with TLS asked for first.
    PostgreSql,
    /// HTTP/1.1.
    Http,
    /// MQTT 3.1.1.
    Mqtt,
    /// SIP.
    Sip,
}

impl Protocol {
    /// What a client called `user` says first.
    fn greeting(self, user: &str) -> Vec<u8> {
        match self {
            Self::PostgreSql => {
                let text = format!("user\0{user}\0database\0postgres\0\0");
                let length = u32::try_from(text.len() + 8).unwrap_or_default();
                [&length.to_be_bytes()[..], &[0, 3, 0, 0], text.as_bytes()].concat()
            }
            Self::Http => format!("GET / HTTP/1.1\r\nHost: {user}\r\nConnection: close\r\n\r\n").into_bytes(),
            // Protocol MQTT 4, a clean session, a minute to live, the client's name.
            Self::Mqtt => {
                let name = user.as_bytes();
                let (length, rest) = (name.len().to_le_bytes()[0], 12 + name.len().to_le_bytes()[0]);
                [&[0x10, rest, 0, 4][..], b"MQTT", &[4, 2, 0, 60, 0, length], name].concat()
            }
            Self::Sip => format!(
                "OPTIONS sip:sip@invalid SIP/2.0\r\nVia: SIP/2.0/TLS {user}.invalid;branch=z9hG4bK1\r\n\
                 From: <sip:{user}@invalid>;tag=1\r\nTo: <sip:sip@invalid>\r\nCall-ID: 1@{user}\r\n\
                 CSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes(),
        }
    }

    /// How the answer of a server begins that lets the client in.
    fn welcome(self) -> &'static [u8] {
        match self {
            // Authentication is done: nothing more is asked than the certificate.
            Self::PostgreSql => b"R\0\0\0\x08\0\0\0\0",
            Self::Http => b"HTTP/1.1 200 ",
            Self::Mqtt => b"\x20\x02\0\0",
            Self::Sip => b"SIP/2.0 200 ",
        }
    }
}

/// A server and how to get in.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    name: ServerName<'static>,
    protocol: Protocol,
    user: String,
    connector: TlsConnector,
}

/// Whom an accepted client found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// The serial number of the server's certificate, in hexadecimal.
    pub serial: String,
}

impl Wire {
    /// Towards the one pod behind the Service `server` of `namespace`, as the Channel `client` of
    /// `client_namespace`, with the files that its Secret has now. A client that trusts nobody takes whatever
    /// authority `server` presents: what is asked is whether the server lets it in.
    ///
    /// # Errors
    /// When a Secret or the pod is not there, or a file cannot be used.
    pub async fn new(
        node: &Node,
        (namespace, server, port): (&str, &str, u16),
        (client_namespace, client): (&str, &str),
        protocol: Protocol,
    ) -> Result<Self> {
        let files = secret(node, client_namespace, client).await?;
        let file = |name: &str| files.get(name).with_context(|| format!("{client}-mtls has no {name}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(file("servers-ca.crt")?) {
            roots.add(certificate?)?;
        }
        for certificate in CertificateDer::pem_slice_iter(
            secret(node, namespace, server).await?.get("tls.crt").context("the server has no tls.crt")?,
        )
        .skip(1)
        {
            roots.add(certificate?)?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file("tls.crt")?).collect();
        // The parser's error could quote what it read.
        let key =
            PrivateKeyDer::from_pem_slice(file("tls.key")?).map_err(|_| anyhow!("tls.key is no key"))?;
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = config.with_client_auth_cert(chain?, key)?;
        // A session that is taken up again shows the certificate of its beginning.
        config.resumption = Resumption::disabled();
        let address = node.pod_address(namespace, &format!("app={server}")).await?;
        Ok(Self {
            address: SocketAddr::new(address.parse().context("the pod's address")?, port),
            name: ServerName::try_from(format!("{server}.{namespace}.svc"))?,
            protocol,
            user: client.to_owned(),
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Connects once and says the first words.
    ///
    /// # Errors
    /// When the server does not let the client in, with what it said.
    pub async fn call(&self) -> Result<ServerSeen> {
        tokio::time::timeout(LIMIT, self.speak()).await.context("no answer in time")?
    }

    async fn speak(&self) -> Result<ServerSeen> {
        let mut stream = TcpStream::connect(self.address).await.context("connect")?;
        if self.protocol == Protocol::PostgreSql {
            stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await?;
            ensure!(stream.read_u8().await? == b'S', "PostgreSQL does not speak TLS");
        }
        let mut stream = self.connector.connect(self.name.clone(), stream).await.context("handshake")?;
        let found = serial(stream.get_ref().1.peer_certificates().unwrap_or_default())?;
        stream.write_all(&self.protocol.greeting(&self.user)).await.context("greet")?;
        let welcome = self.protocol.welcome();
        let mut answer = vec![0; welcome.len()];
        stream.read_exact(&mut answer).await.context("the server ended the connection")?;
        if answer != welcome {
            bail!("the server answered {:?}", String::from_utf8_lossy(&answer));
        }
        Ok(ServerSeen { serial: found })
    }
}

/// The serial number of the leaf in a Channel's Secret.
///
/// # Errors
/// When there is none.
pub async fn written_serial(node: &Node, namespace: &str, channel: &str) -> Result<String> {
    let files = secret(node, namespace, channel).await?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(files.get("tls.crt").context("no tls.crt")?).collect();
    serial(&chain?)
}

fn serial(chain: &[CertificateDer<'_>]) -> Result<String> {
    let leaf = chain.first().context("no certificate")?;
    let (_, leaf) = X509Certificate::from_der(leaf).context("the leaf is no certificate")?;
    Ok(leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn secret(node: &Node, namespace: &str, channel: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let name = format!("{channel}-mtls");
    let secret = Api::<Secret>::namespaced(node.client()?, namespace).get(&name).await;
    let secret = secret.with_context(|| format!("read Secret {namespace}/{name}"))?;
    Ok(secret.data.unwrap_or_default().into_iter().map(|(file, bytes)| (file, bytes.0)).collect())
}
