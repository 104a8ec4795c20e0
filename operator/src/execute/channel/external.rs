//! A Secret with only trust files: each pod has its own certificate, or another issuer writes it to a Secret that is
//! read and never written here.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_crds::{Reason, channel::Delivery, names::ChannelRef};
use subrosa_plan::{
    certificate::{
        CurrentCertificate, Malformed, Observation, TrustFiles,
        external::{ObservedExternal, judge, late},
    },
    channel::closing,
    record::channel::ChannelRecord,
    world::fault::Fault,
};

use super::{Work, later};
use crate::{
    context::Context,
    execute::{
        certificate::{self, Leaf, Slot},
        objects,
    },
    pki,
};

/// How soon that Secret is read again. It is not watched, because only Secrets with our label are.
const LOOK: SignedDuration = SignedDuration::from_mins(2);

/// What exists under the name of another issuer's Secret.
pub(super) async fn found(api: &Api<Secret>, name: &str) -> Result<ObservedExternal, Fault> {
    let found = api.get_opt(name).await;
    let found = found.map_err(|error| objects::fault(&format!("reading Secret {name}"), &error))?;
    Ok(match found {
        None => ObservedExternal::Missing,
        Some(secret) if certificate::is_ours(&secret) => ObservedExternal::Ours,
        Some(secret) => {
            let data = secret.data.iter().flatten();
            let data: BTreeMap<_, _> = data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
            pki::external::observe(&data).map_or_else(
                |malformed: Malformed| ObservedExternal::Malformed(malformed),
                ObservedExternal::Present,
            )
        }
    })
}

/// The certificate in another issuer's `secret`, and whether pods can present it now.
pub(super) async fn observed(
    api: &Api<Secret>,
    secret: &str,
    now: Timestamp,
) -> (Observation, Result<(), Fault>) {
    let found = match found(api, secret).await {
        Ok(found) => found,
        Err(fault) => return (Observation::Unknown, Err(fault)),
    };
    (Observation::from(&found), judge(&found, secret, now))
}

/// When the last certificate of another issuer expires that the Channel's pods may present; `None` where unknown.
pub(super) async fn external_until(ctx: &Context, channel: &ChannelRef, secret: &str) -> Option<Timestamp> {
    let api = objects::namespaced::<Secret>(&ctx.client, &channel.namespace);
    let found = match found(&api, secret).await {
        Ok(ObservedExternal::Present(facts)) if facts.key_problem.is_none() => Some(facts.validity),
        Ok(_) => None,
        Err(fault) => {
            tracing::warn!(%channel, reason = fault.reason.as_str(), "{}", fault.message);
            None
        }
    };
    ctx.cluster.read(|world| closing::external_until(found, world.served.get(channel)))
}

impl Work<'_> {
    /// When the last certificate expires that the pods may present; `None` where unknown or not needed.
    pub(super) async fn presented_until(&self, record: &ChannelRecord) -> Option<Timestamp> {
        if !closing::asks_for_certificates(self.plan, record) {
            return None;
        }
        match self.plan.external.as_deref() {
            // Without any leaf ever issued, there is none to present.
            None => Some(record.authority.leaves_until().unwrap_or(self.now)),
            Some(secret) => external_until(self.ctx, self.name(), secret).await,
        }
    }

    /// Brings the Secret with the trust files to its wanted content, and reads the certificate.
    pub(super) async fn trust_alone(
        &mut self,
        record: ChannelRecord,
        version: u64,
        slot: Slot,
        files: &TrustFiles,
    ) -> (Observation, Result<(), Fault>, Result<ChannelRecord, Fault>) {
        let (observed, certificate) = match self.plan.delivery {
            // Each pod requests its own.
            Delivery::PodCertificate => (CurrentCertificate::OfEach.into(), Ok(())),
            Delivery::Secret => self.external().await,
        };
        let record = match self.commit(record, version).await {
            Ok(record) => record,
            Err(fault) => return (observed, Err(fault.clone()), Err(fault)),
        };
        let written = match &slot {
            Slot::Empty => self.write(&self.plan.secret_name, Leaf::None, files).await.map(Some),
            Slot::Ours(_) | Slot::Observed(_) => self.rewrite_trust(&slot, &slot.observe(&[]), files).await,
        };
        (observed, written.and(certificate), Ok(record))
    }

    /// Reads the other issuer's certificate.
    async fn external(&mut self) -> (Observation, Result<(), Fault>) {
        self.wake.push(later(self.now, LOOK));
        let Some(name) = self.plan.external.as_deref() else {
            let fault = Fault::new(Reason::Internal, "no certificate is named: please report this");
            return (Observation::Unknown, Err(fault));
        };
        let (observed, certificate) = observed(&self.secrets, name, self.now).await;
        if let Some(validity) = observed.held().and_then(CurrentCertificate::validity) {
            let moments = [validity.not_before, late(validity), validity.not_after];
            self.wake.extend(moments.into_iter().filter(|at| *at > self.now));
        }
        (observed, certificate)
    }
}
