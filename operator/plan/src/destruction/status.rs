//! The status of Destructions and LegalHolds.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, civil::Date};
use kube::ResourceExt as _;
use subrosa_crds::{
    DestructionStatus, LegalHold, LegalHoldStatus, Reason,
    condition::{self, EFFECTIVE, HELD, READY, STALLED, Truth, Verdict},
    destruction::{KeyOutcome, ListedKey, effective_at},
    period::Period,
};

use super::{
    order::Order,
    settled::{note_return, voided},
};
use crate::{
    record::decision::{DecisionRecord, DestructionMark},
    world::fault::Fault,
};

/// How the data became unreadable: cryptographic erase, as NIST SP 800-88 Rev. 2 calls it.
pub const METHOD: &str = "cryptographic erase (NIST SP 800-88r2): the transit key was deleted; a canary sealed with it no longer opens";

/// Reasons that end a Destruction until somebody changes something.
const ENDS: [Reason; 6] = [
    Reason::Contradictory,
    Reason::DigestMismatch,
    Reason::PolicyChanged,
    Reason::ReportOnly,
    Reason::KeyReplaced,
    Reason::Voided,
];
/// Reasons that need a person, the worst first.
const WORST: [Reason; 9] = [
    Reason::Resurrected,
    Reason::ProofFailed,
    Reason::KeyReplaced,
    Reason::KeyMissing,
    Reason::KeySoftDeleted,
    Reason::StoreRestored,
    Reason::StateRestored,
    Reason::ClockJumped,
    Reason::TooMuchDue,
];
/// How many names of LegalHolds or keys a message holds.
const MOST_NAMES: usize = 50;

/// The outcome for one key of a list.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// The key.
    pub key: &'a ListedKey,
    /// The key's record, where there is one.
    pub record: Option<DecisionRecord>,
    /// The current state of the key.
    pub is: Fault,
}

/// The status of a Destruction with these `outcomes`. `snapshots_kept` is how long snapshots of Vault are declared to
/// be kept; `None` where nothing is declared.
pub fn destruction(
    order: &Order<'_>,
    outcomes: &[Outcome<'_>],
    snapshots_kept: Option<SignedDuration>,
    now: Timestamp,
) -> DestructionStatus {
    let object = order.destruction;
    let before = object.status.as_ref();
    let outcomes: Vec<_> =
        outcomes.iter().map(|one| Outcome { is: as_of(one, order.uid()), ..one.clone() }).collect();
    let outcomes = outcomes.as_slice();
    let mut keys: Vec<_> = outcomes.iter().map(|one| outcome(one, before, order.uid(), now)).collect();
    let is_gone = |key: &&KeyOutcome| key.destroyed_at.is_some() && key.state == Reason::Destroyed.as_str();
    let gone = keys.iter().filter(is_gone).count();
    let whole = gone == outcomes.len() && !outcomes.is_empty();
    // Keys that another list destroyed never become this one's: this list ends without them.
    let elsewhere = outcomes.iter().filter(|one| is_of_another(one)).count();
    let is_over = elsewhere > 0 && gone + elsewhere == outcomes.len();
    let last = keys.iter().filter(is_gone).flat_map(|key| [&key.destroyed_at, &key.gone_again_at]);
    let last = last.filter_map(|at| at.as_deref()?.parse::<Timestamp>().ok()).max();
    let is_void = (order.is_void() || is_over) && !whole && outcomes.iter().all(is_at_rest);
    // A void list is kept for ever, so its status names only the keys that it destroyed.
    keys.retain(|key| !is_void || key.destroyed_at.is_some());
    let count = |reason: Reason| outcomes.iter().filter(|one| one.is.reason == reason).count();
    let set_aside =
        keys.iter().filter(|key| key.set_aside_at.is_some() && key.destroyed_at.is_none()).count();
    let verdict = match &order.refusal {
        Some(refusal) if is_void => voided(&refusal.message, gone, outcomes.len()),
        None if is_void => {
            let why = format!("another Destruction destroyed {elsewhere} of its keys");
            voided(&why, gone, outcomes.len())
        }
        _ => verdict(outcomes, gone),
    };
    let marks = || outcomes.iter().filter_map(|one| one.record.as_ref()?.destruction.as_ref());
    let mut approved_by: Vec<_> = match marks().next() {
        Some(mark) => mark.approved_by.clone(),
        None => order.tally.valid(now),
    };
    approved_by.sort();
    let held = count(Reason::Held);
    let mut verdicts = vec![verdict.clone(), approved(order, before, now)];
    if held > 0 && !is_void {
        let holds: BTreeSet<_> = outcomes
            .iter()
            .filter_map(|one| one.record.as_ref())
            .flat_map(|record| record.holds.keys().cloned())
            .collect();
        let names: Vec<_> = holds.into_iter().take(MOST_NAMES).collect();
        verdicts.push(Verdict::new(
            HELD,
            Truth::True,
            Reason::Held,
            format!("{held} of {} keys are held by LegalHold {}", outcomes.len(), names.join(", ")),
        ));
    }
    if ENDS.contains(&verdict.reason) {
        verdicts.push(Verdict { kind: STALLED, truth: Truth::True, ..verdict.clone() });
    }
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    DestructionStatus {
        observed_generation: object.metadata.generation,
        state: Some(verdict.reason.as_str().to_owned()),
        approvals: Some(format!("{}/{}", approved_by.len(), shown(order.rules.approvals))),
        approved_by,
        total: i64::try_from(outcomes.len()).ok(),
        set_aside: i64::try_from(set_aside).ok(),
        destroyed: i64::try_from(gone).ok(),
        grace_until: marks()
            .filter_map(|mark| Some(mark.set_aside?.until))
            .max()
            .map(|until| until.to_string()),
        destroyed_at: last.filter(|_| whole).map(|last| last.to_string()),
        effective_at: last
            .filter(|_| whole)
            .and_then(|last| effective_at(last, snapshots_kept, None))
            .map(|effective| effective.to_string()),
        method: whole.then(|| METHOD.to_owned()),
        keys,
        conditions: condition::conditions(verdicts, old, object.metadata.generation, now),
    }
}

/// Whether the status is complete evidence of a destruction.
pub fn is_finished(status: &DestructionStatus) -> bool {
    status.method.is_some() && status.destroyed_at.is_some()
}

/// Whether a list is finished, because its keys are gone or because it is void. Nothing of it is followed again; only
/// the return of a key that it destroyed is still watched.
pub fn is_settled(status: &DestructionStatus) -> bool {
    let stalled = condition::find(&status.conditions, STALLED);
    is_finished(status) || stalled.and_then(Reason::of) == Some(Reason::Voided)
}

/// Whether another list destroyed the key and has its record.
fn is_of_another(one: &Outcome<'_>) -> bool {
    one.record.is_none() && one.is.reason == Reason::Destroyed
}

/// Whether no step for the key is in progress.
fn is_at_rest(one: &Outcome<'_>) -> bool {
    match &one.record {
        Some(record) => record.destruction.as_ref().is_none_or(|mark| mark.destroyed.is_some()),
        None => {
            is_of_another(one)
                || [Reason::NotListed, Reason::KeyUnrecorded, Reason::Malformed].contains(&one.is.reason)
        }
    }
}

fn shown(needed: i32) -> String {
    if needed == i32::MAX { "?".to_owned() } else { needed.to_string() }
}

/// The state of a key from the view of the list with this UID: a key that this list destroyed and that is now
/// undecided came back.
fn as_of(one: &Outcome<'_>, uid: &str) -> Fault {
    let is_anew = |record: &DecisionRecord| record.destruction.is_none() && past(record, uid).is_some();
    if one.record.as_ref().is_some_and(is_anew) {
        let message = "its key was destroyed and is back from a snapshot or a backup of Vault; next: approve the Destruction \
                       that lists it anew";
        return Fault::new(Reason::Resurrected, message);
    }
    one.is.clone()
}

/// The destruction by the list with this UID, after which the key came back.
fn past<'a>(record: &'a DecisionRecord, uid: &str) -> Option<&'a DestructionMark> {
    record.past.as_deref().filter(|mark| mark.uid == uid && mark.destroyed.is_some())
}

/// The status entry of a key. What was proven once stays in it.
fn outcome(one: &Outcome<'_>, before: Option<&DestructionStatus>, uid: &str, now: Timestamp) -> KeyOutcome {
    let key = one.key;
    let is_same =
        |of: &&KeyOutcome| (&of.id, &of.data_class, &of.cohort) == (&key.id, &key.data_class, &key.cohort);
    let proven = before.into_iter().flat_map(|status| &status.keys);
    let proven = proven.filter(is_same).find(|of| of.destroyed_at.is_some());
    let record = one.record.as_ref();
    let mark = record.and_then(|record| record.destruction.as_ref().or_else(|| past(record, uid)));
    let text = |at: Timestamp| at.to_string();
    let mut told = match (mark, proven) {
        (None, Some(proven)) => proven.clone(),
        _ => KeyOutcome {
            id: key.id.clone(),
            data_class: key.data_class.clone(),
            cohort: key.cohort.clone(),
            state: String::new(),
            created_at: mark.map(|mark| text(mark.created)),
            set_aside_at: mark.and_then(|mark| mark.set_aside).map(|set_aside| text(set_aside.at)),
            destroyed_at: mark.and_then(|mark| mark.destroyed).map(text),
            back_at: proven.and_then(|proven| proven.back_at.clone()),
            gone_again_at: proven.and_then(|proven| proven.gone_again_at.clone()),
            canary: mark.filter(|mark| mark.destroyed.is_some()).map(|mark| mark.canary.clone()),
        },
    };
    let was_back = proven.is_some_and(|proven| proven.state == Reason::Resurrected.as_str());
    // Another list has the key now. For this list the key is back until that one destroys it.
    let reason = match one.is.reason {
        Reason::NotListed if was_back => Reason::Resurrected,
        reason => reason,
    };
    if told.destroyed_at.is_some() && [Reason::Resurrected, Reason::Destroyed].contains(&reason) {
        note_return(&mut told, was_back, reason == Reason::Resurrected, now);
    }
    told.state = reason.as_str().to_owned();
    told
}

/// The state of the whole list: the worst key, else the next step, and Destroyed when every key is.
fn verdict(outcomes: &[Outcome<'_>], destroyed: usize) -> Verdict {
    let all = outcomes.len();
    let worst = WORST.iter().find_map(|reason| outcomes.iter().find(|one| one.is.reason == *reason));
    let left = || outcomes.iter().filter(|one| one.is.reason != Reason::Destroyed);
    // Held keys have a condition of their own, so Ready shows the progress of the others.
    let next = || left().find(|one| one.is.reason != Reason::Held).or_else(|| left().next());
    let Some(shown) = worst.or_else(next) else {
        return Verdict::new(
            READY,
            Truth::True,
            Reason::Destroyed,
            format!("all {all} keys are gone: {METHOD}"),
        );
    };
    let same = outcomes.iter().filter(|one| one.is.reason == shown.is.reason).count();
    let of =
        if same == all { String::new() } else { format!("{same} of {all} keys, {destroyed} destroyed; ") };
    let what = if worst.is_some() {
        format!("{of}{}: {}", shown.key.key_name(), shown.is.message)
    } else {
        format!("{of}{}", shown.is.message)
    };
    Verdict::new(READY, Truth::False, shown.is.reason, what)
}

fn approved(order: &Order<'_>, before: Option<&DestructionStatus>, now: Timestamp) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(condition::APPROVED, truth, reason, message);
    if order.may_begin(now) {
        let names: Vec<_> = order.tally.valid(now).into_iter().map(|one| one.approval).collect();
        return verdict(Truth::True, Reason::Approved, format!("by Approval {}", names.join(", ")));
    }
    let begun =
        before.is_some_and(|status| status.set_aside.unwrap_or(0) + status.destroyed.unwrap_or(0) > 0);
    if begun && order.still_stands() {
        return verdict(Truth::True, Reason::Approved, "it was approved when it was begun".to_owned());
    }
    let why = order.why_not(now);
    verdict(Truth::False, why.reason, why.message)
}

/// How many keys a LegalHold matches, and in which state they are.
#[derive(Clone, Debug, Default)]
pub struct HeldKeys {
    /// How many it holds, by their records.
    pub held: usize,
    /// How many it matches and does not hold yet.
    pub pending: usize,
    /// The names of keys that were already condemned.
    pub too_late: Vec<String>,
    /// The names of keys that it held and that Vault no longer has.
    pub missing: Vec<String>,
    /// Why some keys could not be read.
    pub fault: Option<Fault>,
}

/// The progress of a LegalHold's release.
#[derive(Clone, Debug)]
pub struct Release {
    /// How many people approve.
    pub have: usize,
    /// How many have to.
    pub need: i32,
    /// Whether enough people approve and nobody denies.
    pub approved: bool,
}

/// The status of a LegalHold.
pub fn legal_hold(
    hold: &LegalHold,
    keys: &HeldKeys,
    release: Option<&Release>,
    now: Timestamp,
) -> LegalHoldStatus {
    let before = hold.status.as_ref();
    let verdict = |kind, truth, reason, message: String| Verdict::new(kind, truth, reason, message);
    let is_released = release.is_some_and(|release| release.approved);
    let late = match keys.too_late.as_slice() {
        [] => String::new(),
        some => format!(
            "; {} were past the point of no return: {}",
            some.len(),
            some.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ),
    };
    let effective = if let Some(fault) = &keys.fault {
        verdict(EFFECTIVE, Truth::Unknown, fault.reason, fault.message.clone())
    } else if is_released && keys.held == 0 && keys.missing.is_empty() {
        verdict(
            EFFECTIVE,
            Truth::False,
            Reason::Released,
            "its end was approved, and it holds nothing any more".to_owned(),
        )
    } else if keys.held == 0 && keys.pending == 0 && keys.too_late.is_empty() {
        let message =
            "it names no key that there is; keys that are made later are held; next: look at spec.selector";
        verdict(EFFECTIVE, Truth::Unknown, Reason::NamesNoKey, message.to_owned())
    } else if !keys.missing.is_empty() {
        let names = keys.missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        verdict(
            EFFECTIVE,
            Truth::False,
            Reason::KeyMissing,
            format!(
                "{} keys that it held are gone from Vault, and nobody here destroyed them: {names}; {} are held; next: find \
                 who deleted them, and see docs/destruction.md",
                keys.missing.len(),
                keys.held
            ),
        )
    } else if keys.pending > 0 {
        verdict(
            EFFECTIVE,
            Truth::False,
            Reason::MarkingKeys,
            format!("{} of {} keys are not marked yet", keys.pending, keys.pending + keys.held),
        )
    } else if !keys.too_late.is_empty() && keys.held == 0 {
        verdict(EFFECTIVE, Truth::False, Reason::TooLate, format!("it holds no key{late}"))
    } else {
        verdict(
            EFFECTIVE,
            Truth::True,
            Reason::Effective,
            format!("{} keys cannot be destroyed{late}", keys.held),
        )
    };
    let ready = match release {
        Some(release) if !release.approved => verdict(
            READY,
            Truth::False,
            Reason::AwaitingRelease,
            format!(
                "{} of {} people approve its end; next: subrosa approve LegalHold/{}",
                release.have,
                shown(release.need),
                hold.name_any()
            ),
        ),
        Some(_) if keys.held == 0 => Verdict { kind: READY, truth: Truth::True, ..effective.clone() },
        _ => Verdict { kind: READY, ..effective.clone() },
    };
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    LegalHoldStatus {
        observed_generation: hold.metadata.generation,
        held: i64::try_from(keys.held).ok(),
        too_late: keys.too_late.iter().take(MOST_NAMES).cloned().collect(),
        too_late_count: i64::try_from(keys.too_late.len()).ok(),
        review_by: review_by(hold, now),
        release_digest: Some(hold.spec.release_digest()),
        approvals: release.map(|release| format!("{}/{}", release.have, shown(release.need))),
        conditions: condition::conditions(vec![ready, effective], old, hold.metadata.generation, now),
    }
}

/// Whether the review of a LegalHold that holds is overdue.
pub fn is_review_overdue(hold: &LegalHold, now: Timestamp) -> bool {
    let by = review_by(hold, now).and_then(|day| day.parse::<Date>().ok());
    !hold.spec.is_released() && by.is_some_and(|by| by < now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// The day by which it must be reviewed, counted from its creation or the last review. A review dated tomorrow counts
/// as today's.
fn review_by(hold: &LegalHold, now: Timestamp) -> Option<String> {
    let day = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let every: Period = hold.spec.review_every.as_deref()?.parse().ok()?;
    let made = day(hold.metadata.creation_timestamp.as_ref()?.0);
    let reviewed = hold.spec.reviewed_on.as_deref().and_then(|text| text.parse::<Date>().ok());
    // A review dated further ahead is a mistake that would put off the next one.
    let tomorrow = day(now).tomorrow().ok()?;
    let reviewed = reviewed.filter(|reviewed| *reviewed <= tomorrow);
    let last = reviewed.map_or(made, |reviewed| made.max(reviewed.min(day(now))));
    Some(every.after(last).ok()?.to_string())
}
