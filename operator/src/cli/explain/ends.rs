//! Describes Destructions and LegalHolds.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use kube::ResourceExt as _;
use subrosa_crds::{
    Destruction, LegalHold,
    cohort::Cohort,
    condition,
    destruction::{Approver, ListedKey},
    legal_hold::HoldSelector,
};

use super::{conditions, page::Page};
use crate::cli::{ends, table::Tone, words};

/// Describes a Destruction.
pub fn destruction(object: &Destruction, now: Timestamp, page: &mut Page) {
    let status = object.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(
        &format!("Destruction {}", object.name_any()),
        ready.map(|one| (one.status.as_str(), one.reason.as_str())),
    );
    listed(object, ends::today(None, now), page);
    page.section("How far it is");
    page.fact("State", status.state.as_deref().unwrap_or("the destroyer has not looked at it yet"));
    page.fact("Approvals", status.approvals.as_deref().unwrap_or("none yet"));
    for one in &status.approved_by {
        page.fact("", &by(one));
    }
    let count = |count: Option<i64>| count.unwrap_or_default();
    page.fact(
        "Keys",
        &format!(
            "{} destroyed of {}, {} set aside",
            count(status.destroyed),
            object.spec.keys.len(),
            count(status.set_aside)
        ),
    );
    if let Some(until) = &status.grace_until {
        page.fact("Grace until", &format!("{until}, {}", words::when_text(until, now)));
    }
    if let Some(at) = &status.destroyed_at {
        page.fact("Destroyed", at);
        let effective =
            status.effective_at.as_deref().unwrap_or("not known: no spec.vault.snapshots.retain is declared");
        page.fact("Everywhere", effective);
    }
    if let Some(method) = &status.method {
        page.fact("Method", method);
    }
    conditions::describe_ends(&status.conditions, now, page);
}

/// The content of a Destruction's list: the policy, and which keys of which Channels.
pub fn listed(object: &Destruction, today: Date, page: &mut Page) {
    let spec = &object.spec;
    page.section("What it lists");
    page.fact("Trust domain", &spec.trust_domain);
    page.fact("Policy", &spec.retention_policy.name);
    let when = spec.due.parse().map(|due| format!(", {}", words::days(today, due))).unwrap_or_default();
    page.fact("Due", &format!("{}{when}", spec.due));
    let mut channels: BTreeMap<String, BTreeMap<&str, Vec<&ListedKey>>> = BTreeMap::new();
    for key in &spec.keys {
        let of_channel = channels.entry(key.channel.to_string()).or_default();
        of_channel.entry(&key.data_class).or_default().push(key);
    }
    page.fact(
        "Keys",
        &format!(
            "{} of {}",
            words::counted(spec.keys.len(), "key"),
            words::counted(channels.len(), "Channel")
        ),
    );
    for (channel, classes) in channels {
        page.line(&format!("Channel {channel}"), Tone::Plain);
        for (class, mut keys) in classes {
            keys.sort_by(|one, other| one.cohort.cmp(&other.cohort));
            let of = |open: bool| -> Vec<&str> {
                keys.iter().map(|key| key.cohort.as_str()).filter(|cohort| is_open(cohort) == open).collect()
            };
            let (closed, open) = (of(false), of(true));
            if !closed.is_empty() {
                page.below(&format!("{class}: {}", closed.join(", ")));
            }
            if !open.is_empty() {
                page.below(&format!("{class}: {}: its data never got its anchor date", open.join(", ")));
            }
        }
    }
}

fn is_open(cohort: &str) -> bool {
    cohort.parse().is_ok_and(Cohort::is_open)
}

/// Describes a LegalHold.
pub fn legal_hold(object: &LegalHold, now: Timestamp, page: &mut Page) {
    let status = object.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(
        &format!("LegalHold {}", object.name_any()),
        ready.map(|one| (one.status.as_str(), one.reason.as_str())),
    );
    held(object, page);
    if object.spec.is_released() {
        page.fact(
            "Its end",
            &format!("asked for; approved by {}", status.approvals.as_deref().unwrap_or("-")),
        );
    }
    conditions::describe_ends(&status.conditions, now, page);
}

/// What a LegalHold protects, and why.
pub fn held(object: &LegalHold, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    page.section("What it holds");
    page.fact("Matter", &spec.matter);
    for (name, values) in selected(&spec.selector) {
        page.fact(name, &values.join(", "));
    }
    let keys = status.held.map_or("not counted yet".to_owned(), |held| {
        words::counted(usize::try_from(held).unwrap_or_default(), "key")
    });
    page.fact("Keys", &keys);
    if let Some(late) = status.too_late_count.filter(|late| *late > 0) {
        page.fact("Too late", &format!("for {late}, past the point of no return when it came"));
        for key in &status.too_late {
            page.fact("", key);
        }
    }
    if let Some(day) = &status.review_by {
        page.fact("Review by", day);
    }
}

/// The lists of a selector that are not empty.
pub fn selected(selector: &HoldSelector) -> Vec<(&'static str, &[String])> {
    let lists = [
        ("Namespaces", selector.namespaces.as_slice()),
        ("Channels", &selector.channels),
        ("Data classes", &selector.data_classes),
        ("Cohorts", &selector.cohorts),
    ];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}

/// Who approved, when, and by which Approval.
pub(super) fn by(one: &Approver) -> String {
    format!("{}, {} (Approval {})", one.approver, one.at, one.approval)
}
