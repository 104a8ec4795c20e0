//! Checks across objects: what would be Stalled, and notes.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::Value;
use subrosa_crds::{
    ExternalParty, RetentionPolicy, TrustDomain, channel::PeerKind, names::ChannelRef, retention,
    trust_domain::Direction,
};
use subrosa_plan::{
    consent::party::{self, Standing, WARNING_DAYS},
    world::{declaration::Declaration, domain, pem},
};

use super::{
    given::{FromFile, Given},
    world::Imagined,
};
use crate::cli::finding::Finding;

/// Findings about trust domains and external parties.
pub fn check(given: &Given, imagined: &Imagined, now: Timestamp, findings: &mut Vec<Finding>) {
    for domain in given.domains.values().filter(|domain| domain.sound) {
        check_domain(domain, imagined, now, findings);
    }
    for (name, policy) in given.retention.iter().filter(|(_, policy)| policy.sound) {
        check_policy(name, policy, given, now, findings);
    }
    for (name, party) in given.parties.iter().filter(|(_, party)| party.sound) {
        check_party(name, party, given, imagined, now, findings);
    }
}

fn check_domain(
    domain: &FromFile<TrustDomain>,
    imagined: &Imagined,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let (manifest, spec) = (&domain.manifest, &domain.object.spec);
    if let Err(problem) = domain::time_zone(&domain.object) {
        let message = format!("{problem}: write an IANA name such as Europe/Amsterdam");
        findings.push(manifest.error_at("spec.timeZone", message));
    }
    if let Some(key) = &spec.vault.ca_bundle
        && let Some(problem) =
            bundle_problem(imagined.world.bundles.get(key).map(|bundle| bundle.text.as_str()))
    {
        let message = format!("key {} of ConfigMap {}: {problem}", key.key, key.config_map);
        findings.push(manifest.error("spec.vault.caBundle", message));
    }
    if spec.vault.allow_insecure {
        findings.push(
            manifest.note("spec.vault.allowInsecure", "Vault is reached without TLS: for development only"),
        );
    }
    let today = domain::today(&domain.object, now);
    for (index, staged) in spec.network.staged.iter().enumerate() {
        if past(&staged.until, today) {
            let message = format!(
                "namespace {} should have been in since {}: it alarms",
                staged.namespace, staged.until
            );
            findings.push(manifest.note(&format!("spec.network.staged[{index}].until"), message));
        }
    }
}

/// A policy is checked against the law of every trust domain that lists it.
fn check_policy(
    name: &str,
    policy: &FromFile<RetentionPolicy>,
    given: &Given,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let spec = &policy.object.spec;
    let lists =
        |domain: &&FromFile<TrustDomain>| domain.object.spec.retention_policies.iter().any(|one| one == name);
    let mut laws: Vec<(Vec<String>, Date)> = given
        .domains
        .values()
        .filter(lists)
        .map(|domain| (domain.object.spec.jurisdictions.clone(), domain::today(&domain.object, now)))
        .collect();
    if laws.is_empty() {
        // The files do not say which law applies, so check only the policy itself.
        let own =
            spec.classes.iter().flat_map(|class| &class.minimums).map(|minimum| minimum.jurisdiction.clone());
        laws.push((own.collect(), now.to_zoned(TimeZone::UTC).date()));
    }
    for (jurisdictions, today) in laws {
        for problem in retention::check(spec, &jurisdictions, today) {
            let value = Some(Value::from(problem.value).to_string());
            findings.push(Finding { value, ..policy.manifest.error(&problem.field, problem.message) });
        }
    }
}

fn bundle_problem(text: Option<&str>) -> Option<&'static str> {
    let Some(text) = text else {
        return Some("there is no such key: write the CA's certificates in PEM there");
    };
    match pem::certificates(text) {
        Ok(found) if found.is_empty() => Some("no certificate is in it: write CERTIFICATE blocks in PEM"),
        Ok(_) => None,
        Err(problem) => Some(problem),
    }
}

/// Whether the day `until` is before `today`.
pub fn past(until: &str, today: Date) -> bool {
    until.parse::<Date>().is_ok_and(|until| until < today)
}

fn check_party(
    name: &str,
    party: &FromFile<ExternalParty>,
    given: &Given,
    imagined: &Imagined,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let world = &imagined.world;
    let mut domains: BTreeSet<&String> = BTreeSet::new();
    for (index, entry) in party.object.spec.channels.iter().enumerate() {
        domains.extend(world.namespaces.get(&entry.namespace).and_then(|facts| facts.trust_domain.as_ref()));
        let channel = ChannelRef::new(&entry.namespace, &entry.name);
        let message = match given.channels.get(&channel) {
            None => format!("Channel {channel} is not among the files"),
            Some(declared) if !names(&declared.object, name, entry.direction) => {
                let list = if entry.direction == Direction::Ingress { "accepts" } else { "connectsTo" };
                format!(
                    "AwaitingConsent: Channel {channel} does not name it: add {{name: {name}, kind: ExternalParty}} to its {list}"
                )
            }
            Some(_) => continue,
        };
        findings.push(party.manifest.note(&format!("spec.channels[{index}]"), message));
    }
    if domains.is_empty() {
        domains.extend(world.domains.keys());
    }
    let mut said = BTreeSet::new();
    for domain in domains.into_iter().filter_map(|domain| world.domains.get(domain)) {
        let finding = match party::judge(&party.object, domain, world, now) {
            Standing::Invalid { field, message, .. } => party.manifest.error_at(&field, message),
            Standing::Missing { agreement, basis } => party.manifest.error(
                "spec.agreements",
                format!("a Processor needs a {agreement} ({basis}): add {{type: {agreement}, validUntil: …}}"),
            ),
            Standing::Expired { what, on } => party.manifest.note(
                "spec.agreements",
                format!("AgreementExpired: {what} was valid until {on}: its connections are closed until it is renewed"),
            ),
            Standing::Valid { expires: Some((on, what)) } if soon(on, domain::today(domain, now)) => {
                party.manifest.note("spec.agreements", format!("{what} ends after {on}: its connections close then"))
            }
            Standing::Valid { .. } => continue,
        };
        if said.insert(finding.message.clone()) {
            findings.push(finding);
        }
    }
}

fn soon(on: Date, today: Date) -> bool {
    (on - today).get_days() <= WARNING_DAYS.into_iter().max().unwrap_or_default()
}

fn names(channel: &Declaration, party: &str, direction: Direction) -> bool {
    channel
        .entries(direction)
        .iter()
        .any(|entry| entry.kind() == PeerKind::ExternalParty && entry.name == party)
}
