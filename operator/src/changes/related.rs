//! Objects watched on behalf of Channels: pods, Services, ServiceAccounts, policies, bundles, Secrets.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::api::PartialObjectMeta;
use subrosa_crds::{
    CHANNEL_LABEL, Channel, ExternalParty, TrustDomain, common::ConfigMapKey, names::ChannelRef,
};
use subrosa_plan::{
    backup, network,
    world::{Namespaced, World, bundle::Bundle, declaration::Declaration, policy::PolicyFacts, selector},
};

use super::channel::audited;
use crate::{
    observe::{
        Cluster,
        children::Children,
        convert,
        watch::{Change, ObjectKey},
    },
    pki,
    subject::{NamespaceMeta, Subject},
};

/// Sets or removes a fact; returns the old and the new one.
fn place<T: Clone>(facts: &mut Namespaced<T>, key: &ObjectKey, new: Option<T>) -> (Option<T>, Option<T>) {
    let old = match new.clone() {
        Some(new) => facts.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new),
        None => facts.get_mut(&key.namespace).and_then(|objects| objects.remove(&key.name)),
    };
    if facts.get(&key.namespace).is_some_and(BTreeMap::is_empty) {
        facts.remove(&key.namespace);
    }
    (old, new)
}

fn split<K, T>(change: Change<K>, convert: impl FnOnce(K) -> T) -> (ObjectKey, Option<T>) {
    match change {
        Change::Applied(key, object) => (key, Some(convert(object))),
        Change::Gone(key) => (key, None),
    }
}

/// The Channels of `namespace` for which `concerned` holds.
fn channels_where(
    world: &World,
    namespace: &str,
    concerned: impl Fn(&Declaration) -> bool,
) -> BTreeSet<Subject> {
    let channels = world.channels_of(namespace).filter(|channel| concerned(channel));
    channels.map(|channel| Subject::of::<Channel>(channel.name().clone())).collect()
}

/// A pod concerns the Channels whose selector matches it.
pub fn pod(world: &mut World, change: Change<Pod>) -> BTreeSet<Subject> {
    let (key, new) = split(change, convert::pod);
    let (old, new) = place(&mut world.pods, &key, new);
    if old == new {
        return BTreeSet::new();
    }
    let mut pods = [&old, &new].into_iter().flatten();
    if let Some(worker) = pods.find_map(|pod| pod.labels.get(backup::WORKER_LABEL)) {
        // How a run ended is in the record from then on.
        let ended = new.as_ref().is_some_and(|pod| pod.run.is_some());
        return channels_where(world, &key.namespace, |channel| ended && channel.name().name == *worker);
    }
    let mut woken = channels_where(world, &key.namespace, |channel| {
        let mut pods = [&old, &new].into_iter().flatten();
        pods.any(|pod| selector::matches(channel.selector(), &pod.labels))
    });
    // A pod without a Channel is reported by all of them.
    if woken.is_empty() {
        woken.extend(audited(world, &key.namespace));
    }
    woken
}

/// A Service concerns the Channels whose pods it selects, and the Channel with its name.
pub fn service(world: &mut World, change: Change<Service>) -> BTreeSet<Subject> {
    let (key, new) = split(change, convert::service);
    let (old, new) = place(&mut world.services, &key, new);
    if old == new {
        return BTreeSet::new();
    }
    channels_where(world, &key.namespace, |channel| {
        let mut services = [&old, &new].into_iter().flatten();
        channel.name().name == key.name
            || services.any(|facts| selector::serves(&facts.selector, channel.selector()))
    })
}

/// A ServiceAccount concerns the Channels whose workload uses it.
pub fn service_account(
    world: &mut World,
    change: Change<PartialObjectMeta<ServiceAccount>>,
) -> BTreeSet<Subject> {
    let (key, new) = split(change, |account| account.metadata.uid.unwrap_or_default());
    let (old, new) = place(&mut world.service_accounts, &key, new);
    if old == new {
        return BTreeSet::new();
    }
    channels_where(world, &key.namespace, |channel| {
        channel.service_account() == Some(key.name.as_str()) || backup::name(&channel.name().name) == key.name
    })
}

/// A policy of ours concerns its Channel or the whole namespace; a foreign one concerns all Channels of its
/// namespace.
pub fn network_policy(world: &mut World, change: Change<NetworkPolicy>) -> BTreeSet<Subject> {
    let (key, new) = split(change, |policy| PolicyFacts::from(&policy));
    let known = world.network_policies.get(&key.namespace).and_then(|policies| policies.get(&key.name));
    if let (Some(known), Some(new)) = (known, &new)
        && new.is_older_than(known)
    {
        // The watch shows a version older than the operator's own write.
        return BTreeSet::new();
    }
    let (old, new) = place(&mut world.network_policies, &key, new);
    let same = match (&old, &new) {
        (Some(old), Some(new)) => old.says_the_same(new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if same {
        return BTreeSet::new();
    }

    let own = |policy: &Option<PolicyFacts>| policy.as_ref().is_none_or(PolicyFacts::is_ours);
    let mut woken = match own(&old) && own(&new) && key.name != network::DEFAULT_DENY {
        true => channels_where(world, &key.namespace, |channel| {
            let name = &channel.name().name;
            network::policy_name(name) == key.name || backup::name(name) == key.name
        }),
        false => channels_where(world, &key.namespace, |_| true),
    };
    // A connection is open when both policies allow it, so the peers are woken too.
    for subject in woken.clone() {
        let name = subject.key.channel();
        let Some(channel) = world.channel(&name) else { continue };
        woken.extend(channel.peers().map(Subject::of::<Channel>));
    }
    woken.insert(Subject::of::<NamespaceMeta>(key.namespace));
    woken
}

/// The operator's own binding concerns its namespace: it must exist and be unchanged.
pub fn role_binding(world: &mut World, change: Change<PartialObjectMeta<RoleBinding>>) -> BTreeSet<Subject> {
    let (key, version) = match change {
        Change::Applied(key, binding) => (key, binding.metadata.resource_version),
        Change::Gone(key) => (key, None),
    };
    let before = match version.clone() {
        Some(version) => world.own_bindings.insert(key.namespace.clone(), version),
        None => world.own_bindings.remove(&key.namespace),
    };
    if before == version {
        BTreeSet::new()
    } else {
        BTreeSet::from([Subject::of::<NamespaceMeta>(key.namespace)])
    }
}

/// A ConfigMap of the operator's namespace concerns the objects that name one of its keys as a CA bundle.
pub fn config_map(world: &mut World, change: Change<ConfigMap>) -> BTreeSet<Subject> {
    let (key, new) = split(change, |map| map.data.unwrap_or_default());
    let old: BTreeMap<ConfigMapKey, Bundle> = world
        .bundles
        .iter()
        .filter(|(at, _)| at.config_map == key.name)
        .map(|(at, bundle)| (at.clone(), bundle.clone()))
        .collect();
    let new: BTreeMap<ConfigMapKey, Bundle> = new
        .into_iter()
        .flatten()
        .map(|(data_key, text)| {
            let at = ConfigMapKey { config_map: key.name.clone(), key: data_key };
            (at, Bundle::read(text, pki::is_authority))
        })
        .collect();
    if old == new {
        return BTreeSet::new();
    }
    world.bundles.retain(|at, _| at.config_map != key.name);
    world.bundles.extend(new);
    let mut woken = BTreeSet::new();
    for (name, party) in &world.parties {
        if party.spec.tls.ca_bundle.as_ref().is_some_and(|at| at.config_map == key.name) {
            woken.insert(Subject::of::<ExternalParty>(name.clone()));
            woken.extend(super::external_party::naming(world, name).map(Subject::of::<Channel>));
        }
    }
    for (name, domain) in &world.domains {
        let of_store = domain.spec.backup.as_ref().and_then(|backup| backup.store.ca_bundle.as_ref());
        let bundles = [domain.spec.vault.ca_bundle.as_ref(), of_store];
        if bundles.into_iter().flatten().any(|at| at.config_map == key.name) {
            woken.insert(Subject::of::<TrustDomain>(name.clone()));
            for (namespace, _) in world.namespaces_of(name) {
                woken.extend(channels_where(world, namespace, |_| true));
            }
        }
    }
    let trusts = |channel: &&Declaration| {
        channel.extra_trust().iter().any(|entry| entry.ca_bundle.config_map == key.name)
    };
    let trusting = world.all_channels().filter(trusts);
    woken.extend(trusting.map(|channel| Subject::of::<Channel>(channel.name().clone())));
    woken
}

/// A Secret of ours concerns the Channel on its label. A deletion has only its name, so the owner is cached.
pub fn secret(cluster: &Cluster, change: Change<PartialObjectMeta<Secret>>) -> BTreeSet<Subject> {
    child(&cluster.secrets, change)
}

/// The same for a ConfigMap of ours.
pub fn settings(cluster: &Cluster, change: Change<PartialObjectMeta<ConfigMap>>) -> BTreeSet<Subject> {
    child(&cluster.settings, change)
}

fn child<K, S: Clone>(known: &Children<S>, change: Change<PartialObjectMeta<K>>) -> BTreeSet<Subject> {
    let owner = match change {
        Change::Applied(key, object) => {
            let labels = object.metadata.labels.unwrap_or_default();
            let Some(channel) = labels.get(CHANNEL_LABEL) else { return BTreeSet::new() };
            let owner = ChannelRef::new(&key.namespace, channel);
            let version = object.metadata.resource_version;
            known.told(key, channel, version.as_deref()).then_some(owner)
        }
        Change::Gone(key) => known.gone(&key),
    };
    owner.into_iter().map(Subject::of::<Channel>).collect()
}
