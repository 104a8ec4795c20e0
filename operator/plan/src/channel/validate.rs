//! Validates a declaration against other objects, which only the operator can do.
//!
//! A Channel with such a problem is Stalled: its protection stays, nothing new is made, and it waits for a change.

mod listeners;

use std::{cell::OnceCell, sync::Arc};

use jiff::Timestamp;
use subrosa_crds::{
    Reason, RetentionPolicy, TRUST_DOMAIN_LABEL, TrustDomain,
    names::{ChannelId, ChannelRef},
    period,
};

use super::delivery;
use crate::{
    backup::{drill, dumps, schedule},
    certificate::{
        secrets::{self, secret_name},
        specs,
    },
    world::{PodFacts, World, declaration::Declaration, domain, selector},
};

/// Why a Channel is Stalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// The field to change, such as `spec.dataClasses`.
    pub field: &'static str,
    /// What was found, what is expected, and the next step.
    pub message: String,
}

impl Problem {
    fn new(reason: Reason, field: &'static str, message: impl Into<String>) -> Self {
        Self { reason, field, message: message.into() }
    }
}

/// The other objects that a valid declaration refers to.
#[derive(Clone)]
pub struct Validated {
    /// The trust domain of its namespace.
    pub domain: Arc<TrustDomain>,
    /// The retention policy of its data classes; `None` when it seals nothing.
    pub retention: Option<Arc<RetentionPolicy>>,
    /// The one that its backups follow, whether it has a class for them or not; `None` when it has no backups.
    pub backups: Option<Arc<RetentionPolicy>>,
}

impl Validated {
    /// The retention policy of all that it keeps: sealed data and backups.
    pub fn kept_by(&self) -> Option<&RetentionPolicy> {
        self.retention.as_deref().or(self.backups.as_deref())
    }
}

/// The trust domain that governs the Channel's namespace.
///
/// # Errors
/// When none does.
pub fn governing<'a>(name: &ChannelRef, world: &'a World) -> Result<&'a Arc<TrustDomain>, Problem> {
    let label = world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.as_deref());
    let Some(label) = label else {
        return Err(Problem::new(
            Reason::NamespaceNotGoverned,
            "metadata.namespace",
            format!(
                "namespace {} belongs to no trust domain: ask who governs one to label it {TRUST_DOMAIN_LABEL}=<TrustDomain>",
                name.namespace
            ),
        ));
    };
    world.domains.get(label).ok_or_else(|| {
        Problem::new(
            Reason::TrustDomainNotFound,
            "metadata.namespace",
            format!(
                "namespace {} is labelled {TRUST_DOMAIN_LABEL}={label}, and there is no TrustDomain {label}: apply it, or correct the label",
                name.namespace
            ),
        )
    })
}

#[cfg(test)]
thread_local! {
    /// How often this thread has validated a Channel.
    pub(crate) static VALIDATED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Validates a declaration, and returns the objects that it refers to.
///
/// # Errors
/// Every problem, the most fundamental first.
pub fn validate(channel: &Declaration, world: &World, now: Timestamp) -> Result<Validated, Vec<Problem>> {
    #[cfg(test)]
    VALIDATED.set(VALIDATED.get() + 1);
    let name = channel.name();
    let domain = governing(name, world).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    if domain.metadata.deletion_timestamp.is_some() {
        problems.push(Problem::new(
            Reason::TrustDomainTerminating,
            "metadata.namespace",
            format!(
                "TrustDomain {} is being deleted: nothing new is made or opened under it",
                object_name(domain)
            ),
        ));
    }
    if let Err(error) = domain::time_zone(domain) {
        problems.push(Problem::new(
            Reason::TimeZoneUnknown,
            "spec.timeZone",
            format!(
                "TrustDomain {}: {error}; write an IANA name such as Europe/Amsterdam",
                object_name(domain)
            ),
        ));
    }
    let retention = match retention(channel, domain, world) {
        Ok(policy) => policy.cloned(),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let backups = match backups(channel, domain, world) {
        Ok(policy) => policy.cloned(),
        // Of a Channel that seals too it is told already.
        Err(problem) => {
            problems.extend((!channel.seals()).then_some(problem));
            None
        }
    };
    if let Some(message) = delivery::unavailable(channel, world) {
        problems.push(Problem::new(Reason::PodCertificatesUnavailable, "spec.tls.delivery", message));
    }
    problems.extend(backup(channel, domain));
    problems.extend(reserved(channel));
    problems.extend(conflicts(channel, world));
    problems.extend(names(channel, domain, world));
    problems.extend(common_name(channel, domain, world, now));
    problems.extend(times(channel, domain, now));
    problems.extend(listeners::check(channel, domain::today(domain, now)));
    if problems.is_empty() {
        Ok(Validated { domain: Arc::clone(domain), retention, backups })
    } else {
        Err(problems)
    }
}

/// The retention policy the Channel's data classes follow.
fn retention<'a>(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &'a World,
) -> Result<Option<&'a Arc<RetentionPolicy>>, Problem> {
    if !channel.seals() {
        return Ok(None);
    }
    let policy = chosen(channel, domain, world)?;
    let unknown: Vec<_> = channel
        .data_classes()
        .iter()
        .filter(|class| !policy.spec.classes.iter().any(|known| &known.name == *class))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        let known: Vec<_> = policy.spec.classes.iter().map(|class| class.name.as_str()).collect();
        return Err(Problem::new(
            Reason::UnknownDataClass,
            "spec.dataClasses",
            format!(
                "RetentionPolicy {} has no class {}; it has {}",
                policy.metadata.name.as_deref().unwrap_or_default(),
                unknown.join(", "),
                known.join(", ")
            ),
        ));
    }
    Ok(Some(policy))
}

/// The retention policy that the Channel's backups follow. None has to be there: condition Retained tells of what is
/// kept without end.
fn backups<'a>(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &'a World,
) -> Result<Option<&'a Arc<RetentionPolicy>>, Problem> {
    if channel.backup().is_none() {
        return Ok(None);
    }
    match chosen(channel, domain, world) {
        Ok(policy) => Ok(Some(policy)),
        Err(problem) if channel.retention_policy().is_some() => Err(problem),
        Err(_) => Ok(None),
    }
}

/// The retention policy that the Channel names, or else the first of its trust domain.
fn chosen<'a>(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &'a World,
) -> Result<&'a Arc<RetentionPolicy>, Problem> {
    let allowed = &domain.spec.retention_policies;
    let Some(chosen) = channel.retention_policy().or_else(|| allowed.first()) else {
        return Err(Problem::new(
            Reason::RetentionPolicyNotFound,
            "spec.retentionPolicy",
            format!(
                "TrustDomain {} allows no retention policy: ask who governs it to add one to its spec.retentionPolicies",
                object_name(domain)
            ),
        ));
    };
    if !allowed.contains(chosen) {
        return Err(Problem::new(
            Reason::RetentionPolicyForbidden,
            "spec.retentionPolicy",
            format!("TrustDomain {} allows {}, not {chosen}", object_name(domain), allowed.join(", ")),
        ));
    }
    world.retention.get(chosen).ok_or_else(|| {
        Problem::new(
            Reason::RetentionPolicyNotFound,
            "spec.retentionPolicy",
            format!("there is no RetentionPolicy {chosen}: ask the compliance office to apply it"),
        )
    })
}

/// Backups that have nowhere to go, or no time that can be read.
fn backup(channel: &Declaration, domain: &TrustDomain) -> Option<Problem> {
    channel.backup()?;
    if domain.spec.backup.is_none() {
        return Some(Problem::new(
            Reason::BackupStoreMissing,
            "spec.backup",
            format!(
                "TrustDomain {} keeps no backups: ask who governs it to write spec.backup.store, or leave backup out",
                object_name(domain)
            ),
        ));
    }
    if let Some(database) = dumps::unheard(channel) {
        return Some(Problem::new(
            Reason::DatabaseNotListening,
            "spec.backup.databases",
            format!(
                "{}: no TCP listener of this Channel has port {}, and only its own databases are dumped: write the pod's \
                 port, or back it up with the Channel that it belongs to",
                database.name,
                database.port()
            ),
        ));
    }
    let of_runs = schedule::of(channel, domain).err().map(|problem| ("spec.backup.schedule", problem));
    let of_drills = || Some(("spec.backup.drill.schedule", drill::schedule(channel, domain).err()?));
    let (field, problem) = of_runs.or_else(of_drills)?;
    Some(Problem::new(
        Reason::ScheduleInvalid,
        field,
        format!(
            "{problem}; write five fields of cron such as 15 2 * * *, and an IANA time zone such as Europe/Amsterdam"
        ),
    ))
}

/// What an older Channel of the namespace uses already, and keeps.
fn conflicts(channel: &Declaration, world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = channel.name();
    let secret = secret_name(channel);
    // Collected once instead of for each sibling, because a namespace may have hundreds of both.
    let pods: OnceCell<Vec<_>> = OnceCell::new();
    let own_pods = || {
        let selected = |(_, pod): &(_, &PodFacts)| selector::matches(channel.selector(), &pod.labels);
        pods.get_or_init(|| world.running_pods(&name.namespace).filter(selected).collect()).as_slice()
    };
    let siblings = world.channels_of(&name.namespace).filter(|other| other.name() != name);
    for other in siblings.filter(|other| other.is_older_than(channel)) {
        let other_name = &other.name().name;
        if let Some(pod) = shared(channel, other, own_pods) {
            problems.push(Problem::new(
                Reason::WorkloadConflict,
                "spec.workload.selector",
                format!(
                    "Channel {other_name} selects {pod} too, and the older one keeps them: select different pods, or put both into one Channel"
                ),
            ));
        }
        let account = channel.service_account();
        if account.is_some() && account == other.service_account() {
            problems.push(Problem::new(
                Reason::ServiceAccountConflict,
                "spec.workload.serviceAccountName",
                format!("Channel {other_name} has this ServiceAccount too, and the older one keeps it: give this workload one of its own"),
            ));
        }
        if secret == secret_name(other) {
            problems.push(Problem::new(
                Reason::SecretConflict,
                "spec.tls.secretName",
                format!("Channel {other_name} writes this Secret too, and the older one keeps it: choose another name"),
            ));
        }
    }
    problems
}

/// What `channel` and `other` both select: all pods of one of them, or one of `pods`, which `channel` selects.
fn shared<'a>(
    channel: &Declaration,
    other: &Declaration,
    pods: impl FnOnce() -> &'a [(&'a String, &'a PodFacts)],
) -> Option<String> {
    let (one, other) = (channel.selector(), other.selector());
    if selector::implies(one, other) || selector::implies(other, one) {
        return Some(format!("the pods of {}", selector::text(other)));
    }
    let both = pods().iter().find(|(_, pod)| selector::matches(other, &pod.labels));
    both.map(|(name, _)| format!("pod {name}"))
}

/// DNS names that the trust domain does not allow and that belong to no Service of the Channel.
fn names(channel: &Declaration, domain: &TrustDomain, world: &World) -> Option<Problem> {
    let allowed = domain::allowed_suffixes(domain);
    let mut outside: Vec<_> =
        channel.dns_names().iter().filter(|name| !under(name, allowed)).map(String::as_str).collect();
    if !outside.is_empty() {
        let own = specs::may_be_asked_for(channel, domain, world);
        outside.retain(|wanted| !own.contains(*wanted));
    }
    (!outside.is_empty()).then(|| {
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        Problem::new(
            Reason::DNSNameNotAllowed,
            "spec.tls.dnsNames",
            format!(
                "{} is not under certificateAuthority.allowedDNSSuffixes of TrustDomain {} ({allowed})",
                outside.join(", "),
                object_name(domain)
            ),
        )
    })
}

/// A common name that software may take for a DNS name, and that the authority may not sign.
fn common_name(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &World,
    now: Timestamp,
) -> Option<Problem> {
    channel.common_name()?;
    let name = channel.name();
    let id = ChannelId::mint("", &name.name);
    let permitted = specs::authority_spec(name, &id, domain, now).permitted_dns;
    let leaf = specs::leaf_spec(channel, domain, world);
    (!leaf.common_name_permitted(&permitted)).then(|| {
        let permitted: Vec<_> = permitted.into_iter().collect();
        Problem::new(
            Reason::CommonNameNotAllowed,
            "spec.tls.commonName",
            format!(
                "{} reads as a DNS name and is not under {}: write a name without dots, such as {}",
                leaf.common_name,
                permitted.join(", "),
                name.name
            ),
        )
    })
}

fn under(name: &str, suffixes: &[String]) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    suffixes.iter().any(|suffix| {
        name == suffix || name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// A leaf may live at most a quarter of its authority's life.
fn times(channel: &Declaration, domain: &TrustDomain, now: Timestamp) -> Option<Problem> {
    let wanted = channel.duration()?;
    let text = domain::authority_duration(domain);
    let whole = domain::authority_life(domain, now)?;
    let leaf = period::duration(wanted).ok()?;
    (leaf.as_secs() > whole.as_secs() / 4).then(|| {
        Problem::new(
            Reason::DurationTooLong,
            "spec.tls.duration",
            format!(
                "{wanted} is more than a quarter of the authority's {text} (TrustDomain {} certificateAuthority.duration): write at most {}",
                object_name(domain),
                whole_units(whole.as_secs() / 4)
            ),
        )
    })
}

/// A duration in its largest whole unit.
fn whole_units(seconds: i64) -> String {
    let (unit, length) = [("d", 86_400), ("h", 3_600), ("m", 60)]
        .into_iter()
        .find(|(_, length)| seconds >= *length)
        .unwrap_or(("s", 1));
    format!("{}{unit}", seconds / length)
}

/// A name that is reserved for the Channel's own Secret with only trust files.
fn reserved(channel: &Declaration) -> Option<Problem> {
    let reserved = secrets::trust_name(&channel.name().name);
    (channel.secret_name()? == reserved).then(|| {
        Problem::new(
            Reason::SecretConflict,
            "spec.tls.secretName",
            format!(
                "{reserved} is the name of this Channel's Secret with trust files alone: choose another name"
            ),
        )
    })
}

fn object_name(domain: &TrustDomain) -> &str {
    domain.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
