//! The check before signing, and the check of the record's certificates.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use subrosa_plan::record::generations::Generation;

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn later(duration: SignedDuration) -> Timestamp {
    now().checked_add(duration).unwrap()
}

struct Case {
    party: Party,
    key: PublicKey,
    serial: Serial,
}

impl Case {
    fn new() -> Self {
        let key = LeafKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        Self { party: Party::with_authority("sbc", now()), key: key.public_key().unwrap(), serial: serial() }
    }

    /// Builds from one specification and checks against the party's.
    fn judge(&self, built: &LeafSpec, validity: Validity) -> Result<Checked, String> {
        let signer = self.party.signer();
        let unsigned = prepare_leaf(built, validity, &self.key, &self.serial, &signer).unwrap();
        check_leaf(unsigned, &self.party.spec, &self.key, &self.serial, &signer, now())
            .map_err(|e| e.to_string())
    }

    fn refusal(&self, built: &LeafSpec) -> String {
        self.judge(built, self.party.validity(now())).unwrap_err()
    }
}

#[test]
fn names_other_than_wanted_are_refused() {
    let case = Case::new();
    let spec = &case.party.spec;
    assert!(case.judge(spec, case.party.validity(now())).is_ok());
    for (built, problem) in [
        (LeafSpec { channel: "other".into(), ..spec.clone() }, "SPIFFE ID"),
        (LeafSpec { namespace: "cc-back".into(), ..spec.clone() }, "subject"),
        (LeafSpec { trust_domain: "elsewhere".into(), ..spec.clone() }, "subject"),
        (LeafSpec { common_name: "other".into(), ..spec.clone() }, "subject"),
        (LeafSpec { dns_names: ["a", "b", "c"].map(dns).into(), ..spec.clone() }, "DNS names"),
    ] {
        let refusal = case.refusal(&built);
        assert!(refusal.contains(problem) && refusal.contains("cc-front/sbc"), "{refusal}");
    }
}

#[test]
fn names_outside_the_authority_are_refused_even_when_wanted() {
    let mut case = Case::new();
    case.party.spec.dns_names.insert("bank.example".into());
    assert!(case.refusal(&case.party.spec).contains("outside the authority"));
    case.party.spec.dns_names.remove("bank.example");
    case.party.spec.common_name = "bank.example".into();
    assert!(case.refusal(&case.party.spec).contains("common name"));
}

#[test]
fn times_outside_policy_are_refused() {
    let case = Case::new();
    let good = case.party.validity(now());
    let authority = case.party.signer().validity();
    for (not_before, not_after, problem) in [
        (later(DAY), good.not_after, "not valid now"),
        (good.not_before, later(-DAY), "cannot be read"),
        (later(SignedDuration::from_mins(-11)), good.not_after, "too far in the past"),
        (good.not_before, later(days(31)), "longer than wanted"),
        (good.not_before, authority.not_after.checked_add(DAY).unwrap(), "outlives"),
        (later(SignedDuration::from_mins(-6)), good.not_after, "before its authority"),
    ] {
        let refusal = case.judge(&case.party.spec, Validity { not_before, not_after }).unwrap_err();
        assert!(refusal.contains(problem), "{refusal} for {problem}");
    }
    let mut long = Case::new();
    long.party.spec.duration = days(100);
    let validity = Validity { not_before: good.not_before, not_after: later(days(99)) };
    assert!(long.judge(&long.party.spec, validity).unwrap_err().contains("quarter"));
}

#[test]
fn another_serial_key_or_authority_is_refused() {
    let case = Case::new();
    let (spec, signer) = (&case.party.spec, case.party.signer());
    let unsigned = prepare_leaf(spec, case.party.validity(now()), &case.key, &case.serial, &signer).unwrap();
    let other_key = LeafKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key().unwrap();
    let other = Party::with_authority("sbc", now()).signer();
    let refusals = [
        check_leaf(unsigned.clone(), spec, &case.key, &serial(), &signer, now()),
        check_leaf(unsigned.clone(), spec, &other_key, &case.serial, &signer, now()),
        check_leaf(unsigned, spec, &case.key, &case.serial, &other, now()),
    ]
    .map(|refused| refused.unwrap_err().to_string());
    for (refusal, problem) in refusals.iter().zip(["serial", "public key", "authority key identifier"]) {
        assert!(refusal.contains(problem), "{refusal}");
    }
}

#[test]
fn an_authority_is_never_signed_as_a_leaf_nor_a_leaf_as_an_authority() {
    let case = Case::new();
    let signer = case.party.signer();
    let key = case.party.transit.public_key(1);
    let authority = prepare_authority(&case.party.authority, 1, &key, &case.serial, now()).unwrap();
    let refused = check_leaf(authority.clone(), &case.party.spec, &key, &case.serial, &signer, now());
    assert!(refused.unwrap_err().to_string().contains("structure"));
    let leaf =
        prepare_leaf(&case.party.spec, case.party.validity(now()), &key, &case.serial, &signer).unwrap();
    let refused = check_authority(leaf, &case.party.authority, 1, &key, &case.serial, now());
    assert!(refused.unwrap_err().to_string().contains("structure"));

    let check = |spec: &AuthoritySpec, version, at| {
        check_authority(authority.clone(), spec, version, &key, &case.serial, at).map_err(|e| e.to_string())
    };
    let spec = &case.party.authority;
    assert!(check(spec, 1, now()).is_ok());
    assert!(check(spec, 2, now()).unwrap_err().contains("subject"));
    assert!(
        check(&AuthoritySpec { duration: days(364), ..spec.clone() }, 1, now())
            .unwrap_err()
            .contains("longer")
    );
    let fewer = AuthoritySpec { permitted_dns: ["cc-front.svc".to_owned()].into(), ..spec.clone() };
    assert!(check(&fewer, 1, now()).unwrap_err().contains("structure"));
    let other = AuthoritySpec {
        permitted_dns: ["cc-front.svc".to_owned(), "example".to_owned()].into(),
        ..spec.clone()
    };
    assert!(check(&other, 1, now()).unwrap_err().contains("permitted DNS subtrees"));
    assert!(check(spec, 1, later(DAY)).unwrap_err().contains("too far in the past"));
}

/// A check that lets a changed byte through does not look at that byte. Only the validity has room.
#[test]
fn every_flipped_bit_outside_the_validity_is_refused() {
    let case = Case::new();
    let (spec, signer) = (&case.party.spec, case.party.signer());
    let leaf = prepare_leaf(spec, case.party.validity(now()), &case.key, &case.serial, &signer).unwrap();
    let ca_key = case.party.transit.public_key(1);
    let authority = prepare_authority(&case.party.authority, 1, &ca_key, &case.serial, now()).unwrap();
    let accepted = |unsigned: &Unsigned, check: &dyn Fn(Unsigned) -> bool| {
        assert!(check(unsigned.clone()));
        let utc_time = [0x17, 13];
        let start = unsigned.tbs.windows(2).position(|two| two == utc_time).unwrap();
        let times = start..start + 30;
        let mut passed = Vec::new();
        for byte in (0..unsigned.tbs.len()).filter(|byte| !times.contains(byte)) {
            for bit in 0..8 {
                let mut changed = unsigned.clone();
                changed.tbs[byte] ^= 1 << bit;
                if check(changed) {
                    passed.push((byte, bit));
                }
            }
        }
        passed
    };
    let check = |changed| check_leaf(changed, spec, &case.key, &case.serial, &signer, now()).is_ok();
    assert_eq!(accepted(&leaf, &check), []);
    let check =
        |changed| check_authority(changed, &case.party.authority, 1, &ca_key, &case.serial, now()).is_ok();
    assert_eq!(accepted(&authority, &check), []);
}

#[test]
fn record_certificates_are_checked_against_the_transit_key() {
    let party = Party::with_authority("sbc", now());
    let other = Party::with_authority("sbc", now());
    let good = party.generations.get(1).unwrap();
    let key = party.transit.public_key(1);
    let check = |generation: &Generation, spec: &AuthoritySpec, key: &PublicKey| {
        check_generation(generation, spec, key).map_err(|e| e.to_string())
    };
    assert_eq!(check(good, &party.authority, &key).unwrap().version(), 1);
    let theirs = other.generations.get(1).unwrap();
    let leaf = String::from_utf8(party.issue(now())["tls.crt"].clone()).unwrap();
    let not_after = later(days(9999));
    let mut der = pem::certificates(&good.certificate_pem).unwrap().remove(0);
    *der.last_mut().unwrap() ^= 1;
    let (certificate_pem, fingerprint) = (pem::encode(&der), HEXLOWER.encode(&Sha256::digest(&der)));
    let not_signed = Generation { certificate_pem, fingerprint, ..good.clone() };
    for (generation, problem) in [
        (theirs.clone(), "public key"),
        (not_signed, "signature"),
        (Generation { certificate_pem: theirs.certificate_pem.clone(), ..good.clone() }, "fingerprint"),
        (Generation { certificate_pem: leaf, ..good.clone() }, "exactly one"),
        (Generation { certificate_pem: String::new(), ..good.clone() }, "exactly one"),
        (Generation { certificate_pem: "-----BEGIN CERTIFICATE-----".into(), ..good.clone() }, "not closed"),
        (Generation { version: 2, ..good.clone() }, "subject"),
        (Generation { not_after, ..good.clone() }, "otherwise"),
        (Generation { permitted_dns: ["example".to_owned()].into(), ..good.clone() }, "otherwise"),
    ] {
        let refusal = check(&generation, &party.authority, &key).unwrap_err();
        assert!(refusal.contains(problem) && refusal.contains("cc-front/sbc"), "{refusal} for {problem}");
    }
    assert!(check(good, &party.authority, &other.transit.public_key(1)).is_err());
    let renamed = AuthoritySpec { channel: "ivr".into(), ..party.authority.clone() };
    assert!(check(good, &renamed, &key).unwrap_err().contains("subject"));
}

proptest! {
    #[test]
    fn the_check_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let case = Case::new();
        let unsigned = Unsigned { tbs: bytes, issuer_key: case.key.clone() };
        let signer = case.party.signer();
        prop_assert!(check_leaf(unsigned, &case.party.spec, &case.key, &case.serial, &signer, now()).is_err());
    }
}
