//! Removes sealed files that nothing opens any more: their key was destroyed, and they only take room.
//!
//! ```text
//! walk    the sealed files below a directory ─> whose key is it? ─┐
//! ended   what the records of Destructions say of that key       ─┼─> all agree: it is dead
//! proof   what Vault says of it now                              ─┘
//! ```
//!
//! A file stays unless all of this is so: its header is ours, with one recipient, a key of this Channel or of an earlier one of
//! its name that it adopted; a record says that the key
//! was destroyed, and that no snapshot of Vault holds it any more; it was last written before that; Vault has no such key, and
//! does have those that the Channel seals with today.

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

/// What is read of a file at once: a header of ours has about 300 bytes.
const READ: usize = 1024;

/// What is purged.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Where sealed files lie.
    pub directories: Vec<PathBuf>,
    /// Whether subdirectories are looked at as well.
    pub recursive: bool,
    /// Whether anything is removed.
    pub apply: bool,
    /// Whose files.
    pub channel: ChannelId,
    /// The time.
    pub now: Timestamp,
}

/// Why a file stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WhyKept {
    /// No record says that its key was destroyed.
    NotDestroyed,
    /// A snapshot of Vault may hold its key still.
    NotEffective,
    /// Nobody declared for how long snapshots of Vault are kept.
    EffectiveUnknown,
    /// It was written after its key was gone: another key of that name sealed it, or it is a copy that did not keep its time.
    WrittenAfter,
    /// Its key is back, by the record or in Vault.
    KeyBack,
    /// Its key is set aside in Vault, and may come back.
    KeySetAside,
    /// Vault does not say it to this identity.
    Refused,
    /// It is another Channel's.
    OtherChannel,
    /// It is no file of Subrosa, or has another recipient as well.
    Foreign,
    /// It changed while it was looked at.
    Changed,
}

impl WhyKept {
    /// In words, after a count of files.
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

    /// Whether somebody should look why.
    pub fn is_odd(self) -> bool {
        matches!(self, Self::KeyBack | Self::KeySetAside | Self::Refused)
    }
}

/// Dead files of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgedKey {
    /// The class of data.
    pub class: String,
    /// The cohort.
    pub cohort: String,
    /// The Destruction that destroyed it.
    pub destruction: String,
    /// When it was gone.
    pub destroyed_at: Timestamp,
    /// How many files.
    pub files: u64,
    /// How many bytes they take. A file that has another name elsewhere counts none: it goes on taking them.
    pub bytes: u64,
}

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeReport {
    /// Whether the dead ones were removed; else they are there.
    pub applied: bool,
    /// Dead files.
    pub files: u64,
    /// Bytes that they took.
    pub bytes: u64,
    /// The same by key.
    pub keys: Vec<PurgedKey>,
    /// How many stay, and why.
    pub kept: BTreeMap<WhyKept, u64>,
    /// What Vault said where it did not say whether a key is there, first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// How many could not be read or removed.
    pub failed: u64,
    /// Whether there are subdirectories that were left out.
    pub left_out: bool,
}

/// What is told meanwhile.
pub trait PurgeProgress {
    /// A file is dead, and was removed where that was asked for.
    fn dead(&mut self, path: &Path);
    /// A file or a directory cannot be read or removed.
    fn trouble(&mut self, path: &Path, problem: &str);
    /// A file of so many bytes was looked at.
    fn looked(&mut self, bytes: u64);
}

/// What one file is.
enum Verdict {
    Dead,
    Kept(WhyKept),
}

/// Looks at every file, and removes what is dead. What was done before an error is in `report`.
///
/// # Errors
/// When nothing can be proven any more: whatever was not looked at stays.
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
        // The login is renewed meanwhile.
        tokio::task::yield_now().await;
    };
    report.left_out = walk.left_out;
    report.keys = keys.into_values().collect();
    ended
}

/// What cannot be read or removed, and why.
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
            // An earlier one of its name, whose keys it did not adopt.
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

/// The key with which a file was sealed; none where it is no file of ours, or something else opens it as well.
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

/// Why the record does not let a file go; none where it does.
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
