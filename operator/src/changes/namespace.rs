//! A change of a namespace.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_crds::{Channel, TrustDomain};
use subrosa_plan::world::{NamespaceFacts, World};

use super::Watched;
use crate::{
    observe::{convert, watch::Change},
    subject::{NamespaceMeta, Subject},
};

impl Watched for NamespaceMeta {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (name, new) = match change {
            Change::Applied(key, namespace) => (key.name, Some(convert::namespace(&namespace))),
            Change::Gone(key) => (key.name, None),
        };
        let old = match new.clone() {
            Some(facts) => world.namespaces.insert(name.clone(), facts),
            None => world.namespaces.remove(&name),
        };
        let mut woken = BTreeSet::new();
        if old == new {
            return woken;
        }
        let label =
            |facts: &Option<NamespaceFacts>| facts.as_ref().and_then(|facts| facts.trust_domain.clone());
        if new.is_some() && label(&old) != label(&new) {
            world.moves += 1;
        }
        woken.insert(Subject::of::<NamespaceMeta>(name.clone()));
        for facts in [&old, &new].into_iter().flatten() {
            woken.extend(facts.trust_domain.clone().map(Subject::of::<TrustDomain>));
        }
        for channel in world.all_channels() {
            if channel.name().namespace == name || channel.peers().any(|peer| peer.namespace == name) {
                woken.insert(Subject::of::<Channel>(channel.name().clone()));
            }
        }
        woken
    }
}
