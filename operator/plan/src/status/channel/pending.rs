//! DNS names that must wait for the next generation of the authority.

use subrosa_crds::{
    Reason,
    channel::PendingNameStatus,
    condition::{self, Truth, Verdict},
};

use crate::{
    certificate::authority::PendingName,
    channel::{Plan, applied::Applied},
    world::declaration::Declaration,
};

/// The reason of the condition Issuing.
pub(super) const REASON: Reason = Reason::NamesPending;

/// The pending names; while unknown, those of the last status.
pub(super) fn names(channel: &Declaration, applied: &Applied) -> Vec<PendingNameStatus> {
    match &applied.pending {
        Some(pending) => pending.iter().map(told).collect(),
        None => channel.status().map(|status| status.into_owned().pending_names).unwrap_or_default(),
    }
}

fn told(pending: &PendingName) -> PendingNameStatus {
    PendingNameStatus { name: pending.name.clone(), from: pending.from.to_string() }
}

/// The condition Issuing, while names are pending. Ready does not depend on it: the existing names work.
pub(super) fn issuing(channel: &Declaration, plan: &Plan, applied: &Applied) -> Option<Verdict> {
    let names = names(channel, applied);
    (!names.is_empty()).then(|| Verdict::new(condition::ISSUING, Truth::True, REASON, message(&names, plan)))
}

/// The message where every DNS name is pending, so that nobody can connect by name.
pub(super) fn nothing_else(plan: &Plan, applied: &Applied) -> Option<String> {
    let pending = applied.pending.as_deref().unwrap_or_default();
    let waits = |name: &String| pending.iter().any(|one| one.name == *name);
    let names = &plan.leaf.dns_names;
    let all: Vec<_> = pending.iter().map(told).collect();
    (!names.is_empty() && names.iter().all(waits)).then(|| message(&all, plan))
}

fn message(names: &[PendingNameStatus], plan: &Plan) -> String {
    let list = |names: &[&PendingNameStatus]| {
        let each: Vec<_> = names.iter().map(|one| format!("{} (by {})", one.name, one.from)).collect();
        each.join(", ")
    };
    let (of_renewal, of_authority): (Vec<_>, Vec<_>) =
        names.iter().partition(|one| plan.leaf.for_renewal.contains(&one.name));
    let mut sentences = Vec::new();
    if !of_authority.is_empty() {
        sentences.push(format!(
            "not in the certificate yet: {}. The generation of the authority that signs may not sign them; the next one may, \
             and signs once every peer is known to have loaded it, or at the latest then. Nothing has to be done",
            list(&of_authority)
        ));
    }
    if !of_renewal.is_empty() {
        sentences.push(format!(
            "not in the certificate before its renewal: {}. A new Service restarts no workload whose tls.reload is Restart. To \
             have a name now, write it into spec.tls.dnsNames too: the workload is restarted for it",
            list(&of_renewal)
        ));
    }
    sentences.join("; ")
}
