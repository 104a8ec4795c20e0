//! The destroyer: protects data keys under LegalHold, and destroys keys that are due and approved.
//!
//! ```text
//!              ┌─ cluster ──▶ TrustDomains, RetentionPolicies, LegalHolds, Destructions, Approvals
//!   run ─▶ round ─ clocks ──▶ three clocks that agree, or nothing is destroyed
//!              │─ domain ───▶ survey (every key there is) ─▶ holds ─▶ orders ─▶ key ─▶ Vault
//!              └─ report ───▶ status, Events, metrics
//! ```
//!
//! A separate process with its own ServiceAccount and its own identity in Vault. Only it may delete keys, and it may
//! do little else. `subrosa_plan::destruction` decides everything and is asked again after each step. The operator's
//! list is only a proposal: due day, holds, Approvals and clocks are checked again here.

mod breaker;
pub mod clocks;
pub mod cluster;
pub mod domain;
mod key;
mod look;
mod metrics;
mod report;
mod resurrected;
mod round;
mod settings;
mod survey;
pub mod vault;

pub use cluster::GuardCheck;
pub use metrics::DestroyerMetrics;
pub use report::snapshots_kept;
pub use round::Destroyer;
pub use settings::DestroyerSettings;

use subrosa_process::server;
use tokio_util::sync::CancellationToken;

/// Runs the destroyer until `stop`. `guard` checks that the admission policy for Approvals is that of this release.
///
/// # Errors
/// When it cannot start: no API server, or no address to serve on.
pub async fn run(
    config: kube::Config,
    settings: DestroyerSettings,
    guard: GuardCheck,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = server::bind(settings.listen).await?;
    let interval = settings.interval();
    let destroyer = Destroyer::new(config, settings, guard)?;
    let metrics = destroyer.metrics();
    let served = tokio::spawn(server::serve(listener, move || metrics.text(), stop.clone()));
    loop {
        destroyer.round().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(interval) => {}
        }
    }
    served.await?
}
