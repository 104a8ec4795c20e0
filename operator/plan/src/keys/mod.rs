//! Data keys: one for each class and cohort, rotated while its cohort is current, kept afterwards.
//!
//! A key is made before its cohort begins, and never deleted here. A key that was made and is missing is reported,
//! not made again: sealing under a destroyed name must fail.

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
    names::{BACKUP_CLASS, ChannelId},
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

/// How late Vault may be with a rotation before the operator rotates. Vault checks hourly.
pub const ROTATION_SLACK: SignedDuration = SignedDuration::from_hours(2);
/// How many keys of ended cohorts status lists; the others are counted by state.
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
    /// How often Vault rotates it; `None` before and after the cohort's own period.
    pub rotate_every: Option<SignedDuration>,
}

/// A key as Vault shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedKey {
    /// When each version was made.
    pub versions: BTreeMap<u32, Timestamp>,
    /// How often Vault rotates it.
    pub rotate_every: Option<SignedDuration>,
    /// What is wrong with it, the worst first.
    pub fault: Option<KeyFault>,
}

/// One thing to do in the transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// Make the key.
    Create(WantedKey),
    /// Set its automatic rotation.
    SetRotation {
        /// The key.
        name: String,
        /// The period; `None` for never.
        every: Option<SignedDuration>,
    },
    /// Rotate now, because Vault is late.
    Rotate {
        /// The key.
        name: String,
    },
}

/// The keys that `channel` should have at `now`: those of the current and the next cohort, and for classes with a
/// later anchor those of the open cohorts too.
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

/// A key that seals no new data any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingKey {
    /// The class of data.
    pub class: String,
    /// The cohort that has ended.
    pub cohort: Cohort,
    /// Its name in the transit engine.
    pub name: String,
    /// What the Channel's record says of it.
    pub known: ActiveKey,
}

/// The active keys whose cohort has ended: their rotation stops, and their own records take over.
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

/// The content of a key's own record.
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
        terms: declared.map(|(policy, class)| terms(policy, class)).or_else(|| without_class(class, policy?)),
        closed,
        decisions: format!("decisions/{id}/{class}/{cohort}"),
    }
}

/// The terms of backups whose policy has no class for them yet: it binds them once it has one.
fn without_class(class: &str, policy: &RetentionPolicy) -> Option<Terms> {
    (class == BACKUP_CLASS)
        .then(|| Terms { policy: policy.metadata.name.clone().unwrap_or_default(), ..Terms::default() })
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

/// What to do so that a wanted key becomes as wanted; `None` when it is, or when it is missing.
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

/// The keys that status lists, and the number of others by state. `found` is `None` where Vault did not answer.
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
                // The Channel is Stalled or its namespace is frozen, so nobody stopped its rotation.
                (None, _) => "NotPlanned",
            };
            // An earlier release kept keys of ended cohorts here.
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
    // Faults first, then the nearest deadline.
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
