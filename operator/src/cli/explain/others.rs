//! Describes TrustDomains, ExternalParties and RetentionPolicies.

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    ExternalParty, RetentionPolicy, TrustDomain,
    condition::{self, Condition},
};
use subrosa_plan::world::domain;

use super::{conditions, page::Page};
use crate::cli::words;

fn title(object: String, status: &[Condition], page: &mut Page) {
    let ready = condition::find(status, condition::READY);
    page.title(&object, ready.map(|one| (one.status.as_str(), one.reason.as_str())));
}

/// Describes a TrustDomain.
pub fn trust_domain(object: &TrustDomain, now: Timestamp, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    title(format!("TrustDomain {}", object.name_any()), &status.conditions, page);
    page.section("What it is");
    page.fact("Controller", &format!("{} ({})", spec.organisation.name, spec.organisation.country));
    page.fact("Law", &spec.jurisdictions.join(", "));
    page.fact("Days end in", spec.time_zone.as_deref().unwrap_or("UTC"));
    page.fact("Retention", &spec.retention_policies.join(", "));
    page.fact("Network", &format!("{:?}", spec.network.mode.unwrap_or_default()));
    for staged in &spec.network.staged {
        page.fact("", &format!("namespace {}: {:?} until {}", staged.namespace, staged.mode, staged.until));
    }
    for service in &spec.network.services {
        let direction = service.direction.unwrap_or_default().as_str();
        page.fact("Service", &format!("{}: {direction}, for {:?}", service.name, service.for_));
    }
    page.section("What it became");
    page.fact("Namespaces", &status.namespaces.unwrap_or_default().to_string());
    let count = status.channels.unwrap_or_default();
    page.fact(
        "Channels",
        &format!("{} ready of {}, {} to look at", count.ready, count.total, count.attention),
    );
    let (transit, kv) = (domain::transit_mount(object), domain::kv_mount(object));
    let vault = status.vault.map_or_else(
        || "not seen yet".to_owned(),
        |vault| format!("version {}, {}", vault.version, if vault.sealed { "sealed" } else { "unsealed" }),
    );
    let authorities = domain::authorities_mount(object);
    page.fact(
        "Vault",
        &format!("{vault}; keys of data at {transit}/, of authorities at {authorities}/, records at {kv}/"),
    );
    if let Some(orphans) = status.orphans.filter(|orphans| orphans.count > 0) {
        page.fact(
            "Orphans",
            &format!("{} of Channels that are gone; access is withdrawn, keys are kept", orphans.count),
        );
        for orphan in &orphans.first {
            page.fact("", orphan);
        }
    }
    conditions::describe(&status.conditions, now, page);
}

/// Describes an ExternalParty.
pub fn external_party(object: &ExternalParty, now: Timestamp, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    title(format!("ExternalParty {}", object.name_any()), &status.conditions, page);
    page.section("What it is");
    page.fact("Role", &format!("{:?}", spec.role));
    page.fact("Addresses", &spec.addresses.cidrs.join(", "));
    page.fact("TLS", &format!("{:?}", spec.tls.mode));
    if let Some(exception) = &spec.tls.exception {
        page.fact(
            "",
            &format!("exception for {} until {}: {}", exception.control, exception.expires, exception.reason),
        );
    }
    page.section("What was agreed");
    if spec.agreements.is_empty() {
        page.fact("Agreements", "none");
    }
    for agreement in &spec.agreements {
        page.fact(&agreement.type_, &format!("valid until {}, the last day", agreement.valid_until));
    }
    for channel in &spec.channels {
        let ports: Vec<_> = channel
            .ports
            .iter()
            .map(|port| port.range().map_or_else(|error| error.0, |range| range.to_string()))
            .collect();
        let direction = channel.direction.as_str();
        page.fact(
            direction,
            &format!("Channel {}/{} on {}", channel.namespace, channel.name, ports.join(", ")),
        );
    }
    conditions::describe(&status.conditions, now, page);
}

/// Describes a RetentionPolicy.
pub fn retention_policy(object: &RetentionPolicy, now: Timestamp, page: &mut Page) {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    title(format!("RetentionPolicy {}", object.name_any()), &status.conditions, page);
    page.section("What it says");
    for class in &spec.classes {
        let anchor = format!("{:?}", class.anchor.unwrap_or_default());
        let cohort = format!("{:?}", class.cohort.unwrap_or_default()).to_lowercase();
        let mut text = format!("keep {} after {anchor}, a key a {cohort}", class.keep);
        if let Some(max) = &class.max {
            text.push_str(&format!(", gone after {max} at the latest"));
        }
        page.fact("Class", &format!("{}: {text}", class.name));
        for minimum in &class.minimums {
            page.fact("", &format!("{} asks {}: {}", minimum.jurisdiction, minimum.period, minimum.basis));
        }
    }
    let destruction = spec.destruction();
    let approvals = usize::try_from(destruction.approvals()).unwrap_or_default();
    let grace = destruction.grace().map_or_else(|error| error.to_string(), |grace| grace.to_string());
    let text = format!(
        "{:?}, by {}, set aside for {grace} first",
        destruction.mode(),
        words::counted(approvals, "approval")
    );
    page.fact("Destruction", &text);
    conditions::describe(&status.conditions, now, page);
}
