//! Further authorities that a Channel trusts during a move: `spec.tls.extraTrust`.
//!
//! It loosens a control, so it is limited: only the platform team writes the bundle's ConfigMap, the last day is
//! declared, and nothing of it becomes this Channel's own authority, so no peer trusts it.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{Reason, TrustDomain};

use crate::{
    record::extra_trust::ExtraTrustKey,
    world::{World, bundle, declaration::Declaration, domain, fault::Fault},
};

/// An entry with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedExtraTrust {
    /// What it lets the Channel trust.
    pub key: ExtraTrustKey,
    /// Its last day, as written.
    pub expires: String,
    /// Its state today.
    pub state: TrustState,
}

/// The state of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustState {
    /// Trusted: the bundle's text.
    InForce(String),
    /// Its last day is past, so nothing of it is trusted.
    Ended,
    /// A new entry where nothing new may open: the Channel is Stalled or frozen.
    HeldBack,
    /// It cannot be trusted as written. Other entries are not affected.
    Refused(Fault),
}

impl JudgedExtraTrust {
    /// Whether it is trusted now.
    pub fn is_in_force(&self) -> bool {
        matches!(self.state, TrustState::InForce(_))
    }

    /// The name of the loosened control in status.
    pub fn control(&self) -> String {
        format!("extraTrust/{}", self.key.name)
    }
}

/// The state of every entry of `channel` on the domain's day at `now`.
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
    // The schema checks only digits: 2027-02-31 passes it.
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

/// Where nothing new may open, only entries that were trusted stay trusted.
pub fn hold_back(entries: &mut [JudgedExtraTrust], noted: &BTreeSet<ExtraTrustKey>) {
    for entry in entries.iter_mut().filter(|entry| entry.is_in_force()) {
        if !noted.contains(&entry.key) {
            entry.state = TrustState::HeldBack;
        }
    }
}

/// The entries in force, for the record.
pub fn in_force(entries: &[JudgedExtraTrust]) -> BTreeSet<ExtraTrustKey> {
    entries.iter().filter(|entry| entry.is_in_force()).map(|entry| entry.key.clone()).collect()
}

/// When the date alone may change anything: at the start of the next day, while an entry is in force.
pub fn wake_at(entries: &[JudgedExtraTrust], domain: &TrustDomain, now: Timestamp) -> Option<Timestamp> {
    entries.iter().any(JudgedExtraTrust::is_in_force).then(|| domain::tomorrow(domain, now)).flatten()
}

/// The first fault of an entry, for status.
pub fn fault(entries: &[JudgedExtraTrust]) -> Option<&Fault> {
    entries.iter().find_map(|entry| match &entry.state {
        TrustState::Refused(fault) => Some(fault),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
