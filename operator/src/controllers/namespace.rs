//! The controller of namespaces: the operator's rights in them, and the default deny.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::ResourceExt as _;
use subrosa_crds::{Channel, TrustDomain, names::ChannelRef};
use subrosa_plan::{
    channel::adoption::{self, DefaultDeny},
    world::{World, fault::Fault},
};

use super::again;
use crate::{
    context::Context,
    execute::{left, namespace as execute, objects},
    kinds::{Kind, queues::ChildWatches, turns::Again},
    observe::{Binding, asked, watch::ObjectKey},
    settings::Settings,
    subject::{NamespaceMeta, Subject},
};

/// How soon to look again while Channels still have no policy.
const MEANWHILE: Duration = Duration::from_secs(2);

impl Kind for NamespaceMeta {
    fn concurrency(_settings: &Settings) -> u16 {
        8
    }

    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move {
            let name = key.name;
            match reconcile_one(&name, &ctx).await {
                Ok(again) => again,
                Err(fault) => {
                    // Channels wait for the first result, even a negative one.
                    if ctx.cluster.binding(&name).is_none() {
                        note(&ctx, &name, Binding::Missing);
                    }
                    tracing::warn!(namespace = name, reason = fault.reason.as_str(), "{}", fault.message);
                    again(&ctx, Subject::of::<NamespaceMeta>(name), true, None)
                }
            }
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.namespaces.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.namespaces.contains_key(&key.name)
    }

    fn woken(ctx: &Arc<Context>, watches: &mut ChildWatches, key: &ObjectKey) {
        watches.end_unless_prepared(ctx, &key.name);
    }

    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.cluster.forget(&key.name);
    }
}

async fn reconcile_one(name: &str, ctx: &Context) -> Result<Again, Fault> {
    let subject = Subject::of::<NamespaceMeta>(name.to_owned());
    let seen =
        ctx.cluster.read(|world| Some((world.namespaces.get(name)?.clone(), world.domain_of(name).cloned())));
    let Some((facts, domain)) = seen else {
        ctx.cluster.forget(name);
        return Ok(Again::when_named());
    };
    if facts.terminating {
        note(ctx, name, Binding::Missing);
        return Ok(Again::when_named());
    }
    let Some(domain) = domain else {
        ctx.cluster.deny_settled(name);
        // A namespace keeps its binding after it was governed once, because renewals and withdrawals continue.
        note(ctx, name, execute::binding(ctx, name).await?);
        left::close_policies(ctx, name).await?;
        return Ok(again(ctx, subject, false, None));
    };
    let binding = execute::prepare(ctx, name, &domain).await?;
    note(ctx, name, binding.clone());
    if !matches!(binding, Binding::Given { .. }) {
        return Ok(again(ctx, subject, true, None));
    }
    let closed = left::close_policies(ctx, name).await;
    let denied = deny(ctx, name, &domain).await?;
    closed?;
    Ok(if denied { again(ctx, subject, false, None) } else { Again::after(MEANWHILE) })
}

/// Writes the default deny where it is wanted; false while it waits for Channels.
async fn deny(ctx: &Context, name: &str, domain: &TrustDomain) -> Result<bool, Fault> {
    let now = ctx.now();
    let wanted = ctx.cluster.deny_wanted(name, now);
    match ctx.cluster.read(|world| adoption::default_deny(name, domain, world, wanted, now)) {
        DefaultDeny::NotWanted => {}
        DefaultDeny::Waits(_) => return Ok(false),
        DefaultDeny::Due if !everything_is_seen(ctx, name).await? => return Ok(false),
        DefaultDeny::Due | DefaultDeny::InPlace | DefaultDeny::Overdue => {
            execute::deny(ctx, name, &domain.name_any()).await?;
        }
    }
    ctx.cluster.deny_settled(name);
    Ok(true)
}

/// Whether the watch shows every Channel of the namespace. Confirmed with the API server, because the default deny
/// would cut the connections of a Channel without a policy.
async fn everything_is_seen(ctx: &Context, namespace: &str) -> Result<bool, Fault> {
    let declared = asked::declared(&ctx.client, namespace).await;
    let declared =
        declared.map_err(|error| objects::fault("reading the Channels of the namespace", &error))?;
    Ok(ctx.cluster.read(|world| adoption::unseen(namespace, &declared, world)).is_empty())
}

/// Notes whether the operator may write in `namespace`; wakes its Channels on the first result.
fn note(ctx: &Context, namespace: &str, binding: Binding) {
    if !ctx.cluster.set_binding(namespace, binding) {
        return;
    }
    let names = ctx.cluster.read(|world| {
        world
            .channels
            .get(namespace)
            .map(|channels| channels.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    });
    for name in names {
        ctx.wake(Subject::of::<Channel>(ChannelRef::new(namespace, name)));
    }
}
