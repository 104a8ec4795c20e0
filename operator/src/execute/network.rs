//! A Channel's network policy: narrowed first in a reconcile, widened last.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{Channel, Reason, names::ChannelRef};
use subrosa_plan::{
    channel::ownership,
    channel::{Plan, Scope},
    network,
    world::{declaration::Declaration, fault::Fault, objects as labels, policy::PolicyFacts},
};

use super::{live, objects};
use crate::{
    changes::related,
    context::Context,
    observe::watch::{Change, ObjectKey},
    subject::Subject,
};

/// The Channel's own policy from the watch; `None` where it is missing or foreign.
fn existing(ctx: &Context, channel: &Declaration) -> Option<NetworkPolicy> {
    let uid = channel.uid()?;
    let facts = kept(ctx, channel.name()).filter(|facts| facts.has_owner(uid))?;
    Some(facts.object()).filter(|policy| objects::owned_by(policy, uid))
}

/// The watched policy with the name of the Channel's.
fn kept(ctx: &Context, name: &ChannelRef) -> Option<PolicyFacts> {
    ctx.cluster.read(|world| {
        let policies = world.network_policies.get(&name.namespace)?;
        policies.get(&network::policy_name(&name.name)).cloned()
    })
}

/// Whether somebody else's policy has the name of the Channel's, so that what it opens is unknown.
pub fn is_foreign(ctx: &Context, channel: &Declaration) -> bool {
    kept(ctx, channel.name()).is_some() && existing(ctx, channel).is_none()
}

/// Restores the owner reference of the Channel's policy where that was lost.
async fn take_back(ctx: &Context, channel: &Declaration) -> Result<(), Fault> {
    let (name, uid) = (channel.name(), channel.uid());
    let lost = kept(ctx, name)
        .map(|facts| facts.object())
        .filter(|policy| ownership::is_lost_policy(policy, &name.name, uid));
    let (Some(lost), Some(owner)) = (lost, labels::owner(channel)) else { return Ok(()) };
    let api = objects::namespaced(&ctx.client, &name.namespace);
    let policy = objects::take_back(&api, &lost, owner).await?;
    seen(ctx, name, policy);
    let note = format!("NetworkPolicy {} had lost its owner and is this Channel's again", lost.name_any());
    ctx.reporter.event(&channel.object(), false, Reason::TakenBack.as_str(), &note).await;
    Ok(())
}

/// Removes from the policy what `wanted` does not have, and adds nothing.
///
/// # Errors
/// When the API server refuses.
pub async fn narrow(ctx: &Context, channel: &Declaration, plan: &Plan) -> Result<(), Fault> {
    take_back(ctx, channel).await?;
    let (Some(existing), Some(wanted)) = (existing(ctx, channel), &plan.policy.spec) else {
        return Ok(());
    };
    let Some(spec) = &existing.spec else { return Ok(()) };
    let narrowed = network::narrowed(spec, wanted);
    if network::same(&narrowed, spec) {
        return Ok(());
    }
    write(ctx, channel, plan, narrowed, true).await.map(|_| ())
}

/// Brings the policy to the plan; returns whether it exists. Only looks where nothing new may be written. A missing
/// policy that is not the `first` is made again only after the Channel is confirmed to exist.
///
/// # Errors
/// When the policy is foreign, the API server refuses, or the Channel is gone.
pub async fn open(ctx: &Context, channel: &Declaration, plan: &Plan, first: bool) -> Result<bool, Fault> {
    let existing = existing(ctx, channel);
    let Some(wanted) = plan.policy.spec.clone() else { return Ok(existing.is_some()) };
    if plan.scope != Scope::Full {
        return Ok(existing.is_some());
    }
    if let Some(existing) = &existing
        && existing.spec.as_ref().is_some_and(|spec| network::same(spec, &wanted))
        && labelled(existing, &plan.policy)
    {
        return Ok(true);
    }
    if existing.is_none() && !first {
        live::confirm(ctx, channel).await?;
    }
    write(ctx, channel, plan, wanted, existing.is_some()).await?;
    Ok(true)
}

fn labelled(found: &NetworkPolicy, wanted: &NetworkPolicy) -> bool {
    let found = found.meta().labels.as_ref();
    wanted
        .meta()
        .labels
        .iter()
        .flatten()
        .all(|(key, value)| found.and_then(|labels| labels.get(key)) == Some(value))
}

async fn write(
    ctx: &Context,
    channel: &Declaration,
    plan: &Plan,
    spec: NetworkPolicySpec,
    exists: bool,
) -> Result<NetworkPolicy, Fault> {
    let (name, uid) = (channel.name(), channel.uid().unwrap_or_default());
    let wanted = NetworkPolicy { spec: Some(spec.clone()), ..plan.policy.clone() };
    let api = objects::namespaced(&ctx.client, &name.namespace);
    let ours = |policy: &NetworkPolicy| objects::owned_by(policy, uid);
    let same = |policy: &NetworkPolicy| policy.spec.as_ref().is_some_and(|found| network::same(found, &spec));
    let made = objects::put(&api, &wanted, exists, "/spec", ours, same).await?;
    seen(ctx, name, made.clone());
    Ok(made)
}

/// Takes the written policy into the world before the watch shows it, so that it is not written twice and peers see
/// it now.
fn seen(ctx: &Context, name: &ChannelRef, policy: NetworkPolicy) {
    let key = ObjectKey { namespace: name.namespace.clone(), name: network::policy_name(&name.name) };
    let woken = ctx.cluster.write(|world| related::network_policy(world, Change::Applied(key, policy)));
    let itself = Subject::of::<Channel>(name.clone());
    woken.into_iter().filter(|subject| *subject != itself).for_each(|subject| ctx.wake(subject));
}
