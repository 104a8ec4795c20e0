//! One mutual TLS handshake over TCP on loopback, each end with the files of a Channel's Secret.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
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
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

/// How long neither end may say anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// What each end says when the other has proved itself.
const GREETING: [u8; 5] = *b"hello";

/// What a workload mounts: the data of a Channel's Secret.
#[derive(Clone)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Reads the Secret `<channel>-mtls`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn read(client: &Client, namespace: &str, channel: &str) -> Result<Self> {
        let name = format!("{channel}-mtls");
        let secret = Api::<Secret>::namespaced(client.clone(), namespace).get(&name).await;
        let secret = secret.with_context(|| format!("read Secret {namespace}/{name}"))?;
        let data = secret.data.unwrap_or_default();
        Ok(Self(data.into_iter().map(|(file, bytes)| (file, bytes.0)).collect()))
    }

    /// As a careless workload would have it, that trusts whatever chain `server` presents.
    pub fn trusting(mut self, server: &Self) -> Self {
        let chain = server.0.get("tls.crt").cloned().unwrap_or_default();
        self.0.insert("servers-ca.crt".into(), chain);
        self
    }

    fn file(&self, name: &str) -> Result<&[u8]> {
        self.0.get(name).map(Vec::as_slice).with_context(|| format!("the Secret has no {name}"))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_slice_iter(self.file("tls.crt")?).collect::<Result<_, _>>().context("tls.crt")
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        // The parser's error could quote what it read.
        PrivateKeyDer::from_pem_slice(self.file("tls.key")?).map_err(|_| anyhow!("tls.key is no private key"))
    }

    fn roots(&self, name: &str) -> Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.file(name)?) {
            roots.add(certificate.with_context(|| name.to_owned())?)?;
        }
        Ok(Arc::new(roots))
    }

    fn server(&self) -> Result<TlsAcceptor> {
        let verifier = WebPkiClientVerifier::builder(self.roots("clients-ca.crt")?).build()?;
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(self.chain()?, self.key()?)?)))
    }

    fn client(&self) -> Result<TlsConnector> {
        let config = ClientConfig::builder().with_root_certificates(self.roots("servers-ca.crt")?);
        Ok(TlsConnector::from(Arc::new(config.with_client_auth_cert(self.chain()?, self.key()?)?)))
    }
}

/// Whom an end saw, as a SPIFFE ID; or why it refused or was refused.
pub type Seen = Result<String, String>;

/// How a handshake went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeResult {
    /// What the server says of the client.
    pub server: Seen,
    /// What the client says of the server.
    pub client: Seen,
}

impl HandshakeResult {
    /// Whether both ends heard each other.
    pub fn talked(&self) -> bool {
        self.server.is_ok() && self.client.is_ok()
    }
}

/// Has `client` connect to `server` under `name`.
///
/// # Errors
/// When the files cannot be used at all. A refusal is an outcome.
pub async fn shake(server: &Files, client: &Files, name: &str) -> Result<HandshakeResult> {
    let (acceptor, connector) = (server.server()?, client.client()?);
    let name = ServerName::try_from(name.to_owned()).context("the server's name")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = acceptor.accept(stream).await?;
        greet(&mut stream).await?;
        spiffe_id(stream.get_ref().1.peer_certificates())
    };
    let connecting = async move {
        let stream = TcpStream::connect(address).await?;
        let mut stream = connector.connect(name, stream).await?;
        greet(&mut stream).await?;
        spiffe_id(stream.get_ref().1.peer_certificates())
    };
    let both = async { tokio::join!(serving, connecting) };
    let (server, client) = tokio::time::timeout(PATIENCE, both).await.context("neither end said anything")?;
    let said = |result: Result<String>| result.map_err(|error| error.to_string());
    Ok(HandshakeResult { server: said(server), client: said(client) })
}

/// Says hello and hears it: in TLS 1.3 a client learns only by reading that it was refused.
async fn greet<S>(stream: &mut S) -> Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(&GREETING).await?;
    stream.flush().await?;
    let mut heard = GREETING;
    heard.fill(0);
    stream.read_exact(&mut heard).await?;
    if heard == GREETING { Ok(()) } else { Err(anyhow!("the other end said something else")) }
}

fn spiffe_id(chain: Option<&[CertificateDer<'_>]>) -> Result<String> {
    let leaf = chain.and_then(<[_]>::first).context("the other end showed no certificate")?;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(leaf)?;
    let names = certificate.subject_alternative_name()?;
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let mut ids = names.filter_map(|name| match name {
        GeneralName::URI(id) => Some((*id).to_owned()),
        _ => None,
    });
    ids.next().context("the other end's certificate holds no SPIFFE ID")
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
        string::Ia5String,
    };

    use super::*;

    /// A workload with an authority of its own, as every Channel has.
    struct Workload {
        files: Files,
        authority: String,
    }

    fn workload(name: &str) -> Workload {
        crate::kubeconfig::install_crypto_provider();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let id = Ia5String::try_from(format!("spiffe://test/{name}")).unwrap();
        params.subject_alt_names.push(SanType::URI(id));
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &authority).unwrap();
        let files =
            [("tls.crt", format!("{}{}", leaf.pem(), authority.pem())), ("tls.key", key.serialize_pem())];
        let files = files.map(|(file, text)| (file.to_owned(), text.into_bytes())).into();
        Workload { files: Files(files), authority: authority.pem() }
    }

    impl Workload {
        fn with(mut self, file: &str, trusted: &Self) -> Self {
            self.files.0.insert(file.to_owned(), trusted.authority.clone().into_bytes());
            self
        }
    }

    #[tokio::test]
    async fn who_is_trusted_is_heard_and_nobody_else() {
        let (client, server, other) = (workload("client"), workload("server"), workload("other"));
        let server = server.with("clients-ca.crt", &client);
        let client = client.with("servers-ca.crt", &server);
        let other = other.with("servers-ca.crt", &client);
        let heard = shake(&server.files, &client.files, "server").await.unwrap();
        assert!(heard.talked());
        assert_eq!(heard.server, Ok("spiffe://test/client".to_owned()));
        assert_eq!(heard.client, Ok("spiffe://test/server".to_owned()));

        let elsewhere = shake(&server.files, &client.files, "another").await.unwrap();
        assert!(elsewhere.client.unwrap_err().contains("not valid for name"));
        let careful = shake(&server.files, &other.files, "server").await.unwrap();
        assert!(careful.client.unwrap_err().contains("UnknownIssuer"));
        let careless = other.files.trusting(&server.files);
        let careless = shake(&server.files, &careless, "server").await.unwrap();
        assert!(careless.server.unwrap_err().contains("UnknownIssuer"));
        assert!(careless.client.is_err(), "the client must not believe that it was accepted");
    }
}
