//! Reads certificates with another parser than the builder's.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subrosa_plan::{
    certificate::SubjectName,
    world::certificate::{Fingerprint, Validity},
};
use x509_parser::certificate::{TbsCertificate, X509Certificate};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_SIG_ECDSA_WITH_SHA256, OID_X509_COMMON_NAME, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{X509Name, X509Version};

/// `KeyUsage` flags in x509-parser: bit *n* is bit *n* of RFC 5280.
const DIGITAL_SIGNATURE: u16 = 1;
const KEY_CERT_SIGN: u16 = 1 << 5;

/// Exactly one certificate, with nothing after it.
pub(super) fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// Exactly one to-be-signed certificate, with nothing after it.
pub(super) fn to_be_signed(der: &[u8]) -> Option<TbsCertificate<'_>> {
    match TbsCertificate::from_der(der) {
        Ok(([], tbs)) => Some(tbs),
        _ => None,
    }
}

/// The subject, if it is exactly O, OU and CN in this order, one attribute each.
pub(super) fn subject(name: &X509Name<'_>) -> Option<SubjectName> {
    let attributes: Vec<_> = name
        .iter_rdn()
        .map(|rdn| {
            let mut in_rdn = rdn.iter();
            let first = in_rdn.next()?;
            in_rdn.next().is_none().then_some((first.attr_type(), first.as_str().ok()?))
        })
        .collect::<Option<_>>()?;
    match attributes.as_slice() {
        [(o, organisation), (ou, unit), (cn, common_name)]
            if **o == OID_X509_ORGANIZATION_NAME
                && **ou == OID_X509_ORGANIZATIONAL_UNIT
                && **cn == OID_X509_COMMON_NAME =>
        {
            Some(SubjectName {
                organisation: (*organisation).to_owned(),
                unit: (*unit).to_owned(),
                common_name: (*common_name).to_owned(),
            })
        }
        _ => None,
    }
}

/// The validity, if both ends are in range and in order.
pub(super) fn validity(tbs: &TbsCertificate<'_>) -> Option<Validity> {
    let not_before = Timestamp::from_second(tbs.validity.not_before.timestamp()).ok()?;
    let not_after = Timestamp::from_second(tbs.validity.not_after.timestamp()).ok()?;
    (not_before <= not_after).then_some(Validity { not_before, not_after })
}

/// The serial number, lower-case hex without leading zero bytes.
pub(super) fn serial_hex(tbs: &TbsCertificate<'_>) -> String {
    HEXLOWER.encode(&tbs.serial.to_bytes_be())
}

/// The certificate's fingerprint.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(der).into())
}

/// The names a certificate is valid for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub uris: BTreeSet<String>,
    pub dns: BTreeSet<String>,
    /// Whether there is a name of another form, an unreadable one, or a duplicate.
    pub other: bool,
}

pub(super) fn names(tbs: &TbsCertificate<'_>) -> Names {
    let mut names = Names::default();
    match tbs.subject_alternative_name() {
        Ok(Some(extension)) => {
            for name in &extension.value.general_names {
                let fresh = match name {
                    GeneralName::URI(uri) => names.uris.insert((*uri).to_owned()),
                    GeneralName::DNSName(dns) => names.dns.insert((*dns).to_owned()),
                    _ => false,
                };
                names.other |= !fresh;
            }
        }
        Ok(None) => {}
        Err(_) => names.other = true,
    }
    names
}

/// The subject key identifier.
pub(super) fn subject_key_id<'a>(tbs: &'a TbsCertificate<'_>) -> Option<&'a [u8]> {
    let extension = tbs.get_extension_unique(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).ok()??;
    match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    }
}

/// The authority key identifier, if the issuer's key is identified by that alone.
pub(super) fn authority_key_id<'a>(tbs: &'a TbsCertificate<'_>) -> Option<&'a [u8]> {
    let extension = tbs.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER).ok()??;
    match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id)
            if id.authority_cert_issuer.is_none() && id.authority_cert_serial.is_none() =>
        {
            id.key_identifier.as_ref().map(|id| id.0)
        }
        _ => None,
    }
}

/// Checks what all our certificates have: version 3, ECDSA with SHA-256, key identifiers, no unique ids.
fn common_profile(tbs: &TbsCertificate<'_>) -> Result<(), &'static str> {
    if tbs.version != X509Version::V3 {
        return Err("the version is not 3");
    }
    if tbs.signature.algorithm != OID_SIG_ECDSA_WITH_SHA256 || tbs.signature.parameters.is_some() {
        return Err("the signature algorithm is not ECDSA with SHA-256");
    }
    if tbs.issuer_uid.is_some() || tbs.subject_uid.is_some() {
        return Err("there is a unique identifier");
    }
    if subject_key_id(tbs).is_none_or(<[u8]>::is_empty) {
        return Err("the subject key identifier is missing");
    }
    Ok(())
}

/// Whether the extensions are exactly these, each once.
fn has_exactly(tbs: &TbsCertificate<'_>, wanted: &[Oid<'_>]) -> bool {
    tbs.extensions().len() == wanted.len()
        && wanted.iter().all(|oid| matches!(tbs.get_extension_unique(oid), Ok(Some(_))))
}

/// Checks a leaf of ours: for client and server, signing only, no CA.
pub(super) fn leaf_profile(tbs: &TbsCertificate<'_>) -> Result<(), &'static str> {
    common_profile(tbs)?;
    if !has_exactly(
        tbs,
        &[
            OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
            OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
            OID_X509_EXT_SUBJECT_ALT_NAME,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_EXTENDED_KEY_USAGE,
            OID_X509_EXT_BASIC_CONSTRAINTS,
        ],
    ) {
        return Err("the extensions are not those of a leaf");
    }
    let constraints = tbs.basic_constraints().ok().flatten();
    if !constraints.is_some_and(|bc| bc.critical && !bc.value.ca && bc.value.path_len_constraint.is_none()) {
        return Err("the basic constraints are not those of a leaf");
    }
    if !tbs.key_usage().ok().flatten().is_some_and(|ku| ku.critical && ku.value.flags == DIGITAL_SIGNATURE) {
        return Err("the key usage is not digitalSignature alone");
    }
    let both = tbs.extended_key_usage().ok().flatten().is_some_and(|usage| {
        let usage = usage.value;
        let more = usage.any
            || usage.code_signing
            || usage.email_protection
            || usage.time_stamping
            || usage.ocsp_signing
            || !usage.other.is_empty();
        usage.server_auth && usage.client_auth && !more
    });
    if both { Ok(()) } else { Err("the extended key usage is not serverAuth and clientAuth alone") }
}

/// Checks a CA certificate of ours: signs only leaves, within permitted DNS subtrees, which are returned.
pub(super) fn authority_profile(tbs: &TbsCertificate<'_>) -> Result<BTreeSet<String>, &'static str> {
    common_profile(tbs)?;
    if !has_exactly(
        tbs,
        &[
            OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
            OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_NAME_CONSTRAINTS,
            OID_X509_EXT_BASIC_CONSTRAINTS,
        ],
    ) {
        return Err("the extensions are not those of an authority");
    }
    let constraints = tbs.basic_constraints().ok().flatten();
    if !constraints.is_some_and(|bc| bc.critical && bc.value.ca && bc.value.path_len_constraint == Some(0)) {
        return Err("the basic constraints are not those of an authority for leaves only");
    }
    if !tbs.key_usage().ok().flatten().is_some_and(|ku| ku.critical && ku.value.flags == KEY_CERT_SIGN) {
        return Err("the key usage is not keyCertSign alone");
    }
    if tbs.issuer.as_raw() != tbs.subject.as_raw() || authority_key_id(tbs) != subject_key_id(tbs) {
        return Err("it is not issued by itself");
    }
    permitted_dns(tbs).ok_or("the name constraints are not permitted DNS subtrees alone")
}

fn permitted_dns(tbs: &TbsCertificate<'_>) -> Option<BTreeSet<String>> {
    let constraints = tbs.name_constraints().ok()??;
    if !constraints.critical || constraints.value.excluded_subtrees.is_some() {
        return None;
    }
    let permitted = constraints.value.permitted_subtrees.as_ref()?;
    permitted
        .iter()
        .map(|subtree| match subtree.base {
            GeneralName::DNSName(name) => Some(name.to_owned()),
            _ => None,
        })
        .collect()
}
