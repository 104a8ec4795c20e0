//! Removes sealed files that cannot be opened any more because their key was destroyed.
//!
//! ```text
//! walk    the sealed files below a directory ─> whose key is it? ─┐
//! ended   what the records of Destructions say of that key       ─┼─> all agree: it is dead
//! proof   what Vault says of it now                              ─┘
//! ```
//!
//! A file is removed only if all of this holds: its header is ours and has one recipient, a key of this Channel or
//! one that it adopted; a record says that the key was destroyed and that no snapshot of Vault has it any more; the
//! file was last written before that; Vault does not have the key, but does have the keys that the Channel seals with
//! today.

mod ended;
mod proof;
mod walk;

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;
use subrosa_crds::names::{ChannelId, DataKeyName};

use self::walk::{SealedEntry, Walk};
pub use self::{
    ended::{DestroyedKey, DestroyedKeys},
    proof::{KeyPresence, KeyWitness, ProofError, Proofs, VaultWitness},
};
use crate::{
    age::header::{Header, HeaderError},
    file_state::FileState,
    stanza::{SealedKey, StanzaError},
};

/// Bytes of a file to read at once; our headers have about 300.
const READ: usize = 1024;

/// What to purge.
#[derive(Clone, Debug)]
pub struct Purge {
    /// The directories with sealed files.
    pub directories: Vec<PathBuf>,
    /// Whether to include subdirectories.
    pub recursive: bool,
    /// Whether to remove files, or only to report.
    pub apply: bool,
    /// The Channel that owns the files.
    pub channel: ChannelId,
    /// The time.
    pub now: Timestamp,
}

/// Why a file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WhyKept {
    /// No record says that its key was destroyed.
    NotDestroyed,
    /// A snapshot of Vault may still contain its key.
    NotEffective,
    /// Nobody declared for how long snapshots of Vault are kept.
    EffectiveUnknown,
    /// It was written after its key was destroyed: another key of that name sealed it, or it is a copy with a new
    /// time.
    WrittenAfter,
    /// Its key came back, by the record or in Vault.
    KeyBack,
    /// Its key is set aside in Vault, and may come back.
    KeySetAside,
    /// Vault gives this identity no answer about the key.
    Refused,
    /// It belongs to another Channel.
    OtherChannel,
    /// It is not a file of Subrosa, or has further recipients.
    Foreign,
    /// It changed during the check.
    Changed,
}

impl WhyKept {
    /// The words that follow a count of files.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotDestroyed => "no record says that their key was destroyed",
            Self::NotEffective => "their key was destroyed, and snapshots of Vault may hold it still",
            Self::EffectiveUnknown => {
                "their key was destroyed, and for how long snapshots of Vault are kept is not known: declare \
                 spec.vault.snapshots of the TrustDomain, and give it with -f where Destructions are given so"
            }
            Self::WrittenAfter => {
                "they were written after their key was destroyed (copy files with their times)"
            }
            Self::KeyBack => "their key was destroyed and is back",
            Self::KeySetAside => "their key is back and set aside",
            Self::Refused => "Vault does not say whether their key is there",
            Self::OtherChannel => "they are another Channel's",
            Self::Foreign => "they were not sealed with Subrosa, or have another recipient as well",
            Self::Changed => "they changed meanwhile",
        }
    }

    /// Whether a person should look into it.
    pub fn is_odd(self) -> bool {
        matches!(self, Self::KeyBack | Self::KeySetAside | Self::Refused)
    }
}

/// The dead files of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgedKey {
    /// The class of data.
    pub class: String,
    /// The cohort.
    pub cohort: String,
    /// The Destruction that destroyed it.
    pub destruction: String,
    /// When the key was destroyed.
    pub destroyed_at: Timestamp,
    /// The number of files.
    pub files: u64,
    /// Their size in bytes. A file with further hard links counts as zero, because removing it frees nothing.
    pub bytes: u64,
}

/// The result of a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeReport {
    /// Whether the dead files were removed.
    pub applied: bool,
    /// The number of dead files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The same by key.
    pub keys: Vec<PurgedKey>,
    /// The number of kept files by reason.
    pub kept: BTreeMap<WhyKept, u64>,
    /// Vault's first answer that did not say whether a key exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The number of files that could not be read or removed.
    pub failed: u64,
    /// Whether subdirectories were skipped.
    pub left_out: bool,
}

/// Receives the progress.
pub trait PurgeProgress {
    /// A file is dead, and was removed if requested.
    fn dead(&mut self, path: &Path);
    /// A file or a directory cannot be read or removed.
    fn trouble(&mut self, path: &Path, problem: &str);
    /// A file of this size was checked.
    fn looked(&mut self, bytes: u64);
}

/// The verdict on one file.
enum Verdict {
    Dead,
    Kept(WhyKept),
}

/// Checks every file and removes the dead ones. `report` has what was done before an error.
///
/// # Errors
/// When nothing can be proven any more: unchecked files stay.
pub async fn run<W: KeyWitness>(
    purge: &Purge,
    destroyed: &DestroyedKeys,
    proofs: &mut Proofs<W>,
    progress: &mut impl PurgeProgress,
    report: &mut PurgeReport,
) -> Result<(), ProofError> {
    report.applied = purge.apply;
    let mut walk = Walk::new(purge.directories.clone(), purge.recursive);
    let mut keys = BTreeMap::new();
    let ended = loop {
        let Some(next) = walk.next() else { break Ok(()) };
        let looked = match next {
            Ok(entry) => one(purge, destroyed, proofs, &entry, progress, report, &mut keys).await,
            Err((path, error)) => Ok(Err((path, error.to_string()))),
        };
        match looked {
            Ok(Ok(())) => {}
            Ok(Err((path, problem))) => {
                report.failed += 1;
                progress.trouble(&path, &problem);
            }
            Err(error) => break Err(error),
        }
        // Lets the task that renews the login run.
        tokio::task::yield_now().await;
    };
    report.left_out = walk.left_out;
    report.keys = keys.into_values().collect();
    ended
}

/// A path and why it cannot be read or removed.
type FileTrouble = (PathBuf, String);

async fn one<W: KeyWitness>(
    purge: &Purge,
    destroyed: &DestroyedKeys,
    proofs: &mut Proofs<W>,
    entry: &SealedEntry,
    progress: &mut impl PurgeProgress,
    report: &mut PurgeReport,
    keys: &mut BTreeMap<DataKeyName, PurgedKey>,
) -> Result<Result<(), FileTrouble>, ProofError> {
    let trouble = |problem: String| Ok(Err((entry.path.clone(), problem)));
    let kept = &mut report.kept;
    let mut kept = |why: WhyKept| {
        *kept.entry(why).or_default() += 1;
        Ok(Ok(()))
    };
    let looked = entry.open().and_then(|file| match file {
        Some(file) => Ok(Some((file.metadata()?, file))),
        None => Ok(None),
    });
    let (metadata, file) = match looked {
        Ok(Some(looked)) => looked,
        Ok(None) => return kept(WhyKept::Changed),
        Err(error) => return trouble(error.to_string()),
    };
    progress.looked(metadata.len());
    let key = match key_of(file) {
        Ok(Some(key)) => key,
        Ok(None) => return kept(WhyKept::Foreign),
        Err(problem) => return trouble(problem),
    };
    let is_own = key.id == purge.channel;
    let Some(record) = destroyed.get(&key) else {
        return kept(if is_own { WhyKept::NotDestroyed } else { WhyKept::OtherChannel });
    };
    let modified = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    let verdict = match by_record(record, modified, purge.now) {
        Some(why) => Verdict::Kept(why),
        None => match proofs.of(&key).await? {
            KeyPresence::Gone => Verdict::Dead,
            KeyPresence::There => Verdict::Kept(WhyKept::KeyBack),
            KeyPresence::SetAside => Verdict::Kept(WhyKept::KeySetAside),
            // An earlier Channel of the same name whose keys this one did not adopt.
            KeyPresence::Refused(_) if !is_own => Verdict::Kept(WhyKept::OtherChannel),
            KeyPresence::Refused(said) => {
                report.refusal.get_or_insert(said);
                Verdict::Kept(WhyKept::Refused)
            }
        },
    };
    if let Verdict::Kept(why) = verdict {
        return kept(why);
    }
    if purge.apply {
        match entry.remove(FileState::of(&metadata)) {
            Ok(true) => {}
            Ok(false) => return kept(WhyKept::Changed),
            Err(error) => return trouble(format!("it cannot be removed: {error}")),
        }
    }
    progress.dead(&entry.path);
    let bytes = if last_name(&metadata) { metadata.len() } else { 0 };
    report.files += 1;
    report.bytes += bytes;
    let line = keys.entry(key.clone()).or_insert_with(|| PurgedKey {
        class: key.class.clone(),
        cohort: key.cohort.to_string(),
        destruction: record.destruction.clone(),
        destroyed_at: record.gone,
        files: 0,
        bytes: 0,
    });
    line.files += 1;
    line.bytes += bytes;
    Ok(Ok(()))
}

fn last_name(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.nlink() < 2
}

/// The key that sealed a file; `None` where the file is not ours or has further recipients.
fn key_of(file: File) -> Result<Option<DataKeyName>, String> {
    let header = match Header::read(&mut BufReader::with_capacity(READ, file)) {
        Ok(header) => header,
        Err(HeaderError::NotAge) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match SealedKey::only(&header.stanzas) {
        Ok(sealed) => Ok(Some(sealed.key)),
        Err(StanzaError::Foreign(_) | StanzaError::Several(_)) => Ok(None),
        Err(error @ StanzaError::Damaged(_)) => Err(error.to_string()),
    }
}

/// Why the record requires to keep a file; `None` where it does not.
fn by_record(record: &DestroyedKey, modified: Option<Timestamp>, now: Timestamp) -> Option<WhyKept> {
    if record.is_back {
        return Some(WhyKept::KeyBack);
    }
    match record.effective {
        None => return Some(WhyKept::EffectiveUnknown),
        Some(effective) if effective > now => return Some(WhyKept::NotEffective),
        Some(_) => {}
    }
    if modified.is_none_or(|modified| modified > record.destroyed) {
        return Some(WhyKept::WrittenAfter);
    }
    None
}

#[cfg(test)]
mod tests;
