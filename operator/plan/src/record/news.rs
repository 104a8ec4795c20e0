//! Events about changes of a Channel's record: written together with the change, and kept until the API server
//! accepted them.
//!
//! A crash between the write and its Event loses nothing: the next reader of the record sends it. It may be sent
//! twice, and its [mark](News::mark) makes that the same Event. A sent Event leaves the record with the next write
//! that happens anyway, or after [`LINGER`] with a write of its own.
//!
//! Only Events about something that ended for good, or about a newly trusted authority, are kept: see [`KEPT`]. Every
//! other Event repeats what status says, or is found and sent again.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subrosa_crds::Reason;

/// The reasons of Events that are kept until they are sent.
pub const KEPT: [Reason; 5] = [
    Reason::AccessWithdrawn,
    Reason::AuthorityChanged,
    Reason::ConnectionClosed,
    Reason::OpeningWithdrawn,
    Reason::TrustWithdrawn,
];

/// How many Events are kept at most. Further ones are sent at once and counted, without being kept.
pub const MOST: usize = 16;
/// The longest note.
const LONGEST: usize = 500;

/// How long a sent Event may stay in the record before a write of its own removes it. Far less than the hour for
/// which an API server keeps Events, so that a repeated Event is recognised as the same one.
pub const LINGER: SignedDuration = SignedDuration::from_mins(10);

/// An Event to send. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct News {
    /// The reason of the Event.
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub note: String,
}

impl News {
    /// Identifies this news among all of the same Channel.
    pub fn mark(&self) -> String {
        let mut hash = Sha256::new();
        for text in [self.reason.as_str(), &self.at.to_string(), &self.note] {
            hash.update(text);
            hash.update([0]);
        }
        HEXLOWER.encode(hash.finalize().get(..8).unwrap_or_default())
    }
}

/// Removes from `kept` the news that was sent (`told` has its marks). If the record `changes` otherwise, moves the
/// news that must be kept from `news` into `kept`; if not, leaves it in `news`, because news alone is no reason to
/// write a record. Returns how many found no room: they stay in `news`, to be sent at once.
pub fn keep(
    kept: &mut Vec<News>,
    changes: bool,
    news: &mut Vec<(Reason, String)>,
    told: &BTreeSet<String>,
    now: Timestamp,
) -> u64 {
    let is_told = |one: &News| told.contains(&one.mark());
    let lingers = kept.iter().any(|one| is_told(one) && now.duration_since(one.at) >= LINGER);
    if changes || lingers {
        kept.retain(|one| !is_told(one));
    }
    if !changes {
        return 0;
    }
    let mut surplus = 0;
    news.retain(|(reason, note)| {
        if !KEPT.contains(reason) {
            return true;
        }
        if kept.len() >= MOST {
            surplus += 1;
            return true;
        }
        let note = note.chars().take(LONGEST).collect();
        kept.push(News { reason: reason.as_str().to_owned(), at: now, note });
        false
    });
    surplus
}

/// By when the sent Events are removed from this record.
pub fn wake_at(kept: &[News]) -> Option<Timestamp> {
    let first = kept.iter().map(|one| one.at).min()?;
    first.checked_add(LINGER).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::channel::ChannelRecord,
        testing::{named, now},
    };

    fn record() -> ChannelRecord {
        ChannelRecord::new(named("cc-front/voice"), "uid", "oosterlinde")
    }

    fn closed(name: &str) -> (Reason, String) {
        (Reason::ConnectionClosed, format!("Egress {name}"))
    }

    fn later(minutes: i64) -> Timestamp {
        now().checked_add(SignedDuration::from_mins(minutes)).unwrap()
    }

    #[test]
    fn news_of_a_change_are_written_with_it_and_leave_when_they_were_told() {
        let (before, mut told) = (record(), BTreeSet::new());
        let mut news = vec![closed("db"), (Reason::CertificateIssued, "Expiring".to_owned())];
        let mut after = ChannelRecord { namespace_uid: "other".into(), ..before.clone() };
        after.keep_news(Some(&before), &mut news, &told, now());
        assert_eq!(news, [(Reason::CertificateIssued, "Expiring".to_owned())], "told, and not kept");
        assert_eq!(after.tell.len(), 1);
        // Nothing else changes: it stays, told or not, and is no reason to write.
        let kept = after.clone();
        after.keep_news(Some(&kept), &mut Vec::new(), &told, later(60));
        assert_eq!(after, kept, "nobody was told");
        told.insert(after.tell[0].mark());
        after.keep_news(Some(&kept), &mut Vec::new(), &told, later(1));
        assert_eq!(after, kept);
        // It goes with a write that is made anyway, or after a while.
        let mut changed = ChannelRecord { namespace_uid: "third".into(), ..kept.clone() };
        changed.keep_news(Some(&kept), &mut vec![closed("ivr")], &told, later(1));
        assert_eq!(changed.tell.iter().map(|one| one.note.as_str()).collect::<Vec<_>>(), ["Egress ivr"]);
        assert_eq!(wake_at(&kept.tell), Some(later(10)));
        after.keep_news(Some(&kept), &mut Vec::new(), &told, later(10));
        assert!(after.tell.is_empty() && wake_at(&after.tell).is_none());
    }

    #[test]
    fn what_changes_no_record_is_told_at_once() {
        let (before, mut after) = (record(), record());
        let mut news = vec![closed("db")];
        after.keep_news(Some(&before), &mut news, &BTreeSet::new(), now());
        assert_eq!((news.len(), &after), (1, &before));
    }

    #[test]
    fn what_a_record_has_no_room_for_is_told_at_once() {
        let mut record = record();
        let mut news: Vec<_> = (0..20).map(|peer| closed(&format!("peer-{peer}"))).collect();
        let all: BTreeSet<_> = news.iter().map(|(_, note)| note.clone()).collect();
        record.keep_news(None, &mut news, &BTreeSet::new(), now());
        assert_eq!((record.tell.len(), record.untold, news.len()), (MOST, 4, 4));
        let told = record.tell.iter().map(|one| &one.note).chain(news.iter().map(|(_, note)| note));
        assert_eq!(told.cloned().collect::<BTreeSet<_>>(), all);
        let marks: BTreeSet<_> = record.tell.iter().map(News::mark).collect();
        assert_eq!(marks.len(), MOST, "each has its own mark");
        // What is kept already, and perhaps not told yet, does not make room for what is new.
        let kept = record.tell.clone();
        let mut news = vec![closed(&"x".repeat(900))];
        record.keep_news(None, &mut news, &BTreeSet::new(), later(1));
        assert_eq!((&record.tell, record.untold, news.len()), (&kept, 5, 1));
    }

    #[test]
    fn a_note_is_kept_as_far_as_it_is_read() {
        let mut record = record();
        record.keep_news(None, &mut vec![closed(&"x".repeat(900))], &BTreeSet::new(), now());
        assert_eq!(record.tell[0].note.chars().count(), LONGEST);
        assert_eq!(record.clone().tell[0].mark(), record.tell[0].mark());
    }
}
