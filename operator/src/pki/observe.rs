//! The facts of a Secret's data. Accepts any input and never fails.

use std::collections::BTreeMap;

use subrosa_plan::certificate::trust_files::is_trust_file;
use subrosa_plan::{
    certificate::{LeafFacts, Malformed, ObservedSecret, SecretFacts},
    world::pem,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::authority::AuthorityCertificate;
use super::key::{LeafKey, PublicKey};
use super::x509;

/// The file with the leaf and its authority.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The file with the leaf's private key.
pub const KEY_FILE: &str = "tls.key";

/// The facts of a Secret with these data entries, or without any.
///
/// `own` are the Channel's checked generations. The leaf's signer is found by verifying the signature, not by name.
/// The private key is checked here and not returned.
pub fn observe<'a>(
    data: Option<impl IntoIterator<Item = (&'a str, &'a [u8])>>,
    own: &[AuthorityCertificate],
) -> ObservedSecret {
    let Some(data) = data else { return ObservedSecret::Missing };
    let data: BTreeMap<&str, &[u8]> = data.into_iter().collect();
    let trust = data
        .iter()
        .filter(|(name, _)| is_trust_file(name))
        .map(|(name, bytes)| ((*name).to_owned(), String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    ObservedSecret::Present(Box::new(SecretFacts { leaf: leaf(&data, own), trust }))
}

fn leaf(data: &BTreeMap<&str, &[u8]>, own: &[AuthorityCertificate]) -> Result<LeafFacts, Malformed> {
    let in_certificate = |problem| Malformed { field: CERTIFICATE_FILE, problem };
    let text = data.get(CERTIFICATE_FILE).ok_or(in_certificate("it is missing"))?;
    let text = std::str::from_utf8(text).map_err(|_| in_certificate("it is not text"))?;
    let ders = pem::certificates(text).map_err(in_certificate)?;
    let (der, chain) = ders.split_first().ok_or(in_certificate("it holds no certificate"))?;
    let parsed = x509::certificate(der).ok_or(in_certificate("the leaf cannot be read"))?;
    let validity = x509::validity(&parsed).ok_or(in_certificate("the validity cannot be read"))?;
    let private = match data.get(KEY_FILE).map(|text| LeafKey::from_pem(text)) {
        None => Err("it is missing"),
        Some(Err(_)) => Err("it is not a PKCS #8 ECDSA key"),
        Some(Ok(key)) => Ok(key),
    };
    let issuer = own.iter().find(|authority| signed_by(&parsed, authority));
    let names = x509::names(&parsed);
    Ok(LeafFacts {
        serial: x509::serial_hex(&parsed),
        fingerprint: x509::fingerprint(der),
        subject: x509::subject(&parsed.subject),
        issuer_name: x509::subject(&parsed.issuer),
        uris: names.uris,
        dns_names: names.dns,
        other_names: names.other,
        key_algorithm: PublicKey::from_parsed(&parsed.subject_pki).ok().map(|key| key.algorithm()),
        usage_as_built: x509::leaf_profile(&parsed).is_ok(),
        key_problem: private.as_ref().err().copied(),
        key_matches: private
            .is_ok_and(|key| key.public_key().is_ok_and(|public| public.spki() == parsed.subject_pki.raw)),
        validity,
        issuer: issuer.map(AuthorityCertificate::version),
        chain_complete: issuer.is_some_and(|issuer| matches!(chain, [only] if only == issuer.der())),
    })
}

fn signed_by(leaf: &X509Certificate<'_>, authority: &AuthorityCertificate) -> bool {
    leaf.issuer.as_raw() == authority.subject()
        && x509::authority_key_id(leaf) == Some(authority.key_id())
        && SubjectPublicKeyInfo::from_der(authority.key().spki())
            .is_ok_and(|(_, key)| leaf.verify_signature(Some(&key)).is_ok())
}
