//! Describes Channels.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    Channel, ChannelStatus,
    channel::{CertificateStatus, ConnectionStatus, Delivery, Peer, PeerKind},
    condition,
    trust_domain::Direction,
};
use subrosa_plan::{
    certificate::secrets,
    network, sealing,
    world::{declaration::Declaration, selector},
};

use super::{conditions, page::Page, preset};
use crate::cli::{table::Tone, words};

/// Describes `channel`.
pub fn describe(channel: &Channel, now: Timestamp, page: &mut Page) {
    let (namespace, name) = (channel.namespace().unwrap_or_default(), channel.name_any());
    let status = channel.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, condition::READY);
    page.title(
        &format!("Channel {namespace}/{name}"),
        ready.map(|one| (one.status.as_str(), one.reason.as_str())),
    );
    if channel.metadata.generation > status.observed_generation && status.observed_generation.is_some() {
        page.line("It was changed since the operator looked at it: what follows is of before.", Tone::Odd);
    }
    let declaration = Declaration::of(Arc::new(channel.clone()));
    declared(&declaration, page);
    preset::given(&channel.spec, page);
    sealed_and_loosened(&declaration, page);
    became(&declaration, &name, &status, now, page);
    connections(&declaration, &namespace, &status, page);
    conditions::describe(&status.conditions, now, page);
}

fn declared(channel: &Declaration, page: &mut Page) {
    page.section("What it is");
    page.fact("Pods", &selector::text(channel.selector()));
    if let Some(account) = channel.service_account() {
        page.fact("Runs as", &format!("ServiceAccount {account}"));
    }
    let listeners: Vec<_> = channel
        .listeners()
        .iter()
        .map(|one| one.range().map_or_else(|| one.name.clone(), |range| format!("{} ({range})", one.name)))
        .collect();
    page.fact(
        "Listens on",
        if listeners.is_empty() { "nothing".to_owned() } else { listeners.join(", ") }.as_str(),
    );
}

fn sealed_and_loosened(channel: &Declaration, page: &mut Page) {
    if channel.seals() {
        page.fact("Seals", &channel.data_classes().join(", "));
    }
    for exception in channel.exceptions() {
        page.fact(
            "Exception",
            &format!("{} until {}: {}", exception.control, exception.expires, exception.reason),
        );
    }
}

fn became(channel: &Declaration, name: &str, status: &ChannelStatus, now: Timestamp, page: &mut Page) {
    page.section("What it became");
    if let Some(domain) = &status.trust_domain {
        page.fact("Trust domain", domain);
    }
    page.fact(
        "Network",
        &format!(
            "NetworkPolicy {}; the condition Isolated tells whether it holds",
            network::policy_name(name)
        ),
    );
    match &status.certificate {
        None => {
            let secret = secrets::secret_name(channel);
            let text = match channel.external_secret() {
                None if channel.delivery() == Delivery::PodCertificate => {
                    format!("one for each pod, once its kubelet asks; trust files stand in Secret {secret}")
                }
                Some(other) => format!("none yet; somebody else puts it into Secret {other}"),
                None => format!("none yet; it will stand in Secret {secret}"),
            };
            page.fact("Certificate", &text);
        }
        Some(certificate) => {
            page.fact("Certificate", &format!("{}, serial {}", stands_in(certificate), certificate.serial));
            page.fact("", &certificate.spiffe_id);
            let ends = certificate
                .not_after
                .parse()
                .map_or_else(|_| certificate.not_after.clone(), |at| words::ends(at, now));
            page.fact("", &format!("ends {} ({ends})", certificate.not_after));
            let when = words::when_text(&certificate.renew_at, now);
            if channel.external_secret().is_some() {
                page.fact("", &format!("issued by somebody else: {}", certificate.issuer));
                page.fact("", &format!("late if not renewed before {} ({when})", certificate.renew_at));
                page.fact("Trust files", &format!("Secret {}", secrets::secret_name(channel)));
            } else {
                page.fact("", &format!("renewed {} ({when})", certificate.renew_at));
            }
            if let Some(served) = &certificate.served {
                let text = format!(
                    "serial {} is presented by {} ready pods, since {}",
                    served.serial, served.pods, served.at
                );
                page.fact("", &text);
            }
        }
    }
    for pending in &status.pending_names {
        let when = words::when_text(&pending.from, now);
        page.fact("Name to come", &format!("{}, by {} ({when})", pending.name, pending.from));
    }
    if let Some(authority) = &status.authority {
        let next = authority
            .next
            .map(|next| format!("; generation {next} is published and signs next"))
            .unwrap_or_default();
        page.fact(
            "Its own CA",
            &format!("generation {}, until {}{next}", authority.generation, authority.not_after),
        );
    }
    if let Some(id) = &status.id {
        page.fact("In Vault", &format!("everything under the identity {id}"));
    }
    if channel.seals() {
        let map = sealing::config_map_name(name);
        page.fact("How to seal", &format!("ConfigMap {map}, for the workload to mount"));
    }
    for key in &status.keys {
        let mut text = format!("{} {}: {}", key.data_class, key.cohort, key.state);
        if let Some(versions) = key.versions {
            text.push_str(&format!(", {}", words::counted(count(versions), "version")));
        }
        if let Some(next) = &key.next_rotation {
            text.push_str(&format!(", rotates {}", words::when_text(next, now)));
        }
        if let Some(due) = &key.due {
            text.push_str(&format!(", due for destruction on {due}"));
        }
        page.fact("Key", &text);
    }
    for (state, count_of) in &status.other_keys {
        page.fact("", &format!("and {} in state {state}", words::counted(count(*count_of), "key")));
    }
}

fn stands_in(certificate: &CertificateStatus) -> String {
    match (&certificate.secret_name, certificate.pods) {
        (Some(secret), _) => format!("Secret {secret}"),
        (None, pods) => {
            let pods = words::counted(count(pods.unwrap_or_default()), "pod");
            format!("one for each pod, and the key on its node only; of {pods}, the first that ends")
        }
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn connections(channel: &Declaration, namespace: &str, status: &ChannelStatus, page: &mut Page) {
    page.section("Whom it talks to");
    if status.connections.is_empty() {
        page.line("Nobody: no connection is declared, or none has been judged yet.", Tone::Plain);
    }
    for connection in &status.connections {
        let incoming = connection.direction == Direction::Ingress.as_str();
        let entries = if incoming { channel.accepts() } else { channel.connects_to() };
        let entry = entries.iter().find(|entry| entry.name == connection.name);
        let with = entry.map_or_else(|| connection.name.clone(), |entry| other_end(entry, namespace));
        let verb = if incoming { "accepts" } else { "connects to" };
        page.line(&format!("{verb} {with}: {}", state(connection)), tone(&connection.state));
        if let Some(reason) = &connection.reason {
            page.below(reason);
        }
        if let Some(next) = &connection.next_step
            && connection.state != "Open"
        {
            page.next_step(next);
        }
    }
}

fn other_end(entry: &Peer, namespace: &str) -> String {
    match entry.kind() {
        PeerKind::Channel => format!("Channel {}/{}", entry.namespace_or(namespace), entry.channel_name()),
        PeerKind::ExternalParty => format!("ExternalParty {}", entry.name),
        PeerKind::Service => format!("service {} of the trust domain", entry.name),
    }
}

fn state(connection: &ConnectionStatus) -> String {
    if connection.listeners.is_empty() {
        connection.state.clone()
    } else {
        format!("{} on {}", connection.state, connection.listeners.join(", "))
    }
}

fn tone(state: &str) -> Tone {
    match state {
        "Open" => Tone::Good,
        "AwaitingConsent" | "NotFound" | "Closing" => Tone::Odd,
        "Closed" => Tone::Plain,
        _ => Tone::Bad,
    }
}
