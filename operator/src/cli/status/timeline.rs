//! `subrosa status --retention`: the keys of every Channel by class, and when their data is due, drawn on a timeline.
//!
//! It uses only `status.keys`: keys in use, those with a fault, and those due within 90 days.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use kube::ResourceExt as _;
use serde::Serialize;
use subrosa_crds::{Channel, channel::KeyStatus, cohort::Cohort};
use subrosa_plan::world::domain;

use crate::cli::{
    cluster::ClusterObjects,
    harmless,
    output::Paint,
    table::{Cell, Table, Tone},
    words,
};

/// The width of a timeline, in characters.
const WIDTH: i32 = 40;
/// The meaning of its characters.
const LEGEND: &str = "# dates of the cohort   - kept   X due   ? its data waits for a date   | today; each class has a scale of its own\n";

/// The keys of the Channels.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The namespace the Channels are of; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Channels with keys.
    pub channels: Vec<Kept>,
}

/// What one Channel keeps.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The day it is there.
    pub today: String,
    /// The keys that matter now, by class, the oldest first.
    pub keys: Vec<KeyStatus>,
    /// How many others there are, by state.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_keys: BTreeMap<String, i64>,
    #[serde(skip)]
    day: Date,
}

impl Timeline {
    /// The timeline of the objects at `now`.
    pub fn of(seen: &ClusterObjects, namespace: Option<&str>, now: Timestamp) -> Self {
        let channels = seen.channels.iter().filter_map(|channel| kept(channel, seen, now)).collect();
        Self { namespace: namespace.map(str::to_owned), channels }
    }
}

fn kept(channel: &Channel, seen: &ClusterObjects, now: Timestamp) -> Option<Kept> {
    let status = channel.status.clone()?;
    if status.keys.is_empty() && status.other_keys.is_empty() {
        return None;
    }
    let governing = seen.domains.iter().find(|domain| Some(domain.name_any()) == status.trust_domain);
    let day = match governing {
        Some(domain) => domain::today(domain, now),
        None => now.to_zoned(TimeZone::UTC).date(),
    };
    let mut keys = status.keys;
    keys.sort_by(|one, other| {
        let start = |key: &KeyStatus| cohort(key).map(Cohort::start);
        (&one.data_class, start(one), &one.cohort).cmp(&(&other.data_class, start(other), &other.cohort))
    });
    Some(Kept {
        namespace: channel.namespace().unwrap_or_default(),
        name: channel.name_any(),
        today: day.to_string(),
        keys,
        other_keys: status.other_keys,
        day,
    })
}

/// The timeline as text.
pub fn drawn(timeline: &Timeline, paint: Paint) -> String {
    if timeline.channels.is_empty() {
        return match &timeline.namespace {
            Some(namespace) => {
                format!("No Channel in namespace {namespace} keeps anything; -A shows those of all.\n")
            }
            None => "No Channel keeps anything.\n".to_owned(),
        };
    }
    let mut text = String::new();
    for one in &timeline.channels {
        let name = harmless(&format!("{}/{}", one.namespace, one.name));
        text.push_str(&format!("{} on {}\n", paint.bold(&name), one.today));
        text.push_str(&table(one).text(paint));
        let others = one.other_keys.iter().map(|(state, count)| format!("{count} {state}"));
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            text.push_str(&paint.faint(&harmless(&format!("and {}, not shown", others.join(", ")))));
            text.push('\n');
        }
        text.push('\n');
    }
    text + &paint.faint(LEGEND)
}

fn table(kept: &Kept) -> Table {
    let mut table = Table::new(["CLASS", "COHORT", "STATE", "DUE", "", "TIME"]);
    for key in &kept.keys {
        let scale = Scale::of(kept.keys.iter().filter(|other| other.data_class == key.data_class), kept.day);
        let (day, until) = match (&key.due, &key.reseal_by) {
            (Some(due), _) => (due.clone(), due.parse::<Date>().ok()),
            (None, Some(by)) => (format!("reseal by {by}"), by.parse::<Date>().ok()),
            (None, None) => ("-".to_owned(), None),
        };
        let away = until.map(|until| words::days(kept.day, until)).unwrap_or_default();
        table.row([
            harmless(&key.data_class).into(),
            harmless(&key.cohort).into(),
            Cell::new(harmless(&key.state), tone(&key.state)),
            harmless(&day).into(),
            Cell::new(away, Tone::Faint),
            Cell::new(
                scale.map(|scale| scale.line(key, until, kept.day)).unwrap_or_default(),
                tone(&key.state),
            ),
        ]);
    }
    table
}

fn tone(state: &str) -> Tone {
    match state {
        "Current" | "Next" | "Closed" => Tone::Plain,
        "Due" | "Pending" | "Unknown" | "NotPlanned" | "RotationLate" => Tone::Odd,
        // Late data, and keys with faults.
        _ => Tone::Bad,
    }
}

fn cohort(key: &KeyStatus) -> Option<Cohort> {
    key.cohort.parse().ok()
}

/// The days between the first and the last of a class, over the width of a line.
#[derive(Clone, Copy, Debug)]
struct Scale {
    first: Date,
    days: i32,
}

impl Scale {
    fn of<'a>(keys: impl Iterator<Item = &'a KeyStatus>, today: Date) -> Option<Self> {
        let (mut first, mut last) = (today, today);
        for key in keys {
            let cohort = cohort(key)?;
            let due = key.due.as_ref().or(key.reseal_by.as_ref()).and_then(|due| due.parse().ok());
            first = first.min(cohort.start());
            last = last.max(cohort.end().ok()?).max(due.unwrap_or(today));
        }
        Some(Self { first, days: (last - first).get_days().max(1) })
    }

    /// The position of a day, from 0 to [`WIDTH`] − 1.
    fn place(self, day: Date) -> i32 {
        let days = i64::from((day - self.first).get_days());
        i32::try_from(days * i64::from(WIDTH - 1) / i64::from(self.days)).unwrap_or(0)
    }

    fn line(self, key: &KeyStatus, until: Option<Date>, today: Date) -> String {
        let Some(cohort) = cohort(key) else { return String::new() };
        let Ok(end) = cohort.end() else { return String::new() };
        let (from, to) = (self.place(cohort.start()), self.place(end));
        let (last, kept) =
            (until.map_or(to, |until| self.place(until)), if cohort.is_open() { '?' } else { '-' });
        let here = self.place(today);
        let line: String = (0..WIDTH)
            .map(|at| match at {
                at if at == last && until.is_some() => 'X',
                at if at == here => '|',
                at if at == from || (from < at && at < to) => '#',
                at if to <= at && at < last => kept,
                _ => ' ',
            })
            .collect();
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::testing;

    fn seen(keys: Value) -> ClusterObjects {
        let mut channel = testing::voice();
        let status = channel.status.get_or_insert_default();
        status.keys = serde_json::from_value(keys).unwrap();
        status.other_keys = [("Closed".to_owned(), 7)].into();
        ClusterObjects { channels: vec![channel], ..testing::seen() }
    }

    fn key(class: &str, cohort: &str, state: &str, due: &str) -> Value {
        let field = if cohort.starts_with("open-") { "resealBy" } else { "due" };
        json!({"dataClass": class, "cohort": cohort, "state": state, field: due})
    }

    #[test]
    fn a_timeline_is_drawn_for_each_class() {
        let keys = json!([
            key("call-recording", "2026w30", "KeptTooLong", "2026-10-24"),
            key("call-recording", "2026w33", "Due", "2026-11-14"),
            key("call-recording", "2026w47", "Current", "2027-02-21"),
            key("call-recording", "2026w48", "Next", "2027-02-28"),
            key("dossier", "2026", "Current", "2047-01-01"),
            key("dossier", "open-2020", "AnchorOverdue", "2026-01-01"),
            key("dossier", "open-2026", "Current", "2032-01-01"),
        ]);
        let timeline = Timeline::of(&seen(keys), None, testing::now());
        insta::assert_snapshot!("timeline", drawn(&timeline, Paint(false)));
        insta::assert_yaml_snapshot!("timeline_report", timeline);
    }

    #[test]
    fn a_day_of_cohort_and_one_that_nobody_understands_are_drawn_too() {
        let keys = json!([key("voicemail", "20261122", "Current", "2026-12-23"), {
            "dataClass": "fax\u{1b}[2J", "cohort": "next-week", "state": "Current",
        }]);
        let text = drawn(&Timeline::of(&seen(keys), None, testing::now()), Paint(false));
        assert!(
            text.contains("voicemail") && text.contains("next-week") && !text.contains('\u{1b}'),
            "{text}"
        );
    }

    #[test]
    fn who_keeps_nothing_is_told_so() {
        let empty = ClusterObjects::default();
        let text = drawn(&Timeline::of(&empty, Some("cc-front"), testing::now()), Paint(false));
        assert_eq!(text, "No Channel in namespace cc-front keeps anything; -A shows those of all.\n");
    }
}
