//! A change of a TrustDomain.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_crds::{
    ADOPT_STORE_ANNOTATION, Channel, ExternalParty, Reason, RetentionPolicy, TrustDomain, condition,
    condition::is_true, names::ChannelRef,
};
use subrosa_plan::{
    access::store,
    world::{World, domain},
};

use super::Watched;
use crate::{
    observe::watch::Change,
    subject::{NamespaceMeta, Subject},
};

impl Watched for TrustDomain {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (name, new) = match change {
            Change::Applied(key, domain) => (key.name, Some(domain)),
            Change::Gone(key) => (key.name, None),
        };
        let old = match &new {
            Some(domain) => world.domains.insert(name.clone(), Arc::clone(domain)),
            None => {
                world.key_findings.remove(&name);
                world.earlier.remove(&name);
                world.domains.remove(&name)
            }
        };
        let mut woken = BTreeSet::new();
        let deleting = |domain: &Option<Arc<TrustDomain>>| {
            domain.as_ref().is_some_and(|domain| domain.metadata.deletion_timestamp.is_some())
        };
        if deleting(&old) != deleting(&new) || adopts(&old) != adopts(&new) {
            woken.insert(Subject::of::<TrustDomain>(name.clone()));
        }
        let kept =
            |domain: &Option<Arc<TrustDomain>>| domain.as_deref().is_some_and(domain::withdraws_access);
        let out_of_reach = |domain: &Option<Arc<TrustDomain>>| {
            domain.as_deref().and_then(domain::out_of_reach).map(|fault| fault.reason)
        };
        if kept(&old) != kept(&new)
            || out_of_reach(&old) != out_of_reach(&new)
            || reachable(&old) != reachable(&new)
            || store(&old) != store(&new)
        {
            woken.extend(channels_of(world, &name).into_iter().map(Subject::of::<Channel>));
        }
        if old.as_ref().map(|domain| &domain.spec) == new.as_ref().map(|domain| &domain.spec) {
            return woken;
        }
        woken.insert(Subject::of::<TrustDomain>(name.clone()));
        woken.extend(world.parties.keys().cloned().map(Subject::of::<ExternalParty>));
        woken.extend(world.retention.keys().cloned().map(Subject::of::<RetentionPolicy>));
        for (namespace, _) in world.namespaces_of(&name) {
            woken.insert(Subject::of::<NamespaceMeta>(namespace.clone()));
            let channels = world.channels_of(namespace);
            woken.extend(channels.map(|channel| Subject::of::<Channel>(channel.name().clone())));
        }
        woken
    }
}

/// The state of the store, because Channels wait until it is the domain's own.
fn store(domain: &Option<Arc<TrustDomain>>) -> (Option<&str>, Option<&str>, Option<Reason>) {
    let status = domain.as_ref().and_then(|domain| domain.status.as_ref());
    let ready = status.and_then(|status| condition::find(&status.conditions, condition::READY));
    let problem = ready.and_then(Reason::of).filter(|reason| store::REASONS.contains(reason));
    let vault = status.and_then(|status| status.vault.as_ref());
    let ids = vault.map(|vault| (vault.store_id.as_deref(), vault.adopt_store.as_deref()));
    let (known, there) = ids.unwrap_or_default();
    (known, there, problem)
}

fn adopts(domain: &Option<Arc<TrustDomain>>) -> Option<&String> {
    domain.as_ref()?.metadata.annotations.as_ref()?.get(ADOPT_STORE_ANNOTATION)
}

fn reachable(domain: &Option<Arc<TrustDomain>>) -> bool {
    let status = domain.as_ref().and_then(|domain| domain.status.as_ref());
    status.is_some_and(|status| is_true(&status.conditions, condition::VAULT_REACHABLE))
}

fn channels_of(world: &World, domain: &str) -> Vec<ChannelRef> {
    let channels = world.namespaces_of(domain).flat_map(|(namespace, _)| world.channels_of(namespace));
    channels.map(|channel| channel.name().clone()).collect()
}
