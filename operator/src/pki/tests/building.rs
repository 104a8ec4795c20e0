//! What is built, as OpenSSL reads it.

use std::process::Command;

use subrosa_plan::certificate::trust_files::NOBODY;

use super::*;

fn now() -> Timestamp {
    Timestamp::now()
}

/// `openssl verify`, strict, of a leaf under a bundle.
pub(super) fn openssl_verify(
    bundle: &str,
    leaf_pem: &[u8],
    at: Timestamp,
    purpose: &str,
) -> Result<(), String> {
    let room = tempfile::tempdir().unwrap();
    let (ca, leaf) = (room.path().join("ca.pem"), room.path().join("leaf.pem"));
    std::fs::write(&ca, bundle).unwrap();
    std::fs::write(&leaf, leaf_pem).unwrap();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-no-CApath", "-no-CAstore", "-purpose", purpose])
        .args(["-attime", &at.as_second().to_string(), "-CAfile"])
        .args([&ca, &leaf])
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn openssl_text(certificate: &[u8]) -> String {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("certificate.pem");
    std::fs::write(&file, certificate).unwrap();
    let output =
        Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_accepts_both_key_algorithms_strictly() {
    let mut party = Party::with_authority("sbc", now());
    let bundle = party.generations.trusted().concat();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
        party.spec.key_algorithm = algorithm;
        let data = party.issue(now());
        for purpose in ["sslserver", "sslclient"] {
            openssl_verify(&bundle, &data["tls.crt"], now(), purpose).unwrap();
        }
        assert!(openssl_verify(&bundle, &data["tls.crt"], now(), "smimesign").is_err());
    }
    let ca = party.generations.trusted().concat();
    openssl_verify(&ca, ca.as_bytes(), now(), "any").unwrap();
}

#[test]
fn the_leaf_reads_as_specified() {
    let party = Party::with_authority("sbc", now());
    let text = openssl_text(&party.issue(now())["tls.crt"]);
    for expected in [
        "Subject: O = oosterlinde, OU = cc-front, CN = sbc\n",
        "Issuer: O = oosterlinde, OU = cc-front, CN = sbc CA 2222222222222sbc.1\n",
        "URI:spiffe://oosterlinde/ns/cc-front/channel/sbc, DNS:*.sbc-hl.cc-front.svc, DNS:sbc.cc-front.svc, DNS:sbc.cc-front.svc.cluster.local\n",
        "TLS Web Server Authentication, TLS Web Client Authentication\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
        "Signature Algorithm: ecdsa-with-SHA256",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn the_authority_reads_as_specified() {
    let party = Party::with_authority("sbc", now());
    let text = openssl_text(party.generations.trusted().concat().as_bytes());
    for expected in [
        "CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
        "X509v3 Name Constraints: critical\n                Permitted:\n                  DNS:cc-front.svc\n                  DNS:cc-front.svc.cluster.local\n",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn openssl_refuses_what_lies_outside_the_authority() {
    let party = Party::with_authority("sbc", now());
    let bundle = party.generations.trusted().concat();
    let foreign = LeafSpec { dns_names: ["bank.example".to_owned()].into(), ..party.spec.clone() };
    let error =
        openssl_verify(&bundle, &party.forge(&foreign, party.validity(now()))["tls.crt"], now(), "sslserver")
            .unwrap_err();
    assert!(error.contains("permitted subtree violation"), "{error}");

    let data = party.issue(now());
    let late = now().checked_add(days(31)).unwrap();
    assert!(openssl_verify(&bundle, &data["tls.crt"], late, "sslserver").unwrap_err().contains("expired"));
    let other = Party::with_authority("sbc", now()).generations.trusted().concat();
    assert!(openssl_verify(&other, &data["tls.crt"], now(), "sslserver").is_err(), "same names, another key");
    assert!(openssl_verify(NOBODY, &data["tls.crt"], now(), "sslserver").is_err());
}

#[test]
fn nobody_is_an_expired_authority() {
    let text = openssl_text(NOBODY.as_bytes());
    assert!(text.contains("CA:TRUE") && text.contains("Not After : Jan  2 00:00:00 2000 GMT"), "{text}");
    assert!(openssl_verify(NOBODY, NOBODY.as_bytes(), now(), "any").unwrap_err().contains("expired"));
}

#[test]
fn serials_are_positive_and_of_full_length() {
    for bytes in [[0; 20], [0xff; 20], rand::random()] {
        let hex = Serial::from_random(bytes).hex();
        assert_eq!(hex.len(), 40);
        assert!(matches!(hex.as_bytes()[0], b'4'..=b'7'), "{hex}");
    }
    assert_ne!(serial(), serial());
}

#[test]
fn a_signature_must_verify() {
    let party = Party::with_authority("sbc", now());
    let stranger = Transit::new();
    let (signer, key, serial) =
        (party.signer(), LeafKey::generate(KeyAlgorithm::EcdsaP256).unwrap(), serial());
    let unsigned =
        prepare_leaf(&party.spec, party.validity(now()), &key.public_key().unwrap(), &serial, &signer)
            .unwrap();
    let checked = unsigned.unchecked();
    let theirs = stranger.sign(1, checked.to_be_signed());
    let ours = party.transit.sign(1, b"something else");
    for wrong in [theirs.as_slice(), &ours, b"", b"vault:v1:MEUC"] {
        assert!(checked.clone().finish(wrong).is_err());
    }
    let right = party.transit.sign(1, checked.to_be_signed());
    assert!(checked.finish(&right).is_ok());
}

#[test]
fn private_keys_do_not_print() {
    let key = LeafKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.expose_pem();
    assert!(pem.expose_secret().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let body = pem.expose_secret().lines().nth(1).unwrap();
    let printed = format!("{key:?} {pem:?}");
    assert!(!printed.contains(body) && !printed.contains("BEGIN"), "{printed}");
    let read = LeafKey::from_pem(pem.expose_secret().as_bytes()).unwrap();
    assert_eq!(read.public_key().unwrap(), key.public_key().unwrap());
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert!(LeafKey::from_pem(ed25519.serialize_pem().as_bytes()).is_err());
    assert!(PublicKey::from_pem(&ed25519.public_key_pem()).is_err());
    let p256 = KeyPair::generate().unwrap();
    assert!(PublicKey::from_pem(&p256.public_key_pem()).is_ok());
    assert!(PublicKey::from_pem(&p256.public_key_pem().replace("PUBLIC KEY", "CERTIFICATE")).is_err());
    let mut spki = p256.subject_public_key_info();
    spki.push(0);
    assert!(PublicKey::from_spki(&spki).is_err());
    assert!(PublicKey::from_pem("").is_err());
}
