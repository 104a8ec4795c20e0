//! Findings about keys in Vault.

use std::collections::BTreeSet;

use subrosa_crds::names::ChannelId;
use subrosa_plan::world::World;

use crate::{context::Subject, observe::key_watch::Finding};

/// Takes findings in; wakes the Channels of which something new was found.
pub fn found(world: &mut World, findings: Vec<Finding>) -> BTreeSet<Subject> {
    let mut changed: BTreeSet<ChannelId> = BTreeSet::new();
    for Finding { id, name, fault } in findings {
        let faults = world.key_faults.entry(id.clone()).or_default();
        let before = match fault {
            Some(fault) => faults.insert(name, fault),
            None => faults.remove(&name),
        };
        if before != fault {
            changed.insert(id);
        }
    }
    world.key_faults.retain(|_, faults| !faults.is_empty());
    if changed.is_empty() {
        return BTreeSet::new();
    }
    let of = |name: &subrosa_crds::names::ChannelRef| {
        let uid = &world.namespaces.get(&name.namespace)?.uid;
        Some(ChannelId::mint(uid, &name.name))
    };
    let known = world.all_channels().map(|(name, _)| name);
    known.filter(|name| of(name).is_some_and(|id| changed.contains(&id))).map(Subject::Channel).collect()
}

#[cfg(test)]
mod tests {
    use subrosa_plan::world::key_fault::KeyFault;

    use super::*;

    #[test]
    fn what_was_mended_is_forgotten() {
        let (mut world, id) = (World::default(), ChannelId::mint("uid", "voice"));
        let finding = |fault| vec![Finding { id: id.clone(), name: format!("{id}.ca"), fault }];
        found(&mut world, finding(Some(KeyFault::Missing)));
        assert_eq!(world.key_faults[&id][&format!("{id}.ca")], KeyFault::Missing);
        found(&mut world, finding(None));
        assert!(world.key_faults.is_empty());
    }
}
