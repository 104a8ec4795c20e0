//! Pruning: refused until confirmed, and then no key is gone and nothing is open.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use subrosa_e2e::wait;

use crate::fleet::{DOMAIN, Fleet, PATIENCE, title};

/// What an Application's deletion removes: the Channels first, then the TrustDomain.
fn pruned(fleet: &Fleet) -> Vec<&Value> {
    let of = |kind: &'static str| fleet.ours().filter(move |one| one["kind"] == kind);
    of("Channel").chain(of("TrustDomain").filter(|one| one["metadata"]["name"] == DOMAIN)).collect()
}

pub async fn is_refused_without_confirmation(fleet: &Fleet) -> Result<()> {
    for one in pruned(fleet) {
        let (api, name) = fleet.api(one).await?;
        let uid = fleet.live(one).await?["metadata"]["uid"].as_str().unwrap().to_owned();
        let refused = api.delete(&name, &DeleteParams::foreground()).await;
        let message = refused.err().with_context(|| format!("{} was deleted", title(one)))?.to_string();
        let next = format!("--overwrite subrosa.dev/confirm-delete={uid}");
        ensure!(message.contains("kubectl annotate") && message.contains(&next), "{}: {message}", title(one));
        ensure!(fleet.live(one).await?["metadata"]["deletionTimestamp"].is_null(), "{} goes", title(one));
    }
    Ok(())
}

pub async fn destroys_nothing(fleet: &Fleet) -> Result<()> {
    let keys = keys(fleet).await?;
    ensure!(keys.len() > 10, "only {} keys were there", keys.len());
    let denies = denies(fleet).await?;
    ensure!(denies.len() == 5, "{denies:?}");
    for one in pruned(fleet) {
        let (api, name) = fleet.api(one).await?;
        let uid = fleet.live(one).await?["metadata"]["uid"].clone();
        let confirmed = json!({"metadata": {"annotations": {"subrosa.dev/confirm-delete": uid}}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&confirmed)).await?;
        // The confirmation is nobody's drift: it is not in Git and need not be.
        let live = fleet.live(one).await?;
        let again = fleet.would_become(one).await?;
        ensure!(again["metadata"]["annotations"] == live["metadata"]["annotations"], "{}", title(one));
        api.delete(&name, &DeleteParams::foreground()).await.with_context(|| title(one))?;
        wait::until(PATIENCE, || async {
            match api.get_opt(&name).await {
                Ok(None) => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .await
        .with_context(|| format!("{} should be gone", title(one)))?;
    }
    ensure!(self::keys(fleet).await? == keys, "keys are gone");
    ensure!(self::denies(fleet).await? == denies, "default denies are gone");
    Ok(())
}

async fn keys(fleet: &Fleet) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for mount in ["transit", "transit-ca"] {
        let listed = fleet.env.openbao().request("LIST", &format!("{mount}/keys"), None).await?;
        let keys = listed["data"]["keys"].as_array().context("no keys")?;
        names.extend(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)));
    }
    Ok(names)
}

/// The namespaces of the example that deny by default, each with the rule it has.
async fn denies(fleet: &Fleet) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for namespace in fleet.manifests.iter().filter(|one| one["kind"] == "Namespace") {
        let deny = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "subrosa-default-deny", "namespace": namespace["metadata"]["name"]},
        });
        let live = fleet.live(&deny).await?;
        ensure!(live["metadata"]["deletionTimestamp"].is_null(), "{} goes", title(&deny));
        found.push(format!("{} {}", title(&deny), live["spec"]));
    }
    Ok(found)
}
