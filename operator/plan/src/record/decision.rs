//! The decision about one data key: held or destroyed. Only the destroyer writes it, by compare-and-set, so that of a
//! LegalHold and a destruction that race one is first and the other sees it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use subrosa_crds::{destruction::Approver, names::ChannelRef};

use super::keys::Terms;

/// How long a request to Vault may still take effect after the destroyer stopped waiting for it.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// The record at `decisions/<id>/<class>/<cohort>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// The Channel the key is of.
    pub channel: ChannelRef,
    /// The terms that applied when the destroyer first saw the key; `None` where the key's record had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The due day by these terms. Without Approvals it never gets earlier, whatever the policy or the key's record
    /// says later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// The LegalHolds that protect it, by name. A hold stays until its release is approved, even when its object is
    /// deleted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, HoldMark>,
    /// The progress of its destruction; `None` while none was begun, and after one was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destruction: Option<DestructionMark>,
    /// The destruction after which the key came back from a snapshot or a backup; the key is undecided again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Box<DestructionMark>>,
    /// The last destruction that was called off: its request to set the key aside may still reach Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_off: Option<CalledOff>,
}

/// A destruction that was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalledOff {
    /// When the first version of that key was made.
    pub created: Timestamp,
    /// When it was called off.
    pub at: Timestamp,
}

/// A LegalHold that keeps a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldMark {
    /// The LegalHold's UID when the hold was recorded.
    pub uid: String,
    /// The digest of its matter and selectors when the hold was recorded, which Approvals of its release repeat.
    /// Another LegalHold of the same name ends this hold only if it has the same digest.
    pub digest: String,
    /// Since when.
    pub since: Timestamp,
}

/// The destruction of a key, from the recorded intent to the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestructionMark {
    /// The Destruction's name.
    pub name: String,
    /// The Destruction's UID.
    pub uid: String,
    /// The digest that people approved.
    pub digest: String,
    /// Who approved.
    pub approved_by: Vec<Approver>,
    /// When the key's first version was made, so that another key under its name is not destroyed.
    pub created: Timestamp,
    /// A ciphertext of no data, sealed and opened with the key before anything was done to it.
    pub canary: String,
    /// When the intent was recorded.
    pub intended: Timestamp,
    /// When Vault confirmed the soft delete, and until when the key can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
    /// When all checks were repeated after the grace: from here on the key is deleted, and no hold stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Timestamp>,
    /// When Vault told the identity that had opened the canary that the key does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<Timestamp>,
}

/// The time for which a key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// Since when nothing opens with it.
    pub at: Timestamp,
    /// When its grace ends.
    pub until: Timestamp,
}

impl CalledOff {
    /// Whether a request to Vault may still take effect at `now`.
    pub fn is_fresh(self, now: Timestamp) -> bool {
        now.duration_since(self.at).abs() < LATE
    }
}

impl DecisionRecord {
    /// Whether the point of no return has passed.
    pub fn is_condemned(&self) -> bool {
        self.destruction.as_ref().is_some_and(|mark| mark.condemned.is_some())
    }

    /// Whether our request to set aside the key that was made at `created` may still reach Vault at `now`.
    pub fn may_be_set_aside_late(&self, created: Timestamp, now: Timestamp) -> bool {
        self.called_off.is_some_and(|off| off.created == created && off.is_fresh(now))
    }

    /// When the key was confirmed gone.
    pub fn destroyed(&self) -> Option<Timestamp> {
        self.destruction.as_ref()?.destroyed
    }
}
