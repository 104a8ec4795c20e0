//! How certificate and private key reach a Channel's pods: in a Secret, or by a request of each pod.

use subrosa_crds::channel::Delivery;

use super::{Plan, Scope};
use crate::{
    record::{channel::ChannelRecord, pods::PodCertificates},
    world::{World, declaration::Declaration},
};

/// The delivery in force. An invalid declaration does not change it.
#[must_use]
pub fn delivery(channel: &Declaration, scope: &Scope, record: Option<&ChannelRecord>) -> Delivery {
    match (scope, record) {
        (Scope::Full | Scope::Audit, _) | (_, None) => channel.delivery(),
        (_, Some(record)) if record.pods.as_ref().is_some_and(|pods| pods.in_force) => {
            Delivery::PodCertificate
        }
        _ => Delivery::Secret,
    }
}

/// The record's entry about pods' certificates before anything is made: which delivery is in force.
#[must_use]
pub fn remember(noted: Option<PodCertificates>, plan: &Plan) -> Option<PodCertificates> {
    let so = plan.delivery == Delivery::PodCertificate;
    match noted {
        None => so.then(|| PodCertificates { in_force: true, ..PodCertificates::default() }),
        Some(noted) => Some(PodCertificates { in_force: so, ..noted }),
    }
}

/// Why this cluster cannot deliver as declared.
pub(crate) fn unavailable(channel: &Declaration, world: &World) -> Option<&'static str> {
    (channel.delivery() == Delivery::PodCertificate && world.pod_certificates == Some(false)).then_some(
        "this cluster does not serve PodCertificateRequest of certificates.k8s.io/v1 (Kubernetes 1.37 and later do): \
         leave tls.delivery out until it does",
    )
}
