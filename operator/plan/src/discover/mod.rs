//! Drafts Channels for running workloads.
//!
//! ```text
//!  Survey ─▶ candidate: a workload, its preset and listeners
//!              │
//!              ├─▶ edges: which NetworkPolicy names whom, and does no other one refuse it ─▶ accepts, connectsTo
//!              └─▶ around: addresses, whole namespaces, everybody ─▶ remarks, for a person to decide
//! ```
//!
//! A draft is a proposal. Rules that name particular pods are drafted on both sides. Rules for everybody, a whole
//! namespace or addresses become only remarks, because nobody consented to those by name.

mod around;
mod candidate;
mod edges;
mod facts;
mod rules;

use std::collections::BTreeMap;

use subrosa_crds::{
    ChannelSpec,
    channel::{Peer, PeerKind, Workload},
    names::ChannelRef,
};

use candidate::Candidate;
pub use facts::{ContainerPort, RunningWorkload, Service, ServicePort, Survey, Surveyed};

/// The draft for a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The Channel's name.
    pub name: ChannelRef,
    /// The workload, such as `Deployment web`.
    pub workload: String,
    /// The Channel's spec.
    pub spec: ChannelSpec,
    /// What was guessed, and from what.
    pub guessed: Vec<String>,
    /// What a person must decide.
    pub decide: Vec<String>,
}

/// All drafts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drafts {
    /// One for each workload without a Channel.
    pub channels: Vec<Draft>,
    /// Remarks about the namespaces.
    pub remarks: Vec<String>,
}

/// Drafts a Channel for every workload of the surveyed namespaces that has none.
pub fn draft(found: &Survey) -> Drafts {
    let mut drafts = Drafts::default();
    let mut candidates = Vec::new();
    for (namespace, surveyed) in &found.surveyed {
        drafts.remarks.extend(of_namespace(namespace, surveyed, found));
        for workload in &surveyed.workloads {
            match existing(namespace, workload, found) {
                None if workload.labels.is_empty() => drafts.remarks.push(format!(
                    "the pods of {} {namespace}/{} have no label of their own, so nothing can select them: give them one",
                    workload.kind, workload.name
                )),
                Some(name) => drafts.remarks.push(format!(
                    "{} {namespace}/{} has Channel {name} already",
                    workload.kind, workload.name
                )),
                None => candidates.push(Candidate::of(namespace, workload, surveyed)),
            }
        }
    }
    candidate::tell_apart(&mut candidates);
    candidate::add_what_policies_name(&mut candidates, found);
    let edges = edges::edges(&candidates, found);
    let drafted = |edge: &&edges::Edge| !edge.listeners.is_empty();
    drafts.channels = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| {
            let mut draft = candidate.draft();
            let inward = edges.iter().filter(drafted).filter(|edge| edge.to == Some(index));
            draft.spec.accepts =
                peers(&candidate.name, inward, |edge| (edge.from_name.clone(), edge.listeners.clone()));
            // The listening side names the listeners, because the intersection counts. For a connection to itself one
            // entry is enough.
            let outward = edges.iter().filter(drafted).filter(|edge| edge.from == Some(index));
            let outward = outward.filter(|edge| edge.to != Some(index));
            draft.spec.connects_to =
                peers(&candidate.name, outward, |edge| (edge.to_name.clone(), Vec::new()));
            for edge in edges.iter().filter(|edge| edge.to == Some(index) || edge.from == Some(index)) {
                draft.guessed.extend(edge.because.clone());
                draft.decide.extend(edge.decide.clone());
            }
            around::describe(candidate, &candidates, found, &mut draft);
            draft.guessed.dedup();
            draft.decide.dedup();
            draft
        })
        .collect();
    drafts
}

fn of_namespace(namespace: &str, surveyed: &Surveyed, found: &Survey) -> Vec<String> {
    let mut remarks = Vec::new();
    match &surveyed.trust_domain {
        None => remarks.push(format!(
            "namespace {namespace} belongs to no TrustDomain: until somebody who may govern one labels it, its Channels are Stalled (NamespaceNotGoverned)"
        )),
        Some(name) => {
            let known = found.domains.iter().find(|domain| domain.metadata.name.as_ref() == Some(name));
            let staged = known.is_some_and(|domain| {
                crate::world::domain::mode(domain, namespace) == subrosa_crds::trust_domain::NetworkMode::Audit
            });
            remarks.push(format!(
                "namespace {namespace} belongs to TrustDomain {name}{}",
                if staged { ", in Audit: policies are reported, not written" } else { "" }
            ));
        }
    }
    if !surveyed.policies.is_empty() {
        let names: Vec<_> = surveyed.policies.keys().map(String::as_str).collect();
        remarks.push(format!(
            "once the Channels of {namespace} are in force, their own policies take the place of NetworkPolicy {}: delete it, or Isolated stays False (ForeignPolicy)",
            names.join(", ")
        ));
    }
    for service in &surveyed.services {
        if service.selector.is_empty() {
            remarks.push(format!(
                "Service {namespace}/{} has no selector: what is behind it is outside, or a service of the TrustDomain",
                service.name
            ));
        }
    }
    remarks
}

/// The existing Channel that selects the workload's pods.
fn existing<'a>(namespace: &str, workload: &RunningWorkload, found: &'a Survey) -> Option<&'a ChannelRef> {
    let mut channels = found.channels.iter().filter(|(name, _)| name.namespace == namespace);
    channels
        .find(|(_, channel)| crate::world::selector::matches(channel.selector(), &workload.labels))
        .map(|(name, _)| name)
}

/// The entries of one list, with unique names.
fn peers<'a>(
    own: &ChannelRef,
    edges: impl Iterator<Item = &'a edges::Edge>,
    other: impl Fn(&edges::Edge) -> (ChannelRef, Vec<String>),
) -> Vec<Peer> {
    let all: Vec<_> = edges.map(other).collect();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &all {
        *counted.entry(&name.name).or_default() += 1;
    }
    let entry = |(name, listeners): &(ChannelRef, Vec<String>)| {
        let alone = counted.get(name.name.as_str()).is_none_or(|count| *count == 1);
        let foreign = name.namespace != own.namespace;
        Peer {
            name: if alone {
                name.name.clone()
            } else {
                shortened(&format!("{}-{}", name.namespace, name.name), 63)
            },
            kind: None::<PeerKind>,
            namespace: foreign.then(|| name.namespace.clone()),
            channel: (!alone).then(|| name.name.clone()),
            listeners: listeners.clone(),
        }
    };
    all.iter().map(entry).collect()
}

/// `text` as a DNS label of at most `length` characters.
fn shortened(text: &str, length: usize) -> String {
    let label: String = text
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(length)
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "workload".to_owned() } else { label.to_owned() }
}

impl Candidate<'_> {
    fn draft(&self) -> Draft {
        let workload = Workload {
            selector: self.selector.clone(),
            service_account_name: self.account.clone(),
            ref_: self.reference(),
        };
        Draft {
            name: self.name.clone(),
            workload: format!("{} {}", self.workload.kind, self.workload.name),
            spec: ChannelSpec {
                preset: self.preset,
                type_: None,
                workload,
                listeners: self.written.clone(),
                accepts: Vec::new(),
                connects_to: Vec::new(),
                tls: None,
                data_classes: Vec::new(),
                retention_policy: None,
                encryption: None,
                backup: None,
                exception: Vec::new(),
            },
            guessed: self.guessed.clone(),
            decide: self.decide.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
