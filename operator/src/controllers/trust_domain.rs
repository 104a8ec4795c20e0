//! TrustDomains: Vault within reach, the guards in place, and nobody with access who should have none.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;
use subrosa_crds::{
    FIELD_MANAGER, TrustDomain, WITHDRAW_ACCESS_FINALIZER,
    trust_domain::{Orphans, VaultStatus},
};
use subrosa_plan::{
    access::{
        orphans, shared,
        store::{Ownership, PENDING},
    },
    status::trust_domain::{self, Counts, Seen, Swept},
    world::{World, domain, fault::Fault},
};

use super::again;
use crate::{
    changes,
    context::Context,
    execute::{
        store,
        withdraw::{self, Held},
    },
    kinds::{Kind, Subject},
    observe::{
        DomainVault, vaults,
        watch::{Change, ObjectKey},
    },
};

/// How often Vault is asked how it is.
const PULSE: Duration = Duration::from_secs(15);
/// Changes of Channels that come in a burst are counted at most this often.
const SETTLE: Duration = Duration::from_secs(2);

impl Kind for TrustDomain {
    const KIND: &'static str = "TrustDomain";

    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        changes::trust_domain::seen(world, change)
    }

    fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
        reconcile(object, ctx)
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        world.domains.keys().cloned().map(ObjectKey::from).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.domains.contains_key(&key.name)
    }

    fn uid(world: &World, key: &ObjectKey) -> Option<String> {
        world.domains.get(&key.name)?.uid()
    }

    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.sweeps.forget(&key.name);
    }
}

/// Reconciles one TrustDomain.
pub fn reconcile(domain: Arc<TrustDomain>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
    async move {
        let name = domain.name_any();
        let subject = Subject::of::<TrustDomain>(name.clone());
        // Hundreds of Channels that become ready are counted together; a deletion does not wait.
        if !ctx.sweeps.due(&name, ctx.cluster.read(|world| world.moves))
            && domain.metadata.deletion_timestamp.is_none()
        {
            let rest = ctx.sweeps.rest(&name, domain.metadata.generation, SETTLE);
            if !rest.is_zero() {
                return Action::requeue(rest);
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
                Action::requeue(PULSE)
            }
            Err(fault) => {
                tracing::warn!(domain = domain.name_any(), reason = fault.reason, "{}", fault.message);
                again(&ctx, subject, true, None)
            }
        }
    }
    .boxed()
}

async fn reconcile_one(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    set_finalizer(domain, ctx, true).await?;
    let name = domain.name_any();
    let vault = ctx.vaults.of(domain, &ctx.cluster).await;
    let (reachable, seen) = match &vault {
        Ok(vault) => ask(vault, domain).await,
        Err(fault) => (Err(fault.clone()), None),
    };
    let old = domain.status.as_ref();
    let shared = ctx.cluster.read(|world| shared::fault(domain, world));
    let found = match (&vault, &reachable, &shared) {
        (Ok(vault), Ok(()), None) => Some(store::look(ctx, domain, vault).await),
        _ => None,
    };
    let (swept, outcome) = match (&vault, &found) {
        (Ok(vault), Some(Ok(Ownership::Own { .. } | Ownership::SetupOutdated(_)))) => {
            sweep(ctx, &name, vault).await
        }
        (_, Some(Err(fault))) => (ctx.sweeps.last(&name).or(old), Err(fault.clone())),
        _ => (ctx.sweeps.last(&name).or(old), Ok(())),
    };
    let (store, adopt, setup) = match found {
        Some(Ok(Ownership::Own { store_id })) => (Ok(Some(store_id)), None, None),
        Some(Ok(Ownership::SetupOutdated(fault))) => (Ok(None), None, Some(fault)),
        Some(Ok(Ownership::Not { fault, adopt })) => (Err(fault), adopt, None),
        Some(Err(fault)) => (Err(fault), None, None),
        None => (Ok(None), None, None),
    };
    // On a mount of another trust domain the keys and what is known of them are that one's.
    if let (Ok(vault), Ok(()), Ok(_), None) = (&vault, &reachable, &store, &shared) {
        let (woken, looked) = vault.key_watch.look(&name, vault, &ctx.cluster, ctx.now()).await;
        woken.into_iter().for_each(|one| ctx.wake(one));
        if let Err(fault) = looked {
            tracing::warn!(domain = name, reason = fault.reason, "keys: {}", fault.message);
        }
    }
    let (key_faults, keys_seen) = ctx.cluster.read(|world| trust_domain::key_faults_of_none(&name, world));
    let guarded = ctx.surroundings.look(ctx).await;
    let counts = ctx.cluster.read(|world| Counts::of(&name, world));
    let outdated = ctx.definitions.outdated();
    let Swept { orphans, unreadable } = swept;
    let seen = Seen {
        vault: seen,
        reachable,
        shared,
        store,
        adopt,
        setup,
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

/// Asks Vault how it is, and whether it lets the operator in.
async fn ask(vault: &DomainVault, domain: &TrustDomain) -> (Result<(), Fault>, Option<VaultStatus>) {
    let health = match vault.vault.health().await {
        Ok(health) => health,
        Err(error) => return (Err(vaults::fault(&error)), None),
    };
    let status = VaultStatus {
        version: health.version.clone(),
        sealed: health.sealed,
        store_id: None,
        adopt_store: None,
        insecure: domain.spec.vault.address.starts_with("http://"),
    };
    let fault = if health.sealed {
        Some(vaults::fault(&subrosa_records::vault::VaultError::Sealed))
    } else {
        let skew = health.clock_skew();
        if skew.unsigned_abs() > trust_domain::MOST_SKEW.unsigned_abs() {
            Some(Fault::new(
                "ClockSkew",
                format!(
                    "Vault's clock and the operator's are {skew:#} apart: set both by NTP, certificates depend on it"
                ),
            ))
        } else {
            vault.aliases().await.err().map(|error| vault.fault(&error))
        }
    };
    (fault.map_or(Ok(()), Err), Some(status))
}

/// Takes access from what is on record and has no Channel of `domain` any more. Keys stay. What cannot be done for one
/// holds up no other.
async fn sweep(ctx: &Context, domain: &str, vault: &DomainVault) -> (Swept, Result<(), Fault>) {
    let (asked, moves) = (ctx.sweeps.asked(), ctx.cluster.read(|world| world.moves));
    let last = ctx.sweeps.last(domain);
    let came_back = |orphans: &Orphans| {
        let known = ctx.cluster.read(|world| orphans::known(domain, world));
        orphans.first.iter().any(|one| known.iter().any(|id| one.starts_with(id.as_str())))
    };
    if !ctx.sweeps.due(domain, moves) && !last.orphans.as_ref().is_some_and(came_back) {
        return (last, Ok(()));
    }
    let recorded = match vault.channel_records.list().await {
        Ok(recorded) => recorded,
        Err(error) => return (last, Err(vaults::fault(&error))),
    };
    let candidates: Vec<_> = ctx
        .cluster
        .read(|world| orphans::candidates(domain, &recorded, world).into_iter().cloned().collect());
    let (mut swept, mut outcome, mut unreadable) = (Swept::default(), Ok(()), BTreeSet::new());
    for id in &candidates {
        if let Some(name) = vault.settled(id)
            && ctx.cluster.secrets.of(&name).is_empty()
        {
            swept.add(id, &name.to_string());
            continue;
        }
        let Some(_working) = ctx.under_way.begin(id) else {
            outcome = outcome.and(Err(withdraw::under_way()));
            continue;
        };
        match withdraw::if_orphan(ctx, domain, vault, id).await {
            Ok(name) => name.into_iter().for_each(|name| swept.add(id, &name)),
            Err(Held::Unreadable(problem)) => {
                swept.unreadable.insert(id.clone(), problem);
                unreadable.insert(id.clone());
            }
            Err(Held::Unasked(fault)) => outcome = outcome.and(Err(fault)),
            Err(Held::Failed(fault)) => {
                outcome = Err(fault);
                break;
            }
        }
    }
    let lost = ctx.cluster.read(|world| {
        let known = orphans::known(domain, world);
        vault.lost().into_iter().filter(|id| !known.contains(id)).collect::<BTreeSet<_>>()
    });
    unreadable.extend(lost.iter().cloned());
    if !unreadable.is_empty() {
        let neighbours = ctx.cluster.read(|world| orphans::neighbours(domain, world));
        let mut keep: BTreeSet<_> = neighbours.into_iter().map(Some).collect();
        keep.extend([None, Some(domain.to_owned())]);
        let withdrawn = withdraw::by_effect(ctx, vault, &unreadable, &keep).await;
        if withdrawn.is_ok() {
            lost.iter().for_each(|id| vault.find(id));
        }
        outcome = outcome.and(withdrawn);
    }
    match &outcome {
        Ok(()) => ctx.sweeps.done(domain, (asked, moves), swept.clone()),
        // Half a search says less than the last whole one.
        Err(_) => swept.orphans = swept.orphans.or(last.orphans),
    }
    (swept, outcome)
}

/// Withdraws every access of a domain that is being deleted, then lets it go. Keys and policies stay.
async fn leave(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    let name = domain.name_any();
    if !domain::withdraws_access(domain) {
        return Ok(());
    }
    let vault = ctx.vaults.of(domain, &ctx.cluster).await?;
    // What is another's is not withdrawn, and what was lost cannot be: what its own Channels have is found by its effect.
    if let Ownership::Not { fault, .. } = store::look(ctx, domain, &vault).await? {
        if fault.reason == PENDING {
            return Err(fault);
        }
        tracing::warn!(domain = name, reason = fault.reason, "the TrustDomain goes: {}", fault.message);
        let own = ctx.cluster.read(|world| orphans::governed(&name, world));
        withdraw::by_effect(ctx, &vault, &own, &BTreeSet::new()).await?;
        return let_go(domain, ctx).await;
    }
    let mut unreadable = BTreeSet::new();
    for id in vault.channel_records.list().await.map_err(|error| vaults::fault(&error))? {
        let Some(_working) = ctx.under_way.begin(&id) else { return Err(withdraw::under_way()) };
        let withdrawn = match vault.channel_records.get(&id).await {
            Ok(entry) => match &entry.record {
                Some(record) if ctx.cluster.read(|world| orphans::goes_with(&name, record, world)) => {
                    withdraw::orphan(&vault, &id).await
                }
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        match withdrawn {
            Ok(()) => {}
            Err(error) if error.is_unreadable() => drop(unreadable.insert(id.clone())),
            Err(error) => return Err(vaults::fault(&error)),
        }
    }
    if !unreadable.is_empty() {
        let neighbours = ctx.cluster.read(|world| orphans::neighbours(&name, world));
        let keep = neighbours.into_iter().map(Some).collect();
        withdraw::by_effect(ctx, &vault, &unreadable, &keep).await?;
    }
    let_go(domain, ctx).await
}

async fn let_go(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    let name = domain.name_any();
    set_finalizer(domain, ctx, false).await?;
    ctx.vaults.forget(&name);
    Ok(())
}

async fn set_finalizer(domain: &TrustDomain, ctx: &Context, wanted: bool) -> Result<(), Fault> {
    let mut finalizers = domain.finalizers().to_vec();
    if domain::withdraws_access(domain) == wanted {
        return Ok(());
    }
    if wanted {
        finalizers.push(WITHDRAW_ACCESS_FINALIZER.into());
    } else {
        finalizers.retain(|one| one != WITHDRAW_ACCESS_FINALIZER);
    }
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": domain.resource_version()}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api: Api<TrustDomain> = Api::all(ctx.client.clone());
    match api.patch(&domain.name_any(), &params, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 && !wanted => Ok(()),
        Err(error) => Err(crate::execute::objects::fault("writing the finalizer", &error)),
    }
}
