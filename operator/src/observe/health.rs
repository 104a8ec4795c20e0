//! The health of Vault.

use subrosa_crds::{TrustDomain, trust_domain::VaultStatus};
use subrosa_plan::{status::trust_domain, world::fault::Fault};
use subrosa_records::vault::VaultError;

use super::{DomainVault, vaults};

/// Reads Vault's health, and whether the operator is logged in.
pub async fn ask(vault: &DomainVault, domain: &TrustDomain) -> (Result<(), Fault>, Option<VaultStatus>) {
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
        Some(vaults::fault(&VaultError::Sealed))
    } else {
        match trust_domain::clock_fault(health.clock_skew()) {
            Some(fault) => Some(fault),
            None => vault.aliases().await.err().map(|error| vault.fault(&error)),
        }
    };
    (fault.map_or(Ok(()), Err), Some(status))
}
