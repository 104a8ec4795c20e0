//! A TLS handshake up to the server's certificate and the proof that it has the private key.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use subrosa_plan::world::answers::Answer;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::pki;

/// The server's answer to a handshake on `stream`.
pub(super) async fn ask(
    stream: TcpStream,
    server_name: Option<&str>,
    ip: IpAddr,
    authorities: &[String],
) -> Answer {
    let provider = Arc::new(ring::default_provider());
    let witness = Arc::new(Witness::new(&provider));
    let Ok(versions) = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    else {
        return Answer::NoCertificate;
    };
    // Safe because nothing confidential is sent: the handshake only observes the server.
    let config = versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::IpAddress(ip.into()));
    let failure = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(mut connection) => {
            // Close cleanly, so that the server logs no broken connection. The peer may be gone already.
            let _ = connection.shutdown().await;
            None
        }
        Err(error) => Some(error),
    };
    match witness.said() {
        // A server that requires a client certificate refuses only after its own proof.
        Said { certificate: Some(der), proven: true } => match pki::presented(&der, authorities) {
            Some(presented) => Answer::Certificate(presented),
            None => Answer::NoCertificate,
        },
        Said { certificate: Some(_), proven: false } => Answer::KeyNotHeld,
        Said { certificate: None, .. } => match failure.as_ref().and_then(of_tls) {
            Some(Error::InvalidMessage(_)) => Answer::Plaintext,
            _ => Answer::NoCertificate,
        },
    }
}

fn of_tls(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Records the presented certificate and verifies that its key signed this handshake. Does not decide whether to
/// trust it.
#[derive(Debug)]
struct Witness {
    algorithms: WebPkiSupportedAlgorithms,
    said: Mutex<Said>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    certificate: Option<Vec<u8>>,
    proven: bool,
}

impl Witness {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, said: Mutex::default() }
    }

    fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn prove(
        &self,
        certificate: &CertificateDer<'_>,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.is_ok() && said.certificate.as_deref() != Some(certificate.as_ref()) {
            return Err(CertificateError::BadSignature.into());
        }
        said.proven = verified.is_ok();
        verified
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).certificate = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(certificate, verify_tls12_signature(message, certificate, signature, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(certificate, verify_tls13_signature(message, certificate, signature, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
