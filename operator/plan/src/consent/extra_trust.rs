//! Further authorities that a Channel trusts while it is moved: `spec.tls.extraTrust`.
//!
//! It is a loosening, so it is never more than was consented to: the bundle is a ConfigMap that only the
//! platform team writes, the last day is named, and nothing of it becomes this Channel's own authority, so no
//! peer trusts it.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{Reason, TrustDomain};

use crate::{
    record::extra_trust::ExtraTrustKey,
    world::{World, bundle, declaration::Declaration, domain, fault::Fault},
};

/// An entry, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedExtraTrust {
    /// What it has trusted.
    pub key: ExtraTrustKey,
    /// Its last day, as written.
    pub expires: String,
    /// What becomes of it today.
    pub state: TrustState,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustState {
    /// Trusted: the bundle's text.
    InForce(String),
    /// Its last day is past: nothing of it is trusted.
    Ended,
    /// It would be new where nothing new opens: in a Channel that is Stalled or frozen.
    HeldBack,
    /// It cannot be trusted as it is written. The others, and everything else, go on.
    Refused(Fault),
}

impl JudgedExtraTrust {
    /// Whether it is trusted now.
    pub fn is_in_force(&self) -> bool {
        matches!(self.state, TrustState::InForce(_))
    }

    /// How status names the loosened control.
    pub fn control(&self) -> String {
        format!("extraTrust/{}", self.key.name)
    }
}

/// Judges every entry of `channel` on the domain's day at `now`.
pub fn judge(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &World,
    now: Timestamp,
) -> Vec<JudgedExtraTrust> {
    let today = domain::today(domain, now);
    channel
        .extra_trust()
        .iter()
        .map(|entry| {
            let key = ExtraTrustKey {
                name: entry.name.clone(),
                direction: entry.direction,
                ca_bundle: entry.ca_bundle.clone(),
            };
            let state = state(&key, &entry.expires, today, world, now);
            JudgedExtraTrust { key, expires: entry.expires.clone(), state }
        })
        .collect()
}

fn state(key: &ExtraTrustKey, expires: &str, today: Date, world: &World, now: Timestamp) -> TrustState {
    let field = format!("spec.tls.extraTrust[{}]", key.name);
    let refused = |reason, message: String| TrustState::Refused(Fault::new(reason, message));
    // The schema checks the digits, not the calendar: 2027-02-31 passes it.
    let Ok(last) = expires.parse::<Date>() else {
        let message = format!("{field}.expires: {expires:?} is no day of the calendar; write YYYY-MM-DD");
        return refused(Reason::InvalidDate, message);
    };
    if last < today {
        return TrustState::Ended;
    }
    match bundle::authorities(world, &key.ca_bundle, now) {
        Ok(text) => TrustState::InForce(text.into_owned()),
        Err(unusable) => {
            refused(unusable.reason(), format!("{field}.caBundle: {unusable}, or remove the entry"))
        }
    }
}

/// Where nothing new opens, only what was noted as trusted before stays so.
pub fn hold_back(entries: &mut [JudgedExtraTrust], noted: &BTreeSet<ExtraTrustKey>) {
    for entry in entries.iter_mut().filter(|entry| entry.is_in_force()) {
        if !noted.contains(&entry.key) {
            entry.state = TrustState::HeldBack;
        }
    }
}

/// What is trusted now, as the record remembers it.
pub fn in_force(entries: &[JudgedExtraTrust]) -> BTreeSet<ExtraTrustKey> {
    entries.iter().filter(|entry| entry.is_in_force()).map(|entry| entry.key.clone()).collect()
}

/// When to look again because of the date alone: at the beginning of the next day, as long as anything ends.
pub fn wake_at(entries: &[JudgedExtraTrust], domain: &TrustDomain, now: Timestamp) -> Option<Timestamp> {
    entries.iter().any(JudgedExtraTrust::is_in_force).then(|| domain::tomorrow(domain, now)).flatten()
}

/// What holds an entry up, as status says it.
pub fn fault(entries: &[JudgedExtraTrust]) -> Option<&Fault> {
    entries.iter().find_map(|entry| match &entry.state {
        TrustState::Refused(fault) => Some(fault),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
