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
    names::{ChannelId, ChannelRef},
    trust_domain::{Orphans, VaultStatus},
};
use subrosa_plan::{
    status::trust_domain::{self, Counts, Seen},
    world::{domain, fault::Fault},
};

use super::again;
use crate::{
    changes::key,
    context::{Context, Subject},
    execute::{left, withdraw},
    kept,
    observe::{DomainVault, vaults},
};

/// How often Vault is asked how it is.
const PULSE: Duration = Duration::from_secs(15);
/// Changes of Channels that come in a burst are counted at most this often.
const SETTLE: Duration = Duration::from_secs(2);
/// How many orphans status names.
const NAMED_ORPHANS: usize = 50;

/// Reconciles one TrustDomain.
pub fn reconcile(domain: Arc<TrustDomain>, ctx: Arc<Context>) -> BoxFuture<'static, Action> {
    async move {
        let name = domain.name_any();
        let subject = Subject::Domain(name.clone());
        // Hundreds of Channels that become ready are counted together; a deletion does not wait.
        if !ctx.sweeps.due(&name) && domain.metadata.deletion_timestamp.is_none() {
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
    let orphans = match (&vault, &reachable) {
        (Ok(vault), Ok(())) => sweep(ctx, &name, vault).await?,
        _ => old.and_then(|status| status.orphans.clone()),
    };
    if let (Ok(vault), Ok(())) = (&vault, &reachable) {
        match ctx.key_watch.look(&name, vault).await {
            Ok(found) => {
                ctx.cluster.write(|world| key::found(world, found)).into_iter().for_each(|one| ctx.wake(one))
            }
            Err(fault) => tracing::warn!(domain = name, reason = fault.reason, "keys: {}", fault.message),
        }
    }
    let key_faults = ctx.cluster.read(trust_domain::key_faults_of_none);
    let guarded = ctx.surroundings.look(ctx).await;
    let counts = ctx.cluster.read(|world| Counts::of(&name, world));
    let outdated = ctx.definitions.outdated();
    let seen = Seen { vault: seen, reachable, guarded, outdated, orphans, key_faults, counts };
    let status = trust_domain::status(domain, &seen, ctx.now());
    ctx.reporter
        .status(domain, old, &status)
        .await
        .map_err(|error| crate::execute::objects::fault("writing status", &error))?;
    Ok(())
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

/// Takes access from what is in the ledger and no longer in the cluster. Keys stay.
async fn sweep(ctx: &Context, domain: &str, vault: &DomainVault) -> Result<Option<Orphans>, Fault> {
    let last = ctx.sweeps.last(domain);
    let came_back = |orphans: &Orphans| {
        let known = known_ids(ctx);
        orphans.first.iter().any(|one| known.iter().any(|id| one.starts_with(id.as_str())))
    };
    if !ctx.sweeps.due(domain) && !last.as_ref().is_some_and(came_back) {
        return Ok(last);
    }
    let asked = ctx.sweeps.asked();
    let known = known_ids(ctx);
    let recorded = vault.ledgers.list().await.map_err(|error| vaults::fault(&error))?;
    let mut names = Vec::new();
    let mut count = 0;
    let (mut waiting, mut unasked) = (false, None);
    for id in recorded.iter().filter(|id| !known.contains(id)) {
        if let Some(name) = vault.settled(id)
            && ctx.cluster.secrets.of(&name).is_empty()
        {
            count += 1;
            if names.len() < NAMED_ORPHANS {
                names.push(format!("{id} {name}"));
            }
            continue;
        }
        let Some(_working) = ctx.under_way.begin(id) else {
            waiting = true;
            continue;
        };
        let entry = vault.ledgers.get(id).await.map_err(|error| vaults::fault(&error))?;
        let Some(ledger) = entry.record.filter(|ledger| is_gone(ctx, &ledger.channel, id)) else { continue };
        // One that cannot be asked for waits, and holds up no other.
        match withdraw::is_orphan(ctx, id, &ledger).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(fault) => {
                unasked = Some(fault);
                continue;
            }
        }
        left::withdraw(ctx, domain, vault, id).await;
        if let Some(name) = withdraw::orphan(vault, id, |channel| is_gone(ctx, channel, id)).await? {
            vault.settle(id, &ledger.channel);
            count += 1;
            if names.len() < NAMED_ORPHANS {
                names.push(format!("{id} {name}"));
            }
        }
    }
    let orphans = (count > 0).then_some(Orphans { count, first: names });
    if waiting {
        return Err(under_way());
    }
    if let Some(fault) = unasked {
        return Err(fault);
    }
    ctx.sweeps.done(domain, asked, orphans.clone());
    Ok(orphans)
}

/// What may still give access is waited for: a withdrawal before it would be undone by it.
fn under_way() -> Fault {
    Fault::new(
        "WorkUnderWay",
        "a Channel that is gone is still being worked on: its access is withdrawn after that",
    )
}

/// Whether there is no Channel of this name and identity.
fn is_gone(ctx: &Context, channel: &ChannelRef, id: &ChannelId) -> bool {
    ctx.cluster.read(|world| {
        let uid = world.namespaces.get(&channel.namespace).map(|facts| &facts.uid);
        world.channel(channel).is_none() || uid.is_none_or(|uid| ChannelId::mint(uid, &channel.name) != *id)
    })
}

/// The identities of every Channel there is.
fn known_ids(ctx: &Context) -> BTreeSet<ChannelId> {
    ctx.cluster.read(kept::ids)
}

/// Withdraws every access of a domain that is being deleted, then lets it go. Keys and policies stay.
async fn leave(domain: &TrustDomain, ctx: &Context) -> Result<(), Fault> {
    let name = domain.name_any();
    if !domain::withdraws_access(domain) {
        return Ok(());
    }
    let vault = ctx.vaults.of(domain, &ctx.cluster).await?;
    for id in vault.ledgers.list().await.map_err(|error| vaults::fault(&error))? {
        let entry = vault.ledgers.get(&id).await.map_err(|error| vaults::fault(&error))?;
        if entry.record.is_some_and(|ledger| ledger.trust_domain == name) {
            let Some(_working) = ctx.under_way.begin(&id) else { return Err(under_way()) };
            withdraw::orphan(&vault, &id, |_| true).await?;
        }
    }
    set_finalizer(domain, ctx, false).await?;
    ctx.vaults.forget(&name);
    ctx.key_watch.forget(&name);
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
