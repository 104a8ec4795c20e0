//! Checks a record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::ResourceExt as _;
use subrosa_crds::{
    Approval, Destruction, DestructionStatus, Reason, TrustDomain,
    approval::{Decision, TargetKind},
    destruction::{self, Approver, KeyOutcome},
};
use subrosa_destroyer::snapshots_kept;
use subrosa_plan::world::domain;

use crate::cli::ends;

/// How much earlier than in UTC a day begins in the easternmost time zone.
const EASTERNMOST: SignedDuration = SignedDuration::from_hours(14);

/// What a record is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Every Approval; none where none were given.
    pub approvals: Option<&'a [Approval]>,
    /// The record's TrustDomain.
    pub domain: Option<&'a TrustDomain>,
}

/// The problems of a record, by itself and compared with other objects; empty if there are none.
pub fn problems(record: &Destruction, beside: Beside<'_>) -> Vec<String> {
    let Some(status) = &record.status else {
        return vec!["it has no status: the destroyer has not looked at it yet".to_owned()];
    };
    let mut found = list(record, status);
    let times = keys(record, status, &mut found);
    if let Some(first) = times.first_set_aside {
        when(record, first, beside.domain, &mut found);
    }
    people(status, &times, &mut found);
    if let Some(approvals) = beside.approvals {
        compare(record, status, approvals, &times, &mut found);
    }
    end(status, &times, beside.domain, &mut found);
    found
}

/// When the keys of a record went.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    first_set_aside: Option<Timestamp>,
    last_destroyed: Option<Timestamp>,
    /// Of keys that were back in between.
    last_gone_again: Option<Timestamp>,
}

fn list(record: &Destruction, status: &DestructionStatus) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &record.spec;
    if spec.computed_digest() != spec.digest {
        found.push(format!(
            "spec.digest: {}, and the list has {}: it is not the list that people approved",
            spec.digest,
            spec.computed_digest()
        ));
    }
    let name = destruction::name(&spec.retention_policy.name, &spec.due, &spec.digest);
    if record.name_any() != name {
        found.push(format!("metadata.name: expected {name}, after its policy, day and digest"));
    }
    if record.uid().is_none_or(|uid| uid.is_empty()) {
        found.push("metadata.uid: it has none: write the record with kubectl get -o yaml".to_owned());
    }
    let destroyed = Reason::Destroyed.as_str();
    if status.state.as_deref() != Some(destroyed) {
        let state = status.state.as_deref().unwrap_or("none");
        found.push(format!("status.state: {state}, expected {destroyed}: it is not finished"));
    }
    let all = i64::try_from(spec.keys.len()).ok();
    for (field, count) in [("total", status.total), ("destroyed", status.destroyed)] {
        if count != all {
            let count = count.map_or("none".to_owned(), |count| count.to_string());
            found.push(format!("status.{field}: {count}, and the list has {} keys", spec.keys.len()));
        }
    }
    if status.method.is_none() {
        found.push("status.method: it does not say how the data was made unreadable".to_owned());
    }
    found
}

fn keys(record: &Destruction, status: &DestructionStatus, found: &mut Vec<String>) -> Times {
    let mut outcomes: BTreeMap<String, &KeyOutcome> = BTreeMap::new();
    for key in &status.keys {
        if outcomes.insert(key.key_name(), key).is_some() {
            found.push(format!("status.keys: {} stands there twice", key.key_name()));
        }
    }
    let (mut times, mut canaries) = (Times::default(), BTreeSet::new());
    let mut listed = BTreeSet::new();
    for key in &record.spec.keys {
        let name = key.key_name();
        if !listed.insert(name.clone()) {
            found.push(format!("spec.keys: {name} stands there twice"));
        }
        let Some(outcome) = outcomes.remove(&name) else {
            found.push(format!("status.keys: nothing is said of {name}"));
            continue;
        };
        one(&name, outcome, &mut times, found);
        if let Some(canary) = outcome.canary.as_deref()
            && !canaries.insert(canary)
        {
            found.push(format!("key {name}: its canary is that of another key"));
        }
    }
    for name in outcomes.keys() {
        found.push(format!("status.keys: {name} is not in the list"));
    }
    times
}

fn one(name: &str, key: &KeyOutcome, times: &mut Times, found: &mut Vec<String>) {
    let destroyed = Reason::Destroyed.as_str();
    if key.state != destroyed {
        found.push(format!("key {name}: state is {}, expected {destroyed}", key.state));
    }
    // Vault's format: the key version, then the ciphertext.
    let sealed = |canary: &&str| canary.strip_prefix("vault:v").is_some_and(|rest| rest.contains(':'));
    if key.canary.as_deref().filter(sealed).is_none() {
        found.push(format!("key {name}: it has no canary, such as vault:v1:…"));
    }
    let gone_again = key.gone_again_at.as_deref().and_then(|text| text.parse().ok());
    times.last_gone_again = times.last_gone_again.max(gone_again);
    let mut last = None;
    for (field, text) in [
        ("createdAt", &key.created_at),
        ("setAsideAt", &key.set_aside_at),
        ("destroyedAt", &key.destroyed_at),
    ] {
        let Some(at) = text.as_deref().and_then(|text| text.parse::<Timestamp>().ok()) else {
            found.push(format!("key {name}: {field}: expected an instant, such as 2027-02-14T17:00:00Z"));
            continue;
        };
        if let Some((before, earlier)) = last.filter(|(_, earlier)| *earlier > at) {
            found.push(format!("key {name}: {field} {at} is before {before} {earlier}"));
        }
        last = Some((field, at));
        match field {
            "setAsideAt" => times.first_set_aside = times.first_set_aside.min(Some(at)).or(Some(at)),
            "destroyedAt" => times.last_destroyed = times.last_destroyed.max(Some(at)),
            _ => {}
        }
    }
}

fn when(record: &Destruction, first: Timestamp, domain: Option<&TrustDomain>, found: &mut Vec<String>) {
    let Ok(due) = record.spec.due.parse::<jiff::civil::Date>() else {
        found.push(format!("spec.due: {} is no day", record.spec.due));
        return;
    };
    let zone = domain.and_then(|domain| domain::time_zone(domain).ok());
    let slack = if zone.is_some() { SignedDuration::ZERO } else { EASTERNMOST };
    let begins = due.to_zoned(zone.unwrap_or(TimeZone::UTC)).map(|begins| begins.timestamp() - slack);
    if begins.is_ok_and(|begins| first < begins) {
        found.push(format!("a key was set aside at {first}, before the day on which it was due, {due}"));
    }
}

fn people(status: &DestructionStatus, times: &Times, found: &mut Vec<String>) {
    let count = status.approved_by.len();
    let (have, need) = status
        .approvals
        .as_deref()
        .and_then(|text| Some((text.split_once('/')?.0.parse::<usize>().ok()?, ends::needed(Some(text))?)))
        .unwrap_or_default();
    if need < 1 {
        found
            .push("status.approvals: expected how many people approved, of how many, such as 2/2".to_owned());
    } else if have != count || i32::try_from(count).is_ok_and(|count| count < need) {
        found.push(format!(
            "status.approvedBy: {count} people, and status.approvals says {}",
            status.approvals.as_deref().unwrap_or_default()
        ));
    }
    let (mut users, mut uids) = (BTreeSet::new(), BTreeSet::new());
    for Approver { approver, approval, uid, at } in &status.approved_by {
        if !users.insert(approver) || !uids.insert(uid) {
            found.push(format!("status.approvedBy: {approver}, Approval {approval}, counts twice"));
        }
        if approver.starts_with("system:") || approver.is_empty() {
            found.push(format!("status.approvedBy: {approver} is no person"));
        }
        match at.parse::<Timestamp>() {
            Ok(at) => {
                if times.first_set_aside.is_some_and(|first| at > first) {
                    found.push(format!(
                        "status.approvedBy: Approval {approval} was made at {at}, after a key was set aside"
                    ));
                }
            }
            Err(_) => found.push(format!("status.approvedBy: Approval {approval}: {at} is no instant")),
        }
    }
}

fn compare(
    record: &Destruction,
    status: &DestructionStatus,
    approvals: &[Approval],
    times: &Times,
    found: &mut Vec<String>,
) {
    let about = |one: &Approval| {
        let target = &one.spec.target;
        target.kind == TargetKind::Destruction
            && target.name == record.name_any()
            && Some(&target.uid) == record.metadata.uid.as_ref()
            && target.digest == record.spec.digest
    };
    let made = |one: &Approval| one.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let expires = |one: &Approval| one.spec.expires.parse::<Timestamp>().ok();
    for counted in &status.approved_by {
        let name = &counted.approval;
        let Some(one) = approvals.iter().find(|one| one.name_any() == *name) else {
            found.push(format!("Approval {name} of {} is not there", counted.approver));
            continue;
        };
        if one.uid().as_deref() != Some(&counted.uid) {
            found.push(format!("Approval {name}: its UID is another than in status.approvedBy"));
        }
        if one.spec.approver != counted.approver {
            found.push(format!(
                "Approval {name}: its approver is {}, and the record says {}",
                one.spec.approver, counted.approver
            ));
        }
        if !about(one) {
            found.push(format!("Approval {name} is about something else: kind, name, UID or digest differ"));
        }
        if one.spec.decision != Decision::Approve {
            found.push(format!("Approval {name} denies"));
        }
        if made(one) != counted.at.parse().ok() {
            found.push(format!("Approval {name}: it was not made at {}, as the record says", counted.at));
        }
        if times.first_set_aside.is_some_and(|first| expires(one).is_none_or(|expires| expires <= first)) {
            found.push(format!("Approval {name} ended at {}, before a key was set aside", one.spec.expires));
        }
    }
    let Some(first) = times.first_set_aside else { return };
    for one in approvals.iter().filter(|one| one.spec.decision == Decision::Deny && about(one)) {
        let stood =
            made(one).is_some_and(|made| made < first) && expires(one).is_some_and(|ends| ends > first);
        if stood {
            let (name, who) = (one.name_any(), &one.spec.approver);
            found.push(format!("Approval {name} of {who} denied it when a key was set aside at {first}"));
        }
    }
}

fn end(status: &DestructionStatus, times: &Times, domain: Option<&TrustDomain>, found: &mut Vec<String>) {
    let at = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let destroyed = at(&status.destroyed_at);
    if destroyed.is_none() || destroyed != times.last_destroyed {
        let shown = status.destroyed_at.as_deref().unwrap_or("none");
        found.push(format!("status.destroyedAt: {shown} is not when the last key was gone"));
    }
    let effective = at(&status.effective_at);
    if status.effective_at.is_some() && effective < destroyed {
        found.push("status.effectiveAt: it is before status.destroyedAt".to_owned());
    }
    let Some(domain) = domain else { return };
    // Snapshots from the time when a key was back contain it too.
    let gone = destroyed.max(times.last_gone_again);
    let expected = gone.zip(snapshots_kept(domain)).and_then(|(at, kept)| at.checked_add(kept).ok());
    if effective != expected {
        let shown = |at: Option<Timestamp>| at.map_or("none".to_owned(), |at| at.to_string());
        found.push(format!(
            "status.effectiveAt: {}, and spec.vault.snapshots of TrustDomain {} leads to {}; was it changed since?",
            shown(effective),
            domain.name_any(),
            shown(expected)
        ));
    }
}
