//! A change of a Channel.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;
use subrosa_crds::{
    CONSENTS_ANNOTATION, Channel, ChannelStatus, TrustDomain,
    channel::AuthorityStatus,
    condition::{self, is_true},
    names::ChannelRef,
    preset,
    trust_domain::NetworkMode,
};
use subrosa_plan::{
    certificate::secrets,
    status,
    world::{World, domain, peers_of, selector},
};

use super::Watched;
use crate::{
    kinds::{NamespaceMeta, Subject},
    observe::watch::Change,
};

impl Watched for Channel {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (key, new) = match change {
            // What is to be deleted counts for nothing any more, whoever holds it back.
            Change::Applied(key, channel) => {
                let stays = channel.metadata.deletion_timestamp.is_none();
                (key, stays.then(|| preset::resolved(channel)))
            }
            Change::Gone(key) => (key, None),
        };
        let name = ChannelRef::new(key.namespace, key.name);
        let old = world.put_channel(&name, new.clone());
        wakes(world, &name, old.as_deref(), new.as_deref())
    }
}

fn wakes(
    world: &World,
    name: &ChannelRef,
    old: Option<&Channel>,
    new: Option<&Channel>,
) -> BTreeSet<Subject> {
    let mut woken = BTreeSet::new();
    // What it says of namespaces that were made anew is no part of its spec.
    if consents(old) != consents(new) {
        woken.insert(Subject::of::<Channel>(name.clone()));
    }
    let spec_changed = old.map(|old| &old.spec) != new.map(|new| &new.spec)
        || old.and_then(|old| old.uid()) != new.and_then(|new| new.uid());
    if spec_changed {
        woken.insert(Subject::of::<Channel>(name.clone()));
        woken.insert(Subject::of::<NamespaceMeta>(name.namespace.clone()));
        woken.extend(rivals(world, name, old).chain(rivals(world, name, new)));
        // A namespace that lost its label is still the business of the domain it was in.
        let labelled = world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.clone());
        let before = old.and_then(|old| old.status.as_ref()?.trust_domain.clone());
        woken.extend(labelled.into_iter().chain(before).map(Subject::of::<TrustDomain>));
    }
    // Where a namespace is audited, each of its Channels reports which pods no Channel has.
    if spec_changed {
        woken.extend(audited(world, &name.namespace));
    }
    // What peers need to know of this Channel: its declaration, its authority, whether it is Stalled.
    if spec_changed || told(old) != told(new) {
        let named = |channel: Option<&Channel>| {
            channel.map(|one| peers_of(one, name).collect::<Vec<_>>()).unwrap_or_default()
        };
        woken.extend(named(old).into_iter().chain(named(new)).map(Subject::of::<Channel>));
        woken.extend(world.naming(name).cloned().map(Subject::of::<Channel>));
    }
    let counted = |channel: Option<&Channel>| channel.and_then(|one| one.status.as_ref()).map(summary);
    if counted(old) != counted(new)
        && let Some(domain) =
            world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.clone())
    {
        woken.insert(Subject::of::<TrustDomain>(domain));
    }
    woken
}

/// The Channels of a namespace in which policies are only reported.
pub fn audited(world: &World, namespace: &str) -> impl Iterator<Item = Subject> {
    let is = world.domain_of(namespace).is_some_and(|of| domain::mode(of, namespace) == NetworkMode::Audit);
    let channels = world.channels.get(namespace).filter(|_| is).into_iter().flatten();
    channels
        .map(|(name, _)| Subject::of::<Channel>(ChannelRef::new(namespace, name)))
        .collect::<Vec<_>>()
        .into_iter()
}

fn consents(channel: Option<&Channel>) -> Option<&String> {
    channel?.metadata.annotations.as_ref()?.get(CONSENTS_ANNOTATION)
}

fn told(channel: Option<&Channel>) -> Option<(Option<&AuthorityStatus>, bool)> {
    let status = channel?.status.as_ref()?;
    Some((status.authority.as_ref(), is_true(&status.conditions, condition::STALLED)))
}

fn summary(status: &ChannelStatus) -> (bool, bool) {
    (is_true(&status.conditions, condition::READY), status::needs_attention(&status.conditions))
}

/// The Channels of the namespace that may not have the same pods, ServiceAccount or Secret.
fn rivals(world: &World, name: &ChannelRef, channel: Option<&Channel>) -> impl Iterator<Item = Subject> {
    let workload = channel.map(|channel| &channel.spec.workload);
    let secret = channel.map(|channel| secrets::secret_name(channel, &name.name));
    let siblings = world.channels.get(&name.namespace).into_iter().flatten();
    siblings
        .filter(|(other, _)| **other != name.name)
        .filter(move |(other_name, other)| {
            let theirs = &other.spec.workload;
            workload.is_some_and(|mine| {
                selector::implies(&mine.selector, &theirs.selector)
                    || selector::implies(&theirs.selector, &mine.selector)
                    || mine.service_account_name.is_some()
                        && mine.service_account_name == theirs.service_account_name
            }) || secret.as_ref() == Some(&secrets::secret_name(other, other_name))
        })
        .map(|(other, _)| Subject::of::<Channel>(ChannelRef::new(&name.namespace, other)))
        .collect::<Vec<_>>()
        .into_iter()
}
