//! The conditions KeysReady and Retained: whether sealed data has its keys and its deadlines.

use std::collections::BTreeMap;

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    condition::{self, Truth, Verdict},
    names::BACKUP_CLASS,
};

use crate::{
    channel::{
        Plan, Scope,
        applied::{Applied, Control},
        validate::Validated,
    },
    keys::{deadlines, import, inventory, retention},
    status::KEYS_UNSEEN,
    world::{
        World,
        declaration::Declaration,
        domain,
        key_findings::{FoundFault, KeyFindings},
    },
};

/// The message for a Channel with data classes for which no key is planned.
const NO_COHORT: &str = "the cohorts of its data classes cannot be counted: check the operator's clock, cohort and spec.encryption.rotateEvery";

/// Only a Channel that seals needs a retention policy.
fn seals(plan: &Plan) -> bool {
    plan.validated.as_ref().is_some_and(|validated| validated.retention.is_some())
}

fn findings<'a>(plan: &Plan, world: &'a World) -> Option<&'a KeyFindings> {
    world.key_findings.get(plan.domain.metadata.name.as_deref()?)
}

/// The known faults of this Channel's keys, by key name.
pub(super) fn faults<'a>(plan: &Plan, world: &'a World) -> Option<&'a BTreeMap<String, FoundFault>> {
    findings(plan, world)?.faults.get(&plan.id)
}

/// Whether the Channel has keys whose state is unknown, because not every key was checked recently.
fn unseen(plan: &Plan, applied: &Applied, world: &World, now: Timestamp) -> bool {
    let has_keys = applied.record.as_ref().is_ok_and(|record| inventory::made(record).next().is_some());
    has_keys && findings(plan, world).is_none_or(|findings| !findings.are_current(now))
}

/// The worst fault of any key of the Channel, also of past cohorts: sealed data needs its key as long as it is kept.
fn faulty(plan: &Plan, world: &World) -> Option<(Reason, String)> {
    let faults = faults(plan, world)?;
    let (name, fault) =
        faults.iter().map(|(name, found)| (name, found.fault)).min_by_key(|(_, fault)| *fault)?;
    let more = match faults.len() {
        1 => String::new(),
        count => format!("; {} more keys have faults, see status.keys", count - 1),
    };
    Some((fault.reason(), fault.message(name) + &more))
}

/// The verdict that both conditions share; `None` where each decides for itself.
fn shared(plan: &Plan, applied: &Applied, world: &World, now: Timestamp) -> Option<(Truth, Reason, String)> {
    if let Some((reason, message)) = faulty(plan, world) {
        return Some((Truth::False, reason, message));
    }
    if let Scope::Stalled(_) | Scope::Frozen = plan.scope {
        let message = "no key is made or judged while this Channel is Stalled or frozen";
        return Some((Truth::Unknown, Reason::NotPlanned, message.into()));
    }
    if !plan.keys.is_empty() {
        return None;
    }
    if seals(plan) {
        return Some((Truth::False, Reason::NotPlanned, NO_COHORT.into()));
    }
    unseen(plan, applied, world, now).then(|| (Truth::Unknown, KEYS_UNSEEN.0, KEYS_UNSEEN.1.into()))
}

pub(super) fn keys_ready(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    now: Timestamp,
) -> Verdict {
    let verdict =
        |truth, reason: Reason, message: String| Verdict::new(condition::KEYS_READY, truth, reason, message);
    if let Some(fault) = applied.controls.fault(Control::Keys) {
        return verdict(Truth::False, fault.reason, fault.message.clone());
    }
    let found = &applied.keys;
    if let Some((truth, reason, message)) = shared(plan, applied, world, now) {
        return verdict(truth, reason, message);
    }
    if plan.keys.is_empty() {
        return verdict(
            Truth::True,
            Reason::NothingSealed,
            "no data class is declared: no key is needed".into(),
        );
    }
    // The record does not say whether the keys can be used now.
    if let Some(vault) = domain::out_of_reach(&plan.domain) {
        return verdict(Truth::False, vault.reason, vault.message);
    }
    if let Some((name, fault)) = found.iter().find_map(|(name, key)| Some((name, key.fault?))) {
        return verdict(Truth::False, fault.reason(), fault.message(name));
    }
    for key in &plan.keys {
        let Some(seen) = found.get(&key.name) else {
            let was_there = applied
                .record
                .as_ref()
                .ok()
                .and_then(|record| record.key(&key.class, key.cohort))
                .is_some_and(|record| !record.versions.is_empty());
            let (reason, message) = if was_there {
                (
                    Reason::KeyMissing,
                    format!(
                        "transit key {} was there and is gone: restore it from a Vault snapshot",
                        key.name
                    ),
                )
            } else {
                (Reason::KeyPending, format!("transit key {} does not exist yet", key.name))
            };
            return verdict(Truth::False, reason, message);
        };
        if seen.rotate_every != key.rotate_every {
            return verdict(
                Truth::False,
                Reason::RotationNotSet,
                format!("transit key {} does not rotate as declared", key.name),
            );
        }
    }
    if unseen(plan, applied, world, now) {
        return verdict(Truth::Unknown, KEYS_UNSEEN.0, KEYS_UNSEEN.1.into());
    }
    let policy = plan.validated.as_ref().and_then(|validated| validated.retention.as_deref());
    let left = match (policy, &applied.record) {
        (Some(policy), Ok(record)) => import::count(channel, policy, record, &plan.domain, now),
        _ => 0,
    };
    let importing = match left {
        0 => String::new(),
        left => format!("; {left} keys of past cohorts are still to be made for encryption.import"),
    };
    verdict(
        Truth::True,
        Reason::KeysInPlace,
        format!("{} keys exist and rotate as declared{importing}", plan.keys.len()),
    )
}

pub(super) fn retained(plan: &Plan, applied: &Applied, world: &World, now: Timestamp) -> Verdict {
    let verdict =
        |truth, reason: Reason, message: String| Verdict::new(condition::RETAINED, truth, reason, message);
    if let Some((truth, reason, message)) = shared(plan, applied, world, now) {
        return verdict(truth, reason, message);
    }
    if plan.keys.is_empty() {
        return verdict(Truth::True, Reason::NothingKept, "no data class is declared".into());
    }
    let policy = plan.validated.as_ref().and_then(Validated::kept_by);
    let conflicts = policy.map(|policy| retention::problems(policy, world, now)).unwrap_or_default();
    if let Some(first) = conflicts.first() {
        return verdict(Truth::False, Reason::RetentionConflict, first.clone());
    }
    match &applied.record {
        Err(fault) => verdict(Truth::False, fault.reason, fault.message.clone()),
        Ok(record) => {
            let today = domain::today(&plan.domain, now);
            let late = policy.map(|policy| deadlines::late(record, policy, today)).unwrap_or_default();
            if let Some((reason, message)) = deadlines::verdict(&late) {
                return verdict(Truth::False, reason, message);
            }
            let missing: Vec<_> = plan
                .keys
                .iter()
                .filter(|key| {
                    record.key(&key.class, key.cohort).is_none_or(|record| record.versions.is_empty())
                })
                .map(|key| key.name.as_str())
                .collect();
            if !missing.is_empty() {
                let message = format!("not in the record yet: {}", missing.join(", "));
                verdict(Truth::False, Reason::KeyPending, message)
            } else if let Some(message) = kept_without_end(plan) {
                verdict(Truth::False, Reason::BackupRetentionMissing, message)
            } else if unseen(plan, applied, world, now) {
                verdict(Truth::Unknown, KEYS_UNSEEN.0, KEYS_UNSEEN.1.into())
            } else {
                verdict(Truth::True, Reason::Scheduled, "every data class has keys and due dates".into())
            }
        }
    }
}

/// What is so where nobody says how long backups are kept, and the next step.
fn kept_without_end(plan: &Plan) -> Option<String> {
    let policy = plan.validated.as_ref()?.backups.as_deref();
    let has_backups = plan.keys.iter().any(|key| key.class == BACKUP_CLASS);
    if !has_backups || policy.is_some_and(|policy| policy.spec.class(BACKUP_CLASS).is_some()) {
        return None;
    }
    let policy = policy.map_or_else(
        || "in the first RetentionPolicy of its TrustDomain".to_owned(),
        |policy| format!("in RetentionPolicy {}", policy.metadata.name.as_deref().unwrap_or_default()),
    );
    Some(format!(
        "its backups are kept without end: ask the compliance office to write how long, as class {BACKUP_CLASS} {policy}"
    ))
}
