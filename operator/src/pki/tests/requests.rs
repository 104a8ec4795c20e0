//! A certificate for a key that somebody else has: of the request, nothing but the key.

use rcgen::{CertificateParams, DnType, IsCa, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use x509_parser::prelude::FromDer as _;

use super::peers::{ENGINES, talk};
use super::*;
use crate::pki::{key::KeyError, request::RequestError, requested_key};
use subrosa_plan::certificate::{TrustSources, trust_files};

fn request(key: &KeyPair, params: CertificateParams) -> Vec<u8> {
    params.serialize_request(key).unwrap().der().to_vec()
}

/// A request that wishes for all that nobody gets.
fn greedy(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "somebody else");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    request(key, params)
}

#[test]
fn the_key_is_taken_and_shown_to_be_there() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        for der in [request(&key, CertificateParams::default()), greedy(&key)] {
            assert_eq!(requested_key(&der).unwrap().spki(), key.subject_public_key_info());
        }
    }
}

#[test]
fn what_is_no_proof_of_a_key_of_ours_is_refused() {
    let key = KeyPair::generate().unwrap();
    let der = request(&key, CertificateParams::default());
    let mut tampered = der.clone();
    *tampered.last_mut().unwrap() ^= 1;
    assert_eq!(requested_key(&tampered), Err(RequestError::Possession));
    let trailing = [der.as_slice(), &[0]].concat();
    for wrong in [&[][..], &der[..der.len() - 1], &trailing, &key.subject_public_key_info()] {
        assert_eq!(requested_key(wrong), Err(RequestError::Malformed));
    }
    // A kubelet may make it; no Channel asks for it.
    let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let refused = requested_key(&request(&other, CertificateParams::default()));
    assert!(matches!(refused, Err(RequestError::Key(KeyError::Public(_)))), "{refused:?}");
    // Somebody's public key, in a request signed with one's own.
    let stolen = KeyPair::generate().unwrap().subject_public_key_info();
    let own = key.subject_public_key_info();
    let at = der.windows(own.len()).position(|window| window == own).unwrap();
    let forged = [&der[..at], &stolen, &der[at + own.len()..]].concat();
    assert_eq!(requested_key(&forged), Err(RequestError::Possession));
}

/// As the operator issues it: laid out, checked, signed, for the key of a request.
fn issue(party: &Party, key: &KeyPair, now: Timestamp) -> Data {
    let signer = party.signer();
    let (public, serial) = (requested_key(&greedy(key)).unwrap(), serial());
    let spec = LeafSpec { duration: DAY, renew_before: SignedDuration::from_hours(8), ..party.spec.clone() };
    let validity = subrosa_plan::pod_certificate::validity(&spec, signer.validity(), now).unwrap();
    let unsigned = prepare_leaf(&spec, validity, &public, &serial, &signer).unwrap();
    let checked = check_leaf(unsigned, &spec, &public, &serial, &signer, now).unwrap();
    let signature = party.transit.sign(signer.version(), checked.to_be_signed());
    let leaf = checked.finish(&signature).unwrap();
    [
        ("tls.crt".to_owned(), leaf.chain_pem(&signer).into_bytes()),
        ("tls.key".to_owned(), key.serialize_pem().into_bytes()),
    ]
    .into()
}

#[tokio::test]
async fn openssl_and_rustls_take_it_with_the_pods_key_and_the_channels_names() {
    let now = Timestamp::now();
    let made = now.checked_add(days(-60)).unwrap();
    let (sbc, db) = (Party::with_authority("sbc", made), Party::with_authority("db", made));
    let key = KeyPair::generate().unwrap();
    let trusting = |mut data: Data, clients: Option<&Party>, servers: Option<&Party>| {
        let side = |party: Option<&Party>| {
            party.map(|one| (one.spec.channel.clone(), one.generations.trusted())).into_iter().collect()
        };
        let sources = TrustSources {
            listens: clients.is_some(),
            clients: side(clients),
            servers: side(servers),
            external: BTreeMap::new(),
        };
        let (files, _) = trust_files(&sources);
        data.extend(files.files().iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())));
        data
    };
    let of_pod = trusting(issue(&sbc, &key, now), Some(&db), Some(&db));
    let of_db = trusting(db.issue(now), Some(&sbc), Some(&sbc));
    for at_server in ENGINES {
        for at_client in ENGINES {
            assert!(talk(at_server, &of_db, at_client, &of_pod, &dns("db")).await, "the pod as a client");
            assert!(talk(at_server, &of_pod, at_client, &of_db, &dns("sbc")).await, "the pod as a server");
            assert!(!talk(at_server, &of_pod, at_client, &of_db, "bank.example").await, "its own wish");
        }
    }
    let ders = ders(&of_pod, "tls.crt");
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&ders[0]).unwrap();
    assert_eq!(leaf.public_key().raw, key.subject_public_key_info(), "the key of the request");
    assert_eq!(leaf.subject().to_string(), "O=oosterlinde, OU=cc-front, CN=sbc");
}
