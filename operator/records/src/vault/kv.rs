//! The key-value store of the records, version 2: every write is compare-and-set, and nothing is deleted.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::{Reply, parse};
use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{Folder, MountPath, RecordPath};

/// An entry and the version that its next write must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its version, from 1.
    pub version: u64,
}

/// The key-value engine at one mount.
#[derive(Debug, Clone)]
pub struct Kv {
    vault: Vault,
    mount: MountPath,
}

impl Kv {
    /// The engine mounted at `mount`.
    pub fn new(vault: Vault, mount: MountPath) -> Self {
        Self { vault, mount }
    }

    /// Reads an entry; `None` when it never existed, an error when somebody deleted it.
    pub async fn read<T>(&self, path: &RecordPath) -> Result<Option<Versioned<T>>, VaultError>
    where
        T: DeserializeOwned + Send + Sync,
    {
        let op = self.op("kv.read", &format!("data/{}", path.pattern()), &[Capability::Read]);
        let full = self.data_path(path);
        let body = match self.vault.send(&op, &Call::<(), Entry<T>>::get(full.as_str()), None).await? {
            Reply::Success(body) => body,
            Reply::Absent(body) => return self.absent(full, &body),
        };
        let unexpected =
            |problem: &str| VaultError::Unexpected { path: full.clone(), problem: problem.to_owned() };
        let entry = parse::<Entry<T>>(&full, &body)?.data.ok_or_else(|| unexpected("it is empty"))?;
        let value = entry.data.ok_or_else(|| unexpected("it has a version but no data"))?;
        Ok(Some(Versioned { value, version: entry.metadata.version }))
    }

    /// Writes an entry if its version is still `expected` (0: it does not exist), and returns the new version.
    ///
    /// [`VaultError::CasConflict`] means that another write came first. After an error with [unknown
    /// outcome](VaultError::outcome_unknown), read before writing again.
    pub async fn write<T>(&self, path: &RecordPath, value: &T, expected: u64) -> Result<u64, VaultError>
    where
        T: Serialize + Sync,
    {
        let capabilities: &[Capability] = &[Capability::Create, Capability::Update];
        let op = self.op("kv.write", &format!("data/{}", path.pattern()), capabilities).once();
        let body = Write { options: Options { cas: expected }, data: value };
        let call = Call::<_, Metadata>::post(self.data_path(path), body);
        Ok(self.vault.exec_data(&op, &call).await?.version)
    }

    /// The names of all entries in a folder, including deleted ones.
    pub async fn list(&self, folder: &Folder) -> Result<Vec<String>, VaultError> {
        let op = self.op("kv.list", &format!("metadata/{}", folder.pattern()), &[Capability::List]);
        let call = Call::<(), Keys>::list(format!("{}/metadata/{folder}", self.mount));
        let data = self.vault.exec(&op, &call).await?.and_then(|envelope| envelope.data);
        let keys = data.map(|answer| answer.keys).unwrap_or_default();
        Ok(keys.into_iter().map(|name| name.trim_end_matches('/').to_owned()).collect())
    }

    /// Distinguishes a deleted entry, for which Vault sends its version, from one that never existed.
    fn absent<T>(&self, path: String, body: &[u8]) -> Result<Option<Versioned<T>>, VaultError> {
        let deleted =
            serde_json::from_slice::<Deleted>(body).ok().map(|deleted| deleted.data.metadata.version);
        match deleted {
            Some(version) => Err(VaultError::Deleted { path, version }),
            None => Ok(None),
        }
    }

    fn data_path(&self, path: &RecordPath) -> String {
        format!("{}/data/{path}", self.mount)
    }

    fn op(&self, name: &'static str, path: &str, capabilities: &'static [Capability]) -> Op {
        Op::new(name, format!("{}/{path}", self.mount), capabilities)
    }
}

#[derive(Deserialize)]
struct Entry<T> {
    data: Option<T>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Deserialize)]
struct Deleted {
    data: DeletedEntry,
}

#[derive(Deserialize)]
struct DeletedEntry {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

/// vaultrs' type has a 32-bit version and needs the value as a JSON tree.
#[derive(Serialize)]
struct Write<'a, T> {
    options: Options,
    data: &'a T,
}

#[derive(Serialize)]
struct Options {
    cas: u64,
}
