//! Records of one type in Vault: cached, and written by compare-and-set.

use std::{
    borrow::Cow,
    collections::HashMap,
    marker::PhantomData,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use subrosa_plan::{
    record::{
        break_glass::BreakGlassRecord, channel::ChannelRecord, decision::DecisionRecord,
        destroyer::DestroyerRecord, grants::GrantsRecord, keys::KeysOfMonth, reviews::ReviewsRecord,
        revocations::RevocationsRecord, store::StoreRecord,
    },
    world::{
        key_findings::KeyFindings,
        packed::{self, Packed},
    },
};

use crate::{
    listed::Listed,
    unknown,
    vault::{Folder, RecordPath, VaultError, kv::Kv},
};

/// The schema of the records that this binary writes. It reads a record with a later schema but never overwrites it.
pub const SCHEMA: u64 = 1;

/// The most JSON strings, field names included, of a record that is stored as it is. OpenBao 2.7 rejects requests
/// with more than 1,000 (`max_request_json_strings`), but counts a nested JSON text as one: a larger record is stored
/// as `{"schema": …, "text": "<its JSON>"}`.
const MOST_STRINGS: usize = 500;

/// How often a transaction is repeated after a conflict.
const MOST_TRIES: usize = 4;

/// A type of record.
pub trait Record: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// The folder that lists the identities with records; `None` where each record is read.
    const IDENTITIES: Option<Folder> = None;
    /// What records of this type look like, beside which those in memory are packed.
    const EXAMPLE: &'static str = "";
}

impl Record for ChannelRecord {
    const IDENTITIES: Option<Folder> = Some(Folder::Channels);
    const EXAMPLE: &'static str = packed::RECORD;
}

impl Record for KeysOfMonth {
    const IDENTITIES: Option<Folder> = Some(Folder::Keys);
}

impl Record for KeyFindings {}

impl Record for StoreRecord {}

impl Record for DecisionRecord {}

impl Record for DestroyerRecord {}

impl Record for ReviewsRecord {}

impl Record for RevocationsRecord {}

impl Record for BreakGlassRecord {}

impl Record for GrantsRecord {}

/// A record and its version in Vault's KV; version 0 where there is none yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<R> {
    /// The record.
    pub record: Option<R>,
    /// The version that a write must name.
    pub version: u64,
}

/// The cached value of a record, packed, because the records of thousands of Channels would take most of the
/// operator's memory. It is the value in Vault, including fields that this binary does not know.
struct Known {
    value: Option<Packed>,
    version: u64,
    /// False after a failed write, which may have taken effect.
    certain: bool,
}

impl Known {
    fn value(&self) -> Option<Value> {
        self.value.as_ref()?.read()
    }

    fn entry<R: Record>(&self) -> Option<Entry<R>> {
        let record = match &self.value {
            None => None,
            Some(value) => Some(understood(&value.read()?).ok()?),
        };
        Some(Entry { record, version: self.version })
    }
}

/// The records of one type.
pub struct Store<R> {
    kv: Kv,
    cache: Mutex<HashMap<RecordPath, Known>>,
    listed: Listed,
    type_: PhantomData<fn() -> R>,
}

impl<R: Record> Store<R> {
    /// The records below `kv`.
    pub fn new(kv: Kv) -> Self {
        Self { kv, cache: Mutex::default(), listed: Listed::default(), type_: PhantomData }
    }

    /// The record at `path`, from the cache where possible. An identity that the last list shows without records is
    /// not read; if a record was added since, the first write conflicts.
    ///
    /// # Errors
    /// When Vault cannot be read, or the entry is no valid record.
    pub async fn get(&self, path: &RecordPath) -> Result<Entry<R>, VaultError> {
        let remembered = self.cache().get(path).map(|known| known.certain.then(|| known.entry()).flatten());
        match (remembered, &R::IDENTITIES) {
            (Some(Some(entry)), _) => Ok(entry),
            (None, Some(folder)) if self.listed.lacks(&self.kv, folder, path).await => {
                self.remember(path, None, 0);
                Ok(Entry { record: None, version: 0 })
            }
            _ => self.read(path).await,
        }
    }

    /// Notes that a list shows a record at `path`.
    pub fn is_there(&self, path: &RecordPath) {
        self.listed.add(path);
    }

    /// The record at `path`, always from Vault.
    ///
    /// # Errors
    /// When Vault cannot be read, or the entry is no valid record.
    pub async fn read(&self, path: &RecordPath) -> Result<Entry<R>, VaultError> {
        let found = match self.kv.read::<Value>(path).await {
            Ok(found) => found,
            Err(error) => {
                // A deleted entry has no content to preserve, but a write must name its version.
                if let VaultError::Deleted { version, .. } = error {
                    let known = Known { value: None, version, certain: false };
                    self.cache().entry(path.clone()).or_insert(known).version = version;
                }
                self.doubt(path);
                return Err(error);
            }
        };
        let Some(found) = found else {
            self.remember(path, None, 0);
            return Ok(Entry { record: None, version: 0 });
        };
        match understood::<R>(&found.value) {
            Ok(record) => {
                self.remember(path, Some(&found.value), found.version);
                Ok(Entry { record: Some(record), version: found.version })
            }
            Err(problem) => {
                self.doubt(path);
                let problem = problem.to_string();
                Err(VaultError::UnreadableRecord { path: path.to_string(), problem })
            }
        }
    }

    /// The record at `path` from Vault, and whether it differs from the cached one because somebody else changed,
    /// deleted or rolled back the record.
    pub async fn read_again(&self, path: &RecordPath) -> (Result<Entry<R>, VaultError>, bool) {
        let remembered = self.certain(path);
        let read = self.read(path).await;
        let differs = match (&read, remembered) {
            (_, None) => false,
            (Ok(_), remembered) => self.certain(path) != remembered,
            (Err(error), Some(_)) => error.is_unreadable() || matches!(error, VaultError::NewerRecord { .. }),
        };
        (read, differs)
    }

    fn certain(&self, path: &RecordPath) -> Option<(Option<Value>, u64)> {
        let cache = self.cache();
        let known = cache.get(path).filter(|known| known.certain)?;
        Some((known.value(), known.version))
    }

    /// The identities for which a list of all records contradicts the cache. Their records are read again before they
    /// are used.
    pub fn compare(&self, is_listed: impl Fn(&str) -> bool) -> Vec<String> {
        let mut differ = Vec::new();
        for (path, known) in self.cache().iter_mut().filter(|(_, known)| known.certain) {
            if let Some(id) = path.identity().filter(|id| is_listed(id) != known.value.is_some()) {
                known.certain = false;
                differ.push(id.to_owned());
            }
        }
        differ
    }

    /// The record at `path` from the cache, without asking Vault. Only good enough for withdrawing access while Vault
    /// does not answer.
    pub fn last_known(&self, path: &RecordPath) -> Option<R> {
        self.cache().get(path)?.entry()?.record
    }

    /// Writes the record at `path` if its version is still `expected`. Fields that this binary does not know are
    /// kept.
    ///
    /// # Errors
    /// When Vault refuses, when somebody else wrote the record, or when a later release did: such a record is left
    /// alone.
    pub async fn put(&self, path: &RecordPath, record: R, expected: u64) -> Result<Entry<R>, VaultError> {
        let before = match self.cache().get(path).filter(|known| known.version == expected) {
            Some(known) => known.value(),
            None if expected == 0 => None,
            // Without the cached value of that version, unknown fields would be lost. A new read brings it back.
            None => return Err(VaultError::CasConflict { path: path.to_string() }),
        };
        let value = merged(path, &record, before.as_ref())?;
        self.listed.add(path);
        match self.kv.write(path, &value, expected).await {
            Ok(version) => {
                self.remember(path, Some(&value), version);
                Ok(Entry { record: Some(record), version })
            }
            Err(error) => {
                self.doubt(path);
                Err(error)
            }
        }
    }

    /// Reads a record, applies `decide`, and writes it where it changed. Repeats all of it with a fresh read after a
    /// conflict.
    ///
    /// # Errors
    /// When Vault cannot be read or refuses, or every try conflicts.
    pub async fn transaction(
        &self,
        path: &RecordPath,
        mut decide: impl FnMut(Option<R>) -> Option<R>,
    ) -> Result<Entry<R>, VaultError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let entry = self.get(path).await?;
            let Some(wanted) = decide(entry.record.clone()) else { return Ok(entry) };
            if entry.record.as_ref() == Some(&wanted) {
                return Ok(entry);
            }
            match self.put(path, wanted, entry.version).await {
                // The conflict made the cached value uncertain, so the next read asks Vault.
                Err(VaultError::CasConflict { .. }) if tries < MOST_TRIES => {}
                other => return other,
            }
        }
    }

    /// Drops a record that nobody needs any more from the cache.
    pub fn forget(&self, path: &RecordPath) {
        self.cache().remove(path);
    }

    /// Drops the records of all identities from the cache for which `is_there` is false.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.cache().retain(|path, _| path.identity().is_none_or(&is_there));
    }

    /// Clears the cache, because Vault has another store now.
    pub fn forget_all(&self) {
        self.cache().clear();
    }

    /// How many records are cached.
    pub fn remembered(&self) -> usize {
        self.cache().len()
    }

    fn remember(&self, path: &RecordPath, value: Option<&Value>, version: u64) {
        let value = value.map(|value| Packed::like(R::EXAMPLE, value));
        self.cache().insert(path.clone(), Known { value, version, certain: true });
    }

    fn doubt(&self, path: &RecordPath) {
        if let Some(known) = self.cache().get_mut(path) {
            known.certain = false;
        }
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<RecordPath, Known>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses a stored value as a record.
fn understood<R: Record>(value: &Value) -> serde_json::Result<R> {
    R::deserialize(content(value)?.as_ref())
}

/// The JSON of the record in a stored value.
fn content(value: &Value) -> serde_json::Result<Cow<'_, Value>> {
    match value.get("text").and_then(Value::as_str) {
        Some(text) => serde_json::from_str(text).map(Cow::Owned),
        None => Ok(Cow::Borrowed(value)),
    }
}

/// How many strings a JSON value has, counted as OpenBao does.
fn strings(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(fields) => fields.values().map(|value| 1 + strings(value)).sum(),
        _ => 0,
    }
}

/// The value to store: the record with its schema, and with stored fields that this binary does not know.
fn merged<R: Record>(path: &RecordPath, record: &R, before: Option<&Value>) -> Result<Value, VaultError> {
    let unwritable = |problem: serde_json::Error| VaultError::Unexpected {
        path: path.to_string(),
        problem: format!("the record could not be written down: {problem}"),
    };
    let mut value = serde_json::to_value(record).map_err(&unwritable)?;
    let mut schema = SCHEMA;
    if let Some(before) = before {
        schema = before.get("schema").and_then(Value::as_u64).unwrap_or(0);
        if schema > SCHEMA {
            return Err(VaultError::NewerRecord { path: path.to_string(), schema, known: SCHEMA });
        }
        let content = content(before);
        if let Some((content, understood)) = content.as_ref().ok().and_then(|content| {
            Some((content, serde_json::to_value(R::deserialize(content.as_ref()).ok()?).ok()?))
        }) {
            unknown::keep(&mut value, content, &understood);
        }
    }
    if strings(&value) > MOST_STRINGS {
        value = json!({ "text": value.to_string() });
    }
    if let Value::Object(fields) = &mut value {
        fields.insert("schema".to_owned(), SCHEMA.max(schema).into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
