use jiff::SignedDuration;

use super::*;
use crate::world::certificate::after;

pub(crate) fn certificate(version: u32, from: Timestamp, life: SignedDuration) -> NewCertificate {
    NewCertificate {
        version,
        key_version: None,
        certificate_pem: format!("certificate {version}"),
        fingerprint: format!("{version:064x}"),
        validity: Validity { not_before: from, not_after: after(from, life) },
        permitted_dns: ["cc-front.svc".to_owned()].into(),
        published_at: from,
    }
}

pub(crate) fn generation(version: u32, state: GenerationState) -> Generation {
    let from = "2026-01-01T00:00:00Z".parse().unwrap();
    let life = SignedDuration::from_hours(365 * 24);
    let one = Generations::default().with_certificate(certificate(version, from, life));
    Generation { state, ..one.get(version).unwrap().clone() }
}

#[test]
fn the_first_signs_at_once_and_the_next_waits() {
    let from = Timestamp::UNIX_EPOCH;
    let life = SignedDuration::from_hours(1);
    let two = Generations::default()
        .with_certificate(certificate(1, from, life))
        .with_leaf(1, after(from, life))
        .with_certificate(certificate(4, from, life));
    assert_eq!(two.signing().unwrap().version, 1);
    assert_eq!(two.published().unwrap().version, 4);

    let switched = two.clone().with_signing(4);
    assert_eq!(switched.signing().unwrap().version, 4);
    assert_eq!(switched.get(1).unwrap().state, GenerationState::Retiring);
    assert_eq!(switched.trusted(), ["certificate 1", "certificate 4"]);
    assert_eq!(switched.leaves_until(), Some(after(from, life)));
    assert_eq!(switched.without(1).newest(), Some(4));
    assert_eq!(two.clone().with_signing(9), two, "an unknown version changes nothing");
}

#[test]
fn a_new_certificate_for_a_known_generation_keeps_its_place() {
    let from = Timestamp::UNIX_EPOCH;
    let life = SignedDuration::from_hours(1);
    let one = Generations::default().with_certificate(certificate(1, from, life)).with_leaf(1, from);
    let again = one.with_certificate(certificate(1, after(from, life), life));
    let generation = again.get(1).unwrap();
    assert_eq!(generation.state, GenerationState::Signing);
    assert_eq!(generation.last_leaf_not_after, Some(from));
    assert_eq!(generation.not_before, after(from, life));
}

#[test]
fn another_certificate_of_a_generation_is_seen_and_another_generation_is_none() {
    let (from, life) = (Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1));
    let one = Generations::default().with_certificate(certificate(1, from, life));
    let two = one.clone().with_certificate(certificate(2, from, life));
    assert!(!one.is_replaced_in(&two) && !two.is_replaced_in(&one) && !two.is_replaced_in(&two));
    let other = NewCertificate { fingerprint: "other".into(), ..certificate(2, from, life) };
    assert!(two.is_replaced_in(&two.clone().with_certificate(other)));
}

#[test]
fn the_record_form_is_a_list_and_round_trips() {
    let all = Generations::default()
        .with_certificate(certificate(1, Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1)))
        .with_peers(1, [("a/b".to_owned(), Timestamp::UNIX_EPOCH)].into());
    let text = serde_json::to_value(&all).unwrap();
    assert_eq!(text[0]["state"], "Signing");
    assert_eq!(text[0]["certificatePem"], "certificate 1");
    assert_eq!(text[0]["loadedBy"]["a/b"], "1970-01-01T00:00:00Z");
    assert_eq!(serde_json::from_value::<Generations>(text).unwrap(), all);
}
