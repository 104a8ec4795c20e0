//! Moves a sealed file to another key: of another cohort, or the newest version of its own.
//!
//! ```text
//! header ─> file key, opened with the old key ─> wrapped with the new one ─> new header ─┐
//! payload ─> every chunk is opened and thrown away                                       ├─> the same file
//!         └────────────────> and copied as it is ────────────────────────────────────────┘
//! ```
//!
//! The file key and the payload's nonce stay, so the payload's bytes are the same under both headers. The header's
//! MAC is computed again, because it covers the recipient.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use jiff::civil::Date;
use secrecy::ExposeSecret as _;
use subrosa_crds::{cohort::Cohort, names::DataKeyName, period::Period};
use subrosa_records::vault::sealing::SealingKeys;

use crate::{
    age::{
        header::Header,
        pipeline::{self, PayloadDirection},
    },
    file_state::FileState,
    seal::{self, Counted, Doing, Opened, SealError},
    stanza::SealedKey,
    target::TargetFile,
};

/// The new cohort is due earlier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cohort {to} is due on {to_due}, and {from}, in which it is, on {from_due}: its life would be shorter. \
     Give --earlier if that is meant"
)]
pub struct Earlier {
    /// The current cohort.
    pub from: Cohort,
    /// Its due day.
    pub from_due: Date,
    /// The new cohort.
    pub to: Cohort,
    /// Its due day.
    pub to_due: Date,
}

/// Refuses a move to a cohort that is due earlier. An open cohort has no due day yet.
///
/// # Errors
/// [`Earlier`] when the new cohort is due earlier.
pub fn not_earlier(from: Cohort, to: Cohort, keep: Period) -> Result<(), Earlier> {
    if from.is_open() || to.is_open() {
        return Ok(());
    }
    match (from.due(keep), to.due(keep)) {
        (Ok(from_due), Ok(to_due)) if to_due < from_due => Err(Earlier { from, from_due, to, to_due }),
        _ => Ok(()),
    }
}

/// The result for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is sealed with the new key.
    Moved,
    /// It was already sealed with the newest version of that key.
    WasThere,
}

/// Moves `opened`, the file `path`, to `key`, bound to the same item. The file is replaced once the new one is
/// complete and synced; before that, every chunk of the payload was opened. `done` counts the bytes read.
///
/// # Errors
/// When this identity may not open it or may not seal with `key`, the file is damaged, or the disk is full. The file
/// is unchanged then.
pub async fn reseal(
    keys: &SealingKeys,
    opened: Opened<BufReader<File>>,
    path: &Path,
    key: &DataKeyName,
    workers: NonZeroUsize,
    done: Arc<AtomicU64>,
) -> Result<Moved, SealError> {
    let bytes = opened.file_key(keys).await?;
    let file_key = seal::file_key(bytes.expose_secret())?;
    opened.verify(&file_key)?;
    let SealedKey { key: old, item, wrapped: old_wrapped } = opened.sealed();
    let wrapped = keys.wrap(&seal::transit_name(key)?, &bytes, &item.associated_data()).await;
    let wrapped = wrapped.map_err(|error| seal::refused(error, key, Doing::Seal))?;
    if old == key && old_wrapped.version == wrapped.version {
        return Ok(Moved::WasThere);
    }
    let sealed = SealedKey { key: key.clone(), item: item.clone(), wrapped };
    let mut head = Header::write(&file_key, &sealed.stanza());
    head.extend_from_slice(opened.nonce());
    let payload_key = seal::payload_key(&file_key, opened.nonce())?;
    let path = path.to_owned();
    let replaced = tokio::task::spawn_blocking(move || {
        let at = |source| SealError::File { path: path.clone(), source };
        let input = opened.into_input();
        let before = input.get_ref().metadata().map_err(at)?;
        let mut target = TargetFile::begin(&path, true).map_err(at)?;
        target.write_all(&head).map_err(at)?;
        let mut copy = Copying { input, target, failed: None };
        let opened = pipeline::run(
            PayloadDirection::Open,
            &payload_key,
            Counted::new(&mut copy, done),
            &mut io::sink(),
            workers,
        );
        if let Some(source) = copy.failed {
            return Err(at(source));
        }
        opened?;
        let now = path.symlink_metadata().map_err(at)?;
        if FileState::of(&now) != FileState::of(&before) {
            return Err(at(io::Error::other("it was changed meanwhile: try again")));
        }
        copy.target.take_rights(&before).and_then(|()| copy.target.finish()).map_err(at)
    })
    .await;
    replaced.map_err(|_| SealError::Internal("the copying ended early"))??;
    Ok(Moved::Moved)
}

/// A reader that also writes what it reads to the target.
struct Copying<R> {
    input: R,
    target: TargetFile,
    /// Why writing the target failed.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(room)?;
        match self.target.write_all(room.get(..read).unwrap_or_default()) {
            Ok(()) => Ok(read),
            Err(error) => {
                let told = io::Error::from(error.kind());
                self.failed = Some(error);
                Err(told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(text: &str) -> Cohort {
        text.parse().unwrap()
    }

    #[test]
    fn a_shorter_life_is_refused_and_a_first_date_is_not() {
        let keep: Period = "90d".parse().unwrap();
        let refused = not_earlier(cohort("2026w30"), cohort("2026w29"), keep).unwrap_err().to_string();
        assert!(refused.contains("2026w29") && refused.contains("--earlier"), "{refused}");
        for (from, to) in [("2026w30", "2026w31"), ("2026w30", "2026w30"), ("open-2026", "2019")] {
            assert_eq!(not_earlier(cohort(from), cohort(to), keep), Ok(()), "{from} {to}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_written_is_told_apart_from_an_input_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let target = TargetFile::begin(&directory.path().join("a"), true).unwrap();
        let mut copy = Copying { input: b"text".as_slice(), target, failed: None };
        let mut room = [0; 8];
        assert_eq!(copy.read(&mut room).unwrap(), 4);
        assert!(copy.failed.is_none());
    }
}
