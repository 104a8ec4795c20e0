//! Data keys: one a class and cohort, rotated while its cohort is current, kept after.
//!
//! A key is made before its cohort begins. Nothing here ever removes one, and a key that was there
//! and is gone is reported, not made again: under a name that was destroyed, sealing must fail.

pub mod deadlines;
pub mod import;
pub mod inventory;
pub mod retention;
pub mod round;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subrosa_crds::{
    RetentionPolicy, TrustDomain,
    channel::{KeyStatus, KeyType},
    cohort::Cohort,
    names::ChannelId,
    period::{self, PeriodError},
    retention_policy::{Anchor, DataClass},
};

use self::deadlines::Deadlines;
use crate::{
    record::{
        channel::{ActiveKey, ChannelRecord},
        ended::Ended,
        keys::{KeyRecord, Terms},
    },
    world::{declaration::Declaration, domain, key_fault::KeyFault, key_findings::FoundFault},
};

/// How far Vault may be behind with a rotation before the operator rotates: it looks hourly.
pub const ROTATION_SLACK: SignedDuration = SignedDuration::from_hours(2);
/// How many keys of ended cohorts stand in status at the most; the others are counted by state.
const MOST_ENDED: usize = 32;
/// How often a current key is rotated unless the Channel says otherwise.
const ROTATE_EVERY: &str = "30d";

/// A key that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// The class of data.
    pub class: String,
    /// The cohort of anchor dates.
    pub cohort: Cohort,
    /// Its name in the transit engine.
    pub name: String,
    /// Its type.
    pub key_type: KeyType,
    /// How often Vault makes a new version; none before and after the cohort's own period.
    pub rotate_every: Option<SignedDuration>,
}

/// What Vault says of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedKey {
    /// When each version was made.
    pub versions: BTreeMap<u32, Timestamp>,
    /// How often Vault makes a new one.
    pub rotate_every: Option<SignedDuration>,
    /// What is wrong with it, the worst first.
    pub fault: Option<KeyFault>,
}

/// One thing to do in the transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// Make the key.
    Create(WantedKey),
    /// Make its rotation so.
    SetRotation {
        /// The key.
        name: String,
        /// None: never.
        every: Option<SignedDuration>,
    },
    /// Make a new version now: Vault is late.
    Rotate {
        /// The key.
        name: String,
    },
}

/// The keys that `channel` should have at `now`: the current cohort's and the next one's, and for
/// classes whose anchor comes later those of the open cohorts too.
///
/// # Errors
/// When a period leads beyond the calendar.
pub fn wanted(
    channel: &Declaration,
    id: &ChannelId,
    policy: &RetentionPolicy,
    domain: &TrustDomain,
    now: Timestamp,
) -> Result<Vec<WantedKey>, PeriodError> {
    let today = domain::today(domain, now);
    let every = period::duration(channel.rotate_every().unwrap_or(ROTATE_EVERY))?;
    let mut keys = Vec::new();
    for class in classes(channel, policy) {
        let period = class.cohort.unwrap_or_default();
        let current = match class.anchor.unwrap_or_default() {
            Anchor::CreatedAt => vec![Cohort::of(today, period)],
            _ => vec![Cohort::of(today, period), Cohort::open(today, period)],
        };
        for cohort in current {
            for (cohort, rotate_every) in [(cohort, Some(every)), (cohort.next()?, None)] {
                keys.push(WantedKey {
                    class: class.name.clone(),
                    cohort,
                    name: id.data_key(&class.name, &cohort.to_string()),
                    key_type: channel.key_type(),
                    rotate_every,
                });
            }
        }
    }
    Ok(keys)
}

/// The classes of `policy` that `channel` seals.
pub fn classes<'a>(
    channel: &'a Declaration,
    policy: &'a RetentionPolicy,
) -> impl Iterator<Item = &'a DataClass> {
    policy.spec.classes.iter().filter(|class| channel.data_classes().contains(&class.name))
}

/// A key of which no new data is sealed any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingKey {
    /// The class of data.
    pub class: String,
    /// The cohort that has ended.
    pub cohort: Cohort,
    /// Its name in the transit engine.
    pub name: String,
    /// What is remembered of it.
    pub known: ActiveKey,
}

/// The keys among the active ones that no cohort uses any more: their rotation stops, and their own record keeps them.
pub fn ending(record: &ChannelRecord, wanted: &[WantedKey]) -> Vec<EndingKey> {
    let id = record.id();
    let mut ending = Vec::new();
    for (class, cohorts) in &record.keys {
        for (text, known) in cohorts {
            let name = id.data_key(class, text);
            let Ok(cohort) = text.parse() else { continue };
            if !wanted.iter().any(|key| key.name == name) {
                ending.push(EndingKey { class: class.clone(), cohort, name, known: known.clone() });
            }
        }
    }
    ending
}

/// What a key's own record says of it.
pub fn key_record(
    id: &ChannelId,
    class: &str,
    cohort: Cohort,
    known: &ActiveKey,
    policy: Option<&RetentionPolicy>,
    closed: Option<Timestamp>,
) -> KeyRecord {
    let declared = policy.and_then(|policy| {
        let class = policy.spec.classes.iter().find(|known| known.name == class)?;
        Some((policy.metadata.name.clone().unwrap_or_default(), class))
    });
    let days = declared.as_ref().map(|(_, class)| Deadlines::of(cohort, class)).unwrap_or_default();
    KeyRecord {
        versions: known.versions.clone(),
        anchor: declared.as_ref().and_then(|(_, class)| class.anchor).unwrap_or_default(),
        due: days.due,
        reseal_by: days.reseal_by,
        terms: declared.map(|(policy, class)| terms(policy, class)),
        closed,
        decisions: format!("decisions/{id}/{class}/{cohort}"),
    }
}

fn terms(policy: String, class: &DataClass) -> Terms {
    let text = serde_json::to_string(class).unwrap_or_default();
    Terms {
        policy,
        hash: HEXLOWER.encode(&Sha256::digest(text.as_bytes())),
        keep: class.keep.clone(),
        max: class.max.clone(),
        basis: class
            .minimums
            .iter()
            .map(|minimum| format!("{}: {}", minimum.jurisdiction, minimum.basis))
            .collect(),
    }
}

/// What to do so that a wanted key is as it should be; nothing when it is, or when it is gone.
pub fn action(
    key: &WantedKey,
    record: Option<&ActiveKey>,
    found: Option<&ObservedKey>,
    now: Timestamp,
) -> Option<KeyAction> {
    let Some(found) = found else {
        let was_there = record.is_some_and(|record| !record.versions.is_empty());
        return (!was_there).then(|| KeyAction::Create(key.clone()));
    };
    if found.rotate_every != key.rotate_every {
        return Some(KeyAction::SetRotation { name: key.name.clone(), every: key.rotate_every });
    }
    is_late(key, found, now).then(|| KeyAction::Rotate { name: key.name.clone() })
}

/// Whether Vault should have made a new version by now.
fn is_late(key: &WantedKey, found: &ObservedKey, now: Timestamp) -> bool {
    next_rotation(key, found).is_some_and(|next| now > next.saturating_add(ROTATION_SLACK).unwrap_or(next))
}

/// When the next version is due.
pub fn next_rotation(key: &WantedKey, found: &ObservedKey) -> Option<Timestamp> {
    let newest = found.versions.values().max()?;
    newest.saturating_add(key.rotate_every?).ok()
}

/// What of all keys stands in status, and how many others there are by state. `found` is none where
/// Vault did not answer.
pub fn status(
    record: &ChannelRecord,
    wanted: &[WantedKey],
    found: Option<&BTreeMap<String, ObservedKey>>,
    policy: Option<&RetentionPolicy>,
    faults: Option<&BTreeMap<String, FoundFault>>,
    domain: &TrustDomain,
    now: Timestamp,
) -> (Vec<KeyStatus>, BTreeMap<String, i64>) {
    let id = record.id();
    let class_of = |class: &str| policy?.spec.classes.iter().find(|known| known.name == class);
    let fault_of = |name: &str| faults.and_then(|faults| faults.get(name)).map(|found| found.fault);
    let today = domain::today(domain, now);
    let mut shown = Vec::new();
    let mut others: BTreeMap<String, i64> = BTreeMap::new();
    for (class, cohorts) in &record.keys {
        for (text, record) in cohorts {
            let name = id.data_key(class, text);
            let key = wanted.iter().find(|key| key.name == name);
            let seen = found.and_then(|found| found.get(&name));
            let days = text.parse().ok().and_then(|cohort| Some(Deadlines::of(cohort, class_of(class)?)));
            let days = days.unwrap_or_default();
            let fault = seen.and_then(|seen| seen.fault).or_else(|| fault_of(&name));
            let state = match (key, seen) {
                _ if let Some(fault) = fault => fault.state(),
                (Some(_), None) if found.is_none() => "Unknown",
                (Some(_), None) if !record.versions.is_empty() => "Missing",
                (Some(_), None) => "Pending",
                (Some(key), Some(_)) if key.rotate_every.is_none() => "Next",
                (Some(key), Some(seen)) if is_late(key, seen, now) => "RotationLate",
                (Some(_), Some(_)) => "Current",
                (None, _) if let Some(late) = days.late(today) => late.as_str(),
                (None, _) if days.is_due(today) => "Due",
                (None, _) if record.closed => "Closed",
                // Nobody stopped its rotation: the Channel is Stalled or its namespace frozen.
                (None, _) => "NotPlanned",
            };
            // Of a release that kept the keys of ended cohorts here.
            if state == "Closed" && !days.is_soon(today) {
                *others.entry(state.to_owned()).or_default() += 1;
                continue;
            }
            let versions = seen.map_or(&record.versions, |seen| &seen.versions);
            shown.push(KeyStatus {
                data_class: class.clone(),
                cohort: text.clone(),
                versions: Some(i64::from(versions.keys().max().copied().unwrap_or_default())),
                rotated_at: versions.values().max().map(ToString::to_string),
                next_rotation: key
                    .zip(seen)
                    .and_then(|(key, seen)| next_rotation(key, seen))
                    .map(|next| next.to_string()),
                due: days.due.map(|due| due.to_string()),
                reseal_by: days.reseal_by.map(|day| day.to_string()),
                state: state.to_owned(),
            });
        }
    }
    let mut ended: Vec<_> = record
        .ended
        .iter()
        .flat_map(Ended::iter)
        .map(|(class, cohort)| {
            let fault = fault_of(&id.data_key(class, &cohort.to_string()));
            let days = class_of(class).map(|class| Deadlines::of(cohort, class)).unwrap_or_default();
            (fault, days, class, cohort)
        })
        .collect();
    // What is wrong stands first, then what falls due soonest.
    ended.sort_by_key(|(fault, days, class, cohort)| {
        (fault.is_none(), days.next().is_none(), days.next(), *class, *cohort)
    });
    for (at, (fault, days, class, cohort)) in ended.into_iter().enumerate() {
        let state = match (fault, days.late(today)) {
            (Some(fault), _) => fault.state(),
            (None, Some(late)) => late.as_str(),
            (None, None) if days.is_due(today) => "Due",
            (None, None) => "Closed",
        };
        if at >= MOST_ENDED || (fault.is_none() && !days.is_soon(today)) {
            *others.entry(state.to_owned()).or_default() += 1;
            continue;
        }
        shown.push(KeyStatus {
            data_class: class.to_owned(),
            cohort: cohort.to_string(),
            due: days.due.map(|due| due.to_string()),
            reseal_by: days.reseal_by.map(|day| day.to_string()),
            state: state.to_owned(),
            ..KeyStatus::default()
        });
    }
    let destroyed = record.destroyed.iter().count();
    if destroyed > 0 {
        others.insert("Destroyed".to_owned(), i64::try_from(destroyed).unwrap_or(i64::MAX));
    }
    shown.sort_by(|one, other| (&one.data_class, &one.cohort).cmp(&(&other.data_class, &other.cohort)));
    (shown, others)
}

#[cfg(test)]
mod tests;
