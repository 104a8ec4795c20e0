//! The next thing to do for one key that is held or to be destroyed.
//!
//! ```text
//!             ┌──────────────── a hold, a denial, a changed policy: called off ◀───────────────┐
//!             ▼                                                                                │
//!   (nothing) ──▶ intended ──▶ set aside ── grace ──▶ everything checked again ──▶ condemned ──▶ destroyed
//!                 written      soft delete,                                       written:      key not found,
//!                 canary opens read back                                          no way back   canary refused
//! ```
//!
//! A key that is there again after it was destroyed is decided anew, from the beginning.
//!
//! What the record says is written before what it announces is done, and after what it claims was seen. So each step can
//! be taken again after a process ended anywhere.

use jiff::{Timestamp, civil::Date};
use subrosa_crds::Reason;

use super::order::Order;
use crate::{
    record::decision::{CalledOff, DecisionRecord, DestructionMark, HoldMark, SetAside},
    world::fault::Fault,
};

/// A key as Vault has it.
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
    /// What an Approval of its end repeats.
    pub digest: String,
}

/// A LegalHold whose end was approved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Released {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What people approved the end of.
    pub digest: String,
}

impl Released {
    /// Whether this end is that of the hold that was written down under `name`: the same object, whose matter may have been
    /// corrected since, or one that was made anew of the same matter and keys.
    pub fn ends(&self, name: &str, mark: &HoldMark) -> bool {
        self.name == name && (self.uid == mark.uid || self.digest == mark.digest)
    }
}

/// All that decides about one key, read just now.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is decided so far.
    pub record: &'a DecisionRecord,
    /// The key; none where Vault has none of that name.
    pub key: Option<KeySeen>,
    /// The LegalHolds that name it and whose end was not approved.
    pub holds: &'a [Hold],
    /// The LegalHolds whose end was approved.
    pub released: &'a [Released],
    /// The Destruction that the record follows; where it follows none, one that lists the key.
    pub order: Option<&'a Order<'a>>,
    /// The day from which it may be destroyed.
    pub due: Option<Date>,
    /// The day in the trust domain.
    pub today: Date,
    /// Until when a key that is set aside now can be brought back; none where the grace leads beyond the calendar.
    pub grace_ends: Option<Timestamp>,
    /// Why nothing at all is destroyed.
    pub frozen: Option<&'a Fault>,
    /// Whether one more may be set aside, or condemned, in this hour.
    pub has_room: bool,
    /// The time.
    pub now: Timestamp,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: this is so, and stays so until something changes.
    Stay(Fault),
    /// Write the record so.
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

/// The next thing to do for the key.
pub fn next(facts: &Facts<'_>) -> Next {
    match &facts.record.destruction {
        Some(mark) if mark.destroyed.is_some() => after_the_end(mark, facts),
        Some(mark) if mark.condemned.is_some() => condemned(mark, facts),
        mark => undecided(mark.as_ref(), facts),
    }
}

/// The record once the canary of a key was opened: the intent.
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

/// The record once Vault said that there is no such key.
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

/// A key that is back is one that nobody decided about: LegalHolds that came since count, and people approve it again. What
/// was approved once is kept, for the case that it goes by itself.
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

/// No way back: the key goes, unless what stands under its name is another one or the store itself is in doubt.
fn condemned(mark: &DestructionMark, facts: &Facts<'_>) -> Next {
    match (facts.key, facts.frozen) {
        (None, _) => Next::Prove,
        (Some(key), _) if key.created != mark.created => Next::Stay(another_key()),
        (Some(_), Some(frozen)) => Next::Stay(frozen.clone()),
        // Somebody brought it back, too late: what is deleted is out of use first.
        (Some(key), None) if !key.set_aside => Next::SetAside,
        (Some(_), None) => Next::Delete,
    }
}

fn undecided(mark: Option<&DestructionMark>, facts: &Facts<'_>) -> Next {
    if let Some(record) = with_holds(facts.record, facts.holds, facts.released, facts.now) {
        return Next::Write(Box::new(record));
    }
    // Asked of Vault before it was called off, and done after.
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

/// The record with the holds that there are, where it has others and the point of no return has not passed. It can be asked
/// without looking at the key.
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

/// Why this Destruction has nothing to say about the key: another policy was the one under which it was made.
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
        // A snapshot of the time of its grace brings it back as it was: out of use.
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
    // The canary is sealed with a key that is in use.
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
    // A clock that is not trusted calls nothing off: what is set aside waits.
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
            // Without an end of the grace it was not begun; should it be so now, it waits.
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

/// Brings the key back and forgets the intent; what is so is said once both are done.
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
