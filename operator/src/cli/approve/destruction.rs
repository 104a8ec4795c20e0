//! A Destruction, shown before somebody decides about it.

use jiff::civil::Date;
use kube::ResourceExt as _;
use subrosa_crds::{
    Destruction, RetentionPolicy, TrustDomain,
    approval::{Decision, TargetKind},
    condition,
    destruction::ListedKey,
    period::Period,
    retention_policy::{DestructionMode, DestructionRules},
};
use subrosa_destroyer::snapshots_kept;
use subrosa_plan::{
    destruction::{
        holds::{Selected, covers},
        order, rules,
    },
    record::destroyer::BindingRules,
};

use super::scope::{ApprovalScope, Decider, decided, frozen_line, target};
use crate::cli::{
    ends::{self, EndObjects},
    explain::{ends as told, page::Page},
    table::Tone,
    words,
};

/// Shows `object` on `page`: what is listed, what stops it, and when it ends.
pub fn scope(object: &Destruction, seen: &EndObjects, by: Decider<'_>, page: &mut Page) -> ApprovalScope {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let name = object.name_any();
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(&format!("Destruction {name}"), ready.map(|one| (one.status.as_str(), one.reason.as_str())));
    if let Some(ready) = ready {
        page.below(&ready.message);
    }
    let domain = seen.domain(&spec.trust_domain);
    let today = ends::today(domain, by.now);
    told::listed(object, today, page);

    let policy = seen.policy(&spec.retention_policy.name);
    let declared = policy.map(|policy| policy.spec.destruction());
    let binding = binding(object, seen, today);
    let needed = ends::needed(status.approvals.as_deref())
        .or_else(|| declared.as_ref().map(DestructionRules::approvals));
    let scope_target = target(TargetKind::Destruction, object, spec.digest.clone());
    let mut scope = ApprovalScope {
        target: scope_target,
        domain: Some(spec.trust_domain.clone()),
        needed,
        outcome: String::new(),
        refusal: None,
    };
    let gone = usize::try_from(status.destroyed.unwrap_or_default()).unwrap_or_default();
    let aside = usize::try_from(status.set_aside.unwrap_or_default()).unwrap_or_default();
    scope.refusal = if spec.computed_digest() != spec.digest {
        Some(format!(
            "the digest of the list above is {}, and spec.digest says {}: the operator did not make it; find who did",
            spec.computed_digest(),
            spec.digest
        ))
    } else if gone == spec.keys.len() {
        Some("every key of it is destroyed: there is nothing left to decide".to_owned())
    } else if by.decision == Decision::Deny {
        None
    } else {
        policy.and_then(|policy| changed(object, policy))
    };

    page.section("What stops it");
    let held = held(object, seen);
    for line in &held {
        page.line(line, Tone::Odd);
    }
    if held.is_empty() {
        page.line("No LegalHold names a key of it.", Tone::Plain);
    }
    frozen_line(seen.told_of(&spec.trust_domain).and_then(|told| told.frozen.as_ref()), page);
    let mode = binding.as_ref().map(|rules| rules.mode).or(declared.as_ref().map(DestructionRules::mode));
    if mode == Some(DestructionMode::Report) {
        page.line("Mode Report binds: nothing is destroyed.", Tone::Odd);
    }
    let contradiction = policy.zip(domain).and_then(|(policy, domain)| {
        let allows = domain.spec.retention_policies.contains(&policy.name_any());
        order::contradiction(policy, &domain.spec.jurisdictions, today).filter(|_| allows)
    });
    if let Some(fault) = contradiction {
        page.line(&fault.message, Tone::Odd);
    }

    page.section("When");
    let due = spec.due.parse::<Date>().ok();
    if let Some(at) = &status.effective_at {
        page.fact("Everywhere", &format!("{at}, by the snapshots that are declared"));
    } else if let Some((due, grace)) = due.zip(grace(binding.as_ref(), declared.as_ref())) {
        let begins = due.max(today);
        page.fact("Set aside", &format!("from {begins} on; a hold or a denial brings the keys back"));
        if let Ok(ends) = grace.after(begins) {
            page.fact("Destroyed", &format!("from {ends} on, {grace} later; nothing brings them back"));
            page.fact("Everywhere", &everywhere(domain, ends));
        }
        if by.decision == Decision::Approve && by.expires.to_zoned(jiff::tz::TimeZone::UTC).date() <= begins {
            page.line(
                &format!(
                    "Your Approval ends at {}, before anything can be set aside: give a later --expires",
                    by.expires
                ),
                Tone::Odd,
            );
        }
    }
    decided(&scope, seen, by, page);
    scope.outcome = match by.decision {
        Decision::Approve => {
            "The destroyer sets the keys aside when they are due, and destroys them after the grace. Until then \
             subrosa deny, or a LegalHold, brings them back."
                .to_owned()
        }
        Decision::Deny => format!(
            "{} set aside: brought back at the destroyer's next look. {} destroyed: nothing brings it back. Nothing more is \
             destroyed until {}; then it goes on where enough people approve.",
            words::counted(aside, "key"),
            words::counted(gone, "key"),
            by.expires
        ),
    };
    scope
}

/// The binding rules for this list, as published by the destroyer: those of its policy, or the strictest where the
/// policy is gone.
fn binding(object: &Destruction, seen: &EndObjects, today: Date) -> Option<BindingRules> {
    let (domain, policy) = (&object.spec.trust_domain, &object.spec.retention_policy.name);
    let told = seen.told_of(domain)?;
    let allows = |domain: &TrustDomain| domain.spec.retention_policies.contains(policy);
    match seen.policy(policy).is_some() && seen.domain(domain).is_some_and(allows) {
        true => told.rules.get(policy).cloned(),
        false => Some(rules::of_gone(policy, &told.rules, today)),
    }
}

/// The binding grace, or the declared one where the destroyer has not published it yet.
fn grace(binding: Option<&BindingRules>, declared: Option<&DestructionRules>) -> Option<Period> {
    let binding = binding.and_then(|rules| rules.grace.parse().ok());
    binding.or_else(|| declared?.grace().ok())
}

/// Why approving would have no effect under this policy.
fn changed(object: &Destruction, policy: &RetentionPolicy) -> Option<String> {
    let listed = &object.spec.retention_policy;
    let same = policy.uid().as_deref() == Some(&listed.uid) && rules::digest(policy) == listed.digest;
    (!same).then(|| {
        format!(
            "RetentionPolicy {} was changed since this list was made: nothing of it is destroyed, and what is still due is \
             listed anew; see: kubectl get destructions",
            listed.name
        )
    })
}

fn held(object: &Destruction, seen: &EndObjects) -> Vec<String> {
    let mut lines = Vec::new();
    for hold in seen.holding() {
        let names = |key: &&ListedKey| {
            // A hold with an unreadable cohort covers every key.
            key.cohort.parse().map_or(true, |cohort| {
                let key = Selected { channel: &key.channel, class: &key.data_class, cohort };
                covers(&hold.spec.selector, key)
            })
        };
        let count = object.spec.keys.iter().filter(names).count();
        if count > 0 {
            lines.push(format!(
                "LegalHold {} holds {} of it: they stay, whoever approves.",
                hold.name_any(),
                words::counted(count, "key")
            ));
        }
    }
    lines
}

fn everywhere(domain: Option<&TrustDomain>, destroyed: Date) -> String {
    let kept = domain.and_then(snapshots_kept);
    let day = kept.and_then(|kept| destroyed.checked_add(kept).ok());
    match day.zip(kept) {
        Some((day, kept)) => {
            format!(
                "from {day} on: snapshots of Vault, and copies of its disks, are declared to be kept for {}",
                words::duration(kept)
            )
        }
        None => "not known: the TrustDomain declares no spec.vault.snapshots.retain".to_owned(),
    }
}
