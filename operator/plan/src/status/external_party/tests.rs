use serde_json::{Value, json};
use subrosa_crds::condition::find;

use super::*;
use crate::testing::{DOMAIN, Scene, at, now};

fn judged(scene: &Scene, when: &str) -> ExternalPartyStatus {
    status(&scene.parties["p"], scene, at(when))
}

fn rows(status: &ExternalPartyStatus) -> Vec<(&str, &str, &str)> {
    status
        .conditions
        .iter()
        .map(|one| (one.type_.as_str(), one.status.as_str(), one.reason.as_str()))
        .collect()
}

fn with(patch: Value) -> Scene {
    Scene::new().party("p", patch)
}

fn dpa(until: &str) -> Value {
    json!({"role": "Processor", "agreements": [{"type": "DPA", "validUntil": until}]})
}

#[test]
fn in_force_until_the_first_agreement_ends() {
    let patch = json!({"agreements": [{"type": "SLA", "validUntil": "2028-01-01"}, {"type": "NDA", "validUntil": "2027-05-05"}]});
    let status = judged(&with(patch), "2026-11-22T12:00:00Z");
    assert_eq!(rows(&status), [("Ready", "True", "InForce"), ("AgreementsValid", "True", "AgreementsValid")]);
    assert_eq!(status.valid_until.as_deref(), Some("2027-05-05"));
    assert_eq!(status.observed_generation, Some(4));
    let status = judged(&with(json!({})), "2026-11-22T12:00:00Z");
    assert_eq!(rows(&status), [("Ready", "True", "InForce"), ("AgreementsValid", "True", "NoneNeeded")]);
    assert_eq!(status.valid_until, None);
}

/// The days of December on which people hear of an agreement that ends with the 31st, looked at twice a day.
fn heard(until: &str) -> Vec<i8> {
    let mut scene = with(dpa(until));
    let mut heard = Vec::new();
    for half_day in 0..70 {
        let when = at("2026-11-29T06:00:00Z") + jiff::SignedDuration::from_hours(12 * half_day);
        let party = scene.parties["p"].clone();
        let status = status(&party, &scene, when);
        if is_news(&party, &status, &scene, when) {
            let day = when.to_zoned(jiff::tz::TimeZone::UTC);
            heard.push(if day.month() == 12 { day.day() } else { -day.day() });
        }
        let mut seen = ExternalParty::clone(&party);
        seen.status = Some(status);
        scene.world.parties.insert("p".into(), Arc::new(seen));
    }
    heard
}

#[test]
fn people_hear_of_an_end_thirty_seven_and_one_days_before_and_when_it_has_come() {
    assert_eq!(heard("2026-12-31"), [1, 24, 30, -1], "the last is the first of January");
    assert_eq!(heard("2026-12-20"), [-29, 13, 19, 21], "at first sight, with 21 days left");
    assert!(heard("2027-12-31").is_empty(), "nothing is to be told yet");
    assert_eq!(heard("2026-01-01"), [-29], "once");
}

#[test]
fn the_end_is_warned_of_and_then_said() {
    let scene = with(dpa("2026-12-31"));
    for (when, reason, says) in [
        ("2026-11-30T12:00:00Z", "AgreementsValid", "valid until 2026-12-31"),
        ("2026-12-01T12:00:00Z", "AgreementExpiring", "30 more days"),
        ("2026-12-30T12:00:00Z", "AgreementExpiring", "1 more days"),
        ("2026-12-31T12:00:00Z", "AgreementExpiring", "0 more days"),
    ] {
        let status = judged(&scene, when);
        let one = find(&status.conditions, condition::AGREEMENTS_VALID).unwrap();
        assert_eq!((one.status.as_str(), one.reason.as_str()), ("True", reason), "{when}");
        assert!(one.message.contains(says), "{when}: {}", one.message);
    }
    let status = judged(&scene, "2026-12-31T23:00:00Z");
    assert_eq!(
        rows(&status),
        [("Ready", "False", "AgreementExpired"), ("AgreementsValid", "False", "AgreementExpired")]
    );
    assert_eq!(status.valid_until.as_deref(), Some("2026-12-31"));
}

#[test]
fn what_is_missing_names_the_law() {
    let status = judged(&with(json!({"role": "Processor"})), "2026-11-22T12:00:00Z");
    assert_eq!(
        rows(&status),
        [("Ready", "False", "AgreementMissing"), ("AgreementsValid", "False", "AgreementMissing")]
    );
    assert!(status.conditions[0].message.contains("GDPR Art. 28(3)"), "{}", status.conditions[0].message);
}

#[test]
fn a_wrong_declaration_stalls_it() {
    let status = judged(&with(json!({"addresses": {"cidrs": ["10.0.0.0/8"]}})), "2026-11-22T12:00:00Z");
    let expected = [
        ("Ready", "False", "ForbiddenAddress"),
        ("AgreementsValid", "Unknown", "NotJudged"),
        ("Stalled", "True", "ForbiddenAddress"),
    ];
    assert_eq!(rows(&status), expected);
    assert!(status.conditions[2].message.starts_with("spec.addresses.cidrs: "));
}

#[test]
fn the_worst_of_all_trust_domains_counts() {
    let hipaa = json!({"frameworks": ["HIPAA"]});
    for name in ["aaa", "zzz"] {
        let scene = with(dpa("2028-01-01")).domain(name, hipaa.clone());
        assert_eq!(
            rows(&judged(&scene, "2026-11-22T12:00:00Z"))[0],
            ("Ready", "False", "AgreementMissing"),
            "{name}"
        );
    }
    let east = with(dpa("2026-12-31")).domain("east", json!({"timeZone": "Pacific/Kiritimati"}));
    assert_eq!(rows(&judged(&east, "2026-12-31T12:00:00Z"))[0].2, "AgreementExpired", "it is tomorrow there");
    assert_eq!(rows(&judged(&with(dpa("2026-12-31")), "2026-12-31T12:00:00Z"))[0].2, "InForce");
}

#[test]
fn without_any_trust_domain_nobody_judges() {
    let mut scene = with(json!({}));
    scene.world.domains.remove(DOMAIN);
    let status = status(&scene.parties["p"], &scene, now());
    assert_eq!(
        rows(&status),
        [("Ready", "False", "NoTrustDomain"), ("AgreementsValid", "Unknown", "NoTrustDomain")]
    );
}
