//! What is read of a Secret that somebody else wrote, as cert-manager would have left it.

use std::{collections::BTreeMap, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SanType, string::Ia5String,
};
use subrosa_plan::{
    certificate::{Malformed, external::ExternalFacts},
    world::pem,
};

use crate::pki::{external::observe, is_authority};

struct Files {
    certificate: String,
    key: String,
}

fn issued(key: &KeyPair, uri: Option<&str>, issuer: &str) -> Files {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, issuer);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["voice.cc-front.svc".to_owned()]).unwrap();
    let uri = uri.map(|uri| SanType::URI(Ia5String::try_from(uri.to_owned()).unwrap()));
    params.subject_alt_names.extend(uri);
    let leaf = params.signed_by(key, &authority).unwrap();
    Files { certificate: leaf.pem() + &authority.pem(), key: key.serialize_pem() }
}

/// An RSA key in PKCS #1, which is cert-manager's default and cannot be made by what makes our own.
fn rsa() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").current_dir(directory.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    openssl(&["genrsa", "-traditional", "-out", "tls.key", "2048"]);
    let certificate = openssl(&["req", "-x509", "-key", "tls.key", "-subj", "/CN=voice", "-days", "90"]);
    let key = std::fs::read_to_string(directory.path().join("tls.key")).unwrap();
    assert!(key.contains("RSA PRIVATE KEY"), "PKCS #1");
    Files { certificate, key }
}

fn read(certificate: &str, key: &str) -> Result<ExternalFacts, Malformed> {
    observe(&BTreeMap::from([("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())]))
}

#[test]
fn keys_of_every_usual_kind_are_read() {
    let pairs = [
        KeyPair::generate(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyPair::generate_for(&PKCS_ED25519),
    ];
    for pair in pairs {
        let files = issued(&pair.unwrap(), None, "old");
        let facts = read(&files.certificate, &files.key).unwrap();
        assert!(facts.key_matches);
        assert_eq!((facts.issuer.as_str(), facts.spiffe_id), ("CN=old", None));
    }
    let files = rsa();
    assert!(read(&files.certificate, &files.key).unwrap().key_matches);
}

#[test]
fn anothers_key_does_not_match() {
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let files = issued(&one, Some("spiffe://old/voice"), "old");
    let facts = read(&files.certificate, &other.serialize_pem()).unwrap();
    assert!(!facts.key_matches);
    assert_eq!(facts.spiffe_id.as_deref(), Some("spiffe://old/voice"));
    assert!(!read(&rsa().certificate, &files.key).unwrap().key_matches);
}

#[test]
fn what_cannot_be_read_is_named_and_not_quoted() {
    let files = issued(&KeyPair::generate().unwrap(), None, "old");
    let field = |certificate: &str, key: &str| {
        let (field, problem) = match read(certificate, key) {
            Ok(facts) => ("tls.key", facts.key_problem.unwrap()),
            Err(malformed) => (malformed.field, malformed.problem),
        };
        assert!(!problem.contains("BEGIN"));
        field
    };
    assert_eq!(field("", &files.key), "tls.crt");
    assert_eq!(field(&files.key, &files.key), "tls.crt");
    assert_eq!(field(&files.certificate, ""), "tls.key");
    assert_eq!(field(&files.certificate, &files.certificate), "tls.key");
    let none = BTreeMap::from([("tls.key", files.key.as_bytes())]);
    assert_eq!(observe(&none).unwrap_err().field, "tls.crt");
}

#[test]
fn a_trust_file_takes_authorities_alone() {
    let files = issued(&KeyPair::generate().unwrap(), None, "old");
    let ders = pem::certificates(&files.certificate).unwrap();
    assert!(is_authority(&ders[0]).unwrap_err().contains("CA:TRUE"), "a leaf");
    assert!(is_authority(&ders[1]).is_ok_and(|ends| ends > jiff::Timestamp::UNIX_EPOCH));
    let cut = &ders[1][..ders[1].len() - 1];
    assert!(is_authority(cut).unwrap_err().contains("X.509"));
    assert!(is_authority(&[ders[1].as_slice(), &[0]].concat()).is_err(), "something stands behind it");
    // What a certificate of version 1 may not say: [0] version 2, [3] extensions.
    let old = |arguments: &str| {
        let script = format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -subj /CN=old -out csr && \
             openssl x509 -req -in csr {arguments} -days 1"
        );
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.crt"), &files.certificate).unwrap();
        std::fs::write(directory.path().join("ca.key"), &files.key).unwrap();
        let done = Command::new("sh").current_dir(&directory).args(["-c", &script]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        pem::certificates(std::str::from_utf8(&done.stdout).unwrap()).unwrap().remove(0)
    };
    assert!(is_authority(&old("-signkey key")).is_ok(), "a root of version 1");
    assert!(is_authority(&old("-CA ca.crt -CAkey ca.key -CAcreateserial")).is_err(), "a leaf of version 1");
}

#[test]
fn a_long_name_is_cut() {
    let files = issued(&KeyPair::generate().unwrap(), None, &"long ".repeat(200));
    assert_eq!(read(&files.certificate, &files.key).unwrap().issuer.chars().count(), 256);
}
