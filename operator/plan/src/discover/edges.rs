//! Which workloads may reach which others, as NetworkPolicies name them.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::{channel::Listener, names::ChannelRef, trust_domain::Direction};

use super::{
    ContainerPort, Survey,
    candidate::Candidate,
    rules::{self, Reach, Rule},
};
use crate::world::selector;

/// A connection to draft.
pub struct Edge {
    /// The connecting candidate; `None` for an existing Channel.
    pub from: Option<usize>,
    /// Its Channel.
    pub from_name: ChannelRef,
    /// The listening candidate; `None` for an existing Channel.
    pub to: Option<usize>,
    /// Its Channel.
    pub to_name: ChannelRef,
    /// The listeners; empty where the policies' port is no listener.
    pub listeners: Vec<String>,
    /// The policies from which it is drafted.
    pub because: Option<String>,
    /// What a person must decide.
    pub decide: Option<String>,
}

/// One end, drafted or existing.
struct End<'a> {
    drafted: Option<usize>,
    name: ChannelRef,
    labels: BTreeMap<String, String>,
    ports: &'a [ContainerPort],
    listeners: Vec<Listener>,
}

/// What one side's policies say about the other end.
struct Said<'a> {
    /// The rules that allow it; `None` where no policy governs this side.
    rules: Option<Vec<Rule<'a>>>,
    /// The policies that name it.
    named: BTreeSet<String>,
}

/// Every connection that some policy names and no policy refuses, with at least one drafted end.
pub fn edges(candidates: &[Candidate<'_>], found: &Survey) -> Vec<Edge> {
    let ends = ends(candidates, found);
    let mut edges = Vec::new();
    for from in &ends {
        for to in ends.iter().filter(|to| to.drafted.is_some() || from.drafted.is_some()) {
            edges.extend(edge(from, to, found));
        }
    }
    edges
}

fn ends<'a>(candidates: &'a [Candidate<'a>], found: &'a Survey) -> Vec<End<'a>> {
    let drafted = candidates.iter().enumerate().map(|(index, candidate)| End {
        drafted: Some(index),
        name: candidate.name.clone(),
        labels: candidate.workload.labels.clone(),
        ports: &candidate.workload.ports,
        listeners: candidate.listeners(),
    });
    let there = found.channels.iter().map(|(name, channel)| {
        // The workload has more labels than the Channel's selector.
        let surveyed = found.surveyed.get(&name.namespace);
        let selector = channel.selector();
        let workload = surveyed
            .and_then(|one| one.workloads.iter().find(|one| selector::matches(selector, &one.labels)));
        let labels = workload.map(|one| one.labels.clone());
        End {
            drafted: None,
            name: name.clone(),
            labels: labels.or_else(|| selector.match_labels.clone()).unwrap_or_default(),
            ports: workload.map(|one| one.ports.as_slice()).unwrap_or_default(),
            listeners: channel.listeners().to_vec(),
        }
    });
    drafted.chain(there).collect()
}

fn edge(from: &End<'_>, to: &End<'_>, found: &Survey) -> Option<Edge> {
    let outward = said(from, to, Direction::Egress, found)?;
    let inward = said(to, from, Direction::Ingress, found)?;
    let named: Vec<_> = outward.named.union(&inward.named).cloned().collect();
    if named.is_empty() {
        return None;
    }
    let allowed = |said: &Said<'_>, listener: &Listener| {
        said.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.allows(listener, to.ports)))
    };
    let listeners: Vec<_> = to
        .listeners
        .iter()
        .filter(|listener| allowed(&outward, listener) && allowed(&inward, listener))
        .map(|listener| listener.name.clone())
        .collect();
    let decide = match (from.drafted, to.drafted) {
        _ if listeners.is_empty() => Some(format!(
            "{} connects to {} by NetworkPolicy {}, but on no port that is a listener: it is not drafted",
            from.name,
            to.name,
            named.join(", ")
        )),
        (Some(_), Some(_)) => None,
        _ => Some(format!(
            "the other end is a Channel that there is: subrosa connect {} {} tells what it has to add",
            from.name, to.name
        )),
    };
    Some(Edge {
        from: from.drafted,
        from_name: from.name.clone(),
        to: to.drafted,
        to_name: to.name.clone(),
        because: (!listeners.is_empty()).then(|| {
            let (listeners, named) = (listeners.join(", "), named.join(", "));
            format!("{} connects to {} on {listeners}, from NetworkPolicy {named}", from.name, to.name)
        }),
        listeners,
        decide,
    })
}

/// What the policies of `end` say about `other`; `None` where they refuse it.
fn said<'a>(end: &End<'_>, other: &End<'_>, direction: Direction, found: &'a Survey) -> Option<Said<'a>> {
    let silent = Said { rules: None, named: BTreeSet::new() };
    let Some(surveyed) = found.surveyed.get(&end.name.namespace) else { return Some(silent) };
    let Some(rules) = rules::rules(surveyed, &end.labels, direction) else { return Some(silent) };
    let reach =
        |rule: &Rule<'_>| rule.reach(&end.name.namespace, &other.name.namespace, &other.labels, found);
    let named =
        rules.iter().filter(|rule| reach(rule) == Reach::ByName).map(|rule| rule.policy.to_owned()).collect();
    let rules: Vec<_> = rules.into_iter().filter(|rule| reach(rule) != Reach::Not).collect();
    (!rules.is_empty()).then_some(Said { rules: Some(rules), named })
}
