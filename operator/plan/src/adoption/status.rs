//! What the status of an Adoption says.

use jiff::Timestamp;
use subrosa_crds::{
    Adoption, AdoptionStatus, Reason,
    adoption::AdoptionOutcome,
    condition::{self, APPROVED, READY, RECONCILING, STALLED, Truth, Verdict},
};

use super::AdoptionStep;
use crate::{destruction::tally::Tally, world::fault::Fault};

/// How many people have to approve, and who does.
#[derive(Clone, Debug)]
pub struct AdoptionDecision {
    /// How many have to; none where the destroyer has not told.
    pub needed: Option<i32>,
    /// Who does.
    pub tally: Tally,
    /// Why nobody's Approval counts.
    pub unguarded: Option<Fault>,
}

impl AdoptionDecision {
    /// Whether it may be done at `now`.
    pub fn may(&self, now: Timestamp) -> bool {
        self.unguarded.is_none() && self.needed.is_some_and(|needed| self.tally.is_enough(needed, now))
    }

    /// Whether `step` may be done at `now`. What was begun goes on, though Approvals expired since.
    pub fn allows(&self, step: &AdoptionStep, now: Timestamp) -> bool {
        let stands =
            || self.unguarded.is_none() && self.needed.is_some_and(|needed| self.tally.still_stands(needed));
        match step {
            AdoptionStep::Mark => self.may(now),
            AdoptionStep::Take => self.may(now) || stands(),
            AdoptionStep::Done | AdoptionStep::Wait(_) | AdoptionStep::Refuse(_) => false,
        }
    }
}

/// What became of one Channel of the list. What may not be done yet is told as what it waits for.
pub fn outcome(
    adopts: &str,
    step: &AdoptionStep,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> AdoptionOutcome {
    let (reason, message) = match step {
        AdoptionStep::Done => (Reason::Adopted, None),
        AdoptionStep::Mark | AdoptionStep::Take if decided.allows(step, now) => (Reason::WorkUnderWay, None),
        AdoptionStep::Mark | AdoptionStep::Take => (Reason::AwaitingApproval, None),
        AdoptionStep::Wait(fault) | AdoptionStep::Refuse(fault) => {
            (fault.reason, Some(fault.message.clone()))
        }
    };
    AdoptionOutcome { adopts: adopts.to_owned(), state: reason.as_str().to_owned(), message }
}

/// Whether nothing more comes of a Channel: it has the keys, or cannot have them.
fn is_settled(outcome: &AdoptionOutcome) -> bool {
    let waits = [Reason::WorkUnderWay, Reason::AwaitingApproval];
    !waits.iter().any(|reason| reason.as_str() == outcome.state)
}

/// The status of `adoption`, whose Channels are as `channels` say; none of them where they were not looked at this time.
pub fn status(
    adoption: &Adoption,
    channels: Option<Vec<AdoptionOutcome>>,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> AdoptionStatus {
    let before = adoption.status.as_ref();
    let channels = channels.or_else(|| Some(before?.channels.clone())).unwrap_or_default();
    let total = adoption.spec.channels.len();
    let count = |reason: Reason| channels.iter().filter(|one| one.state == reason.as_str()).count();
    let adopted = count(Reason::Adopted);
    let approved = approved(adoption.metadata.name.as_deref().unwrap_or_default(), decided, now);
    let ready = verdict(&channels, adopted, total, &approved, decided, now);
    let mut approved_by = decided.tally.valid(now);
    approved_by.sort();
    let mut verdicts = vec![ready.clone(), approved];
    match ready.reason {
        Reason::Adopted => {}
        Reason::PartlyAdopted | Reason::Refused => {
            verdicts.push(Verdict { kind: STALLED, truth: Truth::True, ..ready.clone() });
        }
        _ => verdicts.push(Verdict { kind: RECONCILING, truth: Truth::True, ..ready.clone() }),
    }
    let old = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let needed = decided.needed.map_or("?".to_owned(), |needed| needed.to_string());
    AdoptionStatus {
        observed_generation: adoption.metadata.generation,
        state: Some(ready.reason.as_str().to_owned()),
        approvals: Some(format!("{}/{needed}", approved_by.len())),
        approved_by,
        digest: Some(adoption.spec.digest()),
        total: i64::try_from(total).ok(),
        adopted: i64::try_from(adopted).ok(),
        channels,
        conditions: condition::conditions(verdicts, old, adoption.metadata.generation, now),
    }
}

fn verdict(
    channels: &[AdoptionOutcome],
    adopted: usize,
    total: usize,
    approved: &Verdict,
    decided: &AdoptionDecision,
    now: Timestamp,
) -> Verdict {
    let refused = channels.iter().find(|one| is_settled(one) && one.state != Reason::Adopted.as_str());
    let why = refused
        .map(|one| format!("; {}: {} {}", one.adopts, one.state, one.message.as_deref().unwrap_or_default()));
    let settled = channels.len() == total && channels.iter().all(is_settled);
    if adopted == total {
        let message = format!("the keys of all {total} earlier Channels are adopted");
        return Verdict::new(READY, Truth::True, Reason::Adopted, message);
    }
    let why = why.unwrap_or_default();
    if settled && (decided.may(now) || adopted > 0) {
        let message = format!(
            "{adopted} of {total} are adopted, and the others cannot be; next: make another Adoption for those that can{why}"
        );
        let reason = if adopted == 0 { Reason::Refused } else { Reason::PartlyAdopted };
        return Verdict::new(READY, Truth::False, reason, message);
    }
    if approved.truth != Truth::True {
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
