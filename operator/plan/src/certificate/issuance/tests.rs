use super::*;
use crate::record::issuances::Issuance;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
}

fn record(minutes: &[i64]) -> Issuances {
    minutes.iter().enumerate().fold(Issuances::default(), |record, (n, minute)| {
        record.noted(Issuance {
            serial: format!("s{n}"),
            at: at(*minute),
            reason: "KeyMismatch".into(),
            not_after: None,
        })
    })
}

fn expiring() -> Reason {
    Reason::Expiring { due: at(0) }
}

#[test]
fn the_fourth_within_the_hour_waits_for_the_first_to_leave_it() {
    assert!(record(&[0, 10]).admit(&Reason::KeyMismatch, None, at(11)).is_ok());
    let full = record(&[0, 10, 20]);
    let refused = full.admit(&Reason::KeyMismatch, None, at(30)).unwrap_err();
    assert_eq!(refused.until, at(60));
    assert!(refused.to_string().contains("KeyMismatch"), "{refused}");
    assert!(full.admit(&Reason::KeyMismatch, None, at(59)).is_err());
    assert!(full.admit(&Reason::KeyMismatch, None, at(60)).is_ok());
}

#[test]
fn only_three_are_kept() {
    let record = record(&[0, 1, 2, 3]);
    let kept: Vec<_> = record.recorded().iter().map(|i| i.serial.as_str()).collect();
    assert_eq!(kept, ["s1", "s2", "s3"]);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Issuances>(&text).unwrap(), record);
}

#[test]
fn a_renewal_that_took_effect_is_never_held_up() {
    let full = record(&[0, 10, 20]);
    assert!(full.admit(&expiring(), Some("s2"), at(30)).is_ok());
    assert!(full.admit(&expiring(), Some("s1"), at(30)).is_err(), "the last one never arrived");
    assert!(full.admit(&expiring(), None, at(30)).is_err());
}

#[test]
fn what_was_never_signed_does_not_count() {
    let full = record(&[0, 10, 20]);
    assert!(full.admit(&Reason::Missing, None, at(30)).is_err());
    let rest = full.without(|serial| serial == "s1");
    assert_eq!(rest.recorded().len(), 2);
    assert!(rest.admit(&Reason::Missing, None, at(30)).is_ok());
}

#[test]
fn trust_files_are_not_issuances() {
    let reason = Reason::TrustChanged { files: ["ca.crt".to_owned()].into() };
    assert!(record(&[0, 1, 2]).admit(&reason, None, at(3)).is_ok());
}

#[test]
fn a_clock_that_was_ahead_does_not_lock_out() {
    let day = 24 * 60;
    assert!(record(&[day, day + 1, day + 2]).admit(&Reason::Missing, None, at(0)).is_ok());
    let refused = record(&[10, 11, 12]).admit(&Reason::Missing, None, at(0)).unwrap_err();
    assert_eq!(refused.until, at(60));
}
