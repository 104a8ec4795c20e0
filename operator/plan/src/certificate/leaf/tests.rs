use proptest::prelude::*;

use super::*;

pub(crate) fn spec() -> LeafSpec {
    LeafSpec {
        trust_domain: "oosterlinde".into(),
        namespace: "cc-front".into(),
        channel: "voice".into(),
        common_name: "voice".into(),
        dns_names: ["voice.cc-front.svc".to_owned(), "voice.cc-front.svc.cluster.local".to_owned()].into(),
        duration: SignedDuration::from_hours(30 * 24),
        renew_before: SignedDuration::from_hours(10 * 24),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        others: Arc::default(),
        for_renewal: Arc::default(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn year() -> Validity {
    Validity { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2027-01-01T00:00:00Z") }
}

#[test]
fn identity_follows_namespace_and_name() {
    assert_eq!(spec().spiffe_id(), "spiffe://oosterlinde/ns/cc-front/channel/voice");
    assert_eq!(spec().subject().to_string(), "O=oosterlinde, OU=cc-front, CN=voice");
}

#[test]
fn validate_names_the_field() {
    assert_eq!(spec().validate(), Ok(()));
    for (change, field) in [
        (LeafSpec { common_name: "x".repeat(65), ..spec() }, "tls.commonName"),
        (LeafSpec { common_name: "a\nb".into(), ..spec() }, "tls.commonName"),
        (LeafSpec { channel: "a/b".into(), ..spec() }, "channel"),
        (LeafSpec { trust_domain: "a.b/c".into(), ..spec() }, "trustDomain"),
        (LeafSpec { dns_names: ["a.*.b".to_owned()].into(), ..spec() }, "tls.dnsNames"),
        (LeafSpec { dns_names: ["*.svc".to_owned()].into(), ..spec() }, "tls.dnsNames"),
        (LeafSpec { dns_names: ["Upper.svc".to_owned()].into(), ..spec() }, "tls.dnsNames"),
        (LeafSpec { renew_before: SignedDuration::from_hours(30 * 24), ..spec() }, "tls.renewBefore"),
        (LeafSpec { renew_before: SignedDuration::ZERO, ..spec() }, "tls.renewBefore"),
    ] {
        let message = change.validate().unwrap_err().to_string();
        assert!(message.starts_with(field), "{message}");
    }
    assert_eq!(
        LeafSpec { common_name: "é".repeat(64), ..spec() }.validate(),
        Ok(()),
        "characters, not bytes"
    );
}

#[test]
fn subtree_border() {
    let permitted = ["cc-front.svc".to_owned()].into();
    for inside in ["cc-front.svc", "voice.cc-front.svc", "*.cc-front.svc", "*.hl.cc-front.svc"] {
        assert!(name_is_permitted(inside, &permitted), "{inside}");
    }
    for outside in ["svc", "cc-back.svc", "evil-cc-front.svc", "*.svc", "cc-front.svc.evil.example", ""] {
        assert!(!name_is_permitted(outside, &permitted), "{outside}");
    }
    assert!(!name_is_permitted("a.svc", &[String::new()].into()), "an empty subtree would permit all");
}

#[test]
fn names_outside_wait_for_the_next_generation() {
    let wanted =
        LeafSpec { dns_names: ["a.cc-front.svc".into(), "sip.hospital.example".into()].into(), ..spec() };
    let (leaf, withheld) = wanted.permitted_by(&["cc-front.svc".to_owned()].into());
    assert_eq!(leaf.dns_names, ["a.cc-front.svc".to_owned()].into());
    assert_eq!(withheld, ["sip.hospital.example".to_owned()].into());
}

fn leaf_with(names: &[&str]) -> LeafFacts {
    let mut leaf = crate::testing::leaf();
    leaf.dns_names = spec().dns_names.into_iter().chain(names.iter().map(ToString::to_string)).collect();
    leaf
}

#[test]
fn a_name_that_was_lost_stays_unless_it_is_somebody_elses() {
    let lost = ["tmp.cc-front.svc", "*.tmp.cc-front.svc", "tmp.cc-front.svc.cluster.local"];
    assert!(spec().has_its_names(&leaf_with(&lost)));
    assert_eq!(spec().with_lost_names(&leaf_with(&lost)).dns_names, leaf_with(&lost).dns_names);
    let moved = LeafSpec { others: Arc::new(["tmp".to_owned()].into()), ..spec() };
    assert!(!moved.has_its_names(&leaf_with(&lost)), "the Service has other pods now");
    assert_eq!(moved.with_lost_names(&leaf_with(&lost)).dns_names, spec().dns_names);
    for other in ["sip.hospital.example", "tmp.cc-back.svc", "cc-front.svc"] {
        assert!(!spec().has_its_names(&leaf_with(&[other])), "{other} is no Service's of this namespace");
    }
    let more = LeafSpec { dns_names: ["new.cc-front.svc".to_owned()].into(), ..spec() };
    assert!(!more.has_its_names(&leaf_with(&[])), "a name that is wanted is missing");
}

#[test]
fn a_common_name_is_no_way_around_the_constraints() {
    let permitted = ["cc-front.svc".to_owned()].into();
    for (name, fine) in
        [("voice", true), ("voice.cc-front.svc", true), ("bank.example", false), ("Dr. House", true)]
    {
        let spec = LeafSpec { common_name: name.into(), ..spec() };
        assert_eq!(spec.common_name_permitted(&permitted), fine, "{name}");
        let (signed, _) = spec.permitted_by(&permitted);
        assert_eq!(signed.common_name, if fine { name } else { "voice" }, "the leaf renews all the same");
    }
}

#[test]
fn leaf_is_backdated_capped_and_never_outlives() {
    let now = at("2026-06-01T12:00:00.9Z");
    let leaf = spec().validity(now, year()).unwrap();
    assert_eq!(leaf.not_before, at("2026-06-01T11:55:00Z"));
    assert_eq!(leaf.lifetime(), spec().duration);

    let long = leaf_validity(now, SignedDuration::from_hours(24 * 300), year()).unwrap();
    assert_eq!(long.lifetime().as_secs(), year().lifetime().as_secs() / 4);

    let late = leaf_validity(at("2026-12-25T00:00:00Z"), spec().duration, year()).unwrap();
    assert_eq!(late.not_after, year().not_after);

    let first = leaf_validity(year().not_before, spec().duration, year()).unwrap();
    assert_eq!(first.not_before, year().not_before, "not before its authority");

    assert!(leaf_validity(at("2025-12-31T00:00:00Z"), spec().duration, year()).is_err());
    assert!(leaf_validity(year().not_after, spec().duration, year()).is_err());
}

#[test]
fn jitter_is_deterministic_bounded_and_spreads() {
    let leaf = Validity { not_before: at("2026-06-01T00:00:00Z"), not_after: at("2026-07-01T00:00:00Z") };
    let lead = SignedDuration::from_hours(240);
    let latest = after(leaf.not_after, -lead);
    let earliest = after(latest, -SignedDuration::from_hours(24));
    let moments: BTreeSet<_> = (0..200).map(|n| renew_at(&format!("serial-{n}"), leaf, lead)).collect();
    assert!(moments.len() > 190, "{}", moments.len());
    assert!(moments.iter().all(|m| (earliest..=latest).contains(m)));
    let spread = moments.last().unwrap().duration_since(*moments.first().unwrap());
    assert!(spread > SignedDuration::from_hours(20), "{spread}");
    assert_eq!(renew_at("a", leaf, lead), renew_at("a", leaf, lead));
}

proptest! {
    #[test]
    fn a_renewal_is_never_due_at_once(
        offset in 0_i64..31_536_000, duration in 60_i64..40_000_000, lead in 0_i64..80_000_000, seed in ".{0,12}",
    ) {
        let now = after(year().not_before, SignedDuration::from_secs(offset));
        if let Ok(leaf) = leaf_validity(now, SignedDuration::from_secs(duration), year()) {
            prop_assert!(leaf.contains(now));
            prop_assert!(leaf.not_before >= year().not_before && leaf.not_after <= year().not_after);
            prop_assert!(leaf.lifetime().as_secs() <= duration);
            prop_assert!(leaf.lifetime().as_secs() * 4 <= year().lifetime().as_secs());
            let due = renew_at(&seed, leaf, SignedDuration::from_secs(lead));
            prop_assert!(due <= leaf.not_after);
            prop_assert!(due.duration_since(leaf.not_before).as_secs() * 4 >= leaf.lifetime().as_secs());
        }
    }
}
