//! The granter: it writes the members of the slots that AccessRoles use in Vault.
//!
//! ```text
//!   run ─▶ view (watches: TrustDomains, AccessRoles, Channels, namespaces) ─▶ Granter::round, after each change and every minute
//!                 │
//!                 ├─ bindings ─▶ Role and RoleBinding of each AccessRole, by plan::roles::rbac
//!                 ├─ domain ─▶ Vault: logins, groups of the provider, slots ─▶ plan::roles ─▶ members
//!                 └─ status of each AccessRole
//! ```
//!
//! A separate process with its own ServiceAccount and its own identity in Vault. It cannot write what a slot opens;
//! the operator does that and cannot write members. `subrosa_plan::roles` decides everything.

mod bindings;
mod domain;
mod metrics;
mod reminders;
mod reviews;
mod round;
mod settings;
mod view;

pub use metrics::GranterMetrics;
pub use round::Granter;
pub use settings::GranterSettings;
pub use subrosa_process::guard::GuardCheck;

use std::time::Duration;

use subrosa_process::server;
use tokio_util::sync::CancellationToken;

/// The field manager of what the granter writes.
pub const FIELD_MANAGER: &str = "subrosa-granter";

/// How long to collect changes that come together.
const SETTLE: Duration = Duration::from_millis(200);

/// Runs the granter until `stop`.
///
/// # Errors
/// When it cannot start: no API server, or no address to serve on.
pub async fn run(
    config: kube::Config,
    settings: GranterSettings,
    guard: GuardCheck,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = server::bind(settings.listen).await?;
    let interval = settings.interval();
    let granter = Granter::new(config, settings, guard, stop.clone())?;
    let metrics = granter.metrics();
    let served = tokio::spawn(server::serve(listener, move || metrics.text(), stop.clone()));
    while !stop.is_cancelled() {
        granter.round().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = granter.changed() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(interval) => {}
        }
    }
    served.await?
}
