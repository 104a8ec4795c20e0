//! Slots that no login of a TrustDomain declares: nobody is their member.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use subrosa_crds::TrustDomain;
use subrosa_plan::{
    roles::{members, names},
    world::fault::Fault,
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::vault::groups::Groups;

/// Removes the members of slots that no login of the TrustDomain declares; of all slots if it is being deleted. One that Vault
/// refuses to show or to change stops no other.
///
/// # Errors
/// When a request to Vault fails.
pub async fn empty(domain: &TrustDomain, own: &OwnVault) -> Result<(), Fault> {
    let groups = Groups::new(own.vault.clone());
    let name = domain.name_any();
    let found = groups.names(&names::prefix(&name)).await.map_err(|error| fault(&error))?;
    let mut failed = None;
    for (slot, usage) in names::undeclared(domain, names::found(&name, found)) {
        let found = match groups.slot(&slot, usage).await {
            Ok(found) => found,
            Err(error) if error.is_of_one_request() => {
                failed = failed.or_else(|| Some(fault(&error)));
                continue;
            }
            Err(error) => return Err(fault(&error)),
        };
        for (slot, ids) in members::changes(found.as_slice(), &BTreeMap::new()) {
            match groups.set_members(&slot, &ids).await {
                Ok(()) => {
                    tracing::info!(
                        domain = name,
                        slot,
                        "a slot that no login declares has no members any more"
                    );
                }
                Err(error) if error.is_of_one_request() => failed = failed.or_else(|| Some(fault(&error))),
                Err(error) => return Err(fault(&error)),
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
