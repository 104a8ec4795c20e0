//! Every data key that there is, as the operator's records have them, and what is decided about each.

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

use crate::vault::Connection;

/// How often the keys are listed anew: the days of a key that is new are months away.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// How many requests are made at a time.
const AT_ONCE: usize = 16;

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// The Channel it was made for.
    pub channel: ChannelRef,
    /// The LegalHolds that its record has, by name.
    pub holds: BTreeMap<String, HoldMark>,
    /// The Destruction that is under way for it, where one is.
    pub under_way: Option<UnderWay>,
    /// Whether the point of no return has passed.
    pub is_condemned: bool,
    /// When it was seen to be gone.
    pub destroyed: Option<Timestamp>,
    /// What was called off last.
    pub called_off: Option<CalledOff>,
    /// Whether the operator wrote down that Vault made it.
    pub is_made: bool,
}

/// How soon they are listed again where one that is listed for destruction is not among them.
const LIST_AGAIN: Duration = Duration::from_secs(60);

/// A destruction that was begun and has not ended.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// The UID of the Destruction.
    pub uid: String,
    /// Until when the key is only set aside.
    pub until: Option<Timestamp>,
}

/// The keys of a trust domain.
#[derive(Debug)]
pub struct Survey {
    /// By name.
    pub keys: BTreeMap<DataKeyName, KnownKey>,
    /// Those that Vault made and has no more, though nobody here destroyed them.
    pub missing: BTreeSet<DataKeyName>,
    at: Instant,
    /// Whether a key was listed for destruction that is not among them.
    lacks: bool,
}

impl Survey {
    /// Whether the keys are to be listed again.
    pub fn is_due(&self) -> bool {
        let every = if self.lacks { LIST_AGAIN } else { LIST_EVERY };
        self.at.elapsed() >= every
    }

    /// Notes that a key was listed for destruction that is not among them.
    pub fn lacks_one(&mut self) {
        self.lacks = true;
    }

    /// Notes what is decided about a key.
    pub fn note(&mut self, name: &DataKeyName, record: &DecisionRecord) {
        let is_made = self.keys.get(name).is_some_and(|before| before.is_made);
        self.keys.insert(name.clone(), KnownKey { is_made, ..known(record) });
    }

    /// Lists every key, and begins the record of decisions for those that have none: the terms that the destroyer sees first
    /// are those that bind. `before` spares reading what is known already. Returns the names of all keys that Vault has, too.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn take(
        vault: &Connection,
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
        // What was seen once is watched on, whatever became of what the operator wrote of it.
        keys.extend(known);
        decided_alone(vault, &mut keys).await?;
        // Listed last: what was written down as made before was there.
        let there = vault.keys.names().await?.into_iter().map(|name| name.as_str().to_owned()).collect();
        let missing = missing(&keys, &there);
        Ok((Self { keys, missing, at: Instant::now(), lacks: false }, there))
    }
}

/// The keys that Vault made and has no more, though nobody here destroyed them.
fn missing(keys: &BTreeMap<DataKeyName, KnownKey>, there: &HashSet<String>) -> BTreeSet<DataKeyName> {
    let lacks = |(name, known): &(&DataKeyName, &KnownKey)| {
        known.is_made && !known.is_condemned && !there.contains(&name.to_string())
    };
    keys.iter().filter(lacks).map(|(name, _)| name.clone()).collect()
}

/// All answers, several asked for at a time: one after another, hundreds of thousands of keys take minutes.
async fn all<T>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, VaultError>>>,
) -> Result<Vec<T>, VaultError> {
    stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await
}

/// The key as selectors of LegalHolds see it.
pub fn selected<'a>(name: &'a DataKeyName, known: &'a KnownKey) -> Selected<'a> {
    Selected { channel: &known.channel, class: &name.class, cohort: name.cohort }
}

/// Where what is decided about a key stands.
///
/// # Errors
/// When a name cannot be part of a path.
pub fn path(name: &DataKeyName) -> Result<RecordPath, VaultError> {
    Ok(RecordPath::decision(&name.id, &ClassName::new(name.class.as_str())?, name.cohort))
}

/// Adds the keys of which something is decided and that the operator's records do not name.
async fn decided_alone(
    vault: &Connection,
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

/// The cohorts of a class of which something is decided.
async fn decided(
    vault: &Connection,
    id: &ChannelId,
    class: &ClassName,
) -> Result<BTreeSet<String>, VaultError> {
    let folder = Folder::DecisionCohorts(id.clone(), class.clone());
    Ok(vault.kv.list(&folder).await?.into_iter().collect())
}

async fn month_of(
    vault: &Connection,
    id: &ChannelId,
    class: &ClassName,
    month: MonthName,
) -> Result<Option<KeysOfMonth>, VaultError> {
    let path = RecordPath::keys(id, class, &month);
    let entry = vault.key_records.read(&path).await;
    vault.key_records.forget(&path);
    match entry {
        Ok(entry) => Ok(entry.record),
        // The operator tells of it; the keys of other months are surveyed all the same.
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known of a key that was not known before; none where the record of its decisions cannot be read: nothing is
/// destroyed then, and the log tells of it.
async fn begin(
    vault: &Connection,
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
                // The later one of what the operator wrote and what the policy says: none of the two alone makes it earlier.
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
    // Whatever is decided is read anew; kept here is only what tells where to look.
    vault.decisions.forget(&path);
    Ok(Some(KnownKey { is_made: !key.versions.is_empty(), ..known(&record) }))
}

/// What is decided about a key; none where nobody can read it.
async fn readable(vault: &Connection, path: &RecordPath) -> Result<Option<DecisionRecord>, VaultError> {
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
        under_way: record.destruction.as_ref().filter(|mark| mark.destroyed.is_none()).map(|mark| UnderWay {
            uid: mark.uid.clone(),
            until: mark.set_aside.filter(|_| mark.condemned.is_none()).map(|set_aside| set_aside.until),
        }),
        is_condemned: record.is_condemned(),
        destroyed: record.destroyed(),
        called_off: record.called_off,
        is_made: false,
    }
}
