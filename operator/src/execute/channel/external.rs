//! A Secret with trust files alone: each pod has a certificate of its own, or somebody else issues one, whose Secret is
//! read and never written.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_crds::{channel::Delivery, names::ChannelRef};
use subrosa_plan::{
    certificate::{
        CurrentCertificate, Malformed, TrustFiles,
        external::{ObservedExternal, judge, late},
    },
    channel::closing,
    record::ledger::Ledger,
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

/// How soon the other's Secret is looked at again. It is not watched: only Secrets with our label are.
const LOOK: SignedDuration = SignedDuration::from_mins(2);

/// What is found under the name of a Secret of somebody else.
async fn observe(api: &Api<Secret>, name: &str) -> Result<ObservedExternal, Fault> {
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

/// When the last of the certificates of somebody else ends that the pods of a Channel may present; none where that is
/// not known.
pub(super) async fn external_until(ctx: &Context, channel: &ChannelRef, secret: &str) -> Option<Timestamp> {
    let api = objects::namespaced::<Secret>(&ctx.client, &channel.namespace);
    let found = match observe(&api, secret).await {
        Ok(ObservedExternal::Present(facts)) => Some(facts.validity),
        Ok(_) => None,
        Err(fault) => {
            tracing::warn!(%channel, reason = fault.reason, "{}", fault.message);
            None
        }
    };
    ctx.cluster.read(|world| closing::external_until(found, world.served.get(channel)))
}

impl Work<'_> {
    /// When the last of the certificates ends that the pods may present; none where that is not known, or not asked for.
    pub(super) async fn presented_until(&self, ledger: &Ledger) -> Option<Timestamp> {
        if !closing::asks_for_certificates(self.plan, ledger) {
            return None;
        }
        match self.plan.external.as_deref() {
            // One that never had a certificate presents none.
            None => Some(ledger.authority.leaves_until().unwrap_or(self.now)),
            Some(secret) => external_until(self.ctx, self.name, secret).await,
        }
    }

    /// Takes the Secret with the trust files to what it should hold, and reads the certificate.
    pub(super) async fn trust_alone(
        &mut self,
        ledger: Ledger,
        version: u64,
        slot: Slot,
        files: &TrustFiles,
    ) -> (Result<CurrentCertificate, Fault>, Result<Ledger, Fault>) {
        let ledger = match self.commit(ledger, version).await {
            Ok(ledger) => ledger,
            Err(fault) => return (Err(fault.clone()), Err(fault)),
        };
        let written = match &slot {
            Slot::Empty => self.write(&self.plan.secret_name, Leaf::None, files).await.map(Some),
            Slot::Ours(_) | Slot::Observed(_) => self.rewrite_trust(&slot, &slot.observe(&[]), files).await,
        };
        match written {
            // Each pod asks for its own.
            Ok(_) if self.plan.delivery == Delivery::PodCertificate => {
                (Ok(CurrentCertificate::OfEach), Ok(ledger))
            }
            Ok(_) => (self.external().await, Ok(ledger)),
            Err(fault) => (Err(fault), Ok(ledger)),
        }
    }

    /// The certificate that somebody else issues, as it is now.
    async fn external(&mut self) -> Result<CurrentCertificate, Fault> {
        self.wake.push(later(self.now, LOOK));
        let Some(name) = self.plan.external.as_deref() else {
            return Err(Fault::new("Internal", "no certificate is named: please report this"));
        };
        let facts = judge(observe(&self.secrets, name).await?, name, self.now)?;
        self.wake
            .extend([late(facts.validity), facts.validity.not_after].into_iter().filter(|at| *at > self.now));
        Ok(CurrentCertificate::External(facts))
    }
}
