//! Creates Destructions that list due keys. They are never changed here; the destroyer and people take it from there.

use std::time::{Duration, Instant};

use kube::{Api, ResourceExt as _, api::PostParams};
use subrosa_crds::{Destruction, FIELD_MANAGER, TrustDomain, names::DataKeyName};
use subrosa_destroyer::cluster::DONE;
use subrosa_plan::{
    destruction::listing::{self, DueKey, Listed},
    world::fault::Fault,
};

use super::objects;
use crate::{
    context::Context,
    observe::{
        DomainVault, decisions,
        due_keys::{self, DueRules},
    },
};

/// How often due keys are searched for. A key becomes due at the start of a day.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Lists the due and unlisted keys of a trust domain, at most once an hour.
///
/// # Errors
/// When a request to Vault or the API server fails.
pub async fn list(ctx: &Context, domain: &TrustDomain, vault: &DomainVault) -> Result<(), Fault> {
    let mut last = vault.due_keys.lock().await;
    if last.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
        return Ok(());
    }
    let terms = ctx.cluster.read(|world| DueRules::of(domain, world, ctx.now()));
    let due = due_keys::look(vault, &terms).await.map_err(|error| vault.fault(&error))?;
    make(ctx, domain, vault, &terms, due).await?;
    *last = Some(Instant::now());
    Ok(())
}

async fn make(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    terms: &DueRules,
    due: Vec<DueKey>,
) -> Result<(), Fault> {
    let api = Api::<Destruction>::all(ctx.client.clone());
    let listed = listed(&api, domain, terms).await?;
    let mut unlisted: Vec<_> = listed.back().collect();
    for one in due.into_iter().filter(|one| !listed.has(&one.key)) {
        // Finished lists are not read; the destroyer's record says that a key is destroyed.
        let name = one.key.key_name().parse().ok();
        if let Some(DataKeyName { id, class, cohort }) = &name
            && decisions::is_destroyed(vault, (id, class, *cohort))
                .await
                .map_err(|error| vault.fault(&error))?
        {
            continue;
        }
        unlisted.push(one);
    }
    let nonce = || format!("{:032x}", rand::random::<u128>());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for one in listing::wanted(&domain.name_any(), &terms.policies, unlisted, nonce) {
        api.create(&params, &one).await.map_err(|error| objects::fault("making a Destruction", &error))?;
        tracing::info!(
            domain = domain.name_any(),
            destruction = one.name_any(),
            keys = one.spec.keys.len(),
            "keys are due: people decide"
        );
    }
    Ok(())
}

/// The open lists, read from the API server instead of a watch, so that nothing new is listed twice.
async fn listed(api: &Api<Destruction>, domain: &TrustDomain, terms: &DueRules) -> Result<Listed, Fault> {
    let open = DONE.map(|state| format!("status.state!={}", state.as_str())).join(",");
    let found = objects::selected(api, &open).await;
    let found = found.map_err(|error| objects::fault("listing Destructions", &error))?;
    Ok(Listed::of(&domain.name_any(), &terms.policies, &found))
}
