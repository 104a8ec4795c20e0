//! Shows what is decided about, before a decision.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    LegalHold, RetentionPolicy, TrustDomain,
    approval::{ApprovalTarget, Decision, TargetKind},
    condition,
    retention_policy::DataClass,
};
use subrosa_plan::{
    destruction::{
        rules,
        tally::{Tally, Target},
    },
    record::destroyer::{BindingRules, Frozen},
};

use super::{
    access_grant, access_revocation, access_role, adoption, break_glass, destruction, target::Named,
};
use crate::cli::{
    ends::{self, EndObjects},
    explain::{ends as told, page::Page},
    table::Tone,
    words,
};

/// The deciding user.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'a> {
    /// The user, as the API server knows them.
    pub user: &'a str,
    /// What they want to say.
    pub decision: Decision,
    /// Until when.
    pub expires: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// What is decided about.
#[derive(Clone, Debug)]
pub struct ApprovalScope {
    /// The object in its state.
    pub target: ApprovalTarget,
    /// The trust domain that it is about; none where it is about all.
    pub domain: Option<String>,
    /// How many people approve; none where only the destroyer knows.
    pub needed: Option<i32>,
    /// What happens when the decision counts.
    pub outcome: String,
    /// Why this cannot be said.
    pub refusal: Option<String>,
}

impl ApprovalScope {
    /// The target as Approvals are counted.
    pub fn counted(&self) -> Target<'_> {
        let ApprovalTarget { kind, namespace: _, name, uid, digest, channels: _ } = &self.target;
        Target { kind: *kind, name, uid, digest }
    }
}

/// Shows `named` on `page`.
///
/// # Errors
/// When the object does not exist, or there is nothing to decide about it.
pub fn of(named: &Named, seen: &EndObjects, by: Decider<'_>, page: &mut Page) -> Result<ApprovalScope> {
    let Named { kind, uses, namespace, name } = named;
    let hidden = |kinds| match seen.hidden.contains(&kinds) {
        true => {
            format!("{kinds} cannot be read: ask for ClusterRole subrosa-view, or install the definitions")
        }
        false => format!("there is no {} {name}; see: kubectl get {}", kind.as_str(), kinds.to_lowercase()),
    };
    match kind {
        TargetKind::Destruction => {
            let found = seen.destructions.iter().find(|one| one.name_any() == *name);
            Ok(destruction::scope(found.with_context(|| hidden("Destructions"))?, seen, by, page))
        }
        TargetKind::LegalHold => {
            let found = seen.holds.iter().find(|one| one.name_any() == *name);
            Ok(legal_hold(found.with_context(|| hidden("LegalHolds"))?, seen, by, page))
        }
        TargetKind::RetentionPolicy => {
            let found = seen.policy(name).with_context(|| hidden("RetentionPolicies"))?;
            Ok(retention_policy(found, seen, by, page))
        }
        TargetKind::TrustDomain => {
            let found = seen.domain(name).with_context(|| hidden("TrustDomains"))?;
            trust_domain(found, seen, by, page)
        }
        TargetKind::Adoption => {
            let found = seen.adoptions.iter().find(|one| one.name_any() == *name);
            Ok(adoption::scope(found.with_context(|| hidden("Adoptions"))?, seen, by, page))
        }
        TargetKind::AccessRole => {
            let mut roles = seen.roles.iter();
            let found = roles.find(|one| one.namespace() == *namespace && one.name_any() == *name);
            let found = found.with_context(|| hidden("AccessRoles"))?;
            if *uses {
                break_glass::scope(found, seen, by, page)
            } else {
                access_role::scope(found, seen, by, page)
            }
        }
        TargetKind::AccessGrant => {
            let mut grants = seen.grants.iter();
            let found = grants.find(|one| one.namespace() == *namespace && one.name_any() == *name);
            access_grant::scope(found.with_context(|| hidden("AccessGrants"))?, seen, by, page)
        }
        TargetKind::AccessRevocation => {
            let found = seen.revocations.iter().find(|one| one.name_any() == *name);
            Ok(access_revocation::scope(found.with_context(|| hidden("AccessRevocations"))?, seen, by, page))
        }
    }
}

pub(super) fn target<K: kube::Resource<DynamicType = ()>>(
    kind: TargetKind,
    object: &K,
    digest: String,
) -> ApprovalTarget {
    let namespace = object.namespace();
    ApprovalTarget {
        kind,
        namespace,
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        digest,
        channels: Vec::new(),
    }
}

fn legal_hold(object: &LegalHold, seen: &EndObjects, by: Decider<'_>, page: &mut Page) -> ApprovalScope {
    let status = object.status.clone().unwrap_or_default();
    let name = object.name_any();
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(&format!("LegalHold {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    told::held(object, page);
    page.section("Its end");
    if object.spec.is_released() {
        page.line("spec.released is true: it ends when enough people approve.", Tone::Plain);
    } else {
        let text =
            "Nobody asks for its end yet: it holds, whoever approves, until spec.released: true is written.";
        page.line(text, Tone::Odd);
    }
    let digest = object.spec.release_digest();
    let scope = ApprovalScope {
        target: target(TargetKind::LegalHold, object, digest),
        domain: None,
        needed: ends::needed(status.approvals.as_deref()).or_else(|| Some(seen.strictest(None))),
        outcome: match by.decision {
            Decision::Approve => {
                "The destroyer ends the hold at its next look where spec.released is true. What is due then goes its own way, \
                 by Approvals of its Destruction."
            }
            Decision::Deny => "The hold stays until the denial expires, whoever approves its end.",
        }
        .to_owned(),
        refusal: None,
    };
    decided(&scope, seen, by, page);
    scope
}

fn retention_policy(
    object: &RetentionPolicy,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> ApprovalScope {
    let name = object.name_any();
    page.heading(&format!("RetentionPolicy {name}"));
    page.section("What it says now");
    for class in &object.spec.classes {
        page.fact("Class", &format!("{}: {}", class.name, kept(class)));
    }
    let says = object.spec.destruction();
    let grace = says.grace().map_or_else(|error| error.to_string(), |grace| grace.to_string());
    page.fact("Approvals", &says.approvals().to_string());
    page.fact("Grace", &grace);
    page.fact("Mode", &format!("{:?}", says.mode()));
    page.section("What binds now");
    let binding: Vec<_> = seen.binding(&name).collect();
    for (domain, rules) in &binding {
        let BindingRules { approvals, grace, mode, .. } = rules;
        page.fact(domain, &format!("{} approve, grace {grace}, mode {mode:?}", people_of(*approvals)));
    }
    if binding.is_empty() {
        let text =
            "Nothing that the destroyer told of: a policy binds as it is when the destroyer sees it first.";
        page.line(text, Tone::Plain);
    }
    page.section("What waits");
    let mut waits = BTreeSet::new();
    for (domain, told) in seen.told.iter().flatten() {
        for line in told.waiting.get(&name).into_iter().flatten() {
            waits.insert(format!("{line}, in TrustDomain {domain}"));
        }
    }
    if seen.told.is_none() {
        page.line(&unreadable(seen), Tone::Odd);
    } else if waits.is_empty() {
        page.line("None of its rules.", Tone::Plain);
    }
    for line in &waits {
        page.line(line, Tone::Odd);
    }
    page.line(
        "A class that is kept for a shorter time than when its keys were made: the earlier days.",
        Tone::Plain,
    );
    let digest = rules::digest(object);
    let scope = ApprovalScope {
        target: target(TargetKind::RetentionPolicy, object, digest),
        domain: None,
        // By the rules that have bound so far, in each trust domain.
        needed: binding.iter().map(|(_, rules)| rules.approvals).max(),
        outcome: match by.decision {
            Decision::Approve => {
                "What waits binds when as many people approve as the rules that bind until now ask for. A change of the policy \
                 needs Approvals of its own."
            }
            Decision::Deny => {
                "What waits does not bind until the denial expires. What bound before stays: to take it back, change the policy."
            }
        }
        .to_owned(),
        refusal: None,
    };
    decided(&scope, seen, by, page);
    scope
}

/// How long data of a class is kept, and from when.
fn kept(class: &DataClass) -> String {
    let mut text = format!("keep {} from {:?}", class.keep, class.anchor.unwrap_or_default());
    if let Some(open_for) = &class.open_for {
        text.push_str(&format!(", which it waits for {open_for} at most"));
    }
    text.push_str(&format!("; cohort {:?}", class.cohort.unwrap_or_default()));
    if let Some(max) = &class.max {
        text.push_str(&format!("; max {max}"));
    }
    text
}

fn people_of(count: i32) -> String {
    if count == 1 { "1 person has to".to_owned() } else { format!("{count} people have to") }
}

fn trust_domain(
    object: &TrustDomain,
    seen: &EndObjects,
    by: Decider<'_>,
    page: &mut Page,
) -> Result<ApprovalScope> {
    let name = object.name_any();
    if seen.told.is_none() {
        bail!("{}: the digest of what is frozen stands there", unreadable(seen));
    }
    let Some(frozen) = seen.told_of(&name).and_then(|told| told.frozen.as_ref()) else {
        bail!("nothing is frozen in TrustDomain {name}: there is nothing to decide");
    };
    page.heading(&format!("TrustDomain {name}"));
    page.section("Why nothing is destroyed");
    page.fact("Reason", &frozen.reason);
    page.fact("Since", &format!("{}, {}", frozen.since, words::when(frozen.since, by.now)));
    page.line(&frozen.message, Tone::Odd);
    page.fact("Digest", &frozen.digest);
    page.below("Look what happened first: docs/destruction.md has what each reason means.");
    let scope = ApprovalScope {
        target: target(TargetKind::TrustDomain, object, frozen.digest.clone()),
        domain: Some(name),
        needed: Some(seen.strictest(Some(object))),
        outcome: match by.decision {
            Decision::Approve => {
                "Destruction goes on at the destroyer's next look, with what people approved before."
            }
            Decision::Deny => {
                "Nothing is destroyed in this trust domain until the denial expires, whoever approves."
            }
        }
        .to_owned(),
        refusal: None,
    };
    decided(&scope, seen, by, page);
    Ok(scope)
}

fn unreadable(seen: &EndObjects) -> String {
    format!(
        "You may not read ConfigMap {}/{}; ask for the right to get it",
        seen.namespace,
        subrosa_destroyer::cluster::MIRROR
    )
}

/// Tells that all destruction is frozen, where it is.
pub(super) fn frozen_line(frozen: Option<&Frozen>, page: &mut Page) {
    if let Some(frozen) = frozen {
        page.line(&format!("All destruction is frozen: {}: {}", frozen.reason, frozen.message), Tone::Bad);
    }
}

/// Shows who has decided already.
pub(super) fn decided(scope: &ApprovalScope, seen: &EndObjects, by: Decider<'_>, page: &mut Page) {
    let tally = seen.tally(&scope.counted(), scope.domain.as_deref(), by.now);
    page.section("Who decided");
    page.fact("Approve", &people(&tally, scope.needed, by.now));
    if let Some(denied) = &tally.denied {
        page.fact("Deny", &format!("Approval {denied}, until it expires: it stops what others approve"));
    }
    for (name, why) in tally.ignored.iter().take(5) {
        page.fact("Not counted", &format!("Approval {name}: {why}"));
    }
    if by.decision == Decision::Approve && tally.valid(by.now).iter().any(|one| one.approver == by.user) {
        let text =
            "You approve already. One person counts once; of two Approvals the one that expires last counts.";
        page.line(text, Tone::Odd);
    }
}

/// Such as `1 of 2 people: anna`.
pub fn people(tally: &Tally, needed: Option<i32>, now: Timestamp) -> String {
    let valid = tally.valid(now);
    let names: Vec<_> = valid.iter().map(|one| one.approver.as_str()).collect();
    let of = match needed {
        Some(needed) => format!("{} of {needed} people", valid.len()),
        None => match valid.len() {
            1 => "1 person".to_owned(),
            count => format!("{count} people"),
        },
    };
    if names.is_empty() { of } else { format!("{of}: {}", names.join(", ")) }
}
