//! A change of a RetentionPolicy.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_crds::{Channel, RetentionPolicy};
use subrosa_plan::world::World;

use super::Watched;
use crate::{observe::watch::Change, subject::Subject};

impl Watched for RetentionPolicy {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (name, new) = match change {
            Change::Applied(key, policy) => (key.name, Some(policy)),
            Change::Gone(key) => (key.name, None),
        };
        let old = match &new {
            Some(policy) => world.retention.insert(name.clone(), Arc::clone(policy)),
            None => world.retention.remove(&name),
        };
        if old.as_ref().map(|policy| &policy.spec) == new.as_ref().map(|policy| &policy.spec) {
            return BTreeSet::new();
        }
        let keeping = world.all_channels().filter(|channel| channel.seals() || channel.backup().is_some());
        let mut woken: BTreeSet<_> =
            keeping.map(|channel| Subject::of::<Channel>(channel.name().clone())).collect();
        woken.insert(Subject::of::<RetentionPolicy>(name));
        woken
    }
}
