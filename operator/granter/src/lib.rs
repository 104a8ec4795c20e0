//! The granter: it writes the members of the slots that AccessRoles use in Vault.
//!
//! ```text
//!   run ─▶ view (watches: TrustDomains, AccessRoles, AccessGrants, …) ─▶ Granter::round, after each change and every minute
//!                 │
//!                 ├─ bindings ─▶ Role and RoleBinding of each AccessRole, by plan::roles::rbac
//!                 ├─ grants ─▶ single persons in grant slots for a time, status of each AccessGrant
//!                 ├─ break_glass ─▶ the same for the login for emergencies, and who used it
//!                 ├─ accounts ─▶ the same for the login of ServiceAccounts, whose entities are members one by one
//!                 ├─ domain ─▶ Vault: logins, groups of the provider, slots ─▶ plan::roles ─▶ members
//!                 ├─ status of each AccessRole
//!                 └─ revocations, in loops of their own ─▶ entities of people, members of slots, Roles and RoleBindings, status of
//!                                                          each AccessRevocation; no round gives back what they take (gate)
//! ```
//!
//! A separate process with its own ServiceAccount and its own identity in Vault. It cannot write what a slot opens;
//! the operator does that and cannot write members. `subrosa_plan::roles` decides everything.

mod accounts;
mod audit;
mod bindings;
mod break_glass;
mod domain;
mod gate;
mod grants;
mod metrics;
mod reminders;
mod reviews;
mod revocations;
mod round;
mod settings;
mod undeclared;
mod vaults;
mod view;

pub use metrics::GranterMetrics;
pub use round::Granter;
pub use settings::GranterSettings;
pub use subrosa_process::guard::GuardCheck;

use std::{sync::Arc, time::Duration};

use subrosa_process::server;
use tokio_util::sync::CancellationToken;

/// The field manager of what the granter writes.
pub const FIELD_MANAGER: &str = "subrosa-granter";

/// How often people whom an AccessRevocation names are looked for at the least: an entity may be made by a later login.
const SWEEP: Duration = Duration::from_secs(60);

/// How soon the granter looks again while a grant waits for the operator, or an AccessRevocation is not done.
const SOON: Duration = Duration::from_secs(3);

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
    let granter = Arc::new(granter);
    let (revoking, ended) = (Arc::clone(&granter), stop.clone());
    let revoked = tokio::spawn(async move { revoking.revoke_until(ended, interval).await });
    while !stop.is_cancelled() {
        granter.round().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = granter.changed() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(if granter.waits() { SOON.min(interval) } else { interval }) => {}
        }
    }
    revoked.await?;
    served.await?
}
