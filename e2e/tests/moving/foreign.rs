//! Another issuer, and Secrets as cert-manager leaves them.

use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::FromDer as _;

/// A certificate authority that is not Subrosa's.
pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = OffsetDateTime::now_utc() - Duration::days(10);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(300);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What others trust.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A Secret with a new leaf for `name`, valid for 90 days from yesterday.
    pub fn secret(&self, namespace: &str, secret: &str, name: &str) -> Value {
        self.secret_valid(namespace, secret, name, -1, 89)
    }

    /// The same, valid from and until so many days from now.
    pub fn secret_valid(&self, namespace: &str, secret: &str, name: &str, from: i64, until: i64) -> Value {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() + Duration::days(from);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(until);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.0).unwrap();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": secret, "namespace": namespace},
            "stringData": {"tls.crt": leaf.pem(), "tls.key": key.serialize_pem(), "ca.crt": self.certificate()},
        })
    }

    /// The serial of the leaf in a Secret, as status writes it.
    pub fn serial(&self, secret: &Secret) -> String {
        let pem = &secret.data.as_ref().unwrap()["tls.crt"].0;
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&der).unwrap();
        leaf.serial.to_bytes_be().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
