//! The controller of ExternalParties.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subrosa_crds::{Channel, ExternalParty, condition};
use subrosa_plan::{
    status::external_party,
    world::{World, domain},
};

use super::again;
use crate::{
    changes::external_party::naming,
    context::Context,
    kinds::{Kind, turns::Again},
    observe::watch::ObjectKey,
    subject::Subject,
};

impl Kind for ExternalParty {
    // Only writes the party's status; Channels open and close the connections.
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move {
            let (name, now) = (key.name, ctx.now());
            let Some(party) = ctx.cluster.read(|world| world.parties.get(&name).cloned()) else {
                return Again::when_named();
            };
            let (status, news, midnight) = ctx.cluster.read(|world| {
                let status = external_party::status(&party, world, now);
                let news = external_party::is_news(&party, &status, world, now);
                (status, news, next_midnight(world, now))
            });
            let old = party.status.as_ref();
            let written = ctx.reporter.status(party.as_ref(), old, &status).await;
            let agreements = condition::find(&status.conditions, condition::AGREEMENTS_VALID);
            if let Some(agreements) = agreements.filter(|_| news) {
                ctx.reporter.event(party.as_ref(), true, &agreements.reason, &agreements.message).await;
            }
            // A new day may change whether connections with this party are allowed.
            let changed = old.is_some_and(|old| ready(&old.conditions) != ready(&status.conditions));
            if changed {
                let channels = ctx.cluster.read(|world| naming(world, &name).collect::<Vec<_>>());
                channels.into_iter().for_each(|channel| ctx.wake(Subject::of::<Channel>(channel)));
            }
            ctx.metrics.reconciled("ExternalParty", written.is_err());
            again(&ctx, Subject::of::<ExternalParty>(name), written.is_err(), midnight)
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.parties.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.parties.contains_key(&key.name)
    }

    fn meta_of<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a ObjectMeta> {
        Some(&world.parties.get(&key.name)?.metadata)
    }
}

fn ready(conditions: &[condition::Condition]) -> bool {
    condition::is_true(conditions, condition::READY)
}

/// The next midnight of any trust domain.
pub fn next_midnight(world: &World, now: Timestamp) -> Option<Timestamp> {
    world
        .domains
        .values()
        .filter_map(|domain| {
            let zone = domain::time_zone(domain).ok()?;
            let tomorrow = zone.to_datetime(now).date().checked_add(1.day()).ok()?;
            Some(tomorrow.to_zoned(zone).ok()?.timestamp())
        })
        .min()
}
