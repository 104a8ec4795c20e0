//! Builds certificates for keys that sign elsewhere.
//!
//! rcgen signs while it builds. So a first pass uses a signer that only records its input, the bytes to be signed;
//! [`super::check::Checked::finish`] joins them with the real signature.

use std::cell::RefCell;
use std::fmt;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
    SigningKey,
};
use rustls::pki_types::CertificateDer;
use subrosa_plan::{
    certificate::{AuthoritySpec, LeafSpec, SubjectName},
    world::certificate::Validity,
};
use thiserror::Error;
use time::OffsetDateTime;

use super::authority::AuthorityCertificate;
use super::key::PublicKey;

/// A certificate's serial number: 20 bytes, positive, 158 of its bits random.
#[derive(Clone, PartialEq, Eq)]
pub struct Serial([u8; 20]);

impl Serial {
    /// From 20 random bytes. Two bits are set, so that every serial is a positive number of full length.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 20]) -> Self {
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x3f) | 0x40;
        }
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lower-case hex, as the record and status write it.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({})", self.hex())
    }
}

/// A certificate that is neither checked nor signed.
#[derive(Clone, Debug)]
pub struct Unsigned {
    pub(super) tbs: Vec<u8>,
    pub(super) issuer_key: PublicKey,
}

/// A certificate that cannot be built.
#[derive(Debug, Error)]
#[error("the certificate for {subject} cannot be built: {problem}")]
pub struct BuildError {
    subject: String,
    problem: rcgen::Error,
}

/// Builds the self-signed certificate of a generation, for its transit key version.
///
/// # Errors
/// When a name does not fit into a certificate.
pub fn prepare_authority(
    spec: &AuthoritySpec,
    version: u32,
    key: &PublicKey,
    serial: &Serial,
    now: Timestamp,
) -> Result<Unsigned, BuildError> {
    let subject = spec.subject(version);
    let validity = spec.validity(now);
    let subtrees = spec.permitted_dns.iter().cloned().map(GeneralSubtree::DnsName).collect();
    let mut params = params(&subject, validity, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: subtrees, excluded_subtrees: Vec::new() });
    let recorder = Recorder::new(key);
    params.self_signed(&recorder).map_err(|problem| BuildError { subject: subject.to_string(), problem })?;
    Ok(recorder.unsigned())
}

/// Builds a leaf for a key, to be signed by an authority.
///
/// # Errors
/// When a name does not fit into a certificate.
pub fn prepare_leaf(
    spec: &LeafSpec,
    validity: Validity,
    key: &PublicKey,
    serial: &Serial,
    issuer: &AuthorityCertificate,
) -> Result<Unsigned, BuildError> {
    let subject = spec.subject();
    let refused = |problem| BuildError { subject: subject.to_string(), problem };
    let mut params = params(&subject, validity, serial);
    // The explicit form also writes basic constraints and the subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names.push(SanType::URI(spec.spiffe_id().try_into().map_err(&refused)?));
    for name in &spec.dns_names {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(&refused)?));
    }
    let recorder = Recorder::new(issuer.key());
    let issuer =
        Issuer::from_ca_cert_der(&CertificateDer::from(issuer.der()), &recorder).map_err(&refused)?;
    params.signed_by(key, &issuer).map_err(&refused)?;
    Ok(recorder.unsigned())
}

fn params(subject: &SubjectName, validity: Validity, serial: &Serial) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, subject.organisation.as_str());
    name.push(DnType::OrganizationalUnitName, subject.unit.as_str());
    name.push(DnType::CommonName, subject.common_name.as_str());
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = date_time(validity.not_before);
    params.not_after = date_time(validity.not_after);
    params.serial_number = Some(SerialNumber::from_slice(&serial.0));
    params.use_authority_key_identifier_extension = true;
    params
}

fn date_time(at: Timestamp) -> OffsetDateTime {
    // Every timestamp is in the range of a date-time; the check before signing compares the result.
    OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Records what it is asked to sign.
struct Recorder<'a> {
    key: &'a PublicKey,
    tbs: RefCell<Vec<u8>>,
}

impl<'a> Recorder<'a> {
    fn new(key: &'a PublicKey) -> Self {
        Self { key, tbs: RefCell::new(Vec::new()) }
    }

    fn unsigned(&self) -> Unsigned {
        Unsigned { tbs: self.tbs.take(), issuer_key: self.key.clone() }
    }
}

impl PublicKeyData for Recorder<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(self.key)
    }
}

impl SigningKey for Recorder<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.tbs.replace(message.to_vec());
        Ok(Vec::new())
    }
}
