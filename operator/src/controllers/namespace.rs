//! Namespaces: the operator's rights in them, and the default deny.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::{ResourceExt as _, api::PartialObjectMeta, runtime::controller::Action};
use subrosa_crds::{condition, condition::is_true, names::ChannelRef, trust_domain::NetworkMode};
use subrosa_plan::{
    network,
    world::{World, domain, fault::Fault},
};

use super::again;
use crate::{
    context::{Context, Subject},
    execute::namespace as execute,
    observe::Binding,
};

/// How long after adoption a namespace denies by default, whatever its Channels do.
const LATEST_DENY: SignedDuration = SignedDuration::from_secs(30);
/// How soon to look again while Channels still lack their policies.
const MEANWHILE: Duration = Duration::from_secs(2);

/// Reconciles one namespace.
pub fn reconcile(
    namespace: Arc<PartialObjectMeta<Namespace>>,
    ctx: Arc<Context>,
) -> BoxFuture<'static, Action> {
    async move {
        let name = namespace.name_any();
        match turn(&name, &ctx).await {
            Ok(action) => action,
            Err(fault) => {
                // Who was never looked at waits for that: now it is known that it is not prepared.
                if ctx.cluster.binding(&name).is_none() {
                    note(&ctx, &name, Binding::Missing);
                }
                tracing::warn!(namespace = name, reason = fault.reason, "{}", fault.message);
                again(&ctx, Subject::Namespace(name), true, None)
            }
        }
    }
    .boxed()
}

async fn turn(name: &str, ctx: &Context) -> Result<Action, Fault> {
    let subject = Subject::Namespace(name.to_owned());
    let seen =
        ctx.cluster.read(|world| Some((world.namespaces.get(name)?.clone(), world.domain_of(name).cloned())));
    let Some((facts, domain)) = seen else {
        ctx.cluster.forget(name);
        return Ok(Action::await_change());
    };
    if facts.terminating {
        note(ctx, name, Binding::Missing);
        return Ok(Action::await_change());
    }
    let Some(domain) = domain else {
        // Once governed, a namespace keeps its binding: renewals and withdrawals go on in it.
        note(ctx, name, execute::binding(ctx, name).await?);
        return Ok(again(ctx, subject, false, None));
    };
    let domain_name = domain.name_any();
    let binding = execute::prepare(ctx, name, &domain).await?;
    note(ctx, name, binding.clone());
    let Binding::Given { since: adopted, .. } = binding else {
        return Ok(again(ctx, subject, true, None));
    };
    if domain::mode(&domain, name) == NetworkMode::Audit || !domain::default_deny(&domain) {
        return Ok(again(ctx, subject, false, None));
    }
    let deadline = adopted.checked_add(LATEST_DENY).unwrap_or(adopted);
    if ctx.now() < deadline && !ctx.cluster.read(|world| every_channel_has_its_policy(world, name)) {
        return Ok(Action::requeue(MEANWHILE));
    }
    execute::deny(ctx, name, &domain_name).await?;
    Ok(again(ctx, subject, false, None))
}

/// Notes whether the operator may write in `namespace`; its Channels wait for the first such news.
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
        ctx.wake(Subject::Channel(ChannelRef::new(namespace, name)));
    }
}

/// Denying before a Channel has its policy would cut connections that are about to be allowed.
fn every_channel_has_its_policy(world: &World, namespace: &str) -> bool {
    let policies = world.network_policies.get(namespace);
    world.channels.get(namespace).into_iter().flatten().all(|(name, channel)| {
        let stalled =
            channel.status.as_ref().is_some_and(|status| is_true(&status.conditions, condition::STALLED));
        stalled || policies.is_some_and(|policies| policies.contains_key(&network::policy_name(name)))
    })
}
