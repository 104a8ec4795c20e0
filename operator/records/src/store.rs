//! Records of one type: read, remembered, written by compare-and-set.

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
        channel::ChannelRecord, decision::DecisionRecord, destroyer::DestroyerRecord, keys::KeysOfMonth,
        store::StoreRecord,
    },
    world::{key_findings::KeyFindings, packed::Packed},
};

use crate::{
    listed::Listed,
    unknown,
    vault::{Folder, RecordPath, VaultError, kv::Kv},
};

/// The schema of the records that this binary writes. A record of a later one is read and never written.
pub const SCHEMA: u64 = 1;

/// How many strings a record has at the most, names of fields included, that is written as it is. OpenBao 2.7 refuses a
/// request with more than 1,000 (`max_request_json_strings`), and takes any number of them inside one string: a larger
/// record is written as `{"schema": …, "text": "<its JSON>"}`.
const MOST_STRINGS: usize = 500;

/// How often a transaction is tried anew when somebody else was quicker.
const MOST_TRIES: usize = 4;

/// A type of record.
pub trait Record: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// The folder that lists of which identities there are records; none where each is read.
    const IDENTITIES: Option<Folder> = None;
}

impl Record for ChannelRecord {
    const IDENTITIES: Option<Folder> = Some(Folder::Channels);
}

impl Record for KeysOfMonth {
    const IDENTITIES: Option<Folder> = Some(Folder::Keys);
}

impl Record for KeyFindings {}

impl Record for StoreRecord {}

impl Record for DecisionRecord {}

impl Record for DestroyerRecord {}

/// A record and its version in Vault's KV; version 0 where there is none yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<R> {
    /// What it says.
    pub record: Option<R>,
    /// The version that a write must name.
    pub version: u64,
}

/// A record as it was last read or written, packed: with thousands of Channels its maps and certificates would be the
/// most of what the operator keeps in memory. It is the value that Vault has, with what this binary does not know.
struct Known {
    value: Option<Packed>,
    version: u64,
    /// Whether nothing can have changed since: a write that failed may have taken effect.
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

    /// The record at `path`, from memory where it was read before. Of an identity that has no records at all, as a list
    /// of the last hour shows, none is read: a first write would find one that came since.
    ///
    /// # Errors
    /// When Vault does not say, or has something that is no such record.
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

    /// Notes that there is a record at `path`, as a list shows.
    pub fn is_there(&self, path: &RecordPath) {
        self.listed.add(path);
    }

    /// The record at `path` as Vault has it now.
    ///
    /// # Errors
    /// When Vault does not say, or has something that is no such record.
    pub async fn read(&self, path: &RecordPath) -> Result<Entry<R>, VaultError> {
        let found = match self.kv.read::<Value>(path).await {
            Ok(found) => found,
            Err(error) => {
                // Nothing is there that a write could drop; its version is the one to name.
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

    /// The record at `path` as Vault has it now, and whether that is something else than what was remembered: somebody
    /// else deleted or changed it, or put an earlier one in its place.
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

    /// The identities of which a list of all records says something else than what is remembered: there is none, or there
    /// is one after all. Their records are read again before they are believed.
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

    /// The record at `path` as far as it is known without asking: good for taking away, while Vault does not answer.
    pub fn last_known(&self, path: &RecordPath) -> Option<R> {
        self.cache().get(path)?.entry()?.record
    }

    /// Writes the record at `path` if nobody wrote it since version `expected` was read. What it had that this binary
    /// does not know is kept.
    ///
    /// # Errors
    /// When Vault refuses, when somebody wrote it, and when a later release did: such a record is left alone.
    pub async fn put(&self, path: &RecordPath, record: R, expected: u64) -> Result<Entry<R>, VaultError> {
        let before = match self.cache().get(path).filter(|known| known.version == expected) {
            Some(known) => known.value(),
            None if expected == 0 => None,
            // It was forgotten since, or another version was read: what is there that this binary does not know would be
            // dropped. Who reads it again has it.
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

    /// Reads a record, has `decide` change it, and writes it where it says something new; all of it again from a fresh
    /// read when somebody else was quicker.
    ///
    /// # Errors
    /// When Vault does not say or refuses, or somebody is quicker every time.
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
                // The next read asks Vault: what was remembered is in doubt now.
                Err(VaultError::CasConflict { .. }) if tries < MOST_TRIES => {}
                other => return other,
            }
        }
    }

    /// Forgets what is remembered of a record that nobody needs any more.
    pub fn forget(&self, path: &RecordPath) {
        self.cache().remove(path);
    }

    /// Forgets what is remembered of records that belong to no identity for which `is_there` holds.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.cache().retain(|path, _| path.identity().is_none_or(&is_there));
    }

    /// Forgets everything: Vault has another store in the place of the one that was read.
    pub fn forget_all(&self) {
        self.cache().clear();
    }

    /// How many records are remembered.
    pub fn remembered(&self) -> usize {
        self.cache().len()
    }

    fn remember(&self, path: &RecordPath, value: Option<&Value>, version: u64) {
        let value = value.map(Packed::of);
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

/// What stands in Vault, as the record it is.
fn understood<R: Record>(value: &Value) -> serde_json::Result<R> {
    R::deserialize(content(value)?.as_ref())
}

/// The JSON of a record in what stands in Vault.
fn content(value: &Value) -> serde_json::Result<Cow<'_, Value>> {
    match value.get("text").and_then(Value::as_str) {
        Some(text) => serde_json::from_str(text).map(Cow::Owned),
        None => Ok(Cow::Borrowed(value)),
    }
}

/// How many strings the JSON of a value has, as OpenBao counts them.
fn strings(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(fields) => fields.values().map(|value| 1 + strings(value)).sum(),
        _ => 0,
    }
}

/// The record as it is to be written: with its schema, and with what was there that this binary does not know.
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
