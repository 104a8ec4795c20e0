//! Whether a workload is restarted for its renewed certificate, and what delays that.
//!
//! The state is an annotation of the pod template, so that a restart happens once per serial even if the operator
//! crashes. The workload's own strategy decides how many pods are replaced at once. PodDisruptionBudgets are checked
//! here first, because no controller checks them in a rollout. A wait ends by itself.

mod due;
mod strategy;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use subrosa_crds::channel::{WorkloadKind, WorkloadRef};

pub use due::{Due, due};
pub use strategy::{Amount, Strategy};

use crate::{
    channel::applied::{HeldBy, RestartHold},
    world::{declaration::Declaration, selector},
};

/// The annotation of the pod template: the certificate for which the workload was last restarted.
pub const ANNOTATION: &str = "subrosa.dev/restarted-for";

/// The facts about a Deployment, StatefulSet or DaemonSet that a restart needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadFacts {
    /// Its UID.
    pub uid: String,
    /// The resource version.
    pub version: String,
    /// The labels that its pods get.
    pub labels: BTreeMap<String, String>,
    /// The annotation, where it has one.
    pub restarted_for: Option<String>,
    /// Whether somebody paused it.
    pub paused: bool,
    /// How its pods are replaced.
    pub strategy: Strategy,
    /// The wanted number of pods.
    pub wanted: i32,
    /// The progress of its rollout.
    pub progress: Rollout,
}

/// The progress of a workload's rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Whether its controller has seen the newest generation.
    pub observed: bool,
    /// The number of pods.
    pub pods: i32,
    /// The number of pods with the newest template.
    pub updated: i32,
    /// The number of ready pods.
    pub ready: i32,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetFacts {
    /// Its name.
    pub name: String,
    /// The pods to which it applies; `None` selects nothing.
    pub selector: Option<LabelSelector>,
    /// Whether its status is for its newest generation.
    pub observed: bool,
    /// How many pods may be disrupted now.
    pub allowed: i32,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartStep {
    /// Nothing: it was restarted for this certificate.
    Done,
    /// Wait.
    Hold(RestartHold),
    /// Restart it.
    Restart,
}

/// The next step for the workload of `due`, some of whose pods lack the certificate in the Secret.
pub fn step(
    channel: &Declaration,
    due: &Due<'_>,
    workload: Option<&WorkloadFacts>,
    budgets: &[BudgetFacts],
    now: Timestamp,
) -> RestartStep {
    let what = text(due.named);
    let Some(workload) = workload else {
        return RestartStep::Hold(RestartHold::in_the_way(format!(
            "there is no {what} in this namespace: correct spec.workload.ref"
        )));
    };
    if workload.restarted_for.as_deref() == Some(due.mark.as_str()) {
        return RestartStep::Done;
    }
    // An editor of a Channel must not be able to restart a workload that is not the Channel's.
    if !selector::matches(channel.selector(), &workload.labels) {
        return RestartStep::Hold(RestartHold::in_the_way(format!(
            "the pods of {what} are not selected by this Channel ({}): correct spec.workload.ref",
            selector::text(channel.selector())
        )));
    }
    let held = never(&what, workload)
        .or_else(|| awaited(&what, workload, due, now))
        .or_else(|| over_budget(&what, due.named.kind, workload, budgets));
    held.map_or(RestartStep::Restart, RestartStep::Hold)
}

/// `Deployment sbc`.
pub fn text(named: &WorkloadRef) -> String {
    let kind = match named.kind {
        WorkloadKind::Deployment => "Deployment",
        WorkloadKind::StatefulSet => "StatefulSet",
        WorkloadKind::DaemonSet => "DaemonSet",
    };
    format!("{kind} {}", named.name)
}

/// Why a change of the template would replace no pod.
fn never(what: &str, workload: &WorkloadFacts) -> Option<RestartHold> {
    if workload.paused {
        return Some(RestartHold::in_the_way(format!(
            "{what} is paused: resume it, or restart its pods yourself"
        )));
    }
    workload.strategy.never().map(|why| RestartHold::in_the_way(format!("{what} {why}")))
}

/// What to wait for, as long as waiting may help.
///
/// Not for pods with an expired certificate, which only a restart makes ready. Not if no pod is ready: a restart then
/// takes down nothing that serves, and each pod must start again anyway.
fn awaited(what: &str, workload: &WorkloadFacts, due: &Due<'_>, now: Timestamp) -> Option<RestartHold> {
    let Rollout { observed, pods, updated, ready } = workload.progress;
    let (wanted, until) = (workload.wanted, due.waits_until());
    if now >= until {
        return None;
    }
    let then = format!("awaited until {until}, then it is restarted all the same");
    if !observed || updated < wanted || pods > wanted {
        let message = format!(
            "a rollout of {what} is under way ({updated} of {wanted} pods are new, {pods} are there): it is {then}"
        );
        return Some(RestartHold { by: HeldBy::Rollout, message, until: Some(until) });
    }
    (0 < ready && ready < wanted && !due.ended).then(|| RestartHold {
        by: HeldBy::Unready,
        message: format!("{ready} of {wanted} pods of {what} are ready: the others are {then}"),
        until: Some(until),
    })
}

/// The PodDisruptionBudget that forbids as many disruptions as the strategy makes at once. A budget counts ready
/// pods, so replacing others needs none.
fn over_budget(
    what: &str,
    kind: WorkloadKind,
    workload: &WorkloadFacts,
    budgets: &[BudgetFacts],
) -> Option<RestartHold> {
    let (wanted, ready) = (workload.wanted, workload.progress.ready);
    let at_once = workload.strategy.down_at_once(wanted);
    let down = match (kind, &workload.strategy) {
        // The last ordinal is replaced first, ready or not.
        (WorkloadKind::StatefulSet, _) => at_once.min(ready),
        (_, Strategy::Recreate | Strategy::OnDelete) => ready,
        // The others keep as many ready as the strategy says, and replace unready pods first.
        (_, Strategy::Rolling { .. }) => {
            at_once.saturating_sub(wanted.saturating_sub(ready)).clamp(0, ready.max(0))
        }
    };
    let selects = |budget: &&BudgetFacts| {
        budget.selector.as_ref().is_some_and(|selector| selector::matches(selector, &workload.labels))
    };
    let tight = |budget: &&BudgetFacts| down > 0 && (!budget.observed || budget.allowed < down);
    let budget = budgets.iter().filter(selects).find(tight)?;
    Some(RestartHold::in_the_way(format!(
        "PodDisruptionBudget {} allows {} disruptions now and {what} takes down {down} at once: wait for more ready \
         pods, or let the strategy surge with maxUnavailable 0",
        budget.name,
        if budget.observed { budget.allowed.to_string() } else { "an unknown number of".to_owned() },
    )))
}

#[cfg(test)]
mod tests;
