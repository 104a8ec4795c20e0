//! Whether a workload is restarted for its renewed certificate, and what holds that back.
//!
//! The memory is an annotation of the pod template: a serial is restarted for once, wherever the operator
//! crashes. How many pods go at once is the workload's own strategy; a PodDisruptionBudget, which no
//! controller asks when it rolls out, is asked here before.

mod due;
mod strategy;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use subrosa_crds::{
    Channel,
    channel::{WorkloadKind, WorkloadRef},
};

pub use due::due;
pub use strategy::{Amount, Strategy};

use crate::world::selector;

/// The annotation of the pod template: the serial for which the workload was last restarted.
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
    pub progress: Progress,
}

/// How far a workload is with what it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
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
pub enum Step {
    /// Nothing: it was restarted for this certificate.
    Done,
    /// Wait, for what the sentence says.
    Hold(String),
    /// Restart it.
    Restart,
}

/// What is to be done with the workload `named`, of which pods run without the certificate of `serial`.
pub fn step(
    channel: &Channel,
    named: &WorkloadRef,
    serial: &str,
    workload: Option<&WorkloadFacts>,
    budgets: &[BudgetFacts],
) -> Step {
    let what = text(named);
    let Some(workload) = workload else {
        return Step::Hold(format!("there is no {what} in this namespace: correct spec.workload.ref"));
    };
    if workload.restarted_for.as_deref() == Some(serial) {
        return Step::Done;
    }
    // Who may edit a Channel must not restart by it what is not its own.
    if !selector::matches(&channel.spec.workload.selector, &workload.labels) {
        return Step::Hold(format!(
            "the pods of {what} are not selected by this Channel ({}): correct spec.workload.ref",
            selector::text(&channel.spec.workload.selector)
        ));
    }
    match unready(&what, workload).or_else(|| over_budget(&what, workload, budgets)) {
        Some(why) => Step::Hold(why),
        None => Step::Restart,
    }
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

/// Why the workload itself is not to be touched now.
fn unready(what: &str, workload: &WorkloadFacts) -> Option<String> {
    let Progress { observed, pods, updated, ready } = workload.progress;
    let wanted = workload.wanted;
    if workload.paused {
        return Some(format!("{what} is paused: resume it, or restart its pods yourself"));
    }
    if let Some(why) = workload.strategy.never() {
        return Some(format!("{what} {why}"));
    }
    if !observed || updated < wanted || pods > wanted {
        return Some(format!(
            "a rollout of {what} is under way ({updated} of {wanted} pods are new, {pods} are there): it is awaited"
        ));
    }
    (ready < wanted).then(|| format!("{ready} of {wanted} pods of {what} are ready: all have to be"))
}

/// Which PodDisruptionBudget does not allow what the strategy takes down at once.
fn over_budget(what: &str, workload: &WorkloadFacts, budgets: &[BudgetFacts]) -> Option<String> {
    let down = workload.strategy.down_at_once(workload.wanted);
    let selects = |budget: &&BudgetFacts| {
        budget.selector.as_ref().is_some_and(|selector| selector::matches(selector, &workload.labels))
    };
    let tight = |budget: &&BudgetFacts| down > 0 && (!budget.observed || budget.allowed < down);
    let budget = budgets.iter().filter(selects).find(tight)?;
    Some(format!(
        "PodDisruptionBudget {} allows {} disruptions now and {what} takes down {down} at once: wait for more ready \
         pods, or let the strategy surge with maxUnavailable 0",
        budget.name,
        if budget.observed { budget.allowed.to_string() } else { "an unknown number of".to_owned() },
    ))
}

#[cfg(test)]
mod tests;
