//! A Secret that somebody else writes: what is reported of it. Whatever stands in it, this answers.

use std::collections::BTreeMap;

use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use subrosa_plan::certificate::{Malformed, external::ExternalFacts, pem};

use super::{
    observe::{CERTIFICATE_FILE, KEY_FILE},
    x509,
};

/// How much of somebody else's text status repeats.
const LONGEST: usize = 256;

/// The facts of a Secret, given as its data entries. The private key is looked at here and not carried on.
///
/// # Errors
/// The first file that cannot be read, and why, without quoting it.
pub fn observe(data: &BTreeMap<&str, &[u8]>) -> Result<ExternalFacts, Malformed> {
    let in_certificate = |problem| Malformed { field: CERTIFICATE_FILE, problem };
    let in_key = |problem| Malformed { field: KEY_FILE, problem };
    let text = data.get(CERTIFICATE_FILE).ok_or(in_certificate("it is missing"))?;
    let text = std::str::from_utf8(text).map_err(|_| in_certificate("it is not text"))?;
    let ders = pem::certificates(text).map_err(in_certificate)?;
    let der = ders.first().ok_or(in_certificate("it holds no certificate"))?;
    let parsed = x509::certificate(der).ok_or(in_certificate("the leaf cannot be read"))?;
    let validity = x509::validity(&parsed).ok_or(in_certificate("the validity cannot be read"))?;
    let private = data.get(KEY_FILE).ok_or(in_key("it is missing"))?;
    let private =
        PrivateKeyDer::from_pem_slice(private).map_err(|_| in_key("it is no private key in PEM"))?;
    let private = any_supported_type(&private)
        .map_err(|_| in_key("it is not an RSA, ECDSA P-256, ECDSA P-384 or Ed25519 key"))?;
    let ids = x509::names(&parsed).uris;
    Ok(ExternalFacts {
        serial: x509::serial_hex(&parsed),
        issuer: short(&parsed.issuer.to_string()),
        spiffe_id: ids.iter().find(|id| id.starts_with("spiffe://")).map(|id| short(id)),
        validity,
        key_matches: private.public_key().is_some_and(|key| key.as_ref() == parsed.subject_pki.raw),
    })
}

/// Somebody else chose this text, and it goes into status.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}
