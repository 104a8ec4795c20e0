//! Limits the certificates of a pod to some per hour, and keeps the names of the last one.

use jiff::Timestamp;
use subrosa_crds::Reason;

use super::Refusal;
use crate::{
    certificate::LeafSpec,
    record::{
        issuances::{LIMIT, WINDOW},
        pods::{MOST_PODS, PodCertificates, PodNames},
    },
    world::certificate::{KeyAlgorithm, after},
};

impl PodNames {
    /// The names in `spec`.
    #[must_use]
    pub fn of(spec: &LeafSpec) -> Self {
        Self { common_name: spec.common_name.clone(), dns_names: spec.dns_names.clone() }
    }

    /// `spec` with these names.
    #[must_use]
    pub fn given_to(&self, spec: &LeafSpec, key_algorithm: KeyAlgorithm) -> LeafSpec {
        LeafSpec {
            common_name: self.common_name.clone(),
            dns_names: self.dns_names.clone(),
            key_algorithm,
            ..spec.clone()
        }
    }
}

impl PodCertificates {
    /// Whether the pod may get one more certificate now. The limit of three an hour is per pod, whatever other pods
    /// of the Channel got.
    ///
    /// Normal renewals stay far below. A kubelet that restarts again and again, or a pod with many volumes, may reach
    /// it.
    ///
    /// # Errors
    /// Until when to wait, and why.
    pub fn admit(&self, pod_uid: &str, now: Timestamp) -> Result<(), (Timestamp, Refusal)> {
        let Some(pod) = self.pods.get(pod_uid) else {
            return if self.pods.len() < MOST_PODS {
                Ok(())
            } else {
                let message = format!(
                    "{MOST_PODS} pods of this Channel were given a certificate within the hour or still run: wait, or divide the workload \
                     among several Channels"
                );
                Err((after(now, WINDOW), Refusal { reason: Reason::IssuanceLimited, message }))
            };
        };
        // A record from further in the future than the window came from a wrong clock and does not count.
        let counted = || pod.at.iter().filter(|at| now < after(**at, WINDOW) && **at <= after(now, WINDOW));
        match (counted().count() >= LIMIT, counted().min()) {
            (true, Some(oldest)) => {
                let until = after((*oldest).min(now), WINDOW);
                let message = format!(
                    "this pod was given {LIMIT} certificates within an hour: nothing more before {until}; see why its kubelet asks so often, \
                     or mount one volume with a certificate instead of several"
                );
                Err((until, Refusal { reason: Reason::IssuanceLimited, message }))
            }
            _ => Ok(()),
        }
    }
}
