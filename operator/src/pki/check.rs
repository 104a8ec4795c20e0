//! Checks what is about to be signed, and joins it with the signature.
//!
//! rcgen enforces nothing: it would sign a leaf outside its authority's name constraints, or a second authority. So
//! the exact bytes for Vault are parsed with another library and compared with the specification. [`Checked`] is the
//! only type whose bytes can be signed.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subrosa_plan::certificate::leaf::name_is_permitted;
use subrosa_plan::{
    certificate::{AuthoritySpec, LeafSpec},
    world::{
        certificate::{CLOCK_SKEW, Validity},
        pem,
    },
};
use thiserror::Error;
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::authority::AuthorityCertificate;
use super::build::{Serial, Unsigned};
use super::der::{
    BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, UTC_TIME, UTF8, element, shape,
};
use super::key::PublicKey;
use super::x509;

/// `SEQUENCE { OID ecdsa-with-SHA256 }`.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// The tags of our names: O, OU and CN, one attribute each.
const NAME_SHAPE: [u8; 13] =
    [SEQUENCE, SET, SEQUENCE, OID, UTF8, SET, SEQUENCE, OID, UTF8, SET, SEQUENCE, OID, UTF8];
/// Context-specific tags: `[0]` and `[3]` constructed; key identifier, DNS name and URI.
const TAGGED_0: u8 = 0xa0;
const TAGGED_3: u8 = 0xa3;
const KEY_ID: u8 = 0x80;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// A certificate that may be signed.
#[derive(Clone, Debug)]
pub struct Checked {
    tbs: Vec<u8>,
    issuer_key: PublicKey,
}

/// A certificate that must not be signed, because it differs from its specification.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("refusing to sign for {namespace}/{channel}: {problem}; nothing was signed, please report this")]
pub struct Refused {
    namespace: String,
    channel: String,
    problem: String,
}

/// Why a signature does not make a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FinishError {
    /// Not a signature by the expected key over the expected bytes.
    #[error("the signature does not verify with the public key of the CA key version: read the key again")]
    Signature,
    /// The parts do not make a certificate.
    #[error("the signature is no DER signature: expected asn1 marshaling from Vault's transit engine")]
    Malformed,
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(Vec<u8>);

impl Certificate {
    /// The DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// PEM, as in all our files.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(&self.0)
    }

    /// SHA-256 of the DER bytes, lower-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.0))
    }

    /// `tls.crt`: this leaf, then its authority's certificate.
    #[must_use]
    pub fn chain_pem(&self, issuer: &AuthorityCertificate) -> String {
        self.pem() + &pem::encode(issuer.der())
    }
}

impl Checked {
    /// The bytes to sign: ECDSA over their SHA-256.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.tbs
    }

    /// Joins the bytes with their signature (DER, as returned by transit with ASN.1 marshaling).
    ///
    /// # Errors
    /// When the signature does not verify with the issuer's public key.
    pub fn finish(self, signature: &[u8]) -> Result<Certificate, FinishError> {
        let bits = [&[0], signature].concat();
        let body = [self.tbs.as_slice(), &ECDSA_WITH_SHA256, &element(BIT_STRING, &bits)].concat();
        let der = element(SEQUENCE, &body);
        let parsed = x509::certificate(&der).ok_or(FinishError::Malformed)?;
        let (_, key) =
            SubjectPublicKeyInfo::from_der(self.issuer_key.spki()).map_err(|_| FinishError::Signature)?;
        parsed.verify_signature(Some(&key)).map_err(|_| FinishError::Signature)?;
        Ok(Certificate(der))
    }
}

/// Checks a generation's certificate against its specification.
///
/// # Errors
/// The first difference.
pub fn check_authority(
    unsigned: Unsigned,
    spec: &AuthoritySpec,
    version: u32,
    key: &PublicKey,
    serial: &Serial,
    now: Timestamp,
) -> Result<Checked, Refused> {
    let judged = spec.validate().map_err(|problem| problem.to_string()).and_then(|()| {
        let tbs = x509::to_be_signed(&unsigned.tbs).ok_or("it cannot be read")?;
        let extensions = authority_extensions(spec.permitted_dns.len());
        same(shape(&unsigned.tbs) == Some(tbs_shape(&extensions)), "its structure is not an authority's")?;
        serial_and_key(&tbs, serial, key)?;
        let permitted = x509::authority_profile(&tbs)?;
        same(permitted == spec.permitted_dns, "the permitted DNS subtrees are not those wanted")?;
        same(
            x509::subject(&tbs.subject) == Some(spec.subject(version)),
            "the subject is not the one wanted",
        )?;
        let validity = valid_now(&tbs, now)?;
        same(validity.lifetime() <= spec.duration, "it lives longer than wanted")?;
        Ok(same(unsigned.issuer_key == *key, "it is to be signed by another key")?)
    });
    into_checked(unsigned, &spec.namespace, &spec.channel, judged)
}

/// Checks a leaf against its specification and its authority.
///
/// # Errors
/// The first difference, or what the authority may not sign.
pub fn check_leaf(
    unsigned: Unsigned,
    spec: &LeafSpec,
    key: &PublicKey,
    serial: &Serial,
    issuer: &AuthorityCertificate,
    now: Timestamp,
) -> Result<Checked, Refused> {
    let judged = spec.validate().map_err(|problem| problem.to_string()).and_then(|()| {
        let tbs = x509::to_be_signed(&unsigned.tbs).ok_or("it cannot be read")?;
        let extensions = leaf_extensions(spec.dns_names.len());
        same(shape(&unsigned.tbs) == Some(tbs_shape(&extensions)), "its structure is not a leaf's")?;
        serial_and_key(&tbs, serial, key)?;
        x509::leaf_profile(&tbs)?;
        same(key.algorithm() == spec.key_algorithm, "the key's algorithm is not the one wanted")?;
        leaf_names(&tbs, spec, issuer)?;
        same(tbs.issuer.as_raw() == issuer.subject(), "the issuer is not the authority")?;
        same(
            x509::authority_key_id(&tbs) == Some(issuer.key_id()),
            "the authority key identifier is another's",
        )?;
        let validity = valid_now(&tbs, now)?;
        let authority = issuer.validity();
        same(authority.contains(validity.not_before), "it is valid before its authority")?;
        same(authority.contains(validity.not_after), "it outlives its authority")?;
        same(validity.lifetime() <= spec.duration, "it lives longer than wanted")?;
        let quarter = authority.lifetime().as_secs() / 4;
        same(
            validity.lifetime().as_secs() <= quarter,
            "it lives longer than a quarter of its authority's life",
        )?;
        Ok(same(unsigned.issuer_key == *issuer.key(), "it is to be signed by another key")?)
    });
    into_checked(unsigned, &spec.namespace, &spec.channel, judged)
}

/// The tags of a certificate to sign: version, serial, algorithm, issuer, validity, subject, key, extensions.
fn tbs_shape(extensions: &[u8]) -> Vec<u8> {
    [
        &[SEQUENCE, TAGGED_0, INTEGER, INTEGER, SEQUENCE, OID][..],
        &NAME_SHAPE,
        &[SEQUENCE, UTC_TIME, UTC_TIME],
        &NAME_SHAPE,
        &[SEQUENCE, SEQUENCE, OID, OID, BIT_STRING, TAGGED_3, SEQUENCE],
        extensions,
    ]
    .concat()
}

/// The tags of a leaf's extensions: authority key, alternative names, key usage, extended key usage, subject key,
/// basic constraints.
fn leaf_extensions(dns_names: usize) -> Vec<u8> {
    [
        &[SEQUENCE, OID, OCTET_STRING, SEQUENCE, KEY_ID, SEQUENCE, OID, OCTET_STRING, SEQUENCE, URI][..],
        &vec![DNS_NAME; dns_names],
        &[SEQUENCE, OID, BOOLEAN, OCTET_STRING, BIT_STRING],
        &[SEQUENCE, OID, OCTET_STRING, SEQUENCE, OID, OID],
        &[SEQUENCE, OID, OCTET_STRING, OCTET_STRING],
        &[SEQUENCE, OID, BOOLEAN, OCTET_STRING, SEQUENCE],
    ]
    .concat()
}

/// The tags of an authority's extensions: authority key, key usage, name constraints, subject key, basic constraints.
fn authority_extensions(subtrees: usize) -> Vec<u8> {
    [
        &[SEQUENCE, OID, OCTET_STRING, SEQUENCE, KEY_ID][..],
        &[SEQUENCE, OID, BOOLEAN, OCTET_STRING, BIT_STRING],
        &[SEQUENCE, OID, BOOLEAN, OCTET_STRING, SEQUENCE, TAGGED_0],
        &[SEQUENCE, DNS_NAME].repeat(subtrees),
        &[SEQUENCE, OID, OCTET_STRING, OCTET_STRING],
        &[SEQUENCE, OID, BOOLEAN, OCTET_STRING, SEQUENCE, BOOLEAN, INTEGER],
    ]
    .concat()
}

fn leaf_names(
    tbs: &TbsCertificate<'_>,
    spec: &LeafSpec,
    issuer: &AuthorityCertificate,
) -> Result<(), String> {
    same(x509::subject(&tbs.subject) == Some(spec.subject()), "the subject is not the one wanted")?;
    let names = x509::names(tbs);
    same(!names.other, "there is a name that is neither URI nor DNS, or one twice")?;
    same(names.uris == [spec.spiffe_id()].into(), "the SPIFFE ID is not the channel's")?;
    same(names.dns == spec.dns_names, "the DNS names are not those wanted")?;
    let permitted = issuer.permitted_dns();
    if let Some(name) = names.dns.iter().find(|name| !name_is_permitted(name, permitted)) {
        return Err(format!("the DNS name {name:?} is outside the authority's name constraints"));
    }
    let message = "the common name reads as a DNS name outside the authority's name constraints";
    Ok(same(spec.common_name_permitted(permitted), message)?)
}

fn serial_and_key(tbs: &TbsCertificate<'_>, serial: &Serial, key: &PublicKey) -> Result<(), &'static str> {
    same(tbs.raw_serial() == serial.bytes(), "the serial is not the one noted")?;
    same(tbs.subject_pki.raw == key.spki(), "the public key is not the one wanted")?;
    let key_id = Sha256::digest(key.spki());
    same(x509::subject_key_id(tbs) == key_id.get(..20), "the subject key identifier is not the key's")
}

/// Checks that it is valid now and not backdated too far.
fn valid_now(tbs: &TbsCertificate<'_>, now: Timestamp) -> Result<Validity, &'static str> {
    let validity = x509::validity(tbs).ok_or("the validity cannot be read")?;
    same(validity.contains(now), "it is not valid now")?;
    let backdated = now.duration_since(validity.not_before);
    same(backdated.as_secs() <= 2 * CLOCK_SKEW.as_secs(), "it is valid too far in the past")?;
    Ok(validity)
}

fn same(holds: bool, problem: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(problem) }
}

fn into_checked(
    unsigned: Unsigned,
    namespace: &str,
    channel: &str,
    judged: Result<(), String>,
) -> Result<Checked, Refused> {
    match judged {
        Ok(()) => Ok(Checked { tbs: unsigned.tbs, issuer_key: unsigned.issuer_key }),
        Err(problem) => {
            Err(Refused { namespace: namespace.to_owned(), channel: channel.to_owned(), problem })
        }
    }
}

#[cfg(test)]
impl Unsigned {
    /// Skips the check, for tests that need what would never be signed.
    pub(super) fn unchecked(self) -> Checked {
        Checked { tbs: self.tbs, issuer_key: self.issuer_key }
    }
}
