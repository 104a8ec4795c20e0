use super::*;

mod services;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
}

fn record(minutes: &[i64]) -> Issuances {
    record_of("KeyMismatch", minutes)
}

fn record_of(reason: &str, minutes: &[i64]) -> Issuances {
    minutes.iter().enumerate().fold(Issuances::default(), |record, (n, minute)| {
        record.noted(IssuedLeaf {
            serial: format!("s{n}"),
            at: at(*minute),
            reason: reason.into(),
            not_after: None,
        })
    })
}

fn changed() -> Drift {
    Drift::NamesChanged { what: "the DNS names" }
}

fn expiring() -> Drift {
    Drift::Expiring { due: at(0) }
}

#[test]
fn the_fourth_within_the_hour_waits_for_the_first_to_leave_it() {
    assert!(record(&[0, 10]).admit(&Drift::KeyMismatch, None, at(11)).is_ok());
    let full = record(&[0, 10, 20]);
    let refused = full.admit(&Drift::KeyMismatch, None, at(30)).unwrap_err();
    assert_eq!(refused.until, at(60));
    assert!(refused.to_string().contains("KeyMismatch"), "{refused}");
    assert!(full.admit(&Drift::KeyMismatch, None, at(59)).is_err());
    assert!(full.admit(&Drift::KeyMismatch, None, at(60)).is_ok());
}

#[test]
fn three_of_each_are_kept() {
    let mut record = record(&[0, 1, 2, 3]);
    for name in ["n0", "n1", "n2", "n3"] {
        let reason = "NamesChanged".into();
        record = record.noted(IssuedLeaf { serial: name.into(), at: at(4), reason, not_after: None });
    }
    let kept: Vec<_> = record.recorded().iter().map(|i| i.serial.as_str()).collect();
    assert_eq!(kept, ["s1", "s2", "s3", "n1", "n2", "n3"]);
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
    assert!(full.admit(&Drift::KeyMismatch, None, at(30)).is_err());
    let rest = full.without(|serial| serial == "s1");
    assert_eq!(rest.recorded().len(), 2);
    assert!(rest.admit(&Drift::KeyMismatch, None, at(30)).is_ok());
}

#[test]
fn trust_files_are_not_issuances() {
    let reason = Drift::TrustChanged { files: ["ca.crt".to_owned()].into() };
    assert!(record(&[0, 1, 2]).admit(&reason, None, at(3)).is_ok());
}

#[test]
fn a_clock_that_was_ahead_does_not_lock_out() {
    let day = 24 * 60;
    assert!(record(&[day, day + 1, day + 2]).admit(&Drift::KeyMismatch, None, at(0)).is_ok());
    let refused = record(&[10, 11, 12]).admit(&Drift::KeyMismatch, None, at(0)).unwrap_err();
    assert_eq!(refused.until, at(60));
    let ahead = record_of("NamesChanged", &[10, 11, 12]);
    assert!(ahead.admit(&Drift::Missing, None, at(0)).is_ok());
    assert!(ahead.admit(&changed(), None, at(0)).is_ok());
}

#[test]
fn a_missing_secret_is_always_made_again() {
    let often = record_of("Missing", &[0, 10, 20]);
    assert!(often.admit(&Drift::Missing, None, at(21)).is_ok());
    let refused = record_of("Missing", &[18, 19, 20]).admit(&Drift::Missing, None, at(20)).unwrap_err();
    assert_eq!(refused.until, at(21), "what is deleted in a loop is not issued in a loop");
    assert!(refused.to_string().contains("find what deletes it"), "{refused}");
}

#[test]
fn names_that_came_and_went_use_up_nothing() {
    let names = record_of("NamesChanged", &[0, 1, 2]);
    assert!(names.admit(&Drift::KeyMismatch, Some("s2"), at(3)).is_ok());
    assert!(names.admit(&Drift::Missing, None, at(3)).is_ok());
    let refused = names.admit(&changed(), Some("s2"), at(3)).unwrap_err();
    assert_eq!(refused.until, at(12), "ten minutes, not the hour");
    assert!(names.admit(&changed(), Some("s2"), at(12)).is_ok());
    let once = record_of("NamesChanged", &[0]);
    assert!(once.admit(&changed(), Some("s0"), at(0)).is_err(), "others may come in the same moment");
    assert!(once.admit(&changed(), Some("s0"), at(1)).is_ok());
    assert!(
        record_of("Missing", &[0]).admit(&changed(), Some("s0"), at(0)).is_ok(),
        "the first is issued at once"
    );
}

#[test]
fn what_keeps_undoing_the_secret_is_limited_among_names_too() {
    let reasons = ["KeyMismatch", "NamesChanged", "KeyMismatch", "NamesChanged", "KeyMismatch"];
    let mixed = reasons.into_iter().zip(0..).fold(Issuances::default(), |record, (reason, minute)| {
        record.noted(IssuedLeaf {
            serial: format!("s{minute}"),
            at: at(minute),
            reason: reason.into(),
            not_after: None,
        })
    });
    assert_eq!(mixed.admit(&Drift::KeyMismatch, Some("s4"), at(5)).unwrap_err().until, at(60));
}

#[test]
fn the_message_lists_what_was_issued_and_says_what_to_do() {
    let refused = record(&[0, 10, 20]).admit(&Drift::KeyMismatch, None, at(30)).unwrap_err().to_string();
    let times = [at(0), at(10), at(20)].map(|at| format!("KeyMismatch at {at}")).join(", ");
    assert!(refused.contains(&times) && refused.contains("find what keeps undoing the Secret"), "{refused}");
    let edited = Drift::NamesChanged { what: "the key algorithm" };
    let refused = record_of("NamesChanged", &[0, 1, 2]).admit(&edited, Some("s2"), at(3)).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains("the key algorithm changed again") && told.contains("nothing has to be done"),
        "{told}"
    );
    assert!(!told.contains("undoing"), "nobody looks for a fault where a person edited: {told}");
}
