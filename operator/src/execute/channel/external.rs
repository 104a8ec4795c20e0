//! A Secret with trust files alone: each pod has a certificate of its own, or somebody else issues one, whose Secret is
//! read and never written.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use subrosa_crds::channel::Delivery;
use subrosa_plan::{
    certificate::{
        CurrentCertificate, Malformed, TrustFiles,
        external::{ObservedExternal, judge, late},
    },
    record::ledger::Ledger,
    world::fault::Fault,
};

use super::{Work, later};
use crate::{
    execute::{
        certificate::{self, Leaf, Slot},
        objects,
    },
    pki,
};

/// How soon the other's Secret is looked at again. It is not watched: only Secrets with our label are.
const LOOK: SignedDuration = SignedDuration::from_mins(2);

impl Work<'_> {
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
            Slot::Ours(_) => self.rewrite_trust(&slot, &slot.observe(&[]), files).await,
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
        let found = self.secrets.get_opt(name).await;
        let found = found.map_err(|error| objects::fault(&format!("reading Secret {name}"), &error))?;
        let observed = match found {
            None => ObservedExternal::Missing,
            Some(secret) if certificate::is_ours(&secret) => ObservedExternal::Ours,
            Some(secret) => {
                let data = secret.data.iter().flatten();
                let data: BTreeMap<_, _> =
                    data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
                pki::external::observe(&data).map_or_else(
                    |malformed: Malformed| ObservedExternal::Malformed(malformed),
                    ObservedExternal::Present,
                )
            }
        };
        let facts = judge(observed, name, self.now)?;
        self.wake
            .extend([late(facts.validity), facts.validity.not_after].into_iter().filter(|at| *at > self.now));
        Ok(CurrentCertificate::External(facts))
    }
}
