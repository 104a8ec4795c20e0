//! The survey of all data keys, from the operator's records and the decisions about them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use subrosa_crds::{
    RetentionPolicy,
    cohort::Cohort,
    names::{ChannelId, ChannelRef, DataKeyName},
};
use subrosa_plan::{
    destruction::holds::Selected,
    keys::deadlines::Deadlines,
    record::{
        decision::{CalledOff, DecisionRecord, HoldMark},
        keys::{KeyRecord, KeysOfMonth},
    },
};
use subrosa_records::vault::{ClassName, Folder, MonthName, RecordPath, VaultError};

use crate::vault::DestroyerVault;

/// How often the keys are listed. Rarely suffices, because a new key is due only after months.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// The limit of concurrent requests.
const AT_ONCE: usize = 16;

/// What the survey knows of a key.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// The Channel it was made for.
    pub channel: ChannelRef,
    /// The LegalHolds in its record, by name.
    pub holds: BTreeMap<String, HoldMark>,
    /// The destruction in progress, if any.
    pub under_way: Option<DestructionUnderWay>,
    /// Whether it is condemned.
    pub is_condemned: bool,
    /// When it was confirmed gone.
    pub destroyed: Option<Timestamp>,
    /// The last destruction that was called off.
    pub called_off: Option<CalledOff>,
    /// Whether the operator recorded that Vault made it.
    pub is_made: bool,
}

impl KnownKey {
    /// Whether it could be set aside if that is due and approved.
    pub fn may_begin(&self) -> bool {
        self.holds.is_empty() && self.under_way.is_none() && !self.is_condemned && self.destroyed.is_none()
    }
}

/// How soon the keys are listed again after a Destruction named an unknown one.
const LIST_AGAIN: Duration = Duration::from_secs(60);

/// A destruction in progress.
#[derive(Clone, Debug)]
pub struct DestructionUnderWay {
    /// The UID of the Destruction.
    pub uid: String,
    /// When the grace ends.
    pub until: Option<Timestamp>,
}

/// The keys of a trust domain.
#[derive(Debug)]
pub struct KeySurvey {
    /// By name.
    pub keys: BTreeMap<DataKeyName, KnownKey>,
    /// Keys that were made and are missing in Vault, though the destroyer did not destroy them.
    pub missing: BTreeSet<DataKeyName>,
    at: Instant,
    /// Whether a Destruction named an unknown key.
    lacks: bool,
}

impl KeySurvey {
    /// Whether the keys must be listed again.
    pub fn is_due(&self) -> bool {
        let every = if self.lacks { LIST_AGAIN } else { LIST_EVERY };
        self.at.elapsed() >= every
    }

    /// How many known keys are not destroyed.
    pub fn count(&self) -> u64 {
        let there = self.keys.values().filter(|key| key.destroyed.is_none()).count();
        u64::try_from(there).unwrap_or(u64::MAX)
    }

    /// Notes that a Destruction named an unknown key.
    pub fn lacks_one(&mut self) {
        self.lacks = true;
    }

    /// Notes a decision about a key.
    pub fn note(&mut self, name: &DataKeyName, record: &DecisionRecord) {
        let is_made = self.keys.get(name).is_some_and(|before| before.is_made);
        self.keys.insert(name.clone(), KnownKey { is_made, ..known(record) });
    }

    /// Lists every key, and begins a decision record for each new one, because the terms that the destroyer sees
    /// first bind. What `before` has is not read again. Also returns the names of all keys in Vault.
    ///
    /// # Errors
    /// When Vault cannot be read.
    /// When the request to Vault fails.
    pub async fn take(
        vault: &DestroyerVault,
        before: Option<&Self>,
        policies: &BTreeMap<String, RetentionPolicy>,
    ) -> Result<(Self, HashSet<String>), VaultError> {
        let mut known = before.map(|before| before.keys.clone()).unwrap_or_default();
        let mut keys = BTreeMap::new();
        for id in vault.kv.list(&Folder::Keys).await? {
            let Ok(id) = id.parse::<ChannelId>() else { continue };
            for class in vault.kv.list(&Folder::Classes(id.clone())).await? {
                let Ok(class) = ClassName::new(class) else { continue };
                let decided = decided(vault, &id, &class).await?;
                let months = vault.kv.list(&Folder::Months(id.clone(), class.clone())).await?;
                let months = months.into_iter().filter_map(|month| MonthName::new(month).ok());
                let read = months.map(|month| month_of(vault, &id, &class, month));
                let mut new = Vec::new();
                for month in all(read).await?.into_iter().flatten() {
                    let channel = Arc::new(month.channel);
                    for (cohort, key) in month.keys {
                        let Ok(cohort) = cohort.parse::<Cohort>() else { continue };
                        let name = DataKeyName { id: id.clone(), class: class.as_str().to_owned(), cohort };
                        let is_made = !key.versions.is_empty();
                        match known.remove(&name) {
                            Some(known) => _ = keys.insert(name, KnownKey { is_made, ..known }),
                            None => new.push((name, Arc::clone(&channel), key)),
                        }
                    }
                }
                let begun = new.into_iter().map(|(name, channel, key)| {
                    let decided = &decided;
                    async move {
                        let what = begin(vault, &name, &channel, &key, decided, policies).await?;
                        Ok(what.map(|what| (name, what)))
                    }
                });
                keys.extend(all(begun).await?.into_iter().flatten());
            }
        }
        // A key that was seen once stays in the survey, whatever happened to the operator's records.
        keys.extend(known);
        decided_alone(vault, &mut keys).await?;
        // Listed last, so that every key recorded as made before must be present.
        let there = vault.keys.names().await?.into_iter().map(|name| name.as_str().to_owned()).collect();
        let missing = missing(&keys, &there);
        Ok((Self { keys, missing, at: Instant::now(), lacks: false }, there))
    }
}

/// Keys that were made and are missing in Vault, though the destroyer did not destroy them.
fn missing(keys: &BTreeMap<DataKeyName, KnownKey>, there: &HashSet<String>) -> BTreeSet<DataKeyName> {
    let lacks = |(name, known): &(&DataKeyName, &KnownKey)| {
        known.is_made && !known.is_condemned && !there.contains(&name.to_string())
    };
    keys.iter().filter(lacks).map(|(name, _)| name.clone()).collect()
}

/// Awaits all requests, several at a time: one by one, hundreds of thousands of keys would take minutes.
async fn all<T>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, VaultError>>>,
) -> Result<Vec<T>, VaultError> {
    stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await
}

/// The key's fields for selectors of LegalHolds.
pub fn selected<'a>(name: &'a DataKeyName, known: &'a KnownKey) -> Selected<'a> {
    Selected { channel: &known.channel, class: &name.class, cohort: name.cohort }
}

/// The path of the decision about a key.
///
/// # Errors
/// When the name cannot be part of a path.
pub fn path(name: &DataKeyName) -> Result<RecordPath, VaultError> {
    Ok(RecordPath::decision(&name.id, &ClassName::new(name.class.as_str())?, name.cohort))
}

/// Adds keys that have a decision but are missing in the operator's records.
async fn decided_alone(
    vault: &DestroyerVault,
    keys: &mut BTreeMap<DataKeyName, KnownKey>,
) -> Result<(), VaultError> {
    for id in vault.kv.list(&Folder::Decisions).await? {
        let Ok(id) = id.parse::<ChannelId>() else { continue };
        for class in vault.kv.list(&Folder::DecisionClasses(id.clone())).await? {
            let Ok(class) = ClassName::new(class) else { continue };
            for cohort in decided(vault, &id, &class).await? {
                let Ok(cohort) = cohort.parse() else { continue };
                let name = DataKeyName { id: id.clone(), class: class.as_str().to_owned(), cohort };
                if keys.contains_key(&name) {
                    continue;
                }
                let record = readable(vault, &path(&name)?).await?;
                keys.extend(record.map(|record| (name, known(&record))));
            }
        }
    }
    Ok(())
}

/// The cohorts of a class that have decisions.
async fn decided(
    vault: &DestroyerVault,
    id: &ChannelId,
    class: &ClassName,
) -> Result<BTreeSet<String>, VaultError> {
    let folder = Folder::DecisionCohorts(id.clone(), class.clone());
    Ok(vault.kv.list(&folder).await?.into_iter().collect())
}

async fn month_of(
    vault: &DestroyerVault,
    id: &ChannelId,
    class: &ClassName,
    month: MonthName,
) -> Result<Option<KeysOfMonth>, VaultError> {
    let path = RecordPath::keys(id, class, &month);
    let entry = vault.key_records.read(&path).await;
    vault.key_records.forget(&path);
    match entry {
        Ok(entry) => Ok(entry.record),
        // The operator reports the unreadable record; the keys of other months are still surveyed.
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Begins the decision record of a new key; `None` where an existing one cannot be read. Such a key is not destroyed,
/// and the log says so.
async fn begin(
    vault: &DestroyerVault,
    name: &DataKeyName,
    channel: &ChannelRef,
    key: &KeyRecord,
    decided: &BTreeSet<String>,
    policies: &BTreeMap<String, RetentionPolicy>,
) -> Result<Option<KnownKey>, VaultError> {
    let path = path(name)?;
    let is_decided = decided.contains(&name.cohort.to_string());
    let kept = if is_decided { readable(vault, &path).await? } else { None };
    let record = match kept {
        Some(record) => record,
        None if is_decided => return Ok(None),
        None => {
            let policy = key.terms.as_ref().and_then(|terms| policies.get(&terms.policy));
            let class = policy.and_then(|policy| policy.spec.class(&name.class));
            let says = class.and_then(|class| Deadlines::of(name.cohort, class).next());
            let first = DecisionRecord {
                channel: channel.clone(),
                terms: key.terms.clone(),
                // The later of the operator's day and the policy's, so that neither alone can make it earlier.
                due: key.due.or(key.reseal_by).max(says),
                holds: BTreeMap::new(),
                destruction: None,
                past: None,
                called_off: None,
            };
            vault.decide(&path, first.clone(), 0).await?;
            first
        }
    };
    // Every decision reads the record again; the cache is needed only to begin it.
    vault.decisions.forget(&path);
    Ok(Some(KnownKey { is_made: !key.versions.is_empty(), ..known(&record) }))
}

/// The decision about a key; `None` where its record cannot be read.
async fn readable(vault: &DestroyerVault, path: &RecordPath) -> Result<Option<DecisionRecord>, VaultError> {
    let read = vault.decisions.read(path).await;
    vault.decisions.forget(path);
    match read {
        Ok(entry) => Ok(entry.record),
        Err(error) if error.is_unreadable() => {
            tracing::error!(%path, %error, "what was decided about a key cannot be read: nothing is done for it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn known(record: &DecisionRecord) -> KnownKey {
    KnownKey {
        channel: record.channel.clone(),
        holds: record.holds.clone(),
        under_way: record.destruction.as_ref().filter(|mark| mark.destroyed.is_none()).map(|mark| {
            DestructionUnderWay {
                uid: mark.uid.clone(),
                until: mark.set_aside.filter(|_| mark.condemned.is_none()).map(|set_aside| set_aside.until),
            }
        }),
        is_condemned: record.is_condemned(),
        destroyed: record.destroyed(),
        called_off: record.called_off,
        is_made: false,
    }
}
