//! The status of an Adoption.

use jiff::Timestamp;
use subrosa_crds::{
    Adoption, AdoptionStatus, Reason,
    adoption::AdoptionOutcome,
    condition::{self, APPROVED, READY, RECONCILING, STALLED, Truth, Verdict},
};

use super::AdoptionStep;
use crate::{destruction::tally::Tally, world::fault::Fault};

/// How many people must approve, and who did.
#[derive(Clone, Debug)]
pub struct AdoptionDecision {
    /// How many must approve; `None` while the destroyer has not published it.
    pub needed: Option<i32>,
    /// Who approved and who denied.
    pub tally: Tally,
    /// Why no Approval counts at all, where that is so.
    pub unguarded: Option<Fault>,
}

impl AdoptionDecision {
    /// Whether it may be done at `now`.
    pub fn may(&self, now: Timestamp) -> bool {
        self.unguarded.is_none() && self.needed.is_some_and(|needed| self.tally.is_enough(needed, now))
    }

    /// Whether `step` may be done at `now`. A step that was begun may be finished even if Approvals expired since.
    pub fn allows(&self, step: &AdoptionStep, now: Timestamp) -> bool {
        let stands =
            || self.unguarded.is_none() && self.needed.is_some_and(|needed| self.tally.still_stands(needed));
        match step {
            AdoptionStep::Mark => self.may(now),
            AdoptionStep::Take => self.may(now) || stands(),
            AdoptionStep::Done
            | AdoptionStep::DoneBy(_)
            | AdoptionStep::Wait(_)
            | AdoptionStep::Refuse(_)
            | AdoptionStep::Unknown(_) => false,
        }
    }

    /// Whether somebody denies it, so that it is undone.
    pub fn is_denied(&self) -> bool {
        self.unguarded.is_none() && self.tally.denied.is_some()
    }
}

/// The status entry of one Channel of the list; `before` is the last status. A step that is not allowed yet is shown
/// as waiting for approval. An adoption that was done and is missing from the records is shown as lost: Vault may
/// have been restored.
pub fn outcome(
    adopts: &str,
    step: &AdoptionStep,
    before: Option<&AdoptionStatus>,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> AdoptionOutcome {
    let told = before.into_iter().flat_map(|status| &status.channels).find(|one| one.adopts == adopts);
    let had = matches!(told.and_then(reason_of), Some(Reason::Adopted | Reason::AdoptionLost));
    let (reason, message) = match step {
        AdoptionStep::Done => (Reason::Adopted, None),
        AdoptionStep::DoneBy(other) => {
            (Reason::Adopted, Some(format!("by Adoption {other}: only a denial of that one takes it back")))
        }
        AdoptionStep::Mark | AdoptionStep::Take if decided.allows(step, now) => (Reason::WorkUnderWay, None),
        AdoptionStep::Mark | AdoptionStep::Take if decided.is_denied() => (Reason::ApprovalDenied, None),
        AdoptionStep::Mark | AdoptionStep::Take if had => {
            let message = "it was adopted, and the records in Vault do not have it any more, as after a restore of Vault: its \
                           workload does not open what was sealed before; next: approve this Adoption again";
            (Reason::AdoptionLost, Some(message.to_owned()))
        }
        AdoptionStep::Mark | AdoptionStep::Take => (Reason::AwaitingApproval, None),
        AdoptionStep::Wait(fault) | AdoptionStep::Refuse(fault) => {
            (fault.reason, Some(fault.message.clone()))
        }
        // While the records cannot be read, the last entry stays.
        AdoptionStep::Unknown(fault) => match told {
            Some(told) => return told.clone(),
            None => (Reason::WorkUnderWay, Some(fault.message.clone())),
        },
    };
    AdoptionOutcome { adopts: adopts.to_owned(), state: reason.as_str().to_owned(), message }
}

/// The reason of a Channel's entry. `None` where this release does not know it.
fn reason_of(outcome: &AdoptionOutcome) -> Option<Reason> {
    Reason::read(&outcome.state)
}

/// Whether the Channel's entry is final: it has the keys, or cannot have them.
fn is_settled(outcome: &AdoptionOutcome) -> bool {
    let waits = matches!(
        reason_of(outcome),
        Some(Reason::WorkUnderWay | Reason::AwaitingApproval | Reason::ApprovalDenied | Reason::AdoptionLost)
    );
    !waits
}

/// The status of `adoption` with these entries of `channels`; `None` where they were not read this time.
pub fn status(
    adoption: &Adoption,
    channels: Option<Vec<AdoptionOutcome>>,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> AdoptionStatus {
    let before = adoption.status.as_ref();
    let channels = channels.or_else(|| Some(before?.channels.clone())).unwrap_or_default();
    let total = adoption.spec.channels.len();
    let count = |reason: Reason| channels.iter().filter(|one| reason_of(one) == Some(reason)).count();
    let adopted = count(Reason::Adopted);
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let kept = Kept::of(before, adopted == total && !decided.is_denied());
    let approved = match &kept.approved {
        Some(approved) => approved.clone(),
        None => approved(adoption.metadata.name.as_deref().unwrap_or_default(), decided, now),
    };
    let adopted_at = before.and_then(|status| status.adopted_at.clone());
    let was = adopted_at.is_some() || before.and_then(|status| status.adopted).is_some_and(|count| count > 0);
    let adopted_at = adopted_at.or_else(|| (adopted > 0 || was).then(|| now.to_string()));
    let ready = verdict(&channels, (adopted, total), was, &approved, decided, now);
    // People who approved stay listed after their Approvals expire, once anything was adopted.
    let mut approved_by = decided.tally.valid(now);
    let others = before.filter(|_| was).into_iter().flat_map(|status| &status.approved_by);
    let others: Vec<_> = others
        .filter(|one| approved_by.iter().all(|other| other.approver != one.approver))
        .cloned()
        .collect();
    let count = approved_by.len();
    approved_by.extend(others);
    approved_by.sort();
    let mut verdicts = vec![ready.clone(), approved];
    match ready.reason {
        Reason::Adopted => {}
        Reason::PartlyAdopted | Reason::Refused => {
            verdicts.push(Verdict { kind: STALLED, truth: Truth::True, ..ready.clone() });
        }
        _ => verdicts.push(Verdict { kind: RECONCILING, truth: Truth::True, ..ready.clone() }),
    }
    let needed = decided.needed.map_or("?".to_owned(), |needed| needed.to_string());
    AdoptionStatus {
        observed_generation: adoption.metadata.generation,
        state: Some(ready.reason.as_str().to_owned()),
        approvals: kept.approvals.or_else(|| Some(format!("{count}/{needed}"))),
        approved_by,
        digest: Some(adoption.spec.digest()),
        total: i64::try_from(total).ok(),
        adopted: i64::try_from(adopted).ok(),
        adopted_at,
        channels,
        conditions: condition::conditions(verdicts, old, adoption.metadata.generation, now),
    }
}

/// The verdict and count from when everything was adopted: they stay although the Approvals expire.
#[derive(Default)]
struct Kept {
    approved: Option<Verdict>,
    approvals: Option<String>,
}

impl Kept {
    fn of(before: Option<&AdoptionStatus>, is_adopted: bool) -> Self {
        let Some(before) = before.filter(|_| is_adopted) else { return Self::default() };
        let told = condition::find(&before.conditions, APPROVED);
        let Some(told) = told.filter(|one| one.status == "True") else { return Self::default() };
        Self {
            approved: Some(Verdict::new(APPROVED, Truth::True, Reason::Approved, told.message.clone())),
            approvals: before.approvals.clone(),
        }
    }
}

fn verdict(
    channels: &[AdoptionOutcome],
    (adopted, total): (usize, usize),
    was_adopted: bool,
    approved: &Verdict,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> Verdict {
    let refused = channels.iter().find(|one| is_settled(one) && reason_of(one) != Some(Reason::Adopted));
    let why = refused
        .map(|one| format!("; {}: {} {}", one.adopts, one.state, one.message.as_deref().unwrap_or_default()));
    let settled = channels.len() == total && channels.iter().all(is_settled);
    if adopted == total {
        let message = format!("the keys of all {total} earlier Channels are adopted");
        return Verdict::new(READY, Truth::True, Reason::Adopted, message);
    }
    let why = why.unwrap_or_default();
    let lost: Vec<_> = channels.iter().filter(|one| reason_of(one) == Some(Reason::AdoptionLost)).collect();
    if let Some(one) = lost.first() {
        let message = format!(
            "{adopted} of {total} are adopted, and {} were, {}: {}{why}",
            lost.len(),
            one.adopts,
            one.message.as_deref().unwrap_or_default()
        );
        return Verdict::new(READY, Truth::False, Reason::AdoptionLost, message);
    }
    if settled && (decided.may(now) || was_adopted || adopted > 0) {
        let message = format!(
            "{adopted} of {total} are adopted, and the others cannot be; next: make another Adoption for those that can{why}"
        );
        let reason = if adopted == 0 { Reason::Refused } else { Reason::PartlyAdopted };
        return Verdict::new(READY, Truth::False, reason, message);
    }
    // A repeated adoption needs no new Approval, unless it was lost.
    let asks = |one| matches!(reason_of(one), Some(Reason::AwaitingApproval | Reason::ApprovalDenied));
    let asks = channels.iter().any(asks);
    if approved.truth != Truth::True && (asks || !was_adopted) {
        let message = format!("{}; {adopted} of {total} are adopted{why}", approved.message);
        return Verdict::new(READY, Truth::False, approved.reason, message);
    }
    let waits = channels.iter().find(|one| !is_settled(one)).and_then(|one| one.message.clone());
    let waits = waits.map(|message| format!(": {message}")).unwrap_or_default();
    let message = format!("{adopted} of {total} are adopted; the others wait{waits}{why}");
    Verdict::new(READY, Truth::False, Reason::WorkUnderWay, message)
}

fn approved(name: &str, decided: &AdoptionDecision, now: Timestamp) -> Verdict {
    let no = |reason, message: String| Verdict::new(APPROVED, Truth::False, reason, message);
    if let Some(fault) = &decided.unguarded {
        return no(fault.reason, fault.message.clone());
    }
    if let Some(denied) = &decided.tally.denied {
        return no(Reason::ApprovalDenied, format!("Approval {denied} denies it, until it expires"));
    }
    let count = decided.tally.valid(now).len();
    let Some(needed) = decided.needed else {
        let message = "how many people have to approve is told by the destroyer, which has not told yet: see that it runs";
        return no(Reason::AwaitingApproval, message.to_owned());
    };
    if decided.may(now) {
        return Verdict::new(
            APPROVED,
            Truth::True,
            Reason::Approved,
            format!("{count} of {needed} people approve"),
        );
    }
    no(
        Reason::AwaitingApproval,
        format!("{count} of {needed} people approve, beside who asks; next: subrosa approve Adoption/{name}"),
    )
}
