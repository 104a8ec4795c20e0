use jiff::ToSpan as _;
use serde_json::{Value, json};

use super::*;
use crate::testing::{DOMAIN, Scene, at, channel, domain, now, retention};

fn classes() -> Value {
    json!([
        {"name": "call", "keep": "90d", "cohort": "Week"},
        {"name": "day", "keep": "30d", "cohort": "Day"},
        {"name": "dossier", "keep": "20y", "cohort": "Year", "anchor": "LastChange", "openFor": "5y"},
        {"name": "other", "keep": "1y"},
    ])
}

fn wanted_at(sealed: &[&str], extra: Value, when: Timestamp) -> Vec<WantedKey> {
    let mut spec = json!({"dataClasses": sealed});
    crate::testing::merge(&mut spec, extra);
    let channel = channel("cc-front/voice", spec);
    let id = ChannelId::mint("uid-cc-front", "voice");
    let policy = retention("contactcenter", json!({"classes": classes()}));
    wanted(&channel, &id, &policy, &domain(DOMAIN, json!({})), when).unwrap()
}

/// Class, cohort, and whether it rotates.
fn brief(keys: &[WantedKey]) -> Vec<(String, bool)> {
    keys.iter().map(|key| (format!("{} {}", key.class, key.cohort), key.rotate_every.is_some())).collect()
}

fn expect(keys: &[(&str, bool)]) -> Vec<(String, bool)> {
    keys.iter().map(|(text, rotates)| ((*text).to_owned(), *rotates)).collect()
}

fn observed(versions: &[(u32, &str)], every: Option<SignedDuration>) -> ObservedKey {
    ObservedKey {
        versions: versions.iter().map(|(number, when)| (*number, at(when))).collect(),
        rotate_every: every,
        fault: None,
    }
}

const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

#[test]
fn the_current_cohort_rotates_and_the_next_is_there_already() {
    let keys = wanted_at(&["call"], json!({}), now());
    assert_eq!(brief(&keys), expect(&[("call 2026w47", true), ("call 2026w48", false)]));
    assert_eq!(keys[0].rotate_every, Some(MONTH));
    let id = ChannelId::mint("uid-cc-front", "voice");
    assert_eq!(keys[0].name, format!("{id}.call.2026w47"));
    assert_eq!(keys[0].key_type, KeyType::Aes256Gcm96);
}

#[test]
fn the_cohort_changes_at_midnight_of_the_domains_time_zone() {
    // Sunday evening in Amsterdam, an hour before Monday.
    let sunday = wanted_at(&["call", "day"], json!({}), at("2026-11-22T22:59:59Z"));
    let cohorts =
        [("call 2026w47", true), ("call 2026w48", false), ("day 20261122", true), ("day 20261123", false)];
    assert_eq!(brief(&sunday), expect(&cohorts));
    let monday = wanted_at(&["call", "day"], json!({}), at("2026-11-22T23:00:00Z"));
    let cohorts =
        [("call 2026w48", true), ("call 2026w49", false), ("day 20261123", true), ("day 20261124", false)];
    assert_eq!(brief(&monday), expect(&cohorts));
    for key in monday.iter().filter(|key| key.rotate_every.is_some()) {
        assert!(
            sunday.iter().any(|before| before.name == key.name),
            "{} did not exist before it began",
            key.name
        );
    }
}

#[test]
fn every_key_exists_before_its_cohort_begins() {
    let mut when = now();
    let mut before = wanted_at(&["call", "day", "dossier", "other"], json!({}), when);
    for _ in 0..800 {
        when = when.checked_add(24.hours()).unwrap();
        let keys = wanted_at(&["call", "day", "dossier", "other"], json!({}), when);
        for key in keys.iter().filter(|key| key.rotate_every.is_some()) {
            assert!(before.iter().any(|known| known.name == key.name), "{} at {when}", key.name);
        }
        before = keys;
    }
}

#[test]
fn classes_whose_anchor_comes_later_have_open_cohorts_too() {
    let keys = wanted_at(&["dossier"], json!({}), now());
    let cohorts = [
        ("dossier 2026", true),
        ("dossier 2027", false),
        ("dossier open-2026", true),
        ("dossier open-2027", false),
    ];
    assert_eq!(brief(&keys), expect(&cohorts));
}

#[test]
fn only_sealed_classes_have_keys_and_a_month_is_the_default() {
    assert_eq!(wanted_at(&[], json!({}), now()), []);
    let keys = wanted_at(&["other"], json!({}), now());
    assert_eq!(brief(&keys), expect(&[("other 2026m11", true), ("other 2026m12", false)]));
}

#[test]
fn encryption_is_as_declared() {
    let keys = wanted_at(
        &["other"],
        json!({"encryption": {"keyType": "chacha20-poly1305", "rotateEvery": "12h"}}),
        now(),
    );
    assert_eq!(keys[0].key_type, KeyType::ChaCha20Poly1305);
    assert_eq!(keys[0].rotate_every, Some(SignedDuration::from_hours(12)));
    for (may, expected) in
        [(json!(null), false), (json!(["Seal"]), false), (json!(["Seal", "Open"]), true), (json!([]), false)]
    {
        let channel = channel("cc-front/voice", json!({"encryption": {"workloadMay": may}}));
        assert_eq!(channel.may_open(), expected, "{may}");
    }
    assert!(!channel("cc-front/voice", json!({})).may_open());
}

#[test]
fn beyond_the_calendar_is_an_error() {
    let channel = channel("cc-front/voice", json!({"dataClasses": ["other"]}));
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let id = ChannelId::mint("uid", "voice");
    let utc = domain(DOMAIN, json!({"timeZone": "UTC"}));
    let (late, early) = (at("9999-12-30T00:00:00Z"), at("9999-10-30T00:00:00Z"));
    assert!(wanted(&channel, &id, &policy, &utc, late).is_err());
    assert!(wanted(&channel, &id, &policy, &utc, early).is_ok());
}

#[test]
fn a_key_is_made_once_and_never_made_again() {
    let key = wanted_at(&["call"], json!({}), now()).remove(0);
    let made = ActiveKey { versions: [(1, now())].into(), closed: false, kept: false };
    let intended = ActiveKey::default();
    assert_eq!(action(&key, None, None, now()), Some(KeyAction::Create(key.clone())));
    assert_eq!(action(&key, Some(&intended), None, now()), Some(KeyAction::Create(key.clone())));
    assert_eq!(action(&key, Some(&made), None, now()), None, "it was destroyed: sealing must fail");
}

#[test]
fn rotation_is_made_as_declared() {
    let keys = wanted_at(&["call"], json!({}), now());
    let (current, next) = (&keys[0], &keys[1]);
    let fresh = |every| observed(&[(1, "2026-11-20T00:00:00Z")], every);
    let set = |key: &WantedKey, every| Some(KeyAction::SetRotation { name: key.name.clone(), every });
    assert_eq!(action(current, None, Some(&fresh(Some(MONTH))), now()), None);
    assert_eq!(action(current, None, Some(&fresh(None)), now()), set(current, Some(MONTH)));
    assert_eq!(action(next, None, Some(&fresh(None)), now()), None);
    assert_eq!(action(next, None, Some(&fresh(Some(MONTH))), now()), set(next, None));
}

#[test]
fn a_late_rotation_is_made_by_the_operator() {
    let key = wanted_at(&["call"], json!({}), now()).remove(0);
    let found = observed(&[(1, "2026-09-01T00:00:00Z"), (2, "2026-10-01T00:00:00Z")], Some(MONTH));
    assert_eq!(next_rotation(&key, &found), Some(at("2026-10-31T00:00:00Z")), "the newest version counts");
    let act = |when: &str| action(&key, None, Some(&found), at(when));
    assert_eq!(act("2026-10-30T00:00:00Z"), None);
    assert_eq!(act("2026-10-31T02:00:00Z"), None, "Vault looks hourly");
    assert_eq!(act("2026-10-31T02:00:01Z"), Some(KeyAction::Rotate { name: key.name.clone() }));
    let still = WantedKey { rotate_every: None, ..key.clone() };
    assert_eq!(next_rotation(&still, &found), None);
    assert_eq!(next_rotation(&key, &ObservedKey::default()), None);
}

/// A record that knows these keys of class `call`, made in November, and whether each is closed.
fn record(keys: &[(&str, bool)]) -> ChannelRecord {
    let scene = Scene::new().channel("cc-front/voice", json!({}));
    let mut record = scene.first_record("cc-front/voice");
    for (cohort, closed) in keys {
        let versions = [(1, at("2026-11-02T00:00:00Z")), (2, at("2026-11-20T00:00:00Z"))].into();
        record
            .keys
            .entry("call".into())
            .or_default()
            .insert((*cohort).into(), ActiveKey { versions, closed: *closed, kept: false });
    }
    record
}

#[test]
fn what_no_cohort_uses_any_more_is_closed_once() {
    let keys = wanted_at(&["call"], json!({}), now());
    let record = record(&[("2026w45", true), ("2026w46", false), ("2026w47", false), ("2026w48", false)]);
    let id = record.id();
    let names = |wanted: &[WantedKey]| {
        let ending = ending(&record, wanted).into_iter().filter(|key| !key.known.closed);
        ending.map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&keys), [id.data_key("call", "2026w46")]);
    let removed: Vec<_> = ["2026w46", "2026w47", "2026w48"].map(|cohort| id.data_key("call", cohort)).into();
    assert_eq!(names(&[]), removed, "the class was removed");
    assert_eq!(
        ending(&record, &keys).len(),
        2,
        "what an earlier release closed leaves the Channel's record too"
    );
}

struct Shown {
    keys: Vec<(String, String)>,
    others: BTreeMap<String, i64>,
}

fn shown(
    record: &ChannelRecord,
    wanted: &[WantedKey],
    found: Option<&BTreeMap<String, ObservedKey>>,
    when: &str,
) -> Shown {
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let domain = domain(DOMAIN, json!({}));
    let (keys, others) = status(record, wanted, found, Some(&policy), None, &domain, at(when));
    Shown { keys: keys.into_iter().map(|key| (key.cohort, key.state)).collect(), others }
}

fn states(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(cohort, state)| ((*cohort).to_owned(), (*state).to_owned())).collect()
}

fn found(record: &ChannelRecord, keys: &[(&str, ObservedKey)]) -> BTreeMap<String, ObservedKey> {
    keys.iter().map(|(cohort, key)| (record.id().data_key("call", cohort), key.clone())).collect()
}

#[test]
fn status_shows_what_matters_and_counts_the_rest() {
    let keys = wanted_at(&["call"], json!({}), now());
    let mut record = record(&[("2026w20", true), ("2026w33", true), ("2026w46", true), ("2026w47", false)]);
    let next = keys[1].cohort.to_string();
    record.keys.get_mut("call").unwrap().insert(next.clone(), ActiveKey::default());
    let current = observed(&[(1, "2026-11-02T00:00:00Z"), (2, "2026-11-20T00:00:00Z")], Some(MONTH));
    let there = found(&record, &[("2026w47", current)]);
    let now = shown(&record, &keys, Some(&there), "2026-11-22T12:00:00Z");
    // Week 33 ends on 16 August, so its data is due ninety days later; week 46 is due in February.
    let expected = [
        ("2026w20", "Due"),
        ("2026w33", "Due"),
        ("2026w46", "Closed"),
        ("2026w47", "Current"),
        ("2026w48", "Pending"),
    ];
    assert_eq!(now.keys, states(&expected));
    assert_eq!(now.others, BTreeMap::new());

    // Long before the data is due, a closed key is only counted.
    let long =
        retention("contactcenter", json!({"classes": [{"name": "call", "keep": "5y", "cohort": "Week"}]}));
    let domain = domain(DOMAIN, json!({}));
    let (listed, others) =
        status(&record, &keys, Some(&there), Some(&long), None, &domain, at("2026-11-22T12:00:00Z"));
    assert_eq!(listed.iter().map(|key| key.cohort.as_str()).collect::<Vec<_>>(), ["2026w47", "2026w48"]);
    assert_eq!(others, [("Closed".to_owned(), 3)].into());
}

#[test]
fn a_key_is_described_by_what_was_seen() {
    let keys = wanted_at(&["call"], json!({}), now());
    let record = record(&[("2026w47", false), ("2026w48", false)]);
    let current = observed(&[(2, "2026-11-10T00:00:00Z"), (3, "2026-11-21T00:00:00Z")], Some(MONTH));
    let next = observed(&[(1, "2026-11-16T00:00:00Z")], None);
    let there = found(&record, &[("2026w47", current), ("2026w48", next)]);
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let domain = domain(DOMAIN, json!({}));
    let (listed, _) = status(&record, &keys, Some(&there), Some(&policy), None, &domain, now());
    let [current, next] = listed.try_into().unwrap();
    assert_eq!((current.versions, current.state.as_str()), (Some(3), "Current"));
    assert_eq!(current.rotated_at.as_deref(), Some("2026-11-21T00:00:00Z"));
    assert_eq!(current.next_rotation.as_deref(), Some("2026-12-21T00:00:00Z"));
    assert_eq!(current.due.as_deref(), Some("2027-02-21"));
    assert_eq!((next.versions, next.state.as_str(), next.next_rotation), (Some(1), "Next", None));
}

#[test]
fn an_open_cohort_has_no_due_date() {
    let keys = wanted_at(&["dossier"], json!({}), now());
    let mut record = record(&[]);
    let known = ActiveKey { versions: [(1, now())].into(), closed: false, kept: false };
    for cohort in ["2026", "open-2026"] {
        record.keys.entry("dossier".into()).or_default().insert(cohort.into(), known.clone());
    }
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let (listed, _) = status(&record, &keys, None, Some(&policy), None, &domain(DOMAIN, json!({})), now());
    let days: Vec<_> = listed
        .iter()
        .map(|key| (key.cohort.as_str(), key.due.as_deref(), key.reseal_by.as_deref()))
        .collect();
    assert_eq!(days, [("2026", Some("2047-01-01"), None), ("open-2026", None, Some("2032-01-01"))]);
}

#[test]
fn cohorts_that_are_late_are_shown_first_and_as_that() {
    let mut record = record(&[]);
    let cohorts = ["2026w20", "2026w36", "open-2020m10", "open-2026m10"];
    let ended = cohorts.iter().map(|cohort| cohort.parse::<Cohort>().unwrap());
    record.ended =
        Some(ended.fold(Ended::default(), |all, one| {
            all.with(if one.is_open() { "dossier" } else { "call" }, one)
        }));
    let policy = retention(
        "contactcenter",
        json!({"classes": [
            {"name": "call", "keep": "90d", "max": "130d", "cohort": "Week"},
            {"name": "dossier", "keep": "20y", "anchor": "LastChange", "openFor": "5y"},
        ]}),
    );
    let (listed, others) = status(&record, &[], None, Some(&policy), None, &domain(DOMAIN, json!({})), now());
    let listed: Vec<_> = listed
        .iter()
        .map(|key| (key.cohort.as_str(), key.state.as_str(), key.due.as_deref(), key.reseal_by.as_deref()))
        .collect();
    assert_eq!(
        listed,
        [
            ("2026w20", "KeptTooLong", Some("2026-08-16"), None),
            ("2026w36", "Closed", Some("2026-12-06"), None),
            ("open-2020m10", "AnchorOverdue", None, Some("2025-11-01")),
        ]
    );
    assert_eq!(others, [("Closed".to_owned(), 1)].into());
}

#[test]
fn a_key_that_is_gone_or_loosened_or_late_is_shown_as_that() {
    let keys = wanted_at(&["call"], json!({}), now());
    let record = record(&[("2026w47", false), ("2026w48", false)]);
    for flag in [KeyFault::Exportable, KeyFault::PlaintextBackup, KeyFault::DeletionAllowed] {
        let loosened =
            ObservedKey { fault: Some(flag), ..observed(&[(1, "2026-11-20T00:00:00Z")], Some(MONTH)) };
        let there = found(&record, &[("2026w47", loosened)]);
        let now = shown(&record, &keys, Some(&there), "2026-11-22T12:00:00Z");
        assert_eq!(now.keys, states(&[("2026w47", "Irreversible"), ("2026w48", "Missing")]), "{flag:?}");
    }
    let late = observed(&[(1, "2026-10-20T00:00:00Z")], Some(MONTH));
    let there = found(&record, &[("2026w47", late.clone()), ("2026w48", late)]);
    let now = shown(&record, &keys, Some(&there), "2026-11-22T12:00:00Z");
    assert_eq!(now.keys, states(&[("2026w47", "RotationLate"), ("2026w48", "Next")]));
}

#[test]
fn nothing_is_called_missing_while_vault_does_not_answer() {
    let keys = wanted_at(&["call"], json!({}), now());
    let record = record(&[("2026w46", true), ("2026w47", false)]);
    let now = shown(&record, &keys, None, "2026-11-22T12:00:00Z");
    assert_eq!(now.keys, states(&[("2026w46", "Closed"), ("2026w47", "Unknown")]));
}

#[test]
fn nothing_is_called_closed_that_still_rotates() {
    let record = record(&[("2026w33", false), ("2026w46", true), ("2026w47", false), ("2026w48", false)]);
    // While a Channel is Stalled or frozen no key is wanted, and none is closed.
    let now = shown(&record, &[], Some(&BTreeMap::new()), "2026-11-22T12:00:00Z");
    let expected =
        [("2026w33", "Due"), ("2026w46", "Closed"), ("2026w47", "NotPlanned"), ("2026w48", "NotPlanned")];
    assert_eq!(now.keys, states(&expected));
}

#[test]
fn keys_of_ended_cohorts_are_counted_and_the_soonest_due_are_shown() {
    let day = |text: &str| text.parse::<Cohort>().unwrap();
    let mut record = record(&[]);
    let mut cohort = day("20260101");
    let mut ended = Ended::default();
    while cohort < day("20261121") {
        ended = ended.with("day", cohort);
        cohort = cohort.next().unwrap();
    }
    record.ended = Some(ended);
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let name = record.id().data_key("day", "20261101");
    let faults = [(name, FoundFault { fault: KeyFault::SoftDeleted, since: now() })].into();
    let (shown, others) =
        status(&record, &[], None, Some(&policy), Some(&faults), &domain(DOMAIN, json!({})), now());
    assert_eq!(shown.len(), MOST_ENDED);
    assert!(shown.iter().any(|key| key.cohort == "20261101" && key.state == "SoftDeleted"), "{shown:?}");
    assert_eq!(shown[0].cohort, "20260101");
    assert_eq!(others.values().sum::<i64>() + 32, 324, "{others:?}");
}

#[test]
fn a_key_s_record_says_under_which_terms_it_was_made() {
    let policy = retention("contactcenter", json!({"classes": classes()}));
    let id = ChannelId::mint("uid", "voice");
    let known = ActiveKey { versions: [(1, now())].into(), ..ActiveKey::default() };
    let cohort = "2026w47".parse().unwrap();
    let made = key_record(&id, "call", cohort, &known, Some(&policy), None);
    assert_eq!(made.due.unwrap().to_string(), "2027-02-21");
    assert_eq!(made.terms.as_ref().unwrap().policy, "contactcenter");
    assert_eq!(made.decisions, format!("decisions/{id}/call/2026w47"));
    let open = key_record(&id, "call", "open-2026".parse().unwrap(), &known, None, None);
    assert_eq!((open.due, open.terms), (None, None));
}

#[test]
fn a_channel_s_record_is_bounded_whatever_its_age() {
    let mut record = record(&[]);
    let mut day: Cohort = "20060101".parse().unwrap();
    for _ in 0..7305 {
        for class in 0..16 {
            let class = format!("class-{class}");
            *record.key_mut(&class, day) =
                ActiveKey { versions: [(1, now())].into(), ..ActiveKey::default() };
            let ending: Vec<_> =
                ending(&record, &[]).into_iter().map(|key| (key.class, key.cohort, true)).collect();
            record.settle_keys(&ending);
        }
        day = day.next().unwrap();
    }
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.len() < 2048, "{} bytes: {text}", text.len());
    assert_eq!(record.ended.unwrap().iter().count(), 16 * 7305);
}

/// A Channel of 17 years with a cohort a day in 16 classes: what each of its reconciles looks through.
#[test]
fn a_hundred_thousand_cohorts_are_planned_within_a_second() {
    let classes: Vec<_> = (0..16)
        .map(|class| json!({"name": format!("class-{class}"), "keep": "20y", "max": "21y", "cohort": "Day"}))
        .collect();
    let policy = retention("contactcenter", json!({"classes": classes}));
    let mut record = record(&[]);
    let mut ended = Ended::default();
    let mut day: Cohort = "20090101".parse().unwrap();
    for _ in 0..6250 {
        for class in 0..16 {
            ended = ended.with(&format!("class-{class}"), day);
        }
        day = day.next().unwrap();
    }
    assert_eq!(ended.iter().count(), 100_000);
    record.ended = Some(ended);
    let domain = domain(DOMAIN, json!({}));
    let begun = std::time::Instant::now();
    let (_, others) = status(&record, &[], None, Some(&policy), None, &domain, now());
    let late = deadlines::late(&record, &policy, domain::today(&domain, now()));
    let took = begun.elapsed();
    println!("{took:?}");
    let most = std::time::Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert_eq!((others.values().sum::<i64>(), late.len()), (100_000, 0));
    assert!(took < most, "{took:?}");
}
