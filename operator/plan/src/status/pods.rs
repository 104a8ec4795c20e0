//! The certificate of a Channel whose pods have one each.

use subrosa_crds::{channel::CertificateStatus, names::ChannelRef};

use crate::{channel::Plan, ledger::Ledger, pod_certificate::running, world::World};

/// The certificate that ends first of those that running pods were given, and of how many; none where none was.
///
/// What a pod makes of it nobody here can see: its key is on its node.
pub(super) fn certificate(
    name: &ChannelRef,
    plan: &Plan,
    ledger: &Ledger,
    world: &World,
) -> Option<CertificateStatus> {
    let running = running(&name.namespace, world);
    let current: Vec<_> = ledger.pods.as_ref()?.current(&running).collect();
    let first = current.iter().min_by_key(|issued| (issued.not_after, &issued.serial))?;
    Some(CertificateStatus {
        serial: first.serial.clone(),
        issuer: plan.authority.subject(first.generation).to_string(),
        spiffe_id: plan.leaf.spiffe_id(),
        not_before: first.not_before.to_string(),
        not_after: first.not_after.to_string(),
        renew_at: first.renew_at.to_string(),
        secret_name: None,
        pods: i64::try_from(current.len()).ok(),
        served: None,
    })
}
