//! The status of a finished Destruction: whether its keys came back, and from when its destruction is effective
//! everywhere.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    Destruction, DestructionStatus, Reason,
    condition::{self, READY, Truth, Verdict},
    destruction::{KeyOutcome, effective_at},
};

use super::status::{METHOD, is_finished};

/// Notes on a destroyed key that it came back or is gone again. Returns whether that is new.
pub(super) fn note_return(key: &mut KeyOutcome, was_back: bool, is_back: bool, now: Timestamp) -> bool {
    match (was_back, is_back) {
        (false, true) => (key.back_at, key.gone_again_at) = (Some(now.to_string()), None),
        (true, false) => key.gone_again_at = Some(now.to_string()),
        _ => return false,
    }
    true
}

/// The verdict on a void list: why it is void, and how many keys it destroyed before.
pub(super) fn voided(why: &str, gone: usize, all: usize) -> Verdict {
    let message = format!("this list is void: {why}; {gone} of {all} keys were destroyed by it before");
    Verdict::new(READY, Truth::False, Reason::Voided, message)
}

/// The status of a finished list, where `back` has the destroyed keys that exist again (compared by identity, class
/// and cohort). The proof of the destruction stays; the return of a key is noted beside it, and taken back when the
/// key is gone again.
pub fn settled(
    object: &Destruction,
    before: &DestructionStatus,
    back: &[&KeyOutcome],
    snapshots_kept: Option<SignedDuration>,
    now: Timestamp,
) -> DestructionStatus {
    let mut status = before.clone();
    let is_back = |key: &KeyOutcome| {
        back.iter()
            .any(|one| (&one.id, &one.data_class, &one.cohort) == (&key.id, &key.data_class, &key.cohort))
    };
    let (destroyed, resurrected) = (Reason::Destroyed.as_str(), Reason::Resurrected.as_str());
    let mut changed = false;
    for key in status.keys.iter_mut().filter(|key| key.destroyed_at.is_some()) {
        let is_back = is_back(key);
        if note_return(key, key.state == resurrected, is_back, now) {
            key.state = if is_back { resurrected } else { destroyed }.to_owned();
            changed = true;
        }
    }
    let instant = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let returned = status.keys.iter().filter(|key| key.state == resurrected).count();
    let last = status.keys.iter().flat_map(|key| [instant(&key.destroyed_at), instant(&key.gone_again_at)]);
    // The declared time for which snapshots are kept may have changed since.
    let written = instant(&status.effective_at);
    status.effective_at = last
        .flatten()
        .max()
        .filter(|_| is_finished(before) && returned == 0)
        .and_then(|last| effective_at(last, snapshots_kept, written))
        .map(|effective| effective.to_string());
    if !changed {
        return status;
    }
    let all = object.spec.keys.len();
    let gone = status.keys.iter().filter(|key| key.state == destroyed).count();
    let again = status.keys.iter().filter(|key| key.gone_again_at.is_some()).count();
    let ready = if returned > 0 {
        let message = format!(
            "{returned} of {all} keys were destroyed and are back from a snapshot or a backup of Vault; next: approve the \
             Destruction that lists them anew"
        );
        Verdict::new(READY, Truth::False, Reason::Resurrected, message)
    } else if is_finished(before) {
        let message =
            format!("all {all} keys are gone: {METHOD}; {again} of them had been back, and are gone again");
        Verdict::new(READY, Truth::True, Reason::Destroyed, message)
    } else {
        let why = "its RetentionPolicy was changed since, or another Destruction destroyed a key of it";
        voided(why, gone, all)
    };
    status.destroyed = i64::try_from(gone).ok();
    status.state = Some(ready.reason.as_str().to_owned());
    let others = status.conditions.iter().filter(|one| one.type_ != READY).cloned();
    let ready = condition::conditions(vec![ready], &before.conditions, object.metadata.generation, now);
    status.conditions = ready.into_iter().chain(others).collect();
    status
}
