//! A change of an ExternalParty.

use std::{collections::BTreeSet, sync::Arc};

use subrosa_crds::{Channel, ExternalParty, names::ChannelRef};
use subrosa_plan::world::World;

use super::Watched;
use crate::{observe::watch::Change, subject::Subject};

impl Watched for ExternalParty {
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (name, new) = match change {
            Change::Applied(key, party) => (key.name, Some(party)),
            Change::Gone(key) => (key.name, None),
        };
        let old = match &new {
            Some(party) => world.parties.insert(name.clone(), Arc::clone(party)),
            None => world.parties.remove(&name),
        };
        if old.as_ref().map(|party| &party.spec) == new.as_ref().map(|party| &party.spec) {
            return BTreeSet::new();
        }
        let mut woken = BTreeSet::from([Subject::of::<ExternalParty>(name.clone())]);
        woken.extend(naming(world, &name).map(Subject::of::<Channel>));
        woken
    }
}

/// The Channels that name a party.
pub fn naming<'a>(world: &'a World, party: &'a str) -> impl Iterator<Item = ChannelRef> + 'a {
    let naming = world.all_channels().filter(move |channel| channel.names_party(party));
    naming.map(|channel| channel.name().clone())
}
