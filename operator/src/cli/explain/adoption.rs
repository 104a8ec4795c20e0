//! Describes Adoptions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{Adoption, Reason, condition};

use super::{conditions, ends, page::Page};
use crate::cli::{table::Tone, words};

/// How many Channels of a namespace are listed.
const MOST: usize = 200;

/// Describes an Adoption.
pub fn describe(object: &Adoption, now: Timestamp, page: &mut Page) {
    listed(object, page);
    let status = object.status.clone().unwrap_or_default();
    page.section("How far it is");
    page.fact("State", status.state.as_deref().unwrap_or("the operator has not looked at it yet"));
    page.fact("Approvals", status.approvals.as_deref().unwrap_or("none yet"));
    for one in &status.approved_by {
        page.fact("", &ends::by(one));
    }
    let total = object.spec.channels.len();
    let adopted = usize::try_from(status.adopted.unwrap_or_default()).unwrap_or_default();
    page.fact("Channels", &format!("{adopted} of {total} have the keys now"));
    if let Some(at) = &status.adopted_at {
        page.fact("Adopted first", at);
    }
    let name = object.name_any();
    let ready = condition::find(&status.conditions, condition::READY).and_then(Reason::of);
    page.fact(
        "Who decides",
        &format!(
            "people with the verb approve on adoptions/{name} (ClusterRole subrosa-approver), but for {}",
            object.spec.requested_by
        ),
    );
    let next = match ready {
        Some(Reason::Adopted) => format!("to take it back: subrosa deny adoption/{name}"),
        Some(Reason::PartlyAdopted | Reason::Refused) => {
            "another Adoption for those that can: subrosa adopt --keys".to_owned()
        }
        Some(Reason::ApprovalDenied) => "ask who denied, or wait until that expires".to_owned(),
        Some(Reason::WorkUnderWay) => "none, unless what is said below stays".to_owned(),
        _ => format!("subrosa approve adoption/{name}"),
    };
    page.fact("Next", &next);
    conditions::describe(&status.conditions, now, page);
}

/// The request of an Adoption, and the state of each of its Channels.
pub fn listed(object: &Adoption, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(
        &format!("Adoption {}", object.name_any()),
        ready.map(|one| (one.status.as_str(), one.reason.as_str())),
    );
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    page.fact("Asked by", &format!("{}, whose own Approval does not count", spec.requested_by));
    page.fact("TrustDomain", &spec.trust_domain);
    page.fact(
        "What",
        &format!(
            "workloads of {} may open what earlier Channels of the same names sealed",
            words::counted(spec.channels.len(), "Channel")
        ),
    );
    let outcomes: BTreeMap<_, _> = status.channels.iter().map(|one| (one.adopts.as_str(), one)).collect();
    let mut by_namespace: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for one in &spec.channels {
        by_namespace.entry(&one.namespace).or_default().push(one);
    }
    for (namespace, channels) in by_namespace {
        page.section(&format!("Namespace {namespace}"));
        for one in channels.iter().take(MOST) {
            let what = format!("{} ({}) takes over the keys of {}", one.name, one.id, one.adopts);
            match outcomes.get(one.adopts.as_str()) {
                Some(found) if found.message.is_some() => {
                    let why = found.message.as_deref().unwrap_or_default();
                    page.line(&format!("{what}: {}: {why}", found.state), Tone::Odd);
                }
                Some(found) => page.line(&format!("{what}: {}", found.state), Tone::Plain),
                None => page.line(&what, Tone::Plain),
            }
        }
        if channels.len() > MOST {
            page.line(&format!("and {} more", channels.len() - MOST), Tone::Odd);
        }
    }
}
