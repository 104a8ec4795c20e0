//! The certificate of a generation from the record, trusted only after it was checked against the transit key.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subrosa_crds::names::ChannelId;
use subrosa_plan::{
    certificate::{
        AuthoritySpec,
        authority::{channel_named, keys::AuthorityKey},
    },
    record::generations::{Generation, Generations},
    world::{certificate::Validity, pem},
};
use thiserror::Error;

use super::key::PublicKey;
use super::x509;

/// A CA certificate that passed [`check_generation`].
#[derive(Clone, Debug)]
pub struct AuthorityCertificate {
    version: u32,
    signs_with: AuthorityKey,
    der: Vec<u8>,
    subject: Vec<u8>,
    key_id: Vec<u8>,
    key: PublicKey,
    validity: Validity,
    permitted_dns: BTreeSet<String>,
}

/// A generation in the record that failed a check.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "CA generation {version} of {namespace}/{channel} in the record cannot be used: {problem}; it is signed again with the transit key"
)]
pub struct AuthorityError {
    version: u32,
    namespace: String,
    channel: String,
    problem: &'static str,
}

impl AuthorityCertificate {
    /// The generation.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key that the certificate belongs to.
    #[must_use]
    pub fn signs_with(&self) -> AuthorityKey {
        self.signs_with
    }

    /// The certificate's DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's DER bytes.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The subject key identifier.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The validity.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The DNS subtrees in which it may sign names.
    #[must_use]
    pub fn permitted_dns(&self) -> &BTreeSet<String> {
        &self.permitted_dns
    }
}

/// Checks a recorded generation against the public key of its transit key version: the certificate belongs to this
/// Channel, generation and key, has its own signature, and matches the record. Whether it is valid *now* is up to the
/// plan.
///
/// # Errors
/// The first check that fails.
pub fn check_generation(
    generation: &Generation,
    spec: &AuthoritySpec,
    key: &PublicKey,
) -> Result<AuthorityCertificate, AuthorityError> {
    fitting(generation, spec, key).map_err(|problem| AuthorityError {
        version: generation.version,
        namespace: spec.namespace.clone(),
        channel: spec.channel.clone(),
        problem,
    })
}

/// The recorded generations that are consistent in themselves, to recognise what they signed. Their keys in Vault are
/// not checked, so nothing may be issued by them.
#[must_use]
pub fn recorded(generations: &Generations, spec: &AuthoritySpec) -> Vec<AuthorityCertificate> {
    let read = |generation: &Generation| {
        let der = pem::certificates(&generation.certificate_pem).ok()?.pop()?;
        let key = PublicKey::from_parsed(&x509::certificate(&der)?.subject_pki).ok()?;
        fitting(generation, spec, &key).ok()
    };
    generations.iter().filter_map(read).collect()
}

/// The Channel whose authority a certificate claims to be, unchecked.
#[must_use]
pub fn channel_of(certificate: &[u8]) -> Option<ChannelId> {
    let parsed = x509::certificate(certificate)?;
    channel_named(&x509::subject(&parsed.subject)?.common_name)
}

fn fitting(
    generation: &Generation,
    spec: &AuthoritySpec,
    key: &PublicKey,
) -> Result<AuthorityCertificate, &'static str> {
    let mut ders = pem::certificates(&generation.certificate_pem)?;
    let (Some(der), true) = (ders.pop(), ders.is_empty()) else {
        return Err("it is not exactly one certificate");
    };
    if HEXLOWER.encode(&Sha256::digest(&der)) != generation.fingerprint {
        return Err("its fingerprint is not the recorded one");
    }
    let parsed = x509::certificate(&der).ok_or("it cannot be read")?;
    if parsed.subject_pki.raw != key.spki() {
        return Err("its public key is not that of the transit key version");
    }
    parsed.verify_signature(None).map_err(|_| "its signature is not by the transit key")?;
    let permitted_dns = x509::authority_profile(&parsed)?;
    if x509::subject(&parsed.subject) != Some(spec.subject(generation.version)) {
        return Err("its subject is not this channel's generation");
    }
    let validity = x509::validity(&parsed).ok_or("its validity cannot be read")?;
    if validity != generation.validity() || permitted_dns != generation.permitted_dns {
        return Err("it says otherwise than the record beside it");
    }
    Ok(AuthorityCertificate {
        version: generation.version,
        signs_with: AuthorityKey::of(generation.version, generation.key_version),
        subject: parsed.subject.as_raw().to_vec(),
        key_id: x509::subject_key_id(&parsed).unwrap_or_default().to_vec(),
        key: key.clone(),
        validity,
        permitted_dns,
        der,
    })
}
