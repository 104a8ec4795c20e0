//! Whether a workload is restarted for its renewed certificate, and what holds that back.
//!
//! The memory is an annotation of the pod template: a serial is restarted for once, wherever the operator
//! crashes. How many pods go at once is the workload's own strategy; a PodDisruptionBudget, which no
//! controller asks when it rolls out, is asked here before. What is only awaited ends by itself.

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

/// A Deployment, StatefulSet or DaemonSet, as far as a restart goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadFacts {
    /// Its UID.
    pub uid: String,
    /// The version that was looked at.
    pub version: String,
    /// The labels that its pods get.
    pub labels: BTreeMap<String, String>,
    /// The annotation, where it has one.
    pub restarted_for: Option<String>,
    /// Whether somebody paused it.
    pub paused: bool,
    /// How its pods are replaced.
    pub strategy: Strategy,
    /// How many pods it should have.
    pub wanted: i32,
    /// How far it is.
    pub progress: Rollout,
}

/// How far a workload is with what it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Whether its controller has seen its newest generation.
    pub observed: bool,
    /// How many pods it has.
    pub pods: i32,
    /// How many of them are of the newest template.
    pub updated: i32,
    /// How many are ready.
    pub ready: i32,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetFacts {
    /// Its name.
    pub name: String,
    /// The pods it is about; none selects nothing.
    pub selector: Option<LabelSelector>,
    /// Whether its status speaks of its newest generation.
    pub observed: bool,
    /// How many pods may go now.
    pub allowed: i32,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartStep {
    /// Nothing: it was restarted for this certificate.
    Done,
    /// Wait.
    Hold(RestartHold),
    /// Restart it.
    Restart,
}

/// What is to be done with the workload of `due`, of which pods run without the certificate in the Secret.
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
    // Who may edit a Channel must not restart by it what is not its own.
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

/// What is waited for, as long as that may help.
///
/// Pods are not waited for whose certificate has ended: only a restart makes them ready. Nor are they where none is
/// ready: nothing that serves is taken down then, and each has to start once more for the certificate anyway.
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

/// Which PodDisruptionBudget does not allow what the strategy takes down at once. A budget is about pods that are
/// ready: to replace others takes nothing from it.
fn over_budget(
    what: &str,
    kind: WorkloadKind,
    workload: &WorkloadFacts,
    budgets: &[BudgetFacts],
) -> Option<RestartHold> {
    let (wanted, ready) = (workload.wanted, workload.progress.ready);
    let at_once = workload.strategy.down_at_once(wanted);
    let down = match (kind, &workload.strategy) {
        // The last ordinal goes first, ready or not.
        (WorkloadKind::StatefulSet, _) => at_once.min(ready),
        (_, Strategy::Recreate | Strategy::OnDelete) => ready,
        // The others leave as many ready as the strategy says, and replace first what is not.
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
