//! The cohorts that have ended, stored as ranges: twenty years of days are one range.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::Error as _};
use subrosa_crds::cohort::Cohort;

/// Consecutive cohorts, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: Cohort,
    last: Cohort,
}

/// The cohorts of each class whose keys were closed and stand in records of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ended(BTreeMap<String, Vec<Range>>);

impl Range {
    fn contains(self, cohort: Cohort) -> bool {
        self.first.is_alike(cohort) && self.first <= cohort && cohort <= self.last
    }

    fn cohorts(self) -> impl Iterator<Item = Cohort> {
        std::iter::successors(Some(self.first), move |one| one.next().ok().filter(|next| *next <= self.last))
    }
}

impl Ended {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cohort` of `class` has ended.
    pub fn contains(&self, class: &str, cohort: Cohort) -> bool {
        self.0.get(class).is_some_and(|ranges| ranges.iter().any(|range| range.contains(cohort)))
    }

    /// Every ended cohort with its class, oldest first within a range.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cohort)> {
        self.0.iter().flat_map(|(class, ranges)| {
            ranges.iter().flat_map(move |range| range.cohorts().map(move |cohort| (class.as_str(), cohort)))
        })
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, class: &str, cohort: Cohort) -> Self {
        if self.contains(class, cohort) {
            return self;
        }
        let ranges = self.0.entry(class.to_owned()).or_default();
        let follows = |one: Cohort, other: Cohort| one.next().is_ok_and(|next| next == other);
        let mut joined = Range { first: cohort, last: cohort };
        ranges.retain(|range| {
            if follows(range.last, cohort) {
                joined.first = range.first;
                false
            } else if follows(cohort, range.first) {
                joined.last = range.last;
                false
            } else {
                true
            }
        });
        ranges.push(joined);
        ranges.sort_by_key(|range| (range.first, range.last));
        self
    }

    /// Removes one whose record is gone or whose data was destroyed.
    #[must_use]
    pub fn without(self, class: &str, cohort: Cohort) -> Self {
        if !self.contains(class, cohort) {
            return self;
        }
        let kept: Vec<_> = self
            .iter()
            .filter(|(of, one)| (*of, *one) != (class, cohort))
            .map(|(of, one)| (of.to_owned(), one))
            .collect();
        kept.iter().fold(Self::default(), |all, (class, cohort)| all.with(class, *cohort))
    }
}

impl Serialize for Range {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.collect_str(&self.first)
        } else {
            serializer.collect_str(&format_args!("{}/{}", self.first, self.last))
        }
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (first, last) = text.split_once('/').unwrap_or((&text, &text));
        let read = |text: &str| text.parse::<Cohort>().map_err(D::Error::custom);
        let range = Self { first: read(first)?, last: read(last)? };
        if range.first.is_alike(range.last) && range.first <= range.last {
            Ok(range)
        } else {
            Err(D::Error::custom(format!(
                "{text:?} is no range of cohorts: expected the first and the last of one period"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cohort(text: &str) -> Cohort {
        text.parse().unwrap()
    }

    #[test]
    fn neighbours_become_one_range() {
        let days = ["20261130", "20261128", "20261202", "20261129", "20261201"];
        let ended = days.iter().fold(Ended::default(), |all, day| all.with("call", cohort(day)));
        assert_eq!(serde_json::to_string(&ended).unwrap(), r#"{"call":["20261128/20261202"]}"#);
        let other = ended.with("call", cohort("open-2026m11")).with("call", cohort("2026w47"));
        assert!(other.contains("call", cohort("2026w47")) && !other.contains("call", cohort("2026w48")));
        assert_eq!(other.iter().count(), 7);
        let less = other.without("call", cohort("20261129"));
        assert_eq!(less.iter().count(), 6);
        assert!(!less.contains("call", cohort("20261129")) && less.contains("call", cohort("20261130")));
    }

    #[test]
    fn twenty_years_of_days_are_a_few_words() {
        let mut day = cohort("20060101");
        let mut ended = Ended::default();
        for _ in 0..7305 {
            ended = ended.with("call", day);
            day = day.next().unwrap();
        }
        let text = serde_json::to_string(&ended).unwrap();
        assert!(text.len() < 40, "{text}");
        assert_eq!(ended.iter().count(), 7305);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [r#"{"a":["x"]}"#, r#"{"a":["20261128/2026w49"]}"#, r#"{"a":["20261128/20261101"]}"#] {
            assert!(serde_json::from_str::<Ended>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_endings_does_not_matter(days in prop::collection::btree_set(0_i32..60, 0..40), seed in 0_usize..40) {
            let start = cohort("20260101");
            let all: Vec<_> = days
                .iter()
                .map(|day| (0..*day).fold(start, |one, _| one.next().unwrap()))
                .collect();
            let forward = all.iter().fold(Ended::default(), |ended, one| ended.with("call", *one));
            let (left, right) = all.split_at(seed.min(all.len()));
            let mixed = right.iter().rev().chain(left).fold(Ended::default(), |ended, one| ended.with("call", *one));
            prop_assert_eq!(&forward, &mixed);
            let listed: Vec<_> = forward.iter().map(|(_, one)| one).collect();
            prop_assert_eq!(listed, all);
            let text = serde_json::to_string(&forward).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ended>(&text).unwrap(), forward);
        }
    }
}
