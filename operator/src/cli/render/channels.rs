//! Plans every given Channel, and reports what prevents it or its connections from being in force.

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelRef, trust_domain::Direction};
use subrosa_plan::{
    certificate::leaf,
    channel::{self, Plan, Scope},
    consent::{
        connection::{Connection, State},
        extra_trust::{JudgedExtraTrust, TrustState},
    },
    network::coverage,
    record::connection::Other,
    world::{declaration::Declaration, domain, selector},
};

use super::{
    check::past,
    given::{FromFile, Given},
    world::Imagined,
};
use crate::cli::finding::Finding;

/// A Channel with its plan.
pub struct Planned {
    /// Its name.
    pub name: ChannelRef,
    /// As it was given.
    pub declared: FromFile<Declaration>,
    /// What it becomes.
    pub plan: Plan,
}

/// Plans every valid Channel.
pub fn plan(given: &Given, imagined: &Imagined, now: Timestamp, findings: &mut Vec<Finding>) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (name, declared) in given.channels.iter().filter(|(_, declared)| declared.sound) {
        match channel::plan(&declared.object, &imagined.world, None, now) {
            Err(problem) => findings.push(declared.manifest.error_at(problem.field, problem.message)),
            Ok(plan) => {
                let one = Planned { name: name.clone(), declared: declared.clone(), plan };
                one.check(given, imagined, now, findings);
                planned.push(one);
            }
        }
    }
    planned
}

impl Planned {
    fn check(&self, given: &Given, imagined: &Imagined, now: Timestamp, findings: &mut Vec<Finding>) {
        let manifest = &self.declared.manifest;
        if let Scope::Stalled(problems) = &self.plan.scope {
            // A wrong time zone is reported at the trust domain.
            let own = problems.iter().filter(|problem| problem.field != "spec.timeZone");
            findings.extend(own.map(|problem| manifest.error_at(problem.field, problem.message.clone())));
        }
        let accepts = self.declared.object.accepts().len();
        for (index, connection) in self.plan.connections.iter().enumerate() {
            let field = match connection.direction {
                Direction::Ingress => format!("spec.accepts[{index}]"),
                Direction::Egress => format!("spec.connectsTo[{}]", index.saturating_sub(accepts)),
            };
            findings.extend(self.judge(connection, &field, given, imagined));
        }
        findings.extend(self.later_names());
        if self.is_audited() {
            let message = format!(
                "namespace {} is audited: its network policies are reported, not written",
                self.name.namespace
            );
            findings.push(manifest.note("metadata.namespace", message));
        }
        findings.extend(super::presets::note(&self.declared));
        self.surroundings(imagined, findings);
        let today = domain::today(&self.plan.domain, now);
        for (index, exception) in self.declared.object.exceptions().iter().enumerate() {
            if past(&exception.expires, today) {
                let message = format!(
                    "the exception for {} ended on {}: it alarms",
                    exception.control, exception.expires
                );
                findings.push(manifest.note(&format!("spec.exception[{index}].expires"), message));
            }
        }
        for (index, extra) in self.plan.extra_trust.iter().enumerate() {
            findings.extend(self.extra_trust(extra, &format!("spec.tls.extraTrust[{index}]")));
        }
    }

    /// A note about names under a suffix that an existing authority may not sign yet.
    fn later_names(&self) -> Option<Finding> {
        let allowed = domain::allowed_suffixes(&self.plan.domain).iter().cloned().collect();
        let names = self.declared.object.dns_names();
        let under: Vec<_> = names.iter().filter(|name| leaf::name_is_permitted(name, &allowed)).collect();
        let first = under.first()?;
        let message = format!(
            "{first}{} is in the first certificate of a new Channel; where the Channel is there already and the suffix was \
             allowed later, from the next generation of its authority on: status.pendingNames has the day",
            if under.len() > 1 { " and others" } else { "" }
        );
        Some(self.declared.manifest.note("spec.tls.dnsNames", message))
    }

    /// A missing bundle is a note; an entry that can never be trusted as written is an error.
    fn extra_trust(&self, extra: &JudgedExtraTrust, field: &str) -> Option<Finding> {
        let manifest = &self.declared.manifest;
        match &extra.state {
            TrustState::InForce(_) | TrustState::HeldBack => None,
            TrustState::Ended => {
                let message = format!("its last day was {}: it trusts nobody, remove it", extra.expires);
                Some(manifest.note(&format!("{field}.expires"), message))
            }
            TrustState::Refused(fault) if fault.reason == Reason::CABundleNotFound => {
                let key = &extra.key.ca_bundle;
                let message =
                    format!("key {} of ConfigMap {} is not among the files", key.key, key.config_map);
                Some(manifest.note(&format!("{field}.caBundle"), message))
            }
            TrustState::Refused(fault) => Some(manifest.error(field, fault.message.clone())),
        }
    }

    /// A connection that can never open as written is an error; one that waits for somebody, or for an object that
    /// was not given, is a note.
    fn judge(
        &self,
        connection: &Connection,
        field: &str,
        given: &Given,
        imagined: &Imagined,
    ) -> Option<Finding> {
        let manifest = &self.declared.manifest;
        let mut message = connection.state.as_str().to_owned();
        for part in [&connection.reason, &connection.next_step].into_iter().flatten() {
            message.push_str(": ");
            message.push_str(part);
        }
        match connection.state {
            State::Open => connection.reason.as_ref().map(|_| manifest.note(field, message)),
            State::NotFound => self
                .not_found(&connection.other, given, imagined)
                .map(|known| manifest.note(field, known.unwrap_or(message))),
            State::Refused if self.may_be_otherwise(&connection.other, imagined) => {
                Some(manifest.note(field, message))
            }
            State::Refused | State::ListenerMismatch => Some(manifest.error(field, message)),
            State::AwaitingConsent | State::AgreementExpired | State::Closing | State::Closed => {
                Some(manifest.note(field, message))
            }
        }
    }

    /// Why a peer was not found, if it was only not given; `None` if it was given but cannot be parsed.
    fn not_found(&self, other: &Other, given: &Given, imagined: &Imagined) -> Option<Option<String>> {
        let unreadable = |kind: &str, name: ChannelRef| given.unreadable.contains(&(kind.to_owned(), name));
        match other {
            Other::Channel(name) if unreadable("Channel", name.clone()) => None,
            Other::Party(name) if unreadable("ExternalParty", ChannelRef::new("", name)) => None,
            Other::Channel(_) | Other::Party(_) => Some(Some(format!("{other} is not among the files"))),
            Other::Service(_) if imagined.domains.contains(self.domain()) => {
                Some(Some("the services of its trust domain are not known".to_owned()))
            }
            Other::Service(_) => Some(None),
        }
    }

    fn domain(&self) -> &str {
        self.plan.domain.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether a refusal is reported elsewhere (a problem of a party, at that party), or depends on an assumed trust
    /// domain.
    fn may_be_otherwise(&self, other: &Other, imagined: &Imagined) -> bool {
        match other {
            Other::Party(_) => true,
            Other::Service(_) => false,
            Other::Channel(name) => {
                let theirs = imagined
                    .world
                    .namespaces
                    .get(&name.namespace)
                    .and_then(|facts| facts.trust_domain.as_ref());
                imagined.domains.contains(self.domain())
                    || theirs.is_some_and(|label| imagined.domains.contains(label))
            }
        }
    }

    /// Findings from the given workloads and policies.
    fn surroundings(&self, imagined: &Imagined, findings: &mut Vec<Finding>) {
        let (manifest, world) = (&self.declared.manifest, &imagined.world);
        let workload = self.declared.object.selector();
        let pods = || world.running_pods(&self.name.namespace);
        let mine: Vec<_> = pods().filter(|(_, pod)| selector::matches(workload, &pod.labels)).collect();
        if mine.is_empty() && pods().next().is_some() {
            let message = format!("selects none of the pods among the files ({})", selector::text(workload));
            findings.push(manifest.note("spec.workload.selector", message));
        }
        for (name, _) in mine.iter().filter(|(_, pod)| pod.host_network) {
            let message = format!(
                "HostNetworkPods: the pod {name} uses the node's network, which no NetworkPolicy reaches"
            );
            findings.push(manifest.note("spec.workload.selector", message));
        }
        let wanted = self.plan.policy.spec.clone().unwrap_or_default();
        for foreign in coverage::widenings(&self.declared.object, &wanted, world) {
            let message = format!(
                "ForeignPolicy: {} of NetworkPolicy {} opens what no connection declares: leave it out or declare the connection",
                foreign.rule, foreign.policy
            );
            findings.push(manifest.note("spec.workload.selector", message));
        }
    }

    /// Whether its namespace is audited.
    pub fn is_audited(&self) -> bool {
        self.plan.scope == Scope::Audit
    }
}
