//! What a RetentionPolicy promises, against the law beside it and the calendar.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::path::Path;

use jiff::civil::{Date, date};
use serde_json::{Value, json};
use subrosa_crds::{
    LegalHold, RetentionPolicy, RetentionPolicySpec,
    cohort::{Cohort, CohortPeriod},
    retention::{PolicyProblem, check},
    retention_policy::{Anchor, DestructionMode},
    zone,
};

const TODAY: Date = date(2026, 11, 22);

fn problems_on(today: Date, spec: Value) -> Vec<PolicyProblem> {
    let spec: RetentionPolicySpec = serde_json::from_value(spec).unwrap();
    check(&spec, &["NL".to_owned(), "EU".to_owned()], today)
}

fn problems(spec: Value) -> Vec<PolicyProblem> {
    problems_on(TODAY, spec)
}

fn class(mut class: Value) -> Value {
    class["name"] = json!("call-recording");
    json!({ "classes": [class] })
}

fn only(problems: Vec<PolicyProblem>) -> (String, String, String) {
    let [problem] = problems.try_into().unwrap_or_else(|found| panic!("not one problem: {found:#?}"));
    (problem.field, problem.value, problem.message)
}

#[test]
fn what_the_contract_shows_is_right() {
    let spec = json!({
        "classes": [
            {
                "name": "call-recording", "keep": "90d", "max": "130d", "cohort": "Week", "anchor": "CreatedAt",
                "minimums": [{"jurisdiction": "NL", "period": "30d", "basis": "x"}],
            },
            {
                "name": "medical-dossier", "keep": "20y", "max": "22y", "cohort": "Year", "anchor": "LastChange",
                "openFor": "5y",
            },
        ],
        "destruction": {"approvals": 2, "grace": "14d", "mode": "Enforce"},
    });
    assert_eq!(problems(spec), []);
}

#[test]
fn defaults_are_the_strictest() {
    let spec: RetentionPolicySpec = serde_json::from_value(class(json!({"keep": "90d"}))).unwrap();
    let rules = spec.destruction();
    assert_eq!(
        spec.class("call-recording").map(|class| (class.cohort(), class.anchor())),
        Some((CohortPeriod::Month, Anchor::CreatedAt))
    );
    assert_eq!((rules.approvals(), rules.mode()), (2, DestructionMode::Enforce));
    assert_eq!(rules.grace().unwrap().to_string(), "14d");
}

#[test]
fn keep_below_a_minimum_names_law_and_basis() {
    let minimums = json!([{"jurisdiction": "NL", "period": "20y", "basis": "BW 7:454(3)"}]);
    let (field, value, message) = only(problems(class(json!({"keep": "15y", "minimums": minimums}))));
    assert_eq!((field.as_str(), value.as_str()), ("spec.classes[0].keep", "15y"));
    assert_eq!(message, "is below the minimum of NL, 20y (BW 7:454(3)): write 20y or longer");
}

#[test]
fn a_year_of_365_days_is_below_a_year() {
    let minimum = |period: &str| json!([{"jurisdiction": "NL", "period": period, "basis": "x"}]);
    let (field, _, message) = only(problems(class(json!({"keep": "365d", "minimums": minimum("1y")}))));
    assert_eq!(field, "spec.classes[0].keep");
    // The first day from which a year holds a 29 February.
    assert!(message.contains("for data of 2027-03-01, by the calendar: write 1y or longer"), "{message}");
    assert_eq!(problems(class(json!({"keep": "366d", "minimums": minimum("1y")}))), []);
    assert_eq!(problems(class(json!({"keep": "12mo", "minimums": minimum("1y")}))), []);
    // February has 28 days, so a month can be shorter than 30 days; no two are shorter than 59.
    assert_eq!(problems(class(json!({"keep": "1mo", "minimums": minimum("29d")}))).len(), 1);
    assert_eq!(problems(class(json!({"keep": "2mo", "minimums": minimum("59d")}))), []);
    assert_eq!(problems(class(json!({"keep": "2mo", "minimums": minimum("60d")}))).len(), 1);
    assert_eq!(problems(class(json!({"keep": "4w", "minimums": minimum("28d")}))), []);
}

#[test]
fn four_years_around_2100_have_no_leap_day() {
    let spec =
        class(json!({"keep": "48mo", "minimums": [{"jurisdiction": "NL", "period": "1461d", "basis": "x"}]}));
    assert_eq!(problems(spec.clone()), []);
    assert_eq!(problems_on(date(2095, 1, 1), spec).len(), 1);
}

#[test]
fn a_minimum_of_a_foreign_law_is_an_error() {
    let minimums = json!([{"jurisdiction": "US", "period": "1d", "basis": "45 CFR 164.316"}]);
    let (field, value, message) = only(problems(class(json!({"keep": "1y", "minimums": minimums}))));
    assert_eq!((field.as_str(), value.as_str()), ("spec.classes[0].minimums[0].jurisdiction", "US"));
    assert!(message.contains("are NL, EU: leave this minimum out, or add US"), "{message}");
}

#[test]
fn max_shows_the_sum() {
    let spec = class(json!({"keep": "90d", "max": "110d", "cohort": "Week"}));
    let (field, value, message) = only(problems(spec));
    assert_eq!((field.as_str(), value.as_str()), ("spec.classes[0].max", "110d"));
    assert!(
        message.starts_with("does not hold keep 90d + one Week of cohort + grace 14d = 111d: "),
        "{message}"
    );
    assert!(message.contains("write max: 111d or longer"), "{message}");
    assert_eq!(problems(class(json!({"keep": "90d", "max": "111d", "cohort": "Week"}))), []);
}

#[test]
fn what_max_asks_for_suffices() {
    for (keep, cohort) in
        [("1mo", "Month"), ("1y", "Quarter"), ("20y", "Year"), ("90d", "Month"), ("5w", "Day")]
    {
        let spec = |max: &str| class(json!({"keep": keep, "max": max, "cohort": cohort}));
        let (_, _, message) = only(problems(spec("1d")));
        let days: u32 =
            message.split("write max: ").nth(1).unwrap().split('d').next().unwrap().parse().unwrap();
        assert_eq!(problems(spec(&format!("{days}d"))), [], "{keep} {cohort}");
        assert_eq!(problems(spec(&format!("{}d", days - 1))).len(), 1, "{keep} {cohort}");
    }
}

#[test]
fn a_max_in_months_holds_in_every_month() {
    // One month from 31 January and 14 days must fit between 1 January and its max, in all months.
    assert_eq!(problems(class(json!({"keep": "1mo", "max": "2mo"}))).len(), 1);
    assert_eq!(problems(class(json!({"keep": "1mo", "max": "3mo"}))), []);
}

#[test]
fn all_problems_come_at_once() {
    let spec = json!({
        "classes": [
            {"name": "a", "keep": "1 year", "max": "0d", "openFor": "x"},
            {"name": "a", "keep": "1d", "minimums": [
                {"jurisdiction": "NL", "period": "2d", "basis": "x"},
                {"jurisdiction": "NL", "period": "3d", "basis": "y"},
                {"jurisdiction": "BE", "period": "long", "basis": "z"},
            ]},
            {"name": "b", "keep": "99999y"},
        ],
        "destruction": {"approvals": 6, "grace": "two"},
    });
    let found: Vec<String> = problems(spec).into_iter().map(|problem| problem.field).collect();
    let expected = [
        "spec.destruction.grace",
        "spec.classes[1].name",
        "spec.classes[0].keep",
        "spec.classes[0].max",
        "spec.classes[0].openFor",
        "spec.classes[1].minimums[1].jurisdiction",
        "spec.classes[1].keep",
        "spec.classes[1].keep",
        "spec.classes[1].minimums[2].jurisdiction",
        "spec.classes[1].minimums[2].period",
        "spec.classes[2].keep",
        "spec.destruction.approvals",
    ];
    assert_eq!(found, expected);
}

/// The examples stand for what a compliance office begins with, in every year to come.
#[test]
fn the_examples_can_be_kept() {
    for (file, jurisdictions) in [("dutch-healthcare", &["NL", "EU"][..]), ("us-healthcare", &["US"])] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/retention/{file}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        let policy: RetentionPolicy = serde_saphyr::from_str(&text).unwrap();
        let jurisdictions: Vec<_> = jurisdictions.iter().map(|one| (*one).to_owned()).collect();
        for year in 2026..2046 {
            let problems = check(&policy.spec, &jurisdictions, date(year, 11, 22));
            assert!(problems.is_empty(), "{file} in {year}: {problems:#?}");
        }
        assert!(policy.spec.classes.iter().all(|class| class.max.is_some()), "{file}");
    }
}

/// An example of a hold is one that the API takes, and that holds something.
#[test]
fn the_example_of_a_hold_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/retention/legal-hold.yaml");
    let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(subrosa_crds::validate::<LegalHold>(&object), [], "{object:#}");
    let hold: LegalHold = serde_json::from_value(object).unwrap();
    assert!(
        !hold.spec.is_released()
            && hold.spec.selector.cohorts.iter().all(|one| one.parse::<Cohort>().is_ok())
    );
}

/// Time zones are compiled in, so the data's age is the binary's. Cuba stays at UTC-4 this winter, as release 2026f of the
/// time zone database says and 2026e does not.
#[test]
fn days_begin_as_the_newest_time_zone_data_says() {
    let havana = zone::named("America/Havana").unwrap();
    let (begins, _) = Cohort::of(date(2027, 1, 15), CohortPeriod::Day).window(&havana).unwrap();
    assert_eq!(begins.to_string(), "2027-01-15T04:00:00Z");
}
