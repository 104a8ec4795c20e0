//! An Adoption, shown before anybody decides.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use subrosa_crds::{
    Adoption, Reason,
    approval::{Decision, TargetKind},
    condition,
};

use super::scope::{ApprovalScope, Decider, decided, target};
use crate::cli::{ends::EndObjects, explain::page::Page, table::Tone, words};

/// How many Channels of a namespace are shown.
const MOST: usize = 200;

/// Shows `object` on `page`: which Channels would open what earlier ones of their names sealed.
pub fn scope(object: &Adoption, seen: &EndObjects, by: Decider<'_>, page: &mut Page) -> ApprovalScope {
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
            match outcomes.get(one.adopts.as_str()).filter(|found| found.message.is_some()) {
                Some(found) => {
                    let why = found.message.as_deref().unwrap_or_default();
                    page.line(&format!("{what}: {}: {why}", found.state), Tone::Odd);
                }
                None => page.line(&what, Tone::Plain),
            }
        }
        if channels.len() > MOST {
            page.line(&format!("and {} more", channels.len() - MOST), Tone::Odd);
        }
    }
    let is_done = ready.and_then(Reason::of) == Some(Reason::Adopted);
    let scope = ApprovalScope {
        target: target(TargetKind::Adoption, object, spec.digest()),
        domain: Some(spec.trust_domain.clone()),
        needed: Some(seen.strictest(seen.domain(&spec.trust_domain))),
        outcome: match by.decision {
            Decision::Approve => {
                "The operator notes it within half a minute, and workloads whose Channel may open (encryption.workloadMay) \
                 open what was sealed before. No key is destroyed earlier or later for it."
            }
            Decision::Deny => "Nothing is adopted by it until the denial expires, whoever approves.",
        }
        .to_owned(),
        refusal: if is_done {
            Some("everything that it asks for is adopted: there is nothing left to decide".to_owned())
        } else if by.decision == Decision::Approve && by.user == spec.requested_by {
            Some("you ask for it, and who asks does not approve: let others".to_owned())
        } else {
            None
        },
    };
    decided(&scope, seen, by, page);
    scope
}
