//! A change of a Channel.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_crds::{
    BACKUP_NOW_ANNOTATION, CONSENTS_ANNOTATION, Channel, DRILL_NOW_ANNOTATION, TrustDomain,
    channel::AuthorityStatus,
    condition::{self, is_true},
    names::ChannelRef,
    trust_domain::NetworkMode,
};
use subrosa_plan::{
    certificate::secrets,
    world::{World, declaration::Declaration, domain, selector},
};

use super::Watched;
use crate::{
    observe::watch::Change,
    subject::{NamespaceMeta, Subject},
};

impl Watched for Channel {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (key, new) = match change {
            // A Channel that is being deleted counts as gone, even while a finalizer keeps it.
            Change::Applied(key, channel) => {
                let stays = channel.metadata.deletion_timestamp.is_none();
                (key, stays.then(|| Declaration::of(channel)))
            }
            Change::Gone(key) => (key, None),
        };
        let name = ChannelRef::new(key.namespace, key.name);
        let old = world.put_channel(&name, new.as_ref().map(Declaration::packed));
        let old = old.map(|old| old.opened());
        wakes(world, &name, old.as_ref(), new.as_ref())
    }
}

fn wakes(
    world: &World,
    name: &ChannelRef,
    old: Option<&Declaration>,
    new: Option<&Declaration>,
) -> BTreeSet<Subject> {
    let mut woken = BTreeSet::new();
    // The annotations about recreated namespaces and about backups are not part of the spec.
    let asks = |channel: Option<&Declaration>| {
        [CONSENTS_ANNOTATION, BACKUP_NOW_ANNOTATION, DRILL_NOW_ANNOTATION]
            .map(|name| channel.and_then(|channel| channel.annotation(name)).map(str::to_owned))
    };
    if asks(old) != asks(new) {
        woken.insert(Subject::of::<Channel>(name.clone()));
    }
    let changed = match (old, new) {
        (Some(old), Some(new)) => !old.declares_the_same(new) || old.uid() != new.uid(),
        (old, new) => old.is_some() || new.is_some(),
    };
    if changed {
        woken.insert(Subject::of::<Channel>(name.clone()));
        woken.insert(Subject::of::<NamespaceMeta>(name.namespace.clone()));
        woken.extend(rivals(world, name, old).chain(rivals(world, name, new)));
        // A namespace that lost its label still concerns its former trust domain.
        let labelled = world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.clone());
        let before = old.and_then(|old| old.status()?.into_owned().trust_domain);
        woken.extend(labelled.into_iter().chain(before).map(Subject::of::<TrustDomain>));
    }
    // In an audited namespace every Channel reports the pods without a Channel.
    if changed {
        woken.extend(audited(world, &name.namespace));
    }
    // Peers depend on this Channel's declaration, its authority, and whether it is Stalled.
    if changed || told(old) != told(new) {
        let named = old.into_iter().chain(new).flat_map(Declaration::peers);
        woken.extend(named.map(Subject::of::<Channel>));
        woken.extend(world.naming(name).cloned().map(Subject::of::<Channel>));
    }
    let counted = |channel: Option<&Declaration>| Some((channel?.has_status(), channel?.summary()));
    if counted(old) != counted(new)
        && let Some(domain) =
            world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.clone())
    {
        woken.insert(Subject::of::<TrustDomain>(domain));
    }
    woken
}

/// The Channels of an audited namespace.
pub fn audited(world: &World, namespace: &str) -> impl Iterator<Item = Subject> {
    let is = world.domain_of(namespace).is_some_and(|of| domain::mode(of, namespace) == NetworkMode::Audit);
    let channels = world.channels_of(namespace).filter(|_| is);
    channels.map(|channel| Subject::of::<Channel>(channel.name().clone())).collect::<Vec<_>>().into_iter()
}

fn told(channel: Option<&Declaration>) -> Option<(Option<AuthorityStatus>, bool)> {
    let status = channel?.status()?;
    let stalled = is_true(&status.conditions, condition::STALLED);
    Some((status.into_owned().authority, stalled))
}

/// The Channels of the namespace that may conflict over pods, ServiceAccount or Secret.
fn rivals(world: &World, name: &ChannelRef, channel: Option<&Declaration>) -> impl Iterator<Item = Subject> {
    let secret = channel.map(secrets::secret_name);
    let is_rival = |one: &Declaration, other: &Declaration| {
        selector::implies(one.selector(), other.selector())
            || selector::implies(other.selector(), one.selector())
            || one.service_account().is_some() && one.service_account() == other.service_account()
            || secret.as_ref() == Some(&secrets::secret_name(other))
    };
    let siblings = world.channels_of(&name.namespace).filter(|other| other.name() != name);
    siblings
        .filter(|other| channel.is_some_and(|channel| is_rival(channel, other)))
        .map(|other| Subject::of::<Channel>(other.name().clone()))
        .collect::<Vec<_>>()
        .into_iter()
}
