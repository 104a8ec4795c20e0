//! What is decided about one data key: held, or destroyed. The destroyer alone writes it, by compare-and-set, so of a
//! LegalHold and a destruction that meet one comes first and the other one knows it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use subrosa_crds::{destruction::Approver, names::ChannelRef};

use super::keys::Terms;

/// For how long a request that nobody waits for any more may still be on its way.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// What stands at `decisions/<id>/<class>/<cohort>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// The Channel the key is of.
    pub channel: ChannelRef,
    /// The terms under which the destroyer saw the key first; none where its record had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The day that these terms set: never earlier without Approvals, whatever the policy or the key's record says later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// The LegalHolds that keep it, by name. One stays until its release was approved, also without its object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, HoldMark>,
    /// How far its destruction has come; none while nothing was begun, and after a destruction was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destruction: Option<DestructionMark>,
    /// The destruction after which the key came back, from a snapshot or a backup: it is decided anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Box<DestructionMark>>,
    /// What was called off last: a request to set the key aside may still be on its way to Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_off: Option<CalledOff>,
}

/// A destruction that was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalledOff {
    /// When the first version of the key was made that it was about.
    pub created: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// A LegalHold that keeps a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldMark {
    /// The LegalHold's UID when it was written down.
    pub uid: String,
    /// What it held and why when it was written down, as Approvals of its end repeated it: of another LegalHold of its name only
    /// one that says the same ends it.
    pub digest: String,
    /// Since when.
    pub since: Timestamp,
}

/// The destruction of a key, from the first written intent to the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestructionMark {
    /// The Destruction's name.
    pub name: String,
    /// The Destruction's UID.
    pub uid: String,
    /// What people approved.
    pub digest: String,
    /// Who approved.
    pub approved_by: Vec<Approver>,
    /// When the key's first version was made: another key under its name is not destroyed for it.
    pub created: Timestamp,
    /// A ciphertext of no data, sealed and opened with the key before anything was done to it.
    pub canary: String,
    /// When the intent was written down.
    pub intended: Timestamp,
    /// When Vault was seen to have set it aside (soft delete), and until when it can be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
    /// When everything had been checked again: from here on the key goes, and no hold stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Timestamp>,
    /// When Vault said that there is no such key, to the same identity that had opened the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<Timestamp>,
}

/// A key that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// Since when nothing opens with it.
    pub at: Timestamp,
    /// Until when it is only set aside.
    pub until: Timestamp,
}

impl CalledOff {
    /// Whether a request from before may still be on its way at `now`.
    pub fn is_fresh(self, now: Timestamp) -> bool {
        now.duration_since(self.at).abs() < LATE
    }
}

impl DecisionRecord {
    /// Whether the point of no return has passed.
    pub fn is_condemned(&self) -> bool {
        self.destruction.as_ref().is_some_and(|mark| mark.condemned.is_some())
    }

    /// Whether a request of ours to set the key aside, which was made at `created`, may reach Vault as late as `now`.
    pub fn may_be_set_aside_late(&self, created: Timestamp, now: Timestamp) -> bool {
        self.called_off.is_some_and(|off| off.created == created && off.is_fresh(now))
    }

    /// When the key was seen to be gone.
    pub fn destroyed(&self) -> Option<Timestamp> {
        self.destruction.as_ref()?.destroyed
    }
}
