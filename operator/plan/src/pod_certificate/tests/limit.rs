//! How many certificates pods are given, and what is remembered of them.

use super::*;

#[test]
fn each_pod_has_three_an_hour_and_fifty_pods_do_not_share_them() {
    let mut all = PodCertificates { in_force: true, ..PodCertificates::default() };
    let names = || PodNames { common_name: "voice".into(), dns_names: BTreeSet::new() };
    for pod in 0..50 {
        for minute in [0, 10, 20] {
            let (uid, noted) = (format!("uid-{pod}"), later(minute * 60));
            assert_eq!(all.admit(&uid, noted), Ok(()));
            all = all.noted(&uid, names(), one(noted), noted);
        }
    }
    let (until, refusal) = all.admit("uid-7", later(30 * 60)).unwrap_err();
    assert_eq!((until, refusal.reason), (later(3600), Reason::IssuanceLimited));
    assert_eq!(all.admit("uid-7", until), Ok(()), "the wait ends by itself");
    assert_eq!(all.admit("uid-of-another", later(30 * 60)), Ok(()));
    assert_eq!(all.pods["uid-7"].at.len(), 3);
}

#[test]
fn what_was_never_signed_does_not_count() {
    let mut before = record(&["uid-voice-0", "uid-voice-1"], now());
    let names = before.names.clone().unwrap();
    for serial in ["a1", "a2"] {
        let tried = IssuedToPod { serial: serial.into(), ..one(now()) };
        before = before.noted("uid-voice-0", names.clone(), tried, now());
    }
    assert!(before.admit("uid-voice-0", later(60)).is_err());
    assert_eq!(
        before.without_unsigned("uid-voice-0", |serial| serial == "a1"),
        None,
        "only the last one is asked of"
    );
    let again = before.without_unsigned("uid-voice-0", |serial| serial == "a2").unwrap();
    assert_eq!(again.admit("uid-voice-0", later(60)), Ok(()));
    assert_eq!(again.pods["uid-voice-1"], before.pods["uid-voice-1"]);
    let first = before.pods["uid-voice-1"].last.serial.clone();
    let none = before.without_unsigned("uid-voice-1", |serial| serial == first).unwrap();
    assert!(!none.knows("uid-voice-1"), "it was given none");
}

#[test]
fn a_limit_is_a_wait_and_no_denial() {
    let mut before = record(&["uid-voice-0"], now());
    for _ in 0..2 {
        let names = before.names.clone().unwrap();
        before = before.noted("uid-voice-0", names, one(now()), now());
    }
    let waits = answered(&scene(), &request("voice-0"), Some(&before), later(60));
    assert!(matches!(&waits, RequestAnswer::Wait(Some(until), _) if *until == later(3600)), "{waits:?}");
}

#[test]
fn the_record_is_bounded_and_forgets_pods_that_ended() {
    let many: Vec<_> = (0..MOST_PODS).map(|number| format!("uid-{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let full = record(&many, now());
    let (until, refusal) = full.admit("one-more", now()).unwrap_err();
    assert_eq!((until, refusal.reason), (later(3600), Reason::IssuanceLimited));
    assert_eq!(full.admit("uid-3", later(3600)), Ok(()), "those on record renew");
    let running = BTreeSet::from(["uid-3"]);
    assert_eq!(full.clone().tidied(&running, later(3599)).pods.len(), MOST_PODS, "they count for an hour");
    let tidy = full.tidied(&running, later(3600));
    assert_eq!(tidy.pods.keys().collect::<Vec<_>>(), ["uid-3"]);
    let text = serde_json::to_string(&tidy).unwrap();
    assert_eq!(serde_json::from_str::<PodCertificates>(&text).unwrap(), tidy);
    assert_eq!(tidy.current(&BTreeSet::from(["another"])).count(), 0);
}
