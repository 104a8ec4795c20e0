//! One look at the keys of a trust domain, with a limit on how long its input may be used.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use subrosa_crds::{
    DestructionStatus, LegalHold, Reason,
    destruction::{KeyOutcome, ListedKey},
    names::DataKeyName,
};
use subrosa_plan::{
    destruction::{
        holds,
        order::{Order, Orders},
        status::HeldKeys,
        step::Released,
    },
    record::decision::HoldMark,
    world::fault::Fault,
};

use crate::{
    cluster::LookInput,
    domain::LookTerms,
    key::{self, Decides, KeyStep},
    resurrected,
    survey::{self, DestructionUnderWay, KeySurvey},
    vault::DestroyerVault,
};

/// How long input may be used for decisions. A later hold or denial is seen by the next look.
const MOST_TIME: Duration = Duration::from_secs(60);
/// How many recently called-off keys one look checks.
const MOST_LATE: usize = 200;
/// The period, in seconds, after which the next group of them is checked.
const TURN: u64 = 30;
/// Faults of Vault as a whole.
const OUT_OF_REACH: [Reason; 5] = [
    Reason::VaultSealed,
    Reason::VaultUnreachable,
    Reason::VaultTimeout,
    Reason::VaultTokenRejected,
    Reason::VaultLoginRefused,
];

/// The input that is the same for every key of a trust domain in one look.
pub struct Look<'a> {
    pub vault: &'a DestroyerVault,
    seen: &'a LookInput,
    bound: &'a LookTerms,
    orders: &'a Orders<'a>,
    released: &'a [Released],
    began: Instant,
    /// Why some keys under a LegalHold could not be settled.
    fault: Option<Fault>,
}

impl<'a> Look<'a> {
    /// Begins a look.
    pub fn new(
        vault: &'a DestroyerVault,
        seen: &'a LookInput,
        bound: &'a LookTerms,
        orders: &'a Orders<'a>,
        released: &'a [Released],
    ) -> Self {
        Self { vault, seen, bound, orders, released, began: Instant::now(), fault: None }
    }

    /// The current time, which advances while keys are settled.
    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.bound.now.saturating_add(passed).unwrap_or(self.bound.now)
    }

    /// Whether holds and Approvals were read too long ago to decide by them.
    pub fn lasts_too_long(&self) -> bool {
        self.seen.read_at.elapsed() > MOST_TIME
    }

    /// The keys of a finished list that came back and still exist. Each is settled from the beginning, so that new
    /// LegalHolds apply. `None` where the look lasts too long.
    pub async fn still_back<'s>(
        &self,
        status: &'s DestructionStatus,
        survey: &mut KeySurvey,
    ) -> Result<Option<Vec<&'s KeyOutcome>>, Fault> {
        let mut back = Vec::new();
        for key in status.keys.iter().filter(|key| key.state == Reason::Resurrected.as_str()) {
            if self.lasts_too_long() {
                return Ok(None);
            }
            let Some(name) = resurrected::named(key) else { continue };
            if resurrected::is_back_or_was(self.vault, &name, key).await? {
                if let Err(fault) = self.settle(&name, false, survey).await {
                    tracing::warn!(key = %name, reason = fault.reason.as_str(), "a key that is back: {}", fault.message);
                }
                back.push(key);
            }
        }
        Ok(Some(back))
    }

    /// Settles keys that no list leads to: keys that a LegalHold matches but does not hold yet, keys whose hold was
    /// released, keys in progress whose Destruction is gone, and keys that were called off recently.
    pub async fn settle_unlisted(&mut self, survey: &mut KeySurvey) -> Result<(), Fault> {
        let (mut to_settle, mut fresh) = (BTreeSet::new(), Vec::new());
        for (name, known) in &survey.keys {
            let is_gone = |one: &DestructionUnderWay| self.orders.with_uid(&one.uid).is_none();
            if known.under_way.as_ref().is_some_and(is_gone) {
                to_settle.insert(name.clone());
            } else if known.called_off.is_some_and(|off| off.is_fresh(self.now())) {
                fresh.push(name.clone());
            }
            if known.is_condemned {
                continue;
            }
            let holding = holds::holding(&self.seen.holds, self.released, survey::selected(name, known));
            let lacks = holding.iter().any(|hold| !known.holds.contains_key(&hold.name_any()));
            let lets_go = known.holds.iter().any(|(name, mark)| self.is_ended(name, mark));
            if lacks || lets_go {
                to_settle.insert(name.clone());
            }
        }
        for name in to_settle {
            if self.lasts_too_long() {
                self.fault = Some(Fault::new(
                    Reason::WorkUnderWay,
                    "not every key was marked in this look: the next goes on",
                ));
                break;
            }
            match self.settle(&name, false, survey).await {
                Ok(_) => {}
                // Vault as a whole is out of reach, so every other key would fail too.
                Err(fault) if OUT_OF_REACH.contains(&fault.reason) => return Err(fault),
                Err(fault) => {
                    let message = format!("key {name}: {}", fault.message);
                    self.fault.get_or_insert(Fault::new(fault.reason, message));
                }
            }
        }
        self.bring_back_late(&fresh, survey).await;
        Ok(())
    }

    /// Checks keys that were called off within the last hour, because a late request may have set them aside all the
    /// same: a few in each look, after the keys of LegalHolds.
    async fn bring_back_late(&self, called_off: &[DataKeyName], survey: &mut KeySurvey) {
        let turn = usize::try_from(self.bound.now.as_second().unsigned_abs() / TURN).unwrap_or_default();
        let from = (turn * MOST_LATE).checked_rem(called_off.len()).unwrap_or_default();
        for name in called_off.iter().cycle().skip(from).take(MOST_LATE.min(called_off.len())) {
            if self.lasts_too_long() {
                return;
            }
            if let Err(fault) = self.settle(name, false, survey).await {
                tracing::warn!(key = %name, reason = fault.reason.as_str(), "a key that was called off: {}", fault.message);
            }
        }
    }

    fn is_released(&self, hold: &str) -> bool {
        self.released.iter().any(|one| one.name == hold)
    }

    fn is_ended(&self, name: &str, mark: &HoldMark) -> bool {
        self.released.iter().any(|one| one.ends(name, mark))
    }

    /// Settles a key of a list. A fault becomes that key's outcome and does not stop the others.
    pub async fn listed(
        &self,
        order: &Order<'_>,
        listed: &ListedKey,
        has_room: bool,
        survey: &mut KeySurvey,
    ) -> KeyStep {
        let settled = match listed.key_name().parse::<DataKeyName>() {
            Ok(name) => self.settle(&name, has_room, survey).await,
            Err(error) => Err(Fault::new(Reason::Malformed, error.to_string())),
        };
        let settled = settled.unwrap_or_else(|is| KeyStep { record: None, is, begun: false, ended: false });
        let mark = settled.record.as_ref().and_then(|record| record.destruction.as_ref());
        match mark.filter(|mark| mark.uid != order.uid()) {
            None => settled,
            // Another list destroyed the key and has the record of it.
            Some(mark) => {
                let is = match mark.destroyed {
                    Some(_) if settled.is.reason == Reason::Destroyed => Fault::new(
                        Reason::Destroyed,
                        format!("its key is gone: Destruction {} destroyed it", mark.name),
                    ),
                    _ => Fault::new(Reason::NotListed, format!("Destruction {} has it", mark.name)),
                };
                KeyStep { record: None, is, ..settled }
            }
        }
    }

    async fn settle(
        &self,
        name: &DataKeyName,
        has_room: bool,
        survey: &mut KeySurvey,
    ) -> Result<KeyStep, Fault> {
        let by = Decides {
            holds: &self.seen.holds,
            released: self.released,
            orders: self.orders,
            frozen: self.bound.frozen.as_ref(),
            has_room,
            zone: &self.bound.zone,
            now: self.now(),
        };
        let settled = key::settle(self.vault, name, &by).await?;
        if let Some(record) = &settled.record {
            survey.note(name, record);
        }
        Ok(settled)
    }

    /// The survey's counts of the keys that a LegalHold matches.
    pub fn held(&self, hold: &LegalHold, survey: &KeySurvey) -> HeldKeys {
        let mut keys = HeldKeys { fault: self.fault.clone(), ..HeldKeys::default() };
        let name = hold.name_any();
        let is_released = self.is_released(&name);
        for (key, known) in &survey.keys {
            // A released hold does not count; a hold recorded for an earlier LegalHold of this name may still do.
            let is_held = |mark: &HoldMark| !is_released || self.is_ended(&name, mark);
            if known.holds.get(&name).is_some_and(is_held) {
                // A missing key is held by nobody, whatever its record says.
                if survey.missing.contains(key) { keys.missing.push(key.to_string()) } else { keys.held += 1 }
            } else if is_released || !holds::covers(&hold.spec.selector, survey::selected(key, known)) {
                continue;
            } else if known.is_condemned {
                // A key destroyed before the hold was requested is history, not too late.
                let made = hold.metadata.creation_timestamp.as_ref().map(|time| time.0);
                if known.destroyed.zip(made).is_none_or(|(gone, made)| gone >= made) {
                    keys.too_late.push(key.to_string());
                }
            } else {
                keys.pending += 1;
            }
        }
        keys
    }
}
