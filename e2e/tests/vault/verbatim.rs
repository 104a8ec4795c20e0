//! Requests whose path goes out as it is written: other clients tidy it up before.

use std::sync::Arc;

use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::Bao;

impl Bao {
    /// Sends a request to `/v1/<path>` and answers its status and body. No redirect is followed.
    pub async fn verbatim(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let endpoint = self.server().endpoint();
        let address = endpoint.url.trim_start_matches("https://");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(endpoint.ca_pem.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connection = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(address.split(':').next().unwrap().to_owned()).unwrap();
        let connection = TlsConnector::from(Arc::new(config)).connect(name, connection).await.unwrap();
        let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await.unwrap();
        tokio::spawn(driver);
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/v1/{path}"))
            .header(header::HOST, address)
            .header("X-Vault-Token", token);
        if method == "PATCH" {
            request = request.header(header::CONTENT_TYPE, "application/merge-patch+json");
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}
