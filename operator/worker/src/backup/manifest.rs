//! The manifest of each run: which snapshots it made, sealed by Vault, and chained to the one before.
//!
//! A seal binds the Channel's identity and the number. Each manifest has the SHA-256 of the one before, so the seal of
//! the newest covers all: none can be changed, exchanged, moved or left out. Only the newest ones can be removed
//! unseen, against which whoever remembers a number gives it. Manifests stay when their window ends: they name
//! snapshots and numbers, and no data. Where the newest one is of a window whose key was destroyed, its seal cannot be
//! read any more, and only its number is compared.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subrosa_crds::{
    backup::{BackupSettings, WINDOW},
    cohort::Cohort,
    names::ChannelId,
};

use subrosa_records::vault::{KeyRefusal, TransitKeyName, VaultError};

use super::{
    keys::{WindowKeys, key_name},
    problem::{BackupError, BackupProblem},
    store::{Bucket, Creation},
};

const SCHEMA: u32 = 1;
/// How many manifests are read at once.
const AT_ONCE: usize = 16;
/// The largest manifest: some thousand volumes.
const LARGEST: u64 = 1 << 20;
/// The digits of a number in a name, so that names sort as numbers do.
const DIGITS: usize = 10;

/// What a run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupManifest {
    /// How it is written.
    pub schema: u32,
    /// The Channel's identity.
    pub channel: ChannelId,
    /// Its number, from 1.
    pub number: u64,
    /// The SHA-256 of the manifest before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The window whose repository the snapshots are in, and whose key sealed this.
    pub window: String,
    /// When the run began.
    pub time: Timestamp,
    /// The snapshots.
    pub volumes: Vec<VolumeSnapshot>,
}

/// The snapshot of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeSnapshot {
    /// The volume.
    pub name: String,
    /// The snapshot's id.
    pub snapshot: String,
    /// The files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and directories that could not be read.
    pub unreadable: u64,
    /// Why it does not count; absent where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl BackupManifest {
    /// The window of its repository.
    ///
    /// # Errors
    /// When it is no month.
    pub fn cohort(&self) -> Result<Cohort, BackupError> {
        window_of(&self.window).ok_or_else(|| {
            BackupProblem::ManifestForged.with(format!("manifest {} names no window of a month", self.number))
        })
    }

    /// Whether every volume of it counts.
    pub fn counts(&self) -> bool {
        !self.volumes.is_empty() && self.volumes.iter().all(|volume| volume.problem.is_none())
    }
}

/// The window of that name; `None` where it is no month.
pub(super) fn window_of(name: &str) -> Option<Cohort> {
    let cohort = name.parse::<Cohort>().ok()?;
    (cohort.to_string() == name && cohort == Cohort::of(cohort.start(), WINDOW)).then_some(cohort)
}

/// A manifest as it lies in the store.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    /// The manifest as text, of which each byte is sealed.
    signed: String,
    seal: String,
}

/// All manifests of a Channel, verified, the newest last.
#[derive(Clone, Debug, Default)]
pub struct ManifestChain {
    manifests: Vec<BackupManifest>,
    /// The SHA-256 of the newest.
    newest: Option<String>,
    /// The windows whose keys were destroyed.
    destroyed: Vec<String>,
}

impl ManifestChain {
    /// Reads and verifies all of them.
    ///
    /// # Errors
    /// When one was changed, moved, exchanged or removed, or there are fewer than `at_least`.
    pub async fn read<K: WindowKeys>(
        store: &Bucket,
        keys: &K,
        settings: &BackupSettings,
        at_least: u64,
    ) -> Result<Self, BackupError> {
        let forged = |problem: String| {
            BackupProblem::ManifestForged
                .with(format!("{problem}; nothing is read or written: look who may write to the store"))
        };
        let numbers = numbers(store, settings).await?;
        for (number, expected) in numbers.iter().zip(1..) {
            if *number != expected {
                return Err(forged(format!("manifest {expected} is missing, and {number} is there")));
            }
        }
        let count = numbers.last().copied().unwrap_or_default();
        let at_least = at_least.max(settings.at_least);
        if count < at_least {
            return Err(forged(format!("the newest manifest is {count}, and {at_least} was written")));
        }
        let files = stream::iter(numbers.into_iter().map(|number| async move {
            let name = name(settings, number);
            let file = store.get(&name).await?;
            file.ok_or_else(|| BackupProblem::ManifestForged.with(format!("{name} has gone")))
        }));
        let files: Vec<Bytes> = files.buffered(AT_ONCE).try_collect().await?;
        let mut chain = Self { destroyed: settings.destroyed.clone(), ..Self::default() };
        let mut newest = None;
        for (file, number) in files.iter().zip(1..) {
            let (manifest, parsed) =
                parsed(file).ok_or_else(|| forged(format!("manifest {number} is unreadable")))?;
            let fits = manifest.schema == SCHEMA
                && manifest.channel == settings.id
                && manifest.number == number
                && manifest.previous == chain.newest;
            if !fits {
                return Err(forged(format!("manifest {number} does not follow the one before")));
            }
            manifest.cohort()?;
            chain.manifests.push(manifest);
            chain.newest = Some(digest(file));
            newest = Some(parsed);
        }
        if let (Some(file), Some(manifest)) = (newest, chain.manifests.last()) {
            let key = key_name(settings, manifest.cohort()?)?;
            let signed = signed(&settings.id, manifest.number, &file.signed);
            if !chain.is_destroyed(manifest)
                && !is_sealed(keys, &key, (signed.as_bytes(), &file.seal)).await?
            {
                return Err(forged(format!("manifest {} is not sealed by Vault", manifest.number)));
            }
        }
        Ok(chain)
    }

    /// Whether the key of its window was destroyed, so nothing of it is read any more.
    pub fn is_destroyed(&self, manifest: &BackupManifest) -> bool {
        self.destroyed.contains(&manifest.window)
    }

    /// The manifests, the newest last.
    pub fn manifests(&self) -> &[BackupManifest] {
        &self.manifests
    }

    /// The number of the newest; 0 where there is none.
    pub fn newest(&self) -> u64 {
        self.manifests.last().map_or(0, |manifest| manifest.number)
    }

    /// Seals and writes the next one; returns its number.
    ///
    /// # Errors
    /// When Vault or the store refuse, or another run has taken the number.
    pub async fn append<K: WindowKeys>(
        &self,
        store: &Bucket,
        keys: &K,
        settings: &BackupSettings,
        (window, time): (Cohort, Timestamp),
        volumes: Vec<VolumeSnapshot>,
    ) -> Result<u64, BackupError> {
        let failed = || BackupProblem::RunFailed.with("the manifest could not be written down");
        let number = self.newest() + 1;
        let manifest = BackupManifest {
            schema: SCHEMA,
            channel: settings.id.clone(),
            number,
            previous: self.newest.clone(),
            window: window.to_string(),
            time,
            volumes,
        };
        let text = serde_json::to_string(&manifest).map_err(|_| failed())?;
        let key = key_name(settings, window)?;
        let seal = keys.seal_manifest(&key, signed(&settings.id, number, &text).as_bytes()).await?;
        let file = serde_json::to_vec(&ManifestFile { signed: text, seal }).map_err(|_| failed())?;
        match store.create(&name(settings, number), Bytes::from(file)).await? {
            Creation::Created | Creation::Same => Ok(number),
            Creation::Taken => Err(BackupProblem::AnotherRun.with(format!(
                "another run wrote manifest {number} meanwhile, so this one does not count; let one worker run at a time"
            ))),
        }
    }
}

/// Whether Vault sealed it, or refuses the key because its destruction is under way: then the seal cannot be read, and
/// nothing of that window either.
async fn is_sealed<K: WindowKeys>(
    keys: &K,
    key: &TransitKeyName,
    (signed, seal): (&[u8], &str),
) -> Result<bool, VaultError> {
    match keys.is_sealed(key, signed, seal).await {
        Err(error) if KeyRefusal::of(&error) == Some(KeyRefusal::SoftDeleted) => Ok(true),
        answer => answer,
    }
}

fn folder(settings: &BackupSettings) -> String {
    format!("{}/manifests", settings.id)
}

fn name(settings: &BackupSettings, number: u64) -> String {
    format!("{}/{number:0DIGITS$}.json", folder(settings))
}

/// The numbers that are there, in their order. What has another name is nobody's manifest.
async fn numbers(store: &Bucket, settings: &BackupSettings) -> Result<Vec<u64>, BackupError> {
    let listed = store.list(&folder(settings)).await?;
    let mut numbers = Vec::new();
    for (listed, size) in listed {
        let number = listed.rsplit('/').next().and_then(|file| file.strip_suffix(".json")?.parse().ok());
        let Some(number) = number.filter(|number| name(settings, *number) == listed) else { continue };
        if size > LARGEST {
            return Err(BackupProblem::ManifestForged.with(format!("{listed} is too large for a manifest")));
        }
        numbers.push(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A manifest that is written byte for byte as this writes it: its hash is part of the next one.
fn parsed(bytes: &[u8]) -> Option<(BackupManifest, ManifestFile)> {
    let file: ManifestFile = serde_json::from_slice(bytes).ok()?;
    if serde_json::to_vec(&file).ok()? != bytes {
        return None;
    }
    Some((serde_json::from_str(&file.signed).ok()?, file))
}

/// What is sealed.
fn signed(id: &ChannelId, number: u64, text: &str) -> String {
    format!("subrosa/v1 backup manifest {id} {number}\n{text}")
}

fn digest(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
