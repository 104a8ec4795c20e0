//! The next step for one key that is held or to be destroyed.
//!
//! ```text
//!             ┌──────────────── a hold, a denial, a changed policy: called off ◀───────────────┐
//!             ▼                                                                                │
//!   (nothing) ──▶ intended ──▶ set aside ── grace ──▶ everything checked again ──▶ condemned ──▶ destroyed
//!                 written      soft delete,                                       written:      key not found,
//!                 canary opens read back                                          no way back   canary refused
//! ```
//!
//! A destroyed key that exists again starts from the beginning.
//!
//! The record announces a step before it is taken, and confirms a result only after it was seen. So each step can be
//! repeated after a crash at any point.

use jiff::{Timestamp, civil::Date};
use subrosa_crds::Reason;

use super::order::Order;
use crate::{
    record::decision::{CalledOff, DecisionRecord, DestructionMark, HoldMark, SetAside},
    world::fault::Fault,
};

/// The state of a key in Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySeen {
    /// When its first version was made.
    pub created: Timestamp,
    /// Whether it is set aside: soft-deleted.
    pub set_aside: bool,
}

/// A LegalHold that names a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The digest that an Approval of its release repeats.
    pub digest: String,
}

/// A LegalHold whose release was approved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Released {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The digest that people approved.
    pub digest: String,
}

impl Released {
    /// Whether this release ends the hold recorded under `name`: the same object, even if its matter was corrected
    /// since, or a new object with the same matter and keys.
    pub fn ends(&self, name: &str, mark: &HoldMark) -> bool {
        self.name == name && (self.uid == mark.uid || self.digest == mark.digest)
    }
}

/// Everything that decides about one key, freshly read.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The key's record.
    pub record: &'a DecisionRecord,
    /// The key; none where Vault has none of that name.
    pub key: Option<KeySeen>,
    /// The LegalHolds that match it and whose release was not approved.
    pub holds: &'a [Hold],
    /// The LegalHolds whose release was approved.
    pub released: &'a [Released],
    /// The Destruction that the record follows; where it follows none, one that lists the key.
    pub order: Option<&'a Order<'a>>,
    /// The day from which it may be destroyed.
    pub due: Option<Date>,
    /// The day in the trust domain.
    pub today: Date,
    /// When the grace of a key that is set aside now would end; `None` where that is beyond the calendar.
    pub grace_ends: Option<Timestamp>,
    /// Why all destruction is frozen, where it is.
    pub frozen: Option<&'a Fault>,
    /// Whether the hourly limit allows one more key to be set aside or condemned.
    pub has_room: bool,
    /// The time.
    pub now: Timestamp,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do nothing until something changes; the fault says what is so.
    Stay(Fault),
    /// Write this record.
    Write(Box<DecisionRecord>),
    /// Seal a canary, open it, and write [`begun`].
    Begin,
    /// Have Vault set the key aside, and read it back.
    SetAside,
    /// Have Vault bring the key back, and read it back.
    Restore,
    /// Have Vault delete the key.
    Delete,
    /// Try the canary: only when Vault says that there is no such key, write [`proven`].
    Prove,
}

/// The next step for the key.
pub fn next(facts: &Facts<'_>) -> Next {
    match &facts.record.destruction {
        Some(mark) if mark.destroyed.is_some() => after_the_end(mark, facts),
        Some(mark) if mark.condemned.is_some() => condemned(mark, facts),
        mark => undecided(mark.as_ref(), facts),
    }
}

/// The record of the intent, written once the canary of the key was opened.
#[must_use]
pub fn begun(
    record: &DecisionRecord,
    order: &Order<'_>,
    key: KeySeen,
    canary: String,
    now: Timestamp,
) -> DecisionRecord {
    let mark = DestructionMark {
        name: order.destruction.metadata.name.clone().unwrap_or_default(),
        uid: order.uid().to_owned(),
        digest: order.destruction.spec.digest.clone(),
        approved_by: order.tally.valid(now),
        created: key.created,
        canary,
        intended: now,
        set_aside: None,
        condemned: None,
        destroyed: None,
    };
    DecisionRecord { destruction: Some(mark), called_off: None, ..record.clone() }
}

/// The record once Vault confirmed that the key does not exist.
#[must_use]
pub fn proven(record: &DecisionRecord, now: Timestamp) -> DecisionRecord {
    with(record, |mark| mark.destroyed = Some(now))
}

fn with(record: &DecisionRecord, change: impl FnOnce(&mut DestructionMark)) -> DecisionRecord {
    let mut record = record.clone();
    if let Some(mark) = &mut record.destruction {
        change(mark);
    }
    record
}

fn stay(reason: Reason, message: impl Into<String>) -> Next {
    Next::Stay(Fault::new(reason, message))
}

/// A destroyed key that exists again counts as undecided: new LegalHolds apply and people must approve again. The old
/// approval is kept in the record, in case the key disappears by itself.
fn after_the_end(mark: &DestructionMark, facts: &Facts<'_>) -> Next {
    match (facts.key, facts.frozen) {
        (None, _) => stay(Reason::Destroyed, "its key is gone, and its canary does not open"),
        (Some(key), _) if key.created != mark.created => Next::Stay(another_key()),
        (Some(_), Some(_)) => stay(
            Reason::Resurrected,
            "its key was destroyed and is back from a snapshot or a backup of Vault; next: see docs/destruction.md",
        ),
        (Some(_), None) => Next::Write(Box::new(DecisionRecord {
            destruction: None,
            past: Some(Box::new(mark.clone())),
            ..facts.record.clone()
        })),
    }
}

fn another_key() -> Fault {
    Fault::new(
        Reason::KeyReplaced,
        "another key stands under its name, which is not destroyed for it; next: find who made it",
    )
}

/// No way back: the key is deleted, unless another key has its name or the store is in doubt.
fn condemned(mark: &DestructionMark, facts: &Facts<'_>) -> Next {
    match (facts.key, facts.frozen) {
        (None, _) => Next::Prove,
        (Some(key), _) if key.created != mark.created => Next::Stay(another_key()),
        (Some(_), Some(frozen)) => Next::Stay(frozen.clone()),
        // Somebody restored it too late. A key is taken out of use before it is deleted.
        (Some(key), None) if !key.set_aside => Next::SetAside,
        (Some(_), None) => Next::Delete,
    }
}

fn undecided(mark: Option<&DestructionMark>, facts: &Facts<'_>) -> Next {
    if let Some(record) = with_holds(facts.record, facts.holds, facts.released, facts.now) {
        return Next::Write(Box::new(record));
    }
    // A soft delete that was requested before the destruction was called off, and took effect after it.
    let is_late = |key: KeySeen| key.set_aside && facts.record.may_be_set_aside_late(key.created, facts.now);
    if mark.is_none() && facts.key.is_some_and(is_late) {
        return Next::Restore;
    }
    let held: Vec<_> = facts.record.holds.keys().cloned().collect();
    if !held.is_empty() {
        return call_off(
            mark,
            facts,
            Fault::new(Reason::Held, format!("held by LegalHold {}", held.join(", "))),
        );
    }
    match mark {
        None => may_begin(facts),
        Some(mark) => go_on(mark, facts),
    }
}

/// The record with its holds updated, where they changed and the key is not condemned. Does not need the state of the
/// key.
#[must_use]
pub fn with_holds(
    before: &DecisionRecord,
    holds: &[Hold],
    released: &[Released],
    now: Timestamp,
) -> Option<DecisionRecord> {
    if before.is_condemned() {
        return None;
    }
    let mut record = before.clone();
    let is_released = |name: &String, mark: &HoldMark| released.iter().any(|one| one.ends(name, mark));
    record.holds.retain(|name, mark| !is_released(name, mark));
    for hold in holds {
        let mark = || HoldMark { uid: hold.uid.clone(), digest: hold.digest.clone(), since: now };
        record.holds.entry(hold.name.clone()).or_insert_with(mark);
    }
    (record.holds != before.holds).then_some(record)
}

/// Why this Destruction does not apply to the key: the key was made under another policy.
fn foreign(order: &Order<'_>, facts: &Facts<'_>) -> Option<Fault> {
    let policy = &order.destruction.spec.retention_policy.name;
    let made_under = facts.record.terms.as_ref().map(|terms| terms.policy.as_str());
    (made_under != Some(policy.as_str())).then(|| {
        let under =
            made_under.map_or("no policy that is known".to_owned(), |name| format!("RetentionPolicy {name}"));
        Fault::new(
            Reason::NotListed,
            format!("it was made under {under}, and is listed under {policy}: nothing is done"),
        )
    })
}

fn may_begin(facts: &Facts<'_>) -> Next {
    let past = facts.record.past.as_deref();
    match facts.key {
        None => {
            return match past {
                Some(mark) => Next::Write(Box::new(DecisionRecord {
                    destruction: Some(mark.clone()),
                    past: None,
                    ..facts.record.clone()
                })),
                None => stay(Reason::KeyMissing, "Vault has no such key, and nobody here destroyed it"),
            };
        }
        // A snapshot that was taken during the grace restores a destroyed key as soft-deleted; this is not that case.
        Some(key) if key.set_aside && past.is_none_or(|mark| mark.created != key.created) => {
            return stay(
                Reason::KeySoftDeleted,
                "it is soft-deleted, and nobody here did that; next: find who did",
            );
        }
        Some(_) => {}
    }
    if let Some(foreign) = facts.order.and_then(|order| foreign(order, facts)) {
        return Next::Stay(foreign);
    }
    if let Some(refusal) = facts.order.and_then(|order| order.refusal.clone()) {
        return Next::Stay(refusal);
    }
    let Some(due) = facts.due.filter(|due| *due <= facts.today) else {
        let when = facts.due.map_or("no day is set".to_owned(), |due| format!("it is due on {due}"));
        return stay(Reason::NotDue, when);
    };
    let Some(order) = facts.order else {
        return stay(Reason::NotListed, format!("it is due since {due}, and not listed"));
    };
    if !order.may_begin(facts.now) {
        return Next::Stay(order.why_not(facts.now));
    }
    if let Some(frozen) = facts.frozen {
        return Next::Stay(frozen.clone());
    }
    if facts.grace_ends.is_none() {
        return stay(
            Reason::InvalidDate,
            format!("its grace, {}, leads beyond the calendar", order.rules.grace),
        );
    }
    if !facts.has_room {
        return stay(Reason::RateLimited, "enough was set aside in this hour: it has its turn in the next");
    }
    // Only a key that is in use can seal the canary.
    if facts.key.is_some_and(|key| key.set_aside) { Next::Restore } else { Next::Begin }
}

fn go_on(mark: &DestructionMark, facts: &Facts<'_>) -> Next {
    let order =
        facts.order.filter(|order| order.uid() == mark.uid && order.destruction.spec.digest == mark.digest);
    let Some(order) = order else {
        let gone = format!("Destruction {}, for which it was set aside, is not there, or is done", mark.name);
        return call_off(Some(mark), facts, Fault::new(Reason::NotListed, gone));
    };
    if let Some(foreign) = foreign(order, facts) {
        return call_off(Some(mark), facts, foreign);
    }
    let stands = if mark.set_aside.is_some() { order.still_stands() } else { order.may_begin(facts.now) };
    if !stands {
        return call_off(Some(mark), facts, order.why_not(facts.now));
    }
    // An untrusted clock calls nothing off: a key that is set aside waits.
    if facts.frozen.is_none() && facts.due.is_none_or(|due| due > facts.today) {
        let later = Fault::new(Reason::NotDue, "it is not due any more");
        return call_off(Some(mark), facts, later);
    }
    let Some(key) = facts.key else {
        return stay(Reason::KeyMissing, "Vault has no such key, and it was not deleted here yet");
    };
    if key.created != mark.created {
        return Next::Stay(another_key());
    }
    match (mark.set_aside, key.set_aside) {
        (None, false) => match facts.frozen {
            Some(frozen) => Next::Stay(frozen.clone()),
            None => Next::SetAside,
        },
        (None, true) => {
            // A step whose grace has no end was not begun; if it has none now, the key waits.
            let Some(until) = facts.grace_ends else {
                return stay(Reason::InvalidDate, "its grace leads beyond the calendar");
            };
            let set_aside = SetAside { at: facts.now, until };
            Next::Write(Box::new(with(facts.record, |mark| mark.set_aside = Some(set_aside))))
        }
        (Some(_), false) => {
            let back = Fault::new(Reason::AwaitingApproval, "somebody brought it back: it is approved anew");
            call_off(Some(mark), facts, back)
        }
        (Some(set_aside), true) if facts.now < set_aside.until => stay(
            Reason::SetAside,
            format!("nothing opens with it; it can be brought back until {}", set_aside.until),
        ),
        (Some(_), true) => match facts.frozen {
            Some(frozen) => Next::Stay(frozen.clone()),
            None if !facts.has_room => stay(
                Reason::RateLimited,
                "its grace has passed, and enough was condemned in this hour: it has its turn in the next",
            ),
            None => Next::Write(Box::new(with(facts.record, |mark| mark.condemned = Some(facts.now)))),
        },
    }
}

/// Restores the key and deletes the intent. The reason is reported once both are done.
fn call_off(mark: Option<&DestructionMark>, facts: &Facts<'_>, why: Fault) -> Next {
    let Some(mark) = mark else { return Next::Stay(why) };
    match facts.key {
        Some(key) if key.set_aside && key.created == mark.created => Next::Restore,
        _ => {
            let called_off = Some(CalledOff { created: mark.created, at: facts.now });
            Next::Write(Box::new(DecisionRecord { destruction: None, called_off, ..facts.record.clone() }))
        }
    }
}
