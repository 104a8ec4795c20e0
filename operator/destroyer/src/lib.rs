//! The destroyer: it holds data keys that LegalHolds name, and destroys those that are due and that people approved.
//!
//! ```text
//!              ┌─ cluster ──▶ TrustDomains, RetentionPolicies, LegalHolds, Destructions, Approvals
//!   run ─▶ round ─ clocks ──▶ three clocks that agree, or nothing is destroyed
//!              │─ domain ───▶ survey (every key there is) ─▶ holds ─▶ orders ─▶ key ─▶ Vault
//!              └─ report ───▶ status, Events, metrics
//! ```
//!
//! A process of its own, with its own ServiceAccount and its own identity in Vault, which alone may delete keys, and may
//! hardly do anything else. Everything that decides stands in `subrosa_plan::destruction`; here it is asked again after each
//! thing that was done. What the operator lists is only a proposal: day, holds, Approvals and clocks are judged anew.

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
pub use metrics::Metrics;
pub use report::snapshots_kept;
pub use round::Destroyer;
pub use settings::Settings;

use subrosa_process::server;
use tokio_util::sync::CancellationToken;

/// Runs the destroyer until `stop`. `guard` says whether the admission policy of Approvals is as this release has it.
///
/// # Errors
/// When it cannot start: no API server, no address to serve on.
pub async fn run(
    config: kube::Config,
    settings: Settings,
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
