//! What checking all keys of a trust domain found. It is stored as a record in Vault, so that the next leader reports
//! known faults at once; a fault goes only when a check saw it repaired.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subrosa_crds::names::ChannelId;

use super::key_fault::KeyFault;

/// How many faults the record keeps: some 100 KiB. Beyond that the worst are kept and the record does not claim a
/// complete round, so that the next leader checks first.
pub const MOST_KEPT: usize = 1000;

/// How long a complete round counts: twice what one takes.
pub const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How old the recorded round is before a newer one replaces it, to save writes.
const NOTED_EVERY: SignedDuration = SignedDuration::from_hours(6);

/// What is known of the keys of a trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFindings {
    /// When the last recorded round over every key completed; `None` before the first. While it
    /// [counts](Self::are_current), a key without a fault here has no known fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_seen: Option<Timestamp>,
    /// The faults, by the key's identity and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<ChannelId, BTreeMap<String, FoundFault>>,
}

/// A fault of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundFault {
    /// What is wrong.
    pub fault: KeyFault,
    /// When it was first seen.
    pub since: Timestamp,
}

/// The result of checking one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLook {
    /// The identity it belongs to.
    pub id: ChannelId,
    /// Its name in the transit engine.
    pub name: String,
    /// Its fault; `None` where it has none.
    pub fault: Option<KeyFault>,
    /// Whether it was destroyed with approval, which changes the key counts in the Channel's status.
    pub destroyed: bool,
}

impl KeyFindings {
    /// Takes in results of `now`. Returns the identities for which something changed.
    pub fn take(&mut self, looks: Vec<KeyLook>, now: Timestamp) -> BTreeSet<ChannelId> {
        let mut changed = BTreeSet::new();
        for KeyLook { id, name, fault, destroyed } in looks {
            if destroyed {
                changed.insert(id.clone());
            }
            let known = self.faults.get(&id).and_then(|faults| faults.get(&name)).map(|found| found.fault);
            if known == fault {
                continue;
            }
            let faults = self.faults.entry(id.clone()).or_default();
            match fault {
                Some(fault) => drop(faults.insert(name, FoundFault { fault, since: now })),
                None => drop(faults.remove(&name)),
            }
            changed.insert(id);
        }
        self.faults.retain(|_, faults| !faults.is_empty());
        changed
    }

    /// Whether every key was checked recently.
    #[must_use]
    pub fn are_current(&self, now: Timestamp) -> bool {
        self.all_seen.is_some_and(|at| now.duration_since(at) <= COUNTS_FOR)
    }

    /// Notes a complete round. Returns whether the previous one had expired.
    pub fn seen_all(&mut self, now: Timestamp) -> bool {
        let were_current = self.are_current(now);
        if self.all_seen.is_none_or(|at| now.duration_since(at) >= NOTED_EVERY) {
            self.all_seen = Some(now);
        }
        !were_current
    }

    /// Merges `newer` findings.
    pub fn add(&mut self, newer: Self) {
        self.all_seen = self.all_seen.max(newer.all_seen);
        for (id, faults) in newer.faults {
            self.faults.entry(id).or_default().extend(faults);
        }
    }

    /// Whether a fault of this key is known.
    #[must_use]
    pub fn has(&self, id: &ChannelId, name: &str) -> bool {
        self.faults.get(id).is_some_and(|faults| faults.contains_key(name))
    }

    /// Every fault, with the identity and the name of the key.
    pub fn iter(&self) -> impl Iterator<Item = (&ChannelId, &str, KeyFault)> {
        self.faults
            .iter()
            .flat_map(|(id, faults)| faults.iter().map(move |(name, found)| (id, name.as_str(), found.fault)))
    }

    /// The identities whose faults differ from those in `other`.
    pub fn differ<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a ChannelId> {
        let ids = self.faults.keys().chain(other.faults.keys());
        ids.filter(|id| self.faults.get(*id) != other.faults.get(*id)).collect()
    }

    /// The findings, limited to what one record holds.
    #[must_use]
    pub fn bounded(&self) -> Self {
        if self.iter().count() <= MOST_KEPT {
            return self.clone();
        }
        let mut all: Vec<_> = self
            .faults
            .iter()
            .flat_map(|(id, faults)| faults.iter().map(move |(name, found)| (found.fault, id, name, *found)))
            .collect();
        all.sort_by_key(|(fault, id, name, _)| (*fault, *id, *name));
        let mut faults: BTreeMap<ChannelId, BTreeMap<String, FoundFault>> = BTreeMap::new();
        for (_, id, name, found) in all.into_iter().take(MOST_KEPT) {
            faults.entry(id.clone()).or_default().insert(name.clone(), found);
        }
        Self { all_seen: None, faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, now};

    fn look(id: &ChannelId, fault: Option<KeyFault>) -> Vec<KeyLook> {
        vec![KeyLook { id: id.clone(), name: id.authority_key(), fault, destroyed: false }]
    }

    #[test]
    fn a_fault_goes_only_with_a_look_that_saw_it_mended() {
        let (mut findings, id) = (KeyFindings::default(), ChannelId::mint("uid", "voice"));
        let other = ChannelId::mint("uid", "chat");
        assert_eq!(findings.take(look(&id, Some(KeyFault::Exportable)), now()), [id.clone()].into());
        let found = findings.clone();
        assert!(findings.take(Vec::new(), now()).is_empty());
        assert!(findings.take(look(&other, None), now()).is_empty());
        let later = at("2027-01-01T00:00:00Z");
        assert!(findings.take(look(&id, Some(KeyFault::Exportable)), later).is_empty(), "seen again");
        assert_eq!(findings, found, "an unchanged world changes nothing in the record");
        assert_eq!(findings.take(look(&id, Some(KeyFault::Missing)), later), [id.clone()].into());
        assert_eq!(findings.faults[&id][&id.authority_key()].since, later);
        assert_eq!(findings.take(look(&id, None), later), [id].into());
        assert_eq!(findings, KeyFindings::default());
    }

    #[test]
    fn what_a_record_cannot_hold_is_not_called_looked_at() {
        let mut findings = KeyFindings { all_seen: Some(now()), ..KeyFindings::default() };
        let ids: Vec<_> = (0..=MOST_KEPT).map(|n| ChannelId::mint("uid", &format!("c{n}"))).collect();
        for (at, id) in ids.iter().enumerate() {
            let fault = if at % 2 == 0 { KeyFault::Exportable } else { KeyFault::Missing };
            findings.take(look(id, Some(fault)), now());
        }
        let kept = findings.bounded();
        assert_eq!((kept.iter().count(), kept.all_seen), (MOST_KEPT, None));
        let missing = kept.iter().filter(|(.., fault)| *fault == KeyFault::Missing).count();
        assert_eq!(missing, MOST_KEPT / 2, "the worst are kept");
        findings.take(look(&ids[0], None), now());
        assert_eq!(findings.bounded(), findings);
        assert!(serde_json::to_string(&findings).unwrap().len() < 200 * MOST_KEPT);
    }

    #[test]
    fn a_whole_round_counts_for_a_day_and_is_not_noted_each_time() {
        let mut findings = KeyFindings::default();
        let hours = |hours: i64| now().checked_add(SignedDuration::from_hours(hours)).unwrap();
        assert!(!findings.are_current(now()));
        assert!(findings.seen_all(now()), "for the first time");
        assert!(findings.are_current(hours(24)) && !findings.are_current(hours(25)));
        assert!(!findings.seen_all(hours(5)));
        assert_eq!(findings.all_seen, Some(now()), "noted lately");
        assert!(!findings.seen_all(hours(12)));
        assert_eq!(findings.all_seen, Some(hours(12)));
        assert!(findings.seen_all(hours(90)), "nobody had looked for days");
        let older = KeyFindings { all_seen: Some(now()), ..KeyFindings::default() };
        findings.add(older);
        assert_eq!(findings.all_seen, Some(hours(90)));
    }

    #[test]
    fn its_form_is_kept() {
        let mut findings = KeyFindings::default();
        assert_eq!(serde_json::from_str::<KeyFindings>("{}").unwrap(), findings);
        let id: ChannelId = "abcdefgh234567ab".parse().unwrap();
        findings.take(look(&id, Some(KeyFault::VersionsWithheld)), now());
        findings.all_seen = Some(now());
        let text = r#"{"allSeen":"2026-11-22T12:00:00Z","faults":{"abcdefgh234567ab":{"abcdefgh234567ab":{"fault":"versionsWithheld","since":"2026-11-22T12:00:00Z"}}}}"#;
        assert_eq!(serde_json::to_string(&findings).unwrap(), text);
        assert_eq!(serde_json::from_str::<KeyFindings>(text).unwrap(), findings);
    }
}
