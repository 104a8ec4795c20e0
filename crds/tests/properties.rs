//! What holds for every period, cohort and name.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::str::FromStr as _;

use jiff::{
    ToSpan as _,
    civil::{Date, date},
    tz::TimeZone,
};
use proptest::prelude::*;
use subrosa_crds::{
    cohort::{Cohort, CohortPeriod},
    common::PortRange,
    names::ChannelId,
    period::{Period, duration},
};

const PERIODS: [CohortPeriod; 5] =
    [CohortPeriod::Day, CohortPeriod::Week, CohortPeriod::Month, CohortPeriod::Quarter, CohortPeriod::Year];

fn days() -> impl Strategy<Value = Date> {
    // 1 to 9000: whatever is added below stays within the calendar.
    (1_i16..9000, 1_i8..=12, 1_i8..=31).prop_map(|(year, month, day)| {
        let first = date(year, month, 1);
        first.with().day(day.min(first.days_in_month())).build().unwrap()
    })
}

fn lengths() -> impl Strategy<Value = (u32, &'static str)> {
    prop_oneof![
        (1_u32..99_999, Just("d")),
        (1_u32..9_999, Just("w")),
        (1_u32..5_999, Just("mo")),
        (1_u32..499, Just("y")),
    ]
}

fn periods() -> impl Strategy<Value = Period> {
    lengths().prop_map(|(count, unit)| format!("{count}{unit}").parse().unwrap())
}

fn cohort_periods() -> impl Strategy<Value = CohortPeriod> {
    proptest::sample::select(&PERIODS[..])
}

fn cohorts() -> impl Strategy<Value = Cohort> {
    (days(), cohort_periods(), any::<bool>()).prop_map(|(day, period, open)| {
        if open { Cohort::open(day, period) } else { Cohort::of(day, period) }
    })
}

fn zones() -> impl Strategy<Value = TimeZone> {
    let names =
        ["UTC", "Europe/Amsterdam", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"];
    proptest::sample::select(names.to_vec()).prop_map(|name| TimeZone::get(name).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn a_period_prints_as_it_was_written((count, unit) in lengths()) {
        let text = format!("{count}{unit}");
        prop_assert_eq!(Period::from_str(&text).unwrap().to_string(), text);
    }

    #[test]
    fn a_period_leads_to_a_later_day(day in days(), period in periods()) {
        prop_assert!(period.after(day).unwrap() > day);
    }

    #[test]
    fn a_longer_period_never_ends_earlier(day in days(), (count, unit) in lengths()) {
        let ends = |count: u32| Period::from_str(&format!("{count}{unit}")).unwrap().after(day).unwrap();
        prop_assert!(ends(count) < ends(count + 1));
    }

    #[test]
    fn a_later_day_never_ends_earlier(day in days(), period in periods(), later in 1_i32..400) {
        let other = day.checked_add(later.days()).unwrap();
        prop_assert!(period.after(day).unwrap() <= period.after(other).unwrap());
    }

    #[test]
    fn months_clamp_to_the_end_of_a_month(day in days(), count in 1_u32..5_999) {
        let end = Period::from_str(&format!("{count}mo")).unwrap().after(day).unwrap();
        let months = i32::from(end.year() - day.year()) * 12 + i32::from(end.month()) - i32::from(day.month());
        prop_assert_eq!(months, i32::try_from(count).unwrap());
        prop_assert_eq!(end.day(), day.day().min(end.days_in_month()));
    }

    #[test]
    fn twelve_months_are_a_year_and_seven_days_a_week(day in days(), count in 1_u32..499) {
        let ends = |text: String| Period::from_str(&text).unwrap().after(day).unwrap();
        prop_assert_eq!(ends(format!("{count}y")), ends(format!("{}mo", count * 12)));
        prop_assert_eq!(ends(format!("{count}w")), ends(format!("{}d", count * 7)));
    }

    #[test]
    fn a_day_is_of_one_cohort_and_cohorts_tile_the_calendar(day in days(), period in cohort_periods()) {
        let cohort = Cohort::of(day, period);
        prop_assert!(cohort.start() <= day && day < cohort.end().unwrap());
        prop_assert_eq!(Cohort::of(cohort.start(), period), cohort);
        let last = cohort.end().unwrap().yesterday().unwrap();
        prop_assert_eq!(Cohort::of(last, period), cohort);
        let next = cohort.next().unwrap();
        prop_assert_eq!(next.start(), cohort.end().unwrap());
        prop_assert_eq!(Cohort::of(next.start(), period), next);
    }

    #[test]
    fn a_cohort_comes_back_from_its_name(cohort in cohorts()) {
        let name = cohort.to_string();
        prop_assert_eq!(name.parse::<Cohort>().unwrap(), cohort);
        // Part of a transit key's name.
        prop_assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{}", name);
    }

    #[test]
    fn names_sort_as_their_cohorts_do(one in days(), other in days(), period in cohort_periods()) {
        let (one, other) = (Cohort::of(one, period), Cohort::of(other, period));
        prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.start().cmp(&other.start()));
    }

    #[test]
    fn data_is_never_due_before_its_cohort_ended_and_it_was_kept(
        day in days(), period in cohort_periods(), keep in periods(),
    ) {
        let cohort = Cohort::of(day, period);
        let due = cohort.due(keep).unwrap();
        prop_assert!(due > cohort.end().unwrap());
        prop_assert!(due >= keep.after(day).unwrap());
        prop_assert!(due <= cohort.next().unwrap().due(keep).unwrap());
    }

    #[test]
    fn windows_tile_time_and_hold_their_own_instants(
        day in days(), period in cohort_periods(), zone in zones(),
    ) {
        let cohort = Cohort::of(day, period);
        let (from, until) = cohort.window(&zone).unwrap();
        prop_assert!(from <= until);
        // Samoa left out a day when it crossed the date line.
        prop_assume!(from < until);
        prop_assert_eq!(cohort.next().unwrap().window(&zone).unwrap().0, until);
        let inside = [from, until.checked_sub(1.nanoseconds()).unwrap()];
        for now in inside {
            prop_assert_eq!(Cohort::current(now, &zone, period), cohort);
        }
        prop_assert_eq!(Cohort::current(until, &zone, period), cohort.next().unwrap());
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        let _ = Period::from_str(&text);
        let _ = Cohort::from_str(&text);
        let _ = ChannelId::from_str(&text);
        let _ = PortRange::from_str(&text);
        let _ = duration(&text);
    }

    #[test]
    fn no_near_miss_makes_a_parser_panic_or_pass_for_another(text in "(open-)?[-+0-9wmqdyosh/TCPUD]{0,12}é?") {
        if let Ok(period) = Period::from_str(&text) {
            prop_assert_eq!(period.to_string(), text.clone());
        }
        if let Ok(cohort) = Cohort::from_str(&text) {
            prop_assert_eq!(cohort.to_string(), text.clone());
        }
        if let Ok(ports) = PortRange::from_str(&text) {
            prop_assert!(ports.start > 0 && ports.start <= ports.end);
            prop_assert_eq!(ports.to_string().parse(), Ok(ports));
        }
        if let Ok(length) = duration(&text) {
            prop_assert!(length.as_secs() > 0);
        }
    }

    #[test]
    fn an_identity_belongs_to_one_channel(
        uids in prop::collection::btree_set("[0-9a-f]{1,8}", 1..8),
        names in prop::collection::btree_set("[0-9a-f]{1,8}", 1..8),
    ) {
        let mut seen = std::collections::BTreeSet::new();
        for uid in &uids {
            for name in &names {
                let id = ChannelId::mint(uid, name);
                prop_assert_eq!(id.as_str().parse::<ChannelId>(), Ok(id.clone()));
                prop_assert!(seen.insert(id), "{} {}", uid, name);
            }
        }
    }
}

#[test]
fn an_identity_never_changes() {
    // SHA-256 and base32 as computed by another program.
    let id = ChannelId::mint("6f2c1b0e-3a4d-4f5e-9c7b-8d1e2f3a4b5c", "voice");
    assert_eq!(id.as_str(), "t7evpprie4kjitb4");
    assert_eq!(id.authority_key(), "t7evpprie4kjitb4");
    assert_eq!(id.earlier_authority_key(), "t7evpprie4kjitb4.ca");
    assert_eq!(id.data_key("call-recording", "2026w47"), "t7evpprie4kjitb4.call-recording.2026w47");
    assert_eq!(id.record_path(), "channels/t7evpprie4kjitb4");
}

#[test]
fn where_a_name_ends_and_the_next_begins_matters() {
    assert_ne!(ChannelId::mint("a", "bc"), ChannelId::mint("ab", "c"));
}

#[test]
fn leap_days_clamp() {
    let after = |period: &str, day| Period::from_str(period).unwrap().after(day).unwrap();
    assert_eq!(after("1mo", date(2027, 1, 31)), date(2027, 2, 28));
    assert_eq!(after("1mo", date(2028, 1, 31)), date(2028, 2, 29));
    assert_eq!(after("1y", date(2028, 2, 29)), date(2029, 2, 28));
    assert_eq!(after("4y", date(2028, 2, 29)), date(2032, 2, 29));
    assert_eq!(after("20y", date(2080, 2, 29)), date(2100, 2, 28));
    assert_eq!(after("18mo", date(2026, 8, 31)), date(2028, 2, 29));
}

#[test]
fn iso_weeks_belong_to_the_year_of_their_thursday() {
    let week = |day| Cohort::of(day, CohortPeriod::Week);
    assert_eq!(week(date(2026, 11, 22)).to_string(), "2026w47");
    assert_eq!(week(date(2027, 1, 1)).to_string(), "2026w53");
    assert_eq!(week(date(2024, 12, 30)).to_string(), "2025w01");
    assert_eq!(week(date(2026, 12, 31)).next().unwrap().to_string(), "2027w01");
    assert!("2025w53".parse::<Cohort>().is_err());
}

#[test]
fn cohorts_are_named_as_the_contract_says() {
    let names = PERIODS.map(|period| Cohort::of(date(2026, 11, 22), period).to_string());
    assert_eq!(names, ["20261122", "2026w47", "2026m11", "2026q4", "2026"]);
    assert_eq!(Cohort::open(date(2026, 11, 22), CohortPeriod::Month).to_string(), "open-2026m11");
}

#[test]
fn a_day_without_midnight_begins_at_its_first_hour() {
    let beirut = TimeZone::get("Asia/Beirut").unwrap();
    let (from, _) = Cohort::of(date(2022, 3, 27), CohortPeriod::Day).window(&beirut).unwrap();
    assert_eq!(from.to_string(), "2022-03-26T22:00:00Z");
}

#[test]
fn nothing_lies_beyond_the_calendar() {
    assert!(Period::from_str("99999y").unwrap().after(date(2026, 1, 1)).is_err());
    assert!(Cohort::of(date(9999, 12, 31), CohortPeriod::Year).end().is_err());
    assert!(Cohort::of(date(9999, 12, 31), CohortPeriod::Week).window(&TimeZone::UTC).is_err());
}

#[test]
fn a_period_is_one_whole_number_and_a_unit() {
    for wrong in [
        "",
        "0d",
        "01d",
        "-1d",
        "+1d",
        "1",
        "d",
        "1.5y",
        "1h",
        "1m",
        "1 d",
        "1D",
        "1y6mo",
        "99999999999d",
        "１d",
    ] {
        assert!(Period::from_str(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn durations_are_seconds() {
    let seconds = |text| duration(text).map(|length| length.as_secs());
    assert_eq!(
        (seconds("90s"), seconds("15m"), seconds("12h"), seconds("30d")),
        (Ok(90), Ok(900), Ok(43_200), Ok(2_592_000))
    );
    for wrong in [
        "",
        "0s",
        "01h",
        "-1h",
        "1",
        "h",
        "1.5h",
        "1h30m",
        "1w",
        "99999999999999999999d",
        "9223372036854775807d",
    ] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}
