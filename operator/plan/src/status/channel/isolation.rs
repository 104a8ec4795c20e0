//! The condition Isolated: whether only declared peers can reach the workload.

use jiff::civil::Date;
use subrosa_crds::{
    Reason,
    condition::{self, Truth, Verdict},
    names::ChannelRef,
};

use crate::channel::applied::{Applied, Control};
use crate::{
    backup,
    channel::{Plan, Scope},
    network::coverage::{self, Widening},
    world::{World, declaration::Declaration, domain, selector},
};

pub(super) fn isolated(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    today: Date,
) -> Verdict {
    let verdict =
        |truth, reason: Reason, message: String| Verdict::new(condition::ISOLATED, truth, reason, message);
    let (name, workload) = (channel.name(), channel.selector());
    let on_host: Vec<_> = world
        .running_pods(&name.namespace)
        .filter(|(_, pod)| pod.host_network && selector::matches(workload, &pod.labels))
        .map(|(name, _)| name.as_str())
        .take(5)
        .collect();
    if !on_host.is_empty() {
        let message = format!(
            "{} uses the node's network, which no NetworkPolicy reaches: set hostNetwork to false",
            on_host.join(", ")
        );
        return verdict(Truth::False, Reason::HostNetworkPods, message);
    }
    let wanted = plan.policy.spec.clone().unwrap_or_default();
    let foreign = coverage::widenings(channel, &wanted, world);
    if plan.scope == Scope::Audit {
        let report = audit_report(name, &foreign, world);
        let staged = domain::staged(&plan.domain, &name.namespace);
        let overdue = staged.filter(|staged| staged.until.parse().is_ok_and(|until: Date| until < today));
        return match overdue {
            Some(staged) => {
                let message = format!(
                    "staged until {}: set the namespace to Enforce, or agree on another date; {report}",
                    staged.until
                );
                verdict(Truth::False, Reason::StagingOverdue, message)
            }
            None => verdict(Truth::False, Reason::AuditMode, report),
        };
    }
    if let Some(first) = foreign.first() {
        let all: Vec<_> = foreign.iter().map(|one| format!("{} {}", one.policy, one.rule)).take(10).collect();
        let message = format!(
            "foreign NetworkPolicies open what no connection declares: {}; delete NetworkPolicy {} or declare the connection",
            all.join(", "),
            first.policy
        );
        return verdict(Truth::False, Reason::ForeignPolicy, message);
    }
    if let Some(fault) = applied.controls.fault(Control::Network) {
        return verdict(Truth::False, fault.reason, fault.message.clone());
    }
    if !applied.has_policy {
        let message = "this Channel has no network policy of its own";
        return verdict(Truth::False, Reason::PolicyMissing, message.into());
    }
    if !domain::default_deny(&plan.domain) {
        let message =
            "the TrustDomain has network.defaultDeny: false: pods no policy selects accept everything";
        return verdict(Truth::False, Reason::NoDefaultDeny, message.into());
    }
    if !applied.default_deny {
        let message =
            "the namespace does not deny by default yet: it will once every Channel in it has its policy";
        return verdict(Truth::False, Reason::DefaultDenyPending, message.into());
    }
    if !world.other_engines.is_empty() {
        let engines: Vec<_> = world.other_engines.iter().map(String::as_str).collect();
        let message =
            format!("policies are written; {} may widen them, and cannot be computed", engines.join(", "));
        return verdict(Truth::Unknown, Reason::OtherPolicyEngine, message);
    }
    let message = "policies are written and computed; no probe has seen that packets are blocked";
    verdict(Truth::Unknown, Reason::PoliciesApplied, message.into())
}

/// What enforcing would change: pods without a Channel, and rules that no connection covers.
fn audit_report(name: &ChannelRef, foreign: &[Widening], world: &World) -> String {
    let uncovered: Vec<_> = world
        .running_pods(&name.namespace)
        // Ours, with a policy of their own.
        .filter(|(_, pod)| !pod.labels.contains_key(backup::WORKER_LABEL))
        .filter(|(_, pod)| {
            !world
                .channels_of(&name.namespace)
                .any(|channel| selector::matches(channel.selector(), &pod.labels))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let mut parts =
        vec!["audited: nothing is written. Traffic cannot be seen, only what is declared".to_owned()];
    if !uncovered.is_empty() {
        parts.push(format!("{} pods belong to no Channel ({})", uncovered.len(), first(&uncovered)));
    }
    if !foreign.is_empty() {
        let rules: Vec<_> = foreign.iter().map(|one| format!("{} {}", one.policy, one.rule)).collect();
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        parts.push(format!(
            "{} rules of existing policies are covered by no connection ({})",
            rules.len(),
            first(&rules)
        ));
    }
    parts.join("; ")
}

fn first(names: &[&str]) -> String {
    let mut text = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 5 {
        text.push_str(", …");
    }
    text
}
