//! The specifications of a Channel's leaf and of its authority.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    TrustDomain,
    channel::Reload,
    names::{ChannelId, ChannelRef},
    period,
};

use crate::{
    certificate::{AuthoritySpec, LeafSpec},
    world::{ServiceFacts, World, declaration::Declaration, domain, selector},
};

/// The default lifetime of a leaf.
const DURATION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long after a Channel's creation changed names are issued at once, even if that restarts pods.
const GATHERS: SignedDuration = SignedDuration::from_mins(10);
/// The lifetime of a generation where the domain's setting cannot be parsed.
const AUTHORITY: SignedDuration = SignedDuration::from_hours(365 * 24);

/// The leaf that `channel` should have.
pub fn leaf_spec(channel: &Declaration, domain: &TrustDomain, world: &World) -> LeafSpec {
    let name = channel.name();
    let read = |text: Option<&str>| text.and_then(|text| period::duration(text).ok());
    let duration = read(channel.duration()).unwrap_or(DURATION);
    let renew_before =
        read(channel.renew_before()).unwrap_or_else(|| SignedDuration::from_secs(duration.as_secs() / 3));
    let mut dns_names: BTreeSet<String> = channel.dns_names().iter().cloned().collect();
    dns_names.extend(service_names(channel, domain, world));
    LeafSpec {
        trust_domain: domain.metadata.name.clone().unwrap_or_default(),
        namespace: name.namespace.clone(),
        channel: name.name.clone(),
        common_name: channel.common_name().unwrap_or(&name.name).to_owned(),
        dns_names,
        duration,
        renew_before,
        key_algorithm: channel.key_algorithm(),
        others: Arc::new(of_others(channel, world)),
        for_renewal: Arc::default(),
    }
}

/// The names of Services that wait for the renewal of `channel`'s certificate, where a new certificate restarts its
/// workload, so that somebody who may create Services cannot restart servers. Empty while no pod runs, or while the
/// Channel is so new that its Services are still being created.
pub fn for_renewal(
    channel: &Declaration,
    domain: &TrustDomain,
    world: &World,
    now: Timestamp,
) -> BTreeSet<String> {
    let created = channel.created().unwrap_or(Timestamp::MIN);
    if channel.reload() != Reload::Restart || now.duration_since(created) < GATHERS {
        return BTreeSet::new();
    }
    let selected = channel.selector();
    if !world.running_pods(&channel.name().namespace).any(|(_, pod)| selector::matches(selected, &pod.labels))
    {
        return BTreeSet::new();
    }
    let mut names = service_names(channel, domain, world);
    names.retain(|one| !channel.dns_names().contains(one));
    names
}

/// The names that belong to other pods: those of Services and other Channels of the namespace.
fn of_others(channel: &Declaration, world: &World) -> BTreeSet<String> {
    let (name, workload) = (channel.name(), channel.selector());
    let services = world.services.get(&name.namespace).into_iter().flatten();
    let services = services.filter(|(_, facts)| !selector::serves(&facts.selector, workload));
    let channels = world.channels.get(&name.namespace).into_iter().flat_map(BTreeMap::keys);
    let channels = channels.filter(|other| **other != name.name);
    services.map(|(service, _)| service).chain(channels).cloned().collect()
}

/// The authority that `channel` should have.
pub fn authority_spec(
    name: &ChannelRef,
    id: &ChannelId,
    domain: &TrustDomain,
    now: Timestamp,
) -> AuthoritySpec {
    let mut permitted_dns: BTreeSet<String> = domain::allowed_suffixes(domain).iter().cloned().collect();
    permitted_dns.extend(below(&name.namespace, domain));
    AuthoritySpec {
        trust_domain: domain.metadata.name.clone().unwrap_or_default(),
        namespace: name.namespace.clone(),
        channel: name.name.clone(),
        id: id.to_string(),
        duration: domain::authority_life(domain, now).unwrap_or(AUTHORITY),
        permitted_dns,
    }
}

/// The names of the Services whose pods are all this Channel's, with a wildcard below headless ones, and the
/// Channel's own name unless a Service with other pods has it.
fn service_names(channel: &Declaration, domain: &TrustDomain, world: &World) -> BTreeSet<String> {
    let (name, workload) = (channel.name(), channel.selector());
    let mut names = BTreeSet::new();
    let mut own = true;
    for (service, facts) in world.services.get(&name.namespace).into_iter().flatten() {
        if !selector::serves(&facts.selector, workload) {
            own &= *service != name.name;
            continue;
        }
        for suffix in below(&name.namespace, domain) {
            names.insert(format!("{service}.{suffix}"));
            if facts.headless {
                names.insert(format!("*.{service}.{suffix}"));
            }
        }
    }
    if own {
        names.extend(
            below(&name.namespace, domain).into_iter().map(|suffix| format!("{}.{suffix}", name.name)),
        );
    }
    names
}

/// The names of Services that a Channel may declare: those that its certificate has anyway, and those of Services
/// without a selector, whose pods only the Channel's owner knows.
pub fn may_be_asked_for(channel: &Declaration, domain: &TrustDomain, world: &World) -> BTreeSet<String> {
    let name = channel.name();
    let mut names = service_names(channel, domain, world);
    let services = world.services.get(&name.namespace).into_iter().flatten();
    let is_a_channels = |service: &String| {
        *service != name.name && world.channel(&ChannelRef::new(&name.namespace, service)).is_some()
    };
    let unselected =
        |(service, facts): &(&String, &ServiceFacts)| facts.selector.is_empty() && !is_a_channels(service);
    for (service, _) in services.filter(unselected) {
        names.extend(below(&name.namespace, domain).map(|suffix| format!("{service}.{suffix}")));
    }
    names
}

/// The suffixes of Service names in `namespace`, the short and the full one.
fn below(namespace: &str, domain: &TrustDomain) -> [String; 2] {
    [format!("{namespace}.svc"), format!("{namespace}.svc.{}", domain::cluster_domain(domain))]
}

#[cfg(test)]
mod tests;
