//! The controller of Channels.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use subrosa_crds::{Channel, ChannelStatus, Reason, TrustDomain, names::ChannelId, preset};
use subrosa_plan::{
    access::shared,
    channel::validate,
    probe, status,
    world::{World, declaration::Declaration},
};

use super::again;
use crate::{
    context::Context,
    execute::{
        channel as execute,
        store::{self, Barred},
    },
    kinds::{Kind, queues::ChildWatches, turns::Again},
    observe::{
        DomainVault,
        watch::{self, ObjectKey},
    },
    settings::Settings,
    subject::Subject,
};

/// How long to wait while the same Channel is worked on elsewhere.
const MOMENT: Duration = Duration::from_millis(250);

/// How soon to look again at a Channel whose first status is delayed, if nothing wakes it.
const HELD: Duration = Duration::from_secs(2);

impl Kind for Channel {
    fn concurrency(settings: &Settings) -> u16 {
        settings.concurrency
    }

    fn enter(channel: &mut Self) {
        watch::strip(channel);
        preset::fill_in(&mut channel.spec);
    }

    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move {
            let channel = ctx.cluster.read(|world| world.channel(&key.channel()).cloned());
            match channel {
                Some(channel) => reconcile_one(&channel.opened(), &ctx).await,
                None => Again::when_named(),
            }
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.all_channels().map(|channel| channel.name().clone().into()).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.channel(&key.channel()).is_some()
    }

    fn meta_of<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a ObjectMeta> {
        Some(world.channel(&key.channel())?.metadata())
    }

    fn woken(ctx: &Arc<Context>, watches: &mut ChildWatches, key: &ObjectKey) {
        if ctx.cluster.read(|world| !Self::is_there(world, key)) {
            ctx.sweeps.ask();
        }
        watches.look(ctx, &key.channel());
    }

    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.prober.expect(&key.channel(), None);
    }
}

async fn reconcile_one(channel: &Declaration, ctx: &Context) -> Again {
    let now = ctx.now();
    let name = channel.name();
    let subject = Subject::of::<Channel>(name.clone());
    let (governing, uid) = ctx.cluster.read(|world| {
        let governing = validate::governing(name, world).cloned();
        (governing, world.namespaces.get(&name.namespace).map(|facts| facts.uid.clone()))
    });
    let Some(uid) = uid else { return again(ctx, subject, true, None) };
    if ctx.cluster.binding(&name.namespace).is_none() {
        // The reconcile of the namespace wakes its Channels. Before that there is nothing to report.
        return Again::when_named();
    }
    let id = ChannelId::mint(&uid, &name.name);
    let Some(_working) = ctx.under_way.begin(&id) else {
        // Its access is being withdrawn as for a deleted Channel.
        return Again::after(MOMENT);
    };
    if ctx.cluster.read(|world| world.channel(name).is_none()) {
        return Again::when_named();
    }
    let domain = match governing {
        Ok(domain) => Ok(domain),
        // The namespace lost its label: the last status names the trust domain to ask, and the record confirms it.
        Err(problem) => ctx.cluster.read(|world| {
            let before = channel.status().and_then(|status| status.into_owned().trust_domain);
            before.and_then(|domain| world.domains.get(&domain)).cloned().ok_or(problem)
        }),
    };
    let outcome = match domain {
        Err(problem) => Err(problem),
        Ok(domain) => {
            let vault = match ctx.cluster.read(|world| shared::fault(&domain, world)) {
                Some(fault) => Err(fault),
                None => execute::meanwhile(ctx, name, ctx.vaults.of(&domain, &ctx.cluster)).await,
            };
            let (vault, known) = match vault {
                Ok(vault) => match execute::meanwhile(ctx, name, known(ctx, &domain, &vault)).await {
                    Err(Barred::NotOwn(fault)) => (Err(fault), Ok(())),
                    Err(Barred::Unknown(fault)) => (Ok(vault), Err(fault)),
                    Ok(()) => (Ok(vault), Ok(())),
                },
                Err(fault) => (Err(fault), Ok(())),
            };
            let vault = vault.as_deref().map_err(Clone::clone);
            execute::carry_out(ctx, channel, &id, vault, known, now).await
        }
    };
    if outcome.as_ref().is_ok_and(|outcome| outcome.applied.is_outdated()) {
        tracing::debug!(channel = %name, "not the one that the API server has: looked at again");
        ctx.metrics.reconciled("Channel", true);
        return again(ctx, subject, true, None);
    }
    let (status, failed, wake_at) = match &outcome {
        Err(problem) => (status::ungoverned(channel, problem, now), false, None),
        Ok(outcome) => {
            let (plan, applied) = (&outcome.plan, &outcome.applied);
            let (status, targets) = ctx.cluster.read(|world| {
                let targets = probe::targets(channel, plan, applied, world);
                (status::channel(channel, plan, applied, world, now), targets)
            });
            ctx.prober.expect(name, targets);
            (status, outcome.applied.fault().is_some() && !outcome.waits, outcome.wake_at)
        }
    };
    // If the peer is being created too, wait and write one status instead of two. The peer's policy wakes this
    // Channel.
    let told = outcome.as_ref().is_ok_and(|outcome| outcome.news.is_empty());
    let held = || ctx.cluster.read(|world| status::opens_at_once(channel, &status, world, now));
    if told && !failed && held() {
        ctx.metrics.reconciled("Channel", failed);
        return Again::after(HELD);
    }
    let untold = report(ctx, channel, &status, outcome.as_ref().ok()).await;
    let wake_at = wake_at.into_iter().chain(untold.and_then(|pause| now.checked_add(pause).ok())).min();
    let written = ctx.reporter.status(&channel.object(), channel.status().as_deref(), &status).await;
    if let Err(error) = &written {
        tracing::warn!(channel = %name, %error, "status could not be written");
    }
    let fault = outcome.as_ref().ok().and_then(|outcome| outcome.applied.fault());
    let took = ctx.now().duration_since(now).as_millis();
    tracing::debug!(channel = %name, took, reason = fault.map(|fault| fault.reason.as_str()), "reconciled");
    ctx.metrics.reconciled("Channel", failed);
    again(ctx, subject, failed || written.is_err(), wake_at)
}

/// Before anything is done or reported: checks that the store is the trust domain's own, and loads the findings about
/// keys.
async fn known(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Barred> {
    store::check(ctx, domain, vault).await?;
    let woken = vault.key_watch.recall(&domain.name_any(), vault, &ctx.cluster, ctx.now()).await;
    let woken = woken.map_err(Barred::Unknown)?;
    woken.into_iter().for_each(|one| ctx.wake(one));
    Ok(())
}

/// Sends Events and status; returns when to retry what the API server refused.
async fn report(
    ctx: &Context,
    channel: &Declaration,
    status: &ChannelStatus,
    outcome: Option<&execute::PlanOutcome>,
) -> Option<SignedDuration> {
    let record = outcome.and_then(|outcome| outcome.applied.record.as_ref().ok());
    let untold = match record {
        Some(record) => ctx.reporter.kept_news(&channel.object(), &record.tell).await,
        None => None,
    };
    for (reason, note) in outcome.map(|outcome| outcome.news.as_slice()).unwrap_or_default() {
        tracing::info!(
            channel = channel.name().name,
            namespace = channel.name().namespace,
            reason = reason.as_str(),
            note
        );
        ctx.reporter.event(&channel.object(), false, reason.as_str(), note).await;
    }
    let before = channel.status();
    let exceptions = before.as_ref().map(|before| before.exceptions.as_slice()).unwrap_or_default();
    for (reason, note) in status::exception_news(exceptions, &status.exceptions) {
        ctx.reporter.event(&channel.object(), true, reason.as_str(), &note).await;
    }
    for (reason, note) in status::earlier_news(before.as_deref(), status) {
        let warning = reason == Reason::KeysOrphaned;
        ctx.reporter.event(&channel.object(), warning, reason.as_str(), &note).await;
    }
    let before = before.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
    for condition in status::turned_bad(before, &status.conditions) {
        ctx.reporter.event(&channel.object(), true, &condition.reason, &condition.message).await;
    }
    untold
}
