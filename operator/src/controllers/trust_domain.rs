//! The controller of TrustDomains: checks Vault and the admission policies, and withdraws access of deleted Channels.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use subrosa_crds::TrustDomain;
use subrosa_plan::{
    access::{orphans, shared, store::Ownership},
    status::trust_domain::{self, DomainFacts, MemberCounts, Swept},
    world::{World, domain, fault::Fault},
};

use super::again;
use crate::{
    context::Context,
    execute::{adoptions, destructions, finalizer, restored, slots, store, sweep, withdraw},
    kinds::{Kind, turns::Again},
    observe::{health, watch::ObjectKey},
    subject::Subject,
};

/// How often Vault's health is read.
const PULSE: Duration = Duration::from_secs(15);
/// Bursts of changes of Channels are counted at most this often.
const SETTLE: Duration = Duration::from_secs(2);

impl Kind for TrustDomain {
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move {
            let name = key.name;
            let Some(domain) = ctx.cluster.read(|world| world.domains.get(&name).cloned()) else {
                return Again::when_named();
            };
            let subject = Subject::of::<TrustDomain>(name.clone());
            // Many Channels becoming Ready are counted together; a deletion is handled at once.
            if !ctx.sweeps.due(&name, ctx.cluster.read(|world| world.moves))
                && domain.metadata.deletion_timestamp.is_none()
            {
                let rest = ctx.sweeps.rest(&name, domain.metadata.generation, SETTLE);
                if !rest.is_zero() {
                    return Again::after(rest);
                }
            }
            let result = if domain.metadata.deletion_timestamp.is_some() {
                leave(&domain, &ctx).await
            } else {
                reconcile_one(&domain, &ctx).await
            };
            ctx.metrics.reconciled("TrustDomain", result.is_err());
            match result {
                Ok(()) => {
                    ctx.failures.clear(&subject);
                    Again::after(PULSE)
                }
                Err(fault) => {
                    tracing::warn!(
                        domain = domain.name_any(),
                        reason = fault.reason.as_str(),
                        "{}",
                        fault.message
                    );
                    again(&ctx, subject, true, None)
                }
            }
        }
        .boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.domains.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.domains.contains_key(&key.name)
    }

    fn meta_of<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a ObjectMeta> {
        Some(&world.domains.get(&key.name)?.metadata)
    }

    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.sweeps.forget(&key.name);
    }
}

async fn reconcile_one(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    finalizer::set(ctx, domain, true).await?;
    let name = domain.name_any();
    let vault = ctx.vaults.of(domain, &ctx.cluster).await;
    let (reachable, seen) = match &vault {
        Ok(vault) => health::ask(vault, domain).await,
        Err(fault) => (Err(fault.clone()), None),
    };
    if let Ok(vault) = &vault {
        restored::look(ctx, &name, vault);
    }
    let old = domain.status.as_ref();
    let shared = ctx.cluster.read(|world| shared::fault(domain, world));
    let found = match (&vault, &reachable, &shared) {
        (Ok(vault), Ok(()), None) => Some(store::look(ctx, domain, vault).await),
        _ => None,
    };
    let (swept, outcome) = match (&vault, &found) {
        (Ok(vault), Some(Ok(Ownership::Own { .. } | Ownership::SetupOutdated(_)))) => {
            sweep::orphans(ctx, &name, vault).await
        }
        (_, Some(Err(fault))) => (ctx.sweeps.last(&name).or(old), Err(fault.clone())),
        _ => (ctx.sweeps.last(&name).or(old), Ok(())),
    };
    let (store, adopt, setup) = match found {
        Some(Ok(Ownership::Own { store_id })) => {
            let lacking = match &vault {
                Ok(vault) => store::lacking(vault).await,
                Err(_) => None,
            };
            (Ok(Some(store_id)), None, lacking)
        }
        Some(Ok(Ownership::SetupOutdated(fault))) => (Ok(None), None, Some(fault)),
        Some(Ok(Ownership::Not { fault, adopt })) => (Err(fault), adopt, None),
        Some(Ok(Ownership::Pending(fault))) => (Err(fault), None, None),
        Some(Err(fault)) => (Err(fault), None, None),
        None => (Ok(None), None, None),
    };
    let (guarded, woken) = ctx.surroundings.look(&ctx.client, &ctx.installation, &ctx.cluster).await;
    woken.into_iter().for_each(|one| ctx.wake(one));
    // On a mount that belongs to another trust domain, its keys are that one's to check.
    if let (Ok(vault), Ok(()), Ok(_), None) = (&vault, &reachable, &store, &shared) {
        let (woken, looked) =
            vault.key_watch.look(&name, vault, &ctx.cluster, ctx.now(), ctx.keys_listed_every).await;
        woken.into_iter().for_each(|one| ctx.wake(one));
        if let Err(fault) = looked {
            tracing::warn!(domain = name, reason = fault.reason.as_str(), "keys: {}", fault.message);
        }
        if let Err(fault) = destructions::list(ctx, domain, vault).await {
            tracing::warn!(domain = name, reason = fault.reason.as_str(), "due keys: {}", fault.message);
        }
        if let Err(fault) = slots::look(ctx, domain, vault, &guarded).await {
            tracing::warn!(domain = name, reason = fault.reason.as_str(), "slots: {}", fault.message);
        }
    }
    let (key_faults, keys_seen) =
        ctx.cluster.read(|world| trust_domain::key_faults_of_none(&name, world, ctx.now()));
    if let (Ok(vault), Ok(()), Ok(Some(_)), None) = (&vault, &reachable, &store, &shared)
        && let Err(fault) = adoptions::look(ctx, domain, vault, &guarded).await
    {
        tracing::warn!(domain = name, reason = fault.reason.as_str(), "adoptions: {}", fault.message);
    }
    let counts = ctx.cluster.read(|world| MemberCounts::of(&name, world));
    let outdated = ctx.definitions.outdated();
    let Swept { orphans, unreadable, setup: not_swept } = swept;
    let forgets = vault.as_ref().ok().and_then(|vault| vault.key_watch.setup());
    let seen = DomainFacts {
        vault: seen,
        reachable,
        shared,
        store,
        adopt,
        setup: setup.or(not_swept).or(forgets),
        guarded,
        outdated,
        orphans,
        key_faults,
        keys_seen,
        unreadable,
        counts,
    };
    let status = trust_domain::status(domain, &seen, ctx.now());
    ctx.reporter
        .status(domain, old, &status)
        .await
        .map_err(|error| crate::execute::objects::fault("writing status", &error))?;
    outcome
}

/// Withdraws all access of a domain that is being deleted, then removes the finalizer. Keys and policies stay.
async fn leave(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    let name = domain.name_any();
    if !domain::withdraws_access(domain) {
        return Ok(());
    }
    let vault = ctx.vaults.of(domain, &ctx.cluster).await?;
    // Nothing is withdrawn in another's store. Where the store was lost, access is found by the aliases of the
    // domain's own Channels.
    match store::look(ctx, domain, &vault).await? {
        Ownership::Pending(fault) => return Err(fault),
        Ownership::Not { fault, .. } => {
            tracing::warn!(
                domain = name,
                reason = fault.reason.as_str(),
                "the TrustDomain goes: {}",
                fault.message
            );
            let own = ctx.cluster.read(|world| orphans::governed(&name, world));
            withdraw::by_effect(ctx, &vault, &own, &BTreeSet::new()).await?;
        }
        Ownership::Own { .. } | Ownership::SetupOutdated(_) => {
            // Neither waits for the other.
            let emptied = slots::empty_undeclared(ctx, domain, &vault).await;
            sweep::all_of(ctx, &name, &vault).await.and(emptied)?;
        }
    }
    let_go(domain, ctx).await
}

async fn let_go(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    let name = domain.name_any();
    finalizer::set(ctx, domain, false).await?;
    ctx.vaults.forget(&name);
    Ok(())
}
