//! Reading Secrets back, whatever is in them.

use proptest::prelude::*;
use subrosa_crds::Reason;
use subrosa_plan::certificate::{
    Drift, ObservedSecret, TrustFiles, TrustSources, Wanted, drift_of, trust_files,
};

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn trust() -> TrustFiles {
    trust_files(&TrustSources::default()).0
}

fn complete(party: &Party) -> Data {
    let mut data = party.issue(now());
    data.extend(trust().files().iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())));
    data
}

fn seen(party: &Party, data: &Data) -> ObservedSecret {
    observe(Some(entries(data)), &party.certificates())
}

fn reason(party: &Party, data: &Data) -> Option<Drift> {
    let trust = trust();
    let wanted = Wanted { spec: &party.spec, generations: &party.generations, trust: &trust };
    drift_of(&seen(party, data), wanted, now())
}

fn name(party: &Party, data: &Data) -> &'static str {
    reason(party, data).map_or("none", |reason| reason.reason().as_str())
}

#[test]
fn what_was_issued_is_found_again() {
    let mut party = Party::with_authority("sbc", now());
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
        party.spec.key_algorithm = algorithm;
        let data = complete(&party);
        assert_eq!(reason(&party, &data), None);
        let found = seen(&party, &data);
        let leaf = found.leaf().unwrap();
        assert_eq!(leaf.validity, party.validity(now()));
        assert_eq!((leaf.issuer, leaf.key_algorithm, leaf.serial.len()), (Some(1), Some(algorithm), 40));
    }
    assert_eq!(observe(None::<Vec<_>>, &party.certificates()), ObservedSecret::Missing);
}

#[test]
fn each_kind_of_damage_has_its_reason() {
    let party = Party::with_authority("sbc", now());
    let good = complete(&party);
    let again = complete(&party);
    let twin = complete(&Party::with_authority("sbc", now()));
    let with = |file: &str, bytes: &[u8]| {
        let mut data = good.clone();
        data.insert(file.to_owned(), bytes.to_vec());
        data
    };
    let without = |file: &str| {
        let mut data = good.clone();
        data.remove(file);
        data
    };
    let leaf_only = pem::encode(&ders(&good, "tls.crt")[0]);
    let both = |data: &Data| {
        let mut mixed = good.clone();
        mixed.extend(data.iter().filter(|(k, _)| k.starts_with("tls.")).map(|(k, v)| (k.clone(), v.clone())));
        mixed
    };
    let mut unsigned = ders(&good, "tls.crt");
    *unsigned[0].last_mut().unwrap() ^= 1;
    let unsigned: String = unsigned.iter().map(|der| pem::encode(der)).collect();
    let lone = KeyPair::generate().unwrap();
    let self_signed = rcgen::CertificateParams::default().self_signed(&lone).unwrap();
    let foreign: Data = [
        ("tls.crt".to_owned(), self_signed.pem().into_bytes()),
        ("tls.key".to_owned(), lone.serialize_pem().into_bytes()),
    ]
    .into();
    for (data, expected) in [
        (without("tls.crt"), "Malformed"),
        (without("tls.key"), "Malformed"),
        (with("tls.crt", b""), "Malformed"),
        (with("tls.crt", &[0xff, 0xfe]), "Malformed"),
        (with("tls.crt", &good["tls.crt"][..300]), "Malformed"),
        (with("tls.crt", leaf_only.as_bytes()), "Malformed"),
        (with("tls.crt", &good["tls.key"]), "Malformed"),
        (with("tls.key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), "Malformed"),
        (with("tls.key", &good["tls.crt"]), "Malformed"),
        (with("tls.key", &again["tls.key"]), "KeyMismatch"),
        (both(&twin), "WrongIssuer"),
        (with("tls.crt", unsigned.as_bytes()), "WrongIssuer"),
        (both(&foreign), "Malformed"),
        (with("ca.crt", b"tampered"), "TrustChanged"),
        (with("clients-ca.crt", &[0xff]), "TrustChanged"),
        (with("external-gone-ca.crt", b""), "TrustChanged"),
        (without("servers-ca.crt"), "TrustChanged"),
        (with("notes.txt", b"not ours"), "none"),
        (both(&again), "none"),
    ] {
        assert_eq!(name(&party, &data), expected, "{:?}", reason(&party, &data));
    }
}

#[test]
fn a_copied_name_does_not_make_an_issuer() {
    let party = Party::with_authority("sbc", now());
    // Another authority with the same subject; its leaf names ours as issuer, its signature does not verify.
    let twin = Party::with_authority("sbc", now());
    let found = seen(&party, &complete(&twin));
    assert_eq!(found.leaf().unwrap().issuer, None);
}

#[test]
fn names_and_times_are_compared() {
    let mut party = Party::with_authority("sbc", now());
    let data = complete(&party);
    party.spec.dns_names.insert(dns("new"));
    assert_eq!(name(&party, &data), "NamesChanged");
    party.spec.dns_names.remove(&dns("new"));
    party.spec.key_algorithm = KeyAlgorithm::EcdsaP384;
    assert_eq!(name(&party, &data), "NamesChanged");
    party.spec.key_algorithm = KeyAlgorithm::EcdsaP256;
    let trust = trust();
    let wanted = Wanted { spec: &party.spec, generations: &party.generations, trust: &trust };
    let at = now().checked_add(days(25)).unwrap();
    assert_eq!(drift_of(&seen(&party, &data), wanted, at).unwrap().reason(), Reason::Expiring);
}

proptest! {
    #[test]
    fn garbage_is_an_answer(
        certificate in proptest::collection::vec(any::<u8>(), 0..400),
        key in proptest::collection::vec(any::<u8>(), 0..400),
        ca in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let data: Data = [
            ("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key), ("ca.crt".to_owned(), ca),
        ].into();
        prop_assert!(matches!(observe(Some(entries(&data)), &[]), ObservedSecret::Present(facts) if facts.leaf.is_err()));
    }

    /// Valid files with one byte changed, in the text or in the DER behind it, and cut off anywhere.
    #[test]
    fn nearly_right_is_an_answer(
        at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>(), how in 0..4,
    ) {
        let party = Party::with_authority("sbc", now());
        let whole = complete(&party);
        let mut data = whole.clone();
        let file = if how % 2 == 0 { "tls.crt" } else { "tls.key" };
        if how < 2 {
            let bytes = data.get_mut(file).unwrap();
            let index = at.index(bytes.len());
            bytes[index] = to;
            let end = cut.index(bytes.len()) + 1;
            if to % 2 == 0 { bytes.truncate(end); }
        } else {
            let block = ::pem::parse_many(&data[file]).unwrap().remove(0);
            let (tag, mut der) = (block.tag().to_owned(), block.into_contents());
            let index = at.index(der.len());
            der[index] = to;
            data.insert(file.to_owned(), ::pem::encode(&::pem::Pem::new(tag, der)).into_bytes());
        }
        if name(&party, &data) == "none" {
            prop_assert_eq!(ders(&data, "tls.crt"), ders(&whole, "tls.crt"));
            let public = |data: &Data| LeafKey::from_pem(&data["tls.key"]).unwrap().public_key().unwrap();
            prop_assert_eq!(public(&data), public(&whole));
        }
    }
}
