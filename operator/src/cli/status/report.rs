//! The data of `subrosa status`, in a stable form for scripts.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;
use subrosa_crds::{
    Channel, ChannelStatus, ExternalParty, Reason, RetentionPolicy, TrustDomain,
    channel::ExceptionStatus,
    condition::{self, Condition},
    preset,
    trust_domain::NetworkMode,
};
use subrosa_plan::consent::connection::State;

use crate::cli::{cluster::ClusterObjects, words};

/// Everything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Trust domains.
    pub trust_domains: Vec<DomainRow>,
    /// External parties and retention policies that need someone's attention.
    pub attention: Vec<OtherRow>,
    /// The namespace the Channels are of; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Channels.
    pub channels: Vec<ChannelRow>,
    /// Kinds that this user may not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<&'static str>,
}

/// A trust domain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRow {
    /// Its name.
    pub name: String,
    /// `True`, `False` or `Unknown`.
    pub ready: String,
    /// The reason of its condition Ready.
    pub reason: String,
    /// `Enforce` or `Audit`.
    pub mode: &'static str,
    /// How many Channels are Ready, of how many.
    pub channels: String,
    /// How many Channels someone should look at.
    pub attention: i64,
    /// Vault as last seen.
    pub vault: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Attention>,
}

/// A Channel.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// `True`, `False` or `Unknown`.
    pub ready: String,
    /// The reason of its condition Ready.
    pub reason: String,
    /// Open connections, of how many declared.
    pub connections: String,
    /// When its certificate ends, in words.
    pub certificate: String,
    /// The same as a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Whether the certificate has ended, or should have been renewed.
    pub certificate_late: bool,
    /// The worst problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Attention>,
}

/// An external party or retention policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherRow {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub problem: Attention,
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    /// A stable CamelCase word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// What to do next, where the sentence does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// Whether something is not in force, rather than waiting for somebody.
    pub serious: bool,
}

impl Attention {
    fn new(reason: impl ToString, message: impl Into<String>) -> Self {
        Self { reason: reason.to_string(), message: message.into(), next_step: None, serious: true }
    }
}

impl Report {
    /// The report on the objects at `now`.
    pub fn of(seen: &ClusterObjects, namespace: Option<&str>, now: Timestamp) -> Self {
        let parties = seen
            .parties
            .iter()
            .filter_map(|party| other("ExternalParty", party.name_any(), party_problem(party)));
        let policies = seen
            .policies
            .iter()
            .filter_map(|policy| other("RetentionPolicy", policy.name_any(), policy_problem(policy)));
        Self {
            trust_domains: seen.domains.iter().map(domain).collect(),
            attention: parties.chain(policies).collect(),
            namespace: namespace.map(str::to_owned),
            channels: seen.channels.iter().map(|one| channel(one, now)).collect(),
            hidden: seen.hidden.clone(),
        }
    }
}

fn other(kind: &'static str, name: String, problem: Option<Attention>) -> Option<OtherRow> {
    problem.map(|problem| OtherRow { kind, name, problem })
}

fn domain(domain: &TrustDomain) -> DomainRow {
    let status = domain.status.clone().unwrap_or_default();
    let (ready, reason) = ready(&status.conditions);
    let count = status.channels.unwrap_or_default();
    let vault = match status.vault {
        None => "not seen yet".to_owned(),
        Some(vault) if vault.sealed => format!("{} sealed", vault.version),
        Some(vault) if vault.insecure => format!("{} without TLS", vault.version),
        Some(vault) => vault.version,
    };
    let generations = (domain.metadata.generation, status.observed_generation);
    DomainRow {
        name: domain.name_any(),
        ready,
        reason,
        mode: match domain.spec.network.mode.unwrap_or_default() {
            NetworkMode::Enforce => "Enforce",
            NetworkMode::Audit => "Audit",
        },
        channels: format!("{}/{}", count.ready, count.total),
        attention: count.attention,
        vault,
        problem: of_conditions(&status.conditions, generations)
            .or_else(|| untrue(&status.conditions, condition::GUARDED)),
    }
}

fn channel(channel: &Channel, now: Timestamp) -> ChannelRow {
    let status = channel.status.clone().unwrap_or_default();
    let (ready, reason) = ready(&status.conditions);
    let certificate = status.certificate.as_ref();
    let ends = certificate.and_then(|certificate| certificate.not_after.parse::<Timestamp>().ok());
    let renewal = certificate.and_then(|certificate| certificate.renew_at.parse::<Timestamp>().ok());
    ChannelRow {
        namespace: channel.namespace().unwrap_or_default(),
        name: channel.name_any(),
        type_: preset::resolve(&channel.spec)
            .type_
            .and_then(|kind| serde_json::to_value(kind).ok()?.as_str().map(str::to_owned)),
        ready,
        reason,
        connections: status.connection_summary.clone().unwrap_or_else(|| "-".to_owned()),
        certificate: ends.map_or_else(|| "-".to_owned(), |ends| words::ends(ends, now)),
        not_after: certificate.map(|certificate| certificate.not_after.clone()),
        certificate_late: renewal.into_iter().chain(ends).any(|at| at < now),
        problem: channel_problem(channel, ends, now),
    }
}

/// The worst problem first: not in force, stalled, waiting for somebody.
fn channel_problem(channel: &Channel, ends: Option<Timestamp>, now: Timestamp) -> Option<Attention> {
    let status = channel.status.clone().unwrap_or_default();
    let generations = (channel.metadata.generation, status.observed_generation);
    if let Some(problem) = of_conditions(&status.conditions, generations) {
        return Some(problem);
    }
    if let Some(ends) = ends.filter(|ends| *ends <= now) {
        let message = format!(
            "its certificate {}: see the condition Ready and the operator's log",
            words::ends(ends, now)
        );
        return Some(Attention::new(Reason::CertificateExpired, message));
    }
    if let Some(exception) = status.exceptions.iter().find(|exception| exception.overdue) {
        let message = format!("the exception for {} ended on {}", exception.control, exception.expires);
        let next_step = Some("close the gap and remove the exception, or have it renewed".to_owned());
        return Some(Attention { next_step, ..Attention::new(Reason::ExceptionOverdue, message) });
    }
    let ending = status.exceptions.iter().find_map(|one| Some((one, one.days_left?)));
    waiting(&status).or_else(|| ending.map(|(one, left)| ends_soon(one, left)))
}

fn ends_soon(exception: &ExceptionStatus, left: i64) -> Attention {
    let message = format!("{} ends on {}, {left} days from today", exception.control, exception.expires);
    let next_step = Some("close the gap before, or have it renewed".to_owned());
    Attention { next_step, serious: false, ..Attention::new(Reason::ExceptionEnding, message) }
}

fn waiting(status: &ChannelStatus) -> Option<Attention> {
    let waiting = status.connections.iter().find(|connection| connection.state != "Open")?;
    let arrow = if waiting.direction == "Ingress" { "from" } else { "to" };
    let why = waiting.reason.clone().unwrap_or_default();
    let message = format!("{arrow} {}{}{why}", waiting.name, if why.is_empty() { "" } else { ": " });
    Some(Attention {
        reason: waiting.state.clone(),
        message,
        next_step: waiting.next_step.clone(),
        serious: matches!(
            State::read(&waiting.state),
            Some(State::Refused | State::ListenerMismatch | State::AgreementExpired)
        ),
    })
}

/// The problem in the conditions that every kind has.
fn of_conditions(
    conditions: &[Condition],
    (wanted, observed): (Option<i64>, Option<i64>),
) -> Option<Attention> {
    if conditions.is_empty() {
        let next_step = Some(format!(
            "see whether the operator runs: kubectl -n {} get pods",
            crate::cli::OPERATOR_NAMESPACE
        ));
        return Some(Attention {
            next_step,
            ..Attention::new(Reason::NotReconciled, "the operator has not looked at it yet")
        });
    }
    let stalled = conditions.iter().find(|one| one.type_ == condition::STALLED && one.status == "True");
    let ready = condition::find(conditions, condition::READY).filter(|ready| ready.status != "True");
    if let Some(wrong) = stalled.or(ready) {
        return Some(Attention::new(&wrong.reason, wrong.message.clone()));
    }
    (wanted > observed).then(|| Attention {
        serious: false,
        ..Attention::new(Reason::NotReconciled, "it was changed and the operator has not looked at it since")
    })
}

fn untrue(conditions: &[Condition], kind: &str) -> Option<Attention> {
    let wrong = condition::find(conditions, kind).filter(|one| one.status == "False")?;
    Some(Attention::new(&wrong.reason, wrong.message.clone()))
}

fn party_problem(party: &ExternalParty) -> Option<Attention> {
    let status = party.status.clone().unwrap_or_default();
    let agreements = condition::find(&status.conditions, condition::AGREEMENTS_VALID);
    let expiring =
        agreements.filter(|one| one.status != "True" || Reason::of(one) == Some(Reason::AgreementExpiring));
    of_conditions(&status.conditions, (party.metadata.generation, status.observed_generation)).or_else(|| {
        expiring.map(|one| Attention {
            serious: one.status != "True",
            ..Attention::new(&one.reason, one.message.clone())
        })
    })
}

fn policy_problem(policy: &RetentionPolicy) -> Option<Attention> {
    let status = policy.status.clone().unwrap_or_default();
    of_conditions(&status.conditions, (policy.metadata.generation, status.observed_generation))
}

fn ready(conditions: &[Condition]) -> (String, String) {
    condition::find(conditions, condition::READY).map_or_else(
        || ("Unknown".to_owned(), "NotReconciled".to_owned()),
        |ready| (ready.status.clone(), ready.reason.clone()),
    )
}
