//! While somebody who does not act has the Lease, nobody leads, and the alert for that becomes true.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa_e2e::{Operator, alerts::History, wait};
use tokio_util::sync::CancellationToken;

use crate::stage::{NEW, OLD, Stage, TAKEOVER, leads};

const ALERT: &str = "SubrosaNobodyLeads";
const NOW: Duration = Duration::ZERO;
/// How often the one who has it renews it.
const RENEWED: Duration = Duration::from_secs(2);

/// Has the Lease, and renews it, until `ended`.
async fn hold(leases: Api<Lease>, ended: CancellationToken) {
    loop {
        // The API server takes six digits after the second, no more and no fewer.
        let now = format!("{:.6}", Timestamp::now());
        let renewed = json!({"spec": {"holderIdentity": "somebody-else", "renewTime": now}});
        // Refused where the other one was quicker: it is tried again.
        let _ = leases.patch("subrosa", &PatchParams::default(), &Patch::Merge(renewed)).await;
        if ended.run_until_cancelled(tokio::time::sleep(RENEWED)).await.is_none() {
            return;
        }
    }
}

async fn is_told(replica: &Operator, history: &mut History) -> Result<bool> {
    history.scrape(async || replica.metrics().await.ok()).await;
    history.is_true(ALERT, NOW)
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_leads_is_told() -> Result<()> {
    let stage = Stage::build().await?;
    let mut history = History::begin()?;
    let mut old = stage.replica(OLD, None).await?;
    wait::until(2 * TAKEOVER, || leads(&old, true)).await.with_context(|| old.log().unwrap_or_default())?;
    ensure!(!is_told(&old, &mut history).await?, "it leads");

    let (leases, ended) = (stage.leases(), CancellationToken::new());
    let held = tokio::spawn(hold(leases, ended.clone()));
    // Who led sees that it does not any more, and ends.
    wait::until(2 * TAKEOVER, || {
        let gone = old.exited();
        async move { gone.map(drop).ok_or_else(|| "it still runs".to_owned()) }
    })
    .await?;
    let new = stage.replica(NEW, None).await?;
    ensure!(is_told(&new, &mut history).await?, "{}", new.metrics().await?);

    ended.cancel();
    held.await?;
    wait::until(2 * TAKEOVER, || leads(&new, true)).await.with_context(|| new.log().unwrap_or_default())?;
    ensure!(!is_told(&new, &mut history).await?, "it leads");
    Ok(())
}
