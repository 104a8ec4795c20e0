//! Certificates of other issuers: the facts of a Secret, and which certificates may be in a trust file. Accepts any
//! input.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use subrosa_plan::{
    certificate::{Malformed, external::ExternalFacts},
    world::pem,
};
use x509_parser::x509::X509Version;

use super::{
    observe::{CERTIFICATE_FILE, KEY_FILE},
    x509,
};

/// How much of such a text status repeats.
const LONGEST: usize = 256;

/// The facts of a Secret with these data entries. The private key is checked here and not returned.
///
/// # Errors
/// What is wrong with the certificate, without quoting it.
pub fn observe(data: &BTreeMap<&str, &[u8]>) -> Result<ExternalFacts, Malformed> {
    let in_certificate = |problem| Malformed { field: CERTIFICATE_FILE, problem };
    let text = data.get(CERTIFICATE_FILE).ok_or(in_certificate("it is missing"))?;
    let text = std::str::from_utf8(text).map_err(|_| in_certificate("it is not text"))?;
    let ders = pem::certificates(text).map_err(in_certificate)?;
    let der = ders.first().ok_or(in_certificate("it holds no certificate"))?;
    let parsed = x509::certificate(der).ok_or(in_certificate("the leaf cannot be read"))?;
    let validity = x509::validity(&parsed).ok_or(in_certificate("the validity cannot be read"))?;
    let public = data.get(KEY_FILE).ok_or("it is missing").and_then(|text| public_key(text));
    let ids = x509::names(&parsed).uris;
    Ok(ExternalFacts {
        serial: x509::serial_hex(&parsed),
        fingerprint: x509::fingerprint(der),
        issuer: short(&parsed.issuer.to_string()),
        spiffe_id: ids.iter().find(|id| id.starts_with("spiffe://")).map(|id| short(id)),
        validity,
        key_problem: public.as_ref().err().copied(),
        key_matches: public.is_ok_and(|key| key.as_deref() == Some(parsed.subject_pki.raw)),
    })
}

/// The public key of a private key in PEM, where it can be derived.
fn public_key(private: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let private = PrivateKeyDer::from_pem_slice(private).map_err(|_| "it is no private key in PEM")?;
    let private = any_supported_type(&private)
        .map_err(|_| "it is not an RSA, ECDSA P-256, ECDSA P-384 or Ed25519 key")?;
    Ok(private.public_key().map(|key| key.as_ref().to_vec()))
}

/// Whether a DER certificate may be in a trust file: some servers reject the whole file for one certificate that they
/// cannot parse.
///
/// # Errors
/// Why it is no CA certificate by RFC 5280, 4.2.1.9: without `CA:TRUE` it verifies no signature. Version 1 has no
/// extensions; old roots use it and are self-signed.
pub fn is_authority(der: &[u8]) -> Result<Timestamp, &'static str> {
    let parsed = x509::certificate(der).ok_or("it cannot be read as X.509")?;
    let old_root = parsed.version == X509Version::V1 && parsed.issuer.as_raw() == parsed.subject.as_raw();
    let constraints = parsed.basic_constraints().map_err(|_| "its basicConstraints cannot be read")?;
    if old_root || constraints.is_some_and(|constraints| constraints.value.ca) {
        let ends = parsed.validity().not_after.timestamp();
        // An expiry beyond the range of timestamps counts as never.
        Ok(Timestamp::from_second(ends).unwrap_or(Timestamp::MAX))
    } else {
        Err("it is no authority's, its basicConstraints do not say CA:TRUE")
    }
}

/// Shortens a text that somebody else chose.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}
