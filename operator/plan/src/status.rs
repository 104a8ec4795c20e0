//! What a Channel's status says: only what was observed or done, and the weakest assurance of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{
    Channel, ChannelStatus,
    channel::{AuthorityStatus, CertificateStatus, ConnectionStatus, ExceptionStatus},
    common::Protocol,
    condition::{self, Condition, Truth, Verdict},
    names::ChannelRef,
    trust_domain::NetworkMode,
};

use crate::{
    certificate::{LeafFacts, reissue},
    channel::{Plan, Scope},
    connection::{Connection, Other, State},
    coverage::{self, Widening},
    domain,
    fault::Fault,
    keys::{self, ObservedKey},
    ledger::Ledger,
    network, retention_status, selector,
    validity::Problem,
    world::World,
};

/// What was carried out and seen of a Channel's plan. Only this can make it Ready.
#[derive(Clone)]
pub struct Applied {
    /// The ledger as it was last written.
    pub ledger: Result<Ledger, Fault>,
    /// The certificate that is in the Secret.
    pub certificate: Result<LeafFacts, Fault>,
    /// What the authority waits for, where it is blocked.
    pub authority: Result<(), Fault>,
    /// The keys as Vault has them.
    pub keys: Result<BTreeMap<String, ObservedKey>, Fault>,
    /// The workload's identity in Vault.
    pub access: Result<(), Fault>,
    /// The network policy; `Ok(false)` where it is not to be written.
    pub network: Result<bool, Fault>,
    /// Whether the namespace denies by default.
    pub default_deny: bool,
    /// The peers whose authority is in the trust files.
    pub trusting: BTreeSet<ChannelRef>,
}

impl Applied {
    /// The first thing that could not be put in force.
    pub fn fault(&self) -> Option<&Fault> {
        let Self { ledger, certificate, authority, keys, access, network, default_deny: _, trusting: _ } =
            self;
        ledger
            .as_ref()
            .err()
            .or_else(|| network.as_ref().err())
            .or_else(|| authority.as_ref().err())
            .or_else(|| certificate.as_ref().err())
            .or_else(|| keys.as_ref().err())
            .or_else(|| access.as_ref().err())
    }
}

/// The status of a Channel whose plan was carried out as far as `applied` tells.
pub fn channel(
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    now: Timestamp,
) -> ChannelStatus {
    let today = domain::today(&plan.domain, now);
    let ledger = applied.ledger.as_ref().ok();
    let connections = connections(channel, name, plan, applied, world);
    let found = applied.keys.as_ref().ok();
    let retention = plan.footing.as_ref().and_then(|footing| footing.policy.as_deref());
    let (keys, other_keys) = ledger
        .map(|ledger| keys::status(ledger, &plan.keys, found, retention, &plan.domain, now))
        .unwrap_or_default();
    let exceptions: Vec<_> = channel
        .spec
        .exception
        .iter()
        .map(|exception| ExceptionStatus {
            control: exception.control.clone(),
            expires: exception.expires.clone(),
            overdue: exception.expires.parse().is_ok_and(|last: Date| last < today),
        })
        .collect();
    // What follows the declared ones was withdrawn by removing the entry: shown, and not owed.
    let declared = connections.get(..plan.connections.len()).unwrap_or_default();
    let open = declared.iter().filter(|connection| connection.state == State::Open.as_str()).count();
    let summary = format!("{open}/{}", declared.len());
    let verdicts = verdicts(channel, name, plan, applied, declared, world, now);
    let old = channel.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    ChannelStatus {
        observed_generation: channel.metadata.generation,
        id: Some(plan.id.to_string()),
        trust_domain: plan.domain.metadata.name.clone(),
        certificate: applied.certificate.as_ref().ok().map(|leaf| certificate(plan, leaf)),
        authority: ledger.and_then(authority),
        keys,
        other_keys,
        connection_summary: Some(summary),
        connections,
        exceptions,
        conditions: condition::conditions(verdicts, old, channel.metadata.generation, now),
    }
}

/// The status of a Channel that no trust domain governs: everything it had been said to have is gone
/// from it but its identity.
pub fn ungoverned(channel: &Channel, problem: &Problem, now: Timestamp) -> ChannelStatus {
    let before = channel.status.clone().unwrap_or_default();
    let verdicts = vec![
        Verdict::new(condition::READY, Truth::False, problem.reason, problem.message.clone()),
        Verdict::new(
            condition::STALLED,
            Truth::True,
            problem.reason,
            format!("{}: {}", problem.field, problem.message),
        ),
    ];
    ChannelStatus {
        observed_generation: channel.metadata.generation,
        id: before.id,
        conditions: condition::conditions(verdicts, &before.conditions, channel.metadata.generation, now),
        ..ChannelStatus::default()
    }
}

fn connections(
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Vec<ConnectionStatus> {
    let ledger = applied.ledger.as_ref().ok();
    let closing: BTreeSet<_> =
        ledger.map(|ledger| ledger.closing.iter().map(|one| &one.key).collect()).unwrap_or_default();
    let mut shown: Vec<_> = plan
        .connections
        .iter()
        .map(|connection| {
            let still_closing = !connection.is_open() && closing.contains(&connection.key());
            let waits_for = if connection.is_open() {
                not_in_force(channel, name, connection, plan, applied, world)
            } else {
                None
            };
            let state = match (&waits_for, still_closing) {
                (Some(_), _) => State::Closed,
                (None, true) => State::Closing,
                (None, false) => connection.state,
            };
            ConnectionStatus {
                name: connection.name.clone(),
                direction: connection.direction.as_str().to_owned(),
                listeners: connection.listeners.clone(),
                state: state.as_str().to_owned(),
                next_step: waits_for
                    .as_ref()
                    .map(|_| "none: it opens by itself".into())
                    .or_else(|| connection.next_step.clone()),
                reason: waits_for.or_else(|| connection.reason.clone()),
            }
        })
        .collect();
    // Withdrawn by removing the entry: shown until nothing of it can still run.
    for key in closing {
        if shown.iter().any(|one| one.name == key.name && one.direction == key.direction.as_str()) {
            continue;
        }
        shown.push(ConnectionStatus {
            name: key.name.clone(),
            direction: key.direction.as_str().to_owned(),
            state: State::Closing.as_str().to_owned(),
            reason: Some(format!("no longer declared with {}", key.other)),
            next_step: Some(
                "none: it is Closed when every pod has restarted or the older certificates have expired"
                    .into(),
            ),
            ..ConnectionStatus::default()
        });
    }
    shown
}

/// What an agreed connection still waits for: nothing is open because both ends say so.
fn not_in_force(
    channel: &Channel,
    name: &ChannelRef,
    connection: &Connection,
    plan: &Plan,
    applied: &Applied,
    world: &World,
) -> Option<String> {
    let audited = plan.scope == Scope::Audit;
    match &applied.network {
        Err(fault) => {
            return Some(format!(
                "agreed by both ends; its network policy is not written: {}",
                fault.message
            ));
        }
        Ok(false) if !audited => {
            return Some("agreed by both ends; this Channel has no network policy yet".into());
        }
        Ok(_) => {}
    }
    let unchanged = applied.ledger.is_err() && stays_open(channel, name, connection, plan, world);
    if let Err(fault) = &applied.certificate
        && !unchanged
    {
        return Some(format!("agreed by both ends; the certificate is not in force: {}", fault.message));
    }
    let Other::Channel(peer) = &connection.other else { return None };
    if !applied.trusting.contains(peer) && !unchanged {
        return Some(format!("agreed by both ends; Channel {peer} has no certificate authority yet"));
    }
    let workload = plan.policy.spec.clone().and_then(|spec| spec.pod_selector).unwrap_or_default();
    let enforced = domain::mode(&plan.domain, &peer.namespace) == NetworkMode::Enforce;
    let policies = world.network_policies.get(&peer.namespace);
    let theirs = policies
        .and_then(|policies| policies.get(&network::policy_name(&peer.name))?.spec.as_ref())
        .is_some_and(|spec| network::lets_through(spec, &name.namespace, &workload, connection));
    (enforced && !theirs)
        .then(|| format!("agreed by both ends; the network policy of Channel {peer} does not have it yet"))
}

/// Whether a connection that was open is so still, while the ledger cannot be read: nothing that both
/// ends declare is taken away then, and the policy has it as planned.
fn stays_open(
    channel: &Channel,
    name: &ChannelRef,
    connection: &Connection,
    plan: &Plan,
    world: &World,
) -> bool {
    let before = channel.status.iter().flat_map(|status| &status.connections);
    let was_open = before
        .filter(|one| one.name == connection.name && one.direction == connection.direction.as_str())
        .any(|one| one.state == State::Open.as_str());
    let policies = world.network_policies.get(&name.namespace);
    let found = policies.and_then(|policies| policies.get(&network::policy_name(&name.name))?.spec.as_ref());
    was_open
        && found.zip(plan.policy.spec.as_ref()).is_some_and(|(found, wanted)| network::same(found, wanted))
}

fn certificate(plan: &Plan, leaf: &LeafFacts) -> CertificateStatus {
    let issuer = leaf.issuer.map(|version| plan.authority.subject(version).to_string()).unwrap_or_default();
    CertificateStatus {
        serial: leaf.serial.clone(),
        issuer,
        spiffe_id: plan.leaf.spiffe_id(),
        not_before: leaf.validity.not_before.to_string(),
        not_after: leaf.validity.not_after.to_string(),
        renew_at: reissue::renewal(leaf, &plan.leaf).to_string(),
        secret_name: plan.secret_name.clone(),
    }
}

fn authority(ledger: &Ledger) -> Option<AuthorityStatus> {
    let signing = ledger.authority.signing()?;
    Some(AuthorityStatus {
        generation: signing.version.into(),
        fingerprint: signing.fingerprint.clone(),
        not_after: signing.not_after.to_string(),
        next: ledger.authority.published().map(|next| next.version.into()),
    })
}

fn verdicts(
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    connections: &[ConnectionStatus],
    world: &World,
    now: Timestamp,
) -> Vec<Verdict> {
    let isolated = isolated(channel, name, plan, applied, world, domain::today(&plan.domain, now));
    let keys_ready = keys_ready(plan, applied);
    let retained = retained(plan, applied, world, now);
    let stalled = match &plan.scope {
        Scope::Stalled(problems) => problems.first().map(|first| {
            let all: Vec<_> = problems.iter().map(|one| format!("{}: {}", one.field, one.message)).collect();
            Verdict::new(condition::STALLED, Truth::True, first.reason, all.join("; "))
        }),
        _ => None,
    };
    let ready = ready(plan, applied, stalled.as_ref(), [&keys_ready, &retained, &isolated]);
    let reconciling = (ready.truth == Truth::False && stalled.is_none() && applied.fault().is_some())
        .then(|| Verdict::new(condition::RECONCILING, Truth::True, "Retrying", ready.message.clone()));
    let mut verdicts = vec![ready, connected(connections), served(channel), isolated, keys_ready, retained];
    verdicts.extend(reconciling);
    verdicts.extend(stalled);
    verdicts
}

fn ready(plan: &Plan, applied: &Applied, stalled: Option<&Verdict>, others: [&Verdict; 3]) -> Verdict {
    let not = |reason: &str, message: &str| Verdict::new(condition::READY, Truth::False, reason, message);
    if let Some(stalled) = stalled {
        return not(&stalled.reason, &stalled.message);
    }
    if let Some(fault) = applied.fault() {
        return not(&fault.reason, &fault.message);
    }
    match plan.scope {
        Scope::Frozen => {
            return not(
                "NamespaceFrozen",
                "the namespace lost its trust-domain label: what protects it stays and renews, nothing new opens; \
                 ask who governs the trust domain to label it again",
            );
        }
        Scope::Audit => {
            return not("AuditMode", "network policies are only reported here: nothing is isolated yet");
        }
        Scope::Full | Scope::Stalled(_) => {}
    }
    for other in others {
        if other.truth == Truth::False {
            return not(&other.reason, &other.message);
        }
    }
    Verdict::new(
        condition::READY,
        Truth::True,
        "InForceUnproven",
        "certificate, keys, access and network policies are in force as written; no probe has seen them from a pod",
    )
}

fn connected(connections: &[ConnectionStatus]) -> Verdict {
    let open = State::Open.as_str();
    let waiting: Vec<_> = connections.iter().filter(|connection| connection.state != open).collect();
    let Some(first) = waiting.first() else {
        let (reason, message) = if connections.is_empty() {
            ("NothingDeclared", "no connection is declared: nothing may connect".to_owned())
        } else {
            ("AllOpen", format!("all {} declared connections are open", connections.len()))
        };
        return Verdict::new(condition::CONNECTED, Truth::True, reason, message);
    };
    let names: Vec<_> = waiting.iter().map(|one| format!("{} ({})", one.name, one.state)).collect();
    Verdict::new(condition::CONNECTED, Truth::False, first.state.clone(), names.join(", "))
}

/// Probes do not exist yet: nothing may be claimed about what pods serve.
fn served(channel: &Channel) -> Verdict {
    let tcp =
        channel.spec.listeners.iter().any(|listener| listener.protocol.unwrap_or_default() == Protocol::Tcp);
    let (reason, message) = if tcp {
        ("NotProbed", "no probe has seen which certificate the pods serve")
    } else {
        ("NoTLSListener", "no TCP listener: there is nothing that a probe could ask for its certificate")
    };
    Verdict::new(condition::SERVED, Truth::Unknown, reason, message)
}

fn isolated(
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    today: Date,
) -> Verdict {
    let verdict =
        |truth, reason: &str, message: String| Verdict::new(condition::ISOLATED, truth, reason, message);
    let workload = &channel.spec.workload.selector;
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
        return verdict(Truth::False, "HostNetworkPods", message);
    }
    let wanted = plan.policy.spec.clone().unwrap_or_default();
    let foreign = coverage::widenings(channel, &name.namespace, &wanted, world);
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
                verdict(Truth::False, "StagingOverdue", message)
            }
            None => verdict(Truth::False, "AuditMode", report),
        };
    }
    if let Some(first) = foreign.first() {
        let all: Vec<_> = foreign.iter().map(|one| format!("{} {}", one.policy, one.rule)).take(10).collect();
        let message = format!(
            "foreign NetworkPolicies open what no connection declares: {}; delete NetworkPolicy {} or declare the connection",
            all.join(", "),
            first.policy
        );
        return verdict(Truth::False, "ForeignPolicy", message);
    }
    match &applied.network {
        Err(fault) => return verdict(Truth::False, &fault.reason, fault.message.clone()),
        Ok(false) => {
            return verdict(
                Truth::False,
                "PolicyMissing",
                "this Channel has no network policy of its own".into(),
            );
        }
        Ok(true) => {}
    }
    if !domain::default_deny(&plan.domain) {
        let message =
            "the TrustDomain has network.defaultDeny: false: pods no policy selects accept everything";
        return verdict(Truth::False, "NoDefaultDeny", message.into());
    }
    if !applied.default_deny {
        let message =
            "the namespace does not deny by default yet: it will once every Channel in it has its policy";
        return verdict(Truth::False, "DefaultDenyPending", message.into());
    }
    if !world.other_engines.is_empty() {
        let engines: Vec<_> = world.other_engines.iter().map(String::as_str).collect();
        let message =
            format!("policies are written; {} may widen them, and cannot be computed", engines.join(", "));
        return verdict(Truth::Unknown, "OtherPolicyEngine", message);
    }
    let message = "policies are written and computed; no probe has seen that packets are blocked";
    verdict(Truth::Unknown, "PoliciesApplied", message.into())
}

/// What enforcing would meet: pods that no Channel covers, and rules that no connection covers.
fn audit_report(name: &ChannelRef, foreign: &[Widening], world: &World) -> String {
    let channels = world.channels.get(&name.namespace);
    let uncovered: Vec<_> = world
        .running_pods(&name.namespace)
        .filter(|(_, pod)| {
            !channels
                .into_iter()
                .flatten()
                .any(|(_, channel)| selector::matches(&channel.spec.workload.selector, &pod.labels))
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

/// Why a Channel with data classes may have no key to make.
const NO_COHORT: &str = "the cohorts of its data classes cannot be counted: check the operator's clock, cohort and spec.encryption.rotateEvery";

/// Only what seals stands on a retention policy.
fn seals(plan: &Plan) -> bool {
    plan.footing.as_ref().is_some_and(|footing| footing.policy.is_some())
}

fn keys_ready(plan: &Plan, applied: &Applied) -> Verdict {
    let verdict =
        |truth, reason: &str, message: String| Verdict::new(condition::KEYS_READY, truth, reason, message);
    let found = match &applied.keys {
        Ok(found) => found,
        Err(fault) => return verdict(Truth::False, &fault.reason, fault.message.clone()),
    };
    if let Scope::Stalled(_) | Scope::Frozen = plan.scope {
        return verdict(
            Truth::Unknown,
            "NotPlanned",
            "no key is made or judged while this Channel is Stalled or frozen".into(),
        );
    }
    if plan.keys.is_empty() && seals(plan) {
        return verdict(Truth::False, "NotPlanned", NO_COHORT.into());
    }
    if plan.keys.is_empty() {
        return verdict(Truth::True, "NothingSealed", "no data class is declared: no key is needed".into());
    }
    for (name, key) in found {
        if let Some(flag) = key.alarming {
            let message = format!(
                "transit key {name} has {flag} set, which its data cannot be protected from: find who set it, and reseal under a new key"
            );
            return verdict(Truth::False, "IrreversibleKey", message);
        }
    }
    for key in &plan.keys {
        let Some(seen) = found.get(&key.name) else {
            let was_there = applied
                .ledger
                .as_ref()
                .ok()
                .and_then(|ledger| ledger.key(&key.class, key.cohort))
                .is_some_and(|record| !record.versions.is_empty());
            let (reason, message) = if was_there {
                (
                    "KeyMissing",
                    format!(
                        "transit key {} was there and is gone: restore it from a Vault snapshot",
                        key.name
                    ),
                )
            } else {
                ("KeyPending", format!("transit key {} does not exist yet", key.name))
            };
            return verdict(Truth::False, reason, message);
        };
        if seen.rotate_every != key.rotate_every {
            return verdict(
                Truth::False,
                "RotationNotSet",
                format!("transit key {} does not rotate as declared", key.name),
            );
        }
    }
    verdict(Truth::True, "KeysInPlace", format!("{} keys exist and rotate as declared", plan.keys.len()))
}

fn retained(plan: &Plan, applied: &Applied, world: &World, now: Timestamp) -> Verdict {
    let verdict =
        |truth, reason: &str, message: String| Verdict::new(condition::RETAINED, truth, reason, message);
    if let Scope::Stalled(_) | Scope::Frozen = plan.scope {
        return verdict(
            Truth::Unknown,
            "NotPlanned",
            "nothing is judged while this Channel is Stalled or frozen".into(),
        );
    }
    if plan.keys.is_empty() && seals(plan) {
        return verdict(Truth::False, "NotPlanned", NO_COHORT.into());
    }
    if plan.keys.is_empty() {
        return verdict(Truth::True, "NothingKept", "no data class is declared".into());
    }
    let policy = plan.footing.as_ref().and_then(|footing| footing.policy.as_deref());
    let conflicts = policy.map(|policy| retention_status::problems(policy, world, now)).unwrap_or_default();
    if let Some(first) = conflicts.first() {
        return verdict(Truth::False, "RetentionConflict", first.clone());
    }
    match &applied.ledger {
        Err(fault) => verdict(Truth::False, &fault.reason, fault.message.clone()),
        Ok(ledger) => {
            let missing: Vec<_> = plan
                .keys
                .iter()
                .filter(|key| {
                    ledger.key(&key.class, key.cohort).is_none_or(|record| record.versions.is_empty())
                })
                .map(|key| key.name.as_str())
                .collect();
            if missing.is_empty() {
                verdict(Truth::True, "Scheduled", "every data class has keys and due dates".into())
            } else {
                verdict(Truth::False, "KeyPending", format!("not in the ledger yet: {}", missing.join(", ")))
            }
        }
    }
}

/// Whether a condition of `conditions` needs someone's attention.
pub fn needs_attention(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| match condition.type_.as_str() {
        condition::READY | condition::CONNECTED | condition::ISOLATED | condition::KEYS_READY => {
            condition.status == "False"
        }
        condition::STALLED => condition.status == "True",
        _ => false,
    })
}

#[cfg(test)]
mod tests;
