//! The status of a Channel: only what was observed or done, with the weakest assurance among it.

mod backup;
mod connections;
mod earlier;
mod exceptions;
mod isolation;
mod kept;
mod news;
mod pending;
mod pods;
mod served;
mod soon;
mod trust;

pub use backup::late_from;
pub use earlier::news as earlier_news;
pub use exceptions::news as exception_news;
pub use news::turned_bad;
pub use soon::opens_at_once;

use jiff::Timestamp;
use subrosa_crds::{
    ChannelStatus, Reason,
    channel::{AuthorityStatus, CertificateStatus, ConnectionStatus, ServedStatus},
    condition::{self, Truth, Verdict},
};

use self::served::Witness;
use crate::{
    certificate::{CurrentCertificate, ExternalFacts, LeafFacts, Observation, external, reissue},
    channel::{
        Plan, Scope,
        applied::Applied,
        validate::{Problem, Validated},
    },
    consent::{connection::State, extra_trust},
    keys::{self, deadlines::LATE},
    record::{channel::ChannelRecord, generations::GenerationState},
    world::{World, declaration::Declaration, domain, fault::Fault},
};

/// How much of a certificate's text status repeats.
const LONGEST: usize = 256;

/// The status of a Channel whose plan was carried out as `applied` says.
pub fn channel(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    now: Timestamp,
) -> ChannelStatus {
    let today = domain::today(&plan.domain, now);
    let record = applied.record.as_ref().ok();
    let connections = connections::connections(channel, plan, applied, world);
    let found = applied.seen_keys();
    let retention = plan.validated.as_ref().and_then(Validated::kept_by);
    let (keys, other_keys) = record
        .map(|record| {
            keys::status(record, &plan.keys, found, retention, kept::faults(plan, world), &plan.domain, now)
        })
        .unwrap_or_default();
    let exceptions = exceptions::exceptions(channel, plan, today);
    // Entries after the declared ones were withdrawn by removal: shown, but not required for Ready.
    let declared = connections.get(..plan.connections.len()).unwrap_or_default();
    let open = declared.iter().filter(|connection| connection.state == State::Open.as_str()).count();
    let summary = format!("{open}/{}", declared.len());
    let (adopted, orphans) = earlier::earlier(channel, plan, record, world);
    let (verdicts, served) = verdicts(channel, plan, applied, declared, world, now);
    let old = channel.conditions();
    ChannelStatus {
        observed_generation: channel.generation(),
        type_: channel.type_(),
        id: Some(plan.id.to_string()),
        adopted,
        orphans,
        trust_domain: plan.domain.metadata.name.clone(),
        certificate: certificate(channel, plan, applied, world, served),
        pending_names: pending::names(channel, applied),
        authority: match record {
            Some(record) => authority(record),
            None => last_authority(channel, plan),
        },
        keys,
        other_keys,
        backup: backup::status(channel, applied),
        connection_summary: Some(summary),
        connections,
        exceptions,
        conditions: condition::conditions(verdicts, &old, channel.generation(), now),
    }
}

/// The certificate as observed, even if issuing another one fails: expiry monitoring must keep working exactly then.
/// While the Secret cannot be read, the last value stays.
fn certificate(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    world: &World,
    served: Option<ServedStatus>,
) -> Option<CertificateStatus> {
    let before = || {
        let before = channel.status().and_then(|status| status.into_owned().certificate);
        before.map(|before| CertificateStatus { served: served.clone(), ..before })
    };
    let held = match &applied.observed {
        Observation::Unknown => return before(),
        Observation::Nothing => return None,
        Observation::Held(held) => held.as_ref(),
    };
    match (held, &applied.record) {
        (CurrentCertificate::Issued(leaf), _) => Some(issued(plan, leaf, served)),
        (CurrentCertificate::External(facts), _) => Some(of_others(plan, facts, served)),
        (CurrentCertificate::OfEach, Ok(record)) => pods::certificate(channel.name(), plan, record, world),
        (CurrentCertificate::OfEach, Err(_)) => before(),
    }
}

/// The status of a Channel that no trust domain governs. It keeps only its identity, and the certificate that its
/// pods may still have, which is not renewed.
pub fn ungoverned(channel: &Declaration, problem: &Problem, now: Timestamp) -> ChannelStatus {
    let before = channel.status().unwrap_or_default().into_owned();
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
        observed_generation: channel.generation(),
        type_: channel.type_(),
        id: before.id,
        certificate: before.certificate.map(|before| CertificateStatus { served: None, ..before }),
        conditions: condition::conditions(verdicts, &before.conditions, channel.generation(), now),
        ..ChannelStatus::default()
    }
}

fn of_others(plan: &Plan, facts: &ExternalFacts, served: Option<ServedStatus>) -> CertificateStatus {
    CertificateStatus {
        serial: facts.serial.clone(),
        issuer: facts.issuer.clone(),
        spiffe_id: facts.spiffe_id.clone().unwrap_or_default(),
        not_before: facts.validity.not_before.to_string(),
        not_after: facts.validity.not_after.to_string(),
        renew_at: external::late(facts.validity).to_string(),
        secret_name: plan.external.clone(),
        pods: None,
        served,
    }
}

fn issued(plan: &Plan, leaf: &LeafFacts, served: Option<ServedStatus>) -> CertificateStatus {
    let spiffe_id = leaf.uris.iter().find(|uri| uri.starts_with("spiffe://"));
    CertificateStatus {
        serial: leaf.serial.clone(),
        issuer: leaf.issuer_name.as_ref().map(|name| short(&name.to_string())).unwrap_or_default(),
        spiffe_id: spiffe_id.map(|id| short(id)).unwrap_or_default(),
        not_before: leaf.validity.not_before.to_string(),
        not_after: leaf.validity.not_after.to_string(),
        renew_at: reissue::renewal(leaf, &plan.leaf).to_string(),
        secret_name: Some(plan.secret_name.clone()),
        pods: None,
        served,
    }
}

/// Shortens a text that somebody else may have written.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}

/// The last reported authority while the record cannot be read, so that status never forgets that there was one.
fn last_authority(channel: &Declaration, plan: &Plan) -> Option<AuthorityStatus> {
    let old = channel.status()?;
    let same = old.id.as_deref() == Some(plan.id.as_str()) && old.trust_domain == plan.domain.metadata.name;
    old.authority.clone().filter(|_| same)
}

fn authority(record: &ChannelRecord) -> Option<AuthorityStatus> {
    let signing = record.authority.signing()?;
    Some(AuthorityStatus {
        generation: signing.version.into(),
        fingerprint: signing.fingerprint.clone(),
        not_after: signing.not_after.to_string(),
        next: record.authority.published().map(|next| next.version.into()),
        retiring: record
            .authority
            .iter()
            .filter(|one| one.state == GenerationState::Retiring)
            .map(|one| one.version.into())
            .collect(),
    })
}

fn verdicts(
    channel: &Declaration,
    plan: &Plan,
    applied: &Applied,
    connections: &[ConnectionStatus],
    world: &World,
    now: Timestamp,
) -> (Vec<Verdict>, Option<ServedStatus>) {
    let (served, presented) = served::served(channel, plan, applied, world, now);
    let isolated = isolation::isolated(channel, plan, applied, world, domain::today(&plan.domain, now));
    let keys_ready = kept::keys_ready(channel, plan, applied, world, now);
    let retained = kept::retained(plan, applied, world, now);
    let stalled = match &plan.scope {
        Scope::Stalled(problems) => problems.first().map(|first| {
            let all: Vec<_> = problems.iter().map(|one| format!("{}: {}", one.field, one.message)).collect();
            Verdict::new(condition::STALLED, Truth::True, first.reason, all.join("; "))
        }),
        _ => None,
    };
    let witness = Witness::of(channel, &served);
    let ready = ready(plan, applied, stalled.as_ref(), [&keys_ready, &retained, &isolated], witness, now);
    let reconciling = (ready.truth == Truth::False && stalled.is_none() && applied.fault().is_some())
        .then(|| Verdict::new(condition::RECONCILING, Truth::True, Reason::Retrying, ready.message.clone()));
    let mut verdicts = vec![ready, connected(connections), served, isolated, keys_ready, retained];
    verdicts.extend(backup::backed_up(channel, plan, applied, now));
    verdicts.extend(pending::issuing(channel, plan, applied));
    verdicts.extend(trust::fits(channel, plan, applied));
    verdicts.extend(reconciling);
    verdicts.extend(stalled);
    (verdicts, presented)
}

fn ready(
    plan: &Plan,
    applied: &Applied,
    stalled: Option<&Verdict>,
    others: [&Verdict; 3],
    served: Witness,
    now: Timestamp,
) -> Verdict {
    let not = |reason: Reason, message: &str| Verdict::new(condition::READY, Truth::False, reason, message);
    if let Some(stalled) = stalled {
        return not(stalled.reason, &stalled.message);
    }
    if let Some(fault) = applied.fault() {
        return not(fault.reason, &fault.message);
    }
    // A namespace that is being moved is audited, which must not hide this fault.
    if let Some(fault) = extra_trust::fault(&plan.extra_trust) {
        return not(fault.reason, &fault.message);
    }
    if let Some(fault) = expiring(plan, applied, now) {
        return not(fault.reason, &fault.message);
    }
    if let Some(message) = pending::nothing_else(plan, applied) {
        return not(pending::REASON, &message);
    }
    match plan.scope {
        Scope::Frozen => {
            return not(
                Reason::NamespaceFrozen,
                "the namespace lost its trust-domain label: what protects it stays and renews, nothing new opens; \
                 ask who governs the trust domain to label it again",
            );
        }
        Scope::Audit => {
            return not(
                Reason::AuditMode,
                "network policies are only reported here: nothing is isolated yet",
            );
        }
        Scope::Full | Scope::Stalled(_) => {}
    }
    for other in others {
        if other.truth == Truth::False && !LATE.contains(&other.reason) {
            return not(other.reason, &other.message);
        }
    }
    let [_, _, isolated] = others;
    let (reason, message) = assurance(served, isolated);
    Verdict::new(condition::READY, Truth::True, reason, message)
}

/// The weakest assurance of a Channel in force: each control as written, or as seen.
///
/// Without a TLS listener there is no certificate to see. Pods that do not serve the certificate are reported by
/// Served; that does not lower what is in force, because their peers admit them on what was written.
fn assurance(served: Witness, isolated: &Verdict) -> (Reason, &'static str) {
    match (served, isolated.truth == Truth::True) {
        (Witness::EveryPod | Witness::NothingToSee, true) => {
            (Reason::InForce, "everything is in force, and probes saw it from a pod")
        }
        (Witness::EveryPod, false) => (
            Reason::InForceUnproven,
            "certificate, keys, access and network policies are in force as written; probes saw the certificate on \
             every ready pod, and none has seen that packets are blocked",
        ),
        _ => (
            Reason::InForceUnproven,
            "certificate, keys, access and network policies are in force as written; no probe has seen them from a pod",
        ),
    }
}

/// A certificate by another issuer that should have been renewed. It is still valid, so nothing closes.
fn expiring(plan: &Plan, applied: &Applied, now: Timestamp) -> Option<Fault> {
    match applied.observed.held() {
        Some(CurrentCertificate::External(facts)) => {
            external::expiring(facts, plan.external.as_deref().unwrap_or_default(), now)
        }
        _ => None,
    }
}

fn connected(connections: &[ConnectionStatus]) -> Verdict {
    let open = State::Open.as_str();
    let waiting: Vec<_> = connections.iter().filter(|connection| connection.state != open).collect();
    let Some(first) = waiting.first() else {
        let (reason, message) = if connections.is_empty() {
            (Reason::NothingDeclared, "no connection is declared: nothing may connect".to_owned())
        } else {
            (Reason::AllOpen, format!("all {} declared connections are open", connections.len()))
        };
        return Verdict::new(condition::CONNECTED, Truth::True, reason, message);
    };
    // The reason is the state of the connection.
    let reason = State::read(&first.state).unwrap_or(State::Closed).reason();
    let names: Vec<_> = waiting.iter().map(|one| format!("{} ({})", one.name, one.state)).collect();
    Verdict::new(condition::CONNECTED, Truth::False, reason, names.join(", "))
}

#[cfg(test)]
mod tests;
