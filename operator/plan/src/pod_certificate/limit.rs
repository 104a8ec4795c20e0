//! How many certificates a pod is given in an hour, and with which names.

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
    /// Those of `spec`.
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
    /// Whether the pod may be given one more now: three an hour for each, whatever others of its Channel got.
    ///
    /// What renews normally is far below that. What is above is a kubelet that starts again and again, or a
    /// pod with many volumes.
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
        // A record from further in the future than the window was made by a wrong clock and does not count.
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
