//! Certificates for the Channel's pods, for keys made by kubelet.
//!
//! All waiting requests are answered together, with one write of the record before anything is signed: the pods of a
//! Deployment start together.

use jiff::SignedDuration;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use subrosa_crds::Reason;
use subrosa_plan::{
    pod_certificate::{ChannelSigner, Issuer, JudgedRequests, Refusal},
    record::channel::ChannelRecord,
    world::{fault::Fault, request::Request},
};

use super::{Work, later, secret::Certified};
use crate::{
    execute::{
        authority::Authority,
        certificate::random_serial,
        pod_certificate::{Denied, confirmed, deny, issue},
    },
    observe::watch::ObjectKey,
    pki::{AuthorityCertificate, Serial},
};

/// How soon to look again at a request that is newer than the watches' view.
const SOON: SignedDuration = SignedDuration::from_secs(2);

impl Work<'_> {
    /// Answers the requests of the Channel's pods as far as possible now.
    pub(super) async fn pods(&mut self, certified: Certified, authority: &Authority) -> Certified {
        let Ok(before) = &certified.record else { return certified };
        let signing = before.authority.signing().map(|signing| signing.version);
        // A blocked authority signs nothing.
        let issuer = authority.usable.iter().find(|one| Some(one.version()) == signing);
        let issuer = issuer.filter(|_| certified.authority.is_ok());
        let signs = issuer.map(|one| Issuer {
            generation: one.version(),
            validity: one.validity(),
            permitted: one.permitted_dns(),
        });
        let owner = ChannelSigner { channel: self.channel, plan: self.plan };
        let is_unsigned = |serial: &str| self.vault.is_unsigned(serial);
        let judged = self
            .ctx
            .cluster
            .read(|world| owner.judge(before, world, signs, is_unsigned, random_serial, self.now));
        self.wake.extend(&judged.wake_at);
        let unchanged = judged.record == *before;
        let written = if unchanged { Ok(()) } else { self.note_pods(&judged.record).await };
        for (name, request, refusal) in &judged.wait {
            self.tell(name, request, refusal).await;
        }
        if let Err(fault) = written {
            return Certified { record: Err(fault), ..certified };
        }
        let answered = self.answer(&judged, issuer).await;
        Certified { record: Ok(judged.record), certificate: certified.certificate.and(answered), ..certified }
    }

    /// Sends an Event for the pod about why its certificate waits, once for each reason, because kubelet reports
    /// nothing while it waits.
    async fn tell(&self, name: &str, request: &Request, refusal: &Refusal) {
        let news = self.ctx.cluster.write(|world| {
            let seen = world.requests.get_mut(&self.name().namespace).and_then(|all| all.get_mut(name));
            seen.is_some_and(|seen| seen.told.replace(refusal.reason) != Some(refusal.reason))
        });
        if news {
            let Refusal { reason, message } = refusal;
            tracing::info!(channel = %self.name(), request = name, pod = request.pod, reason = reason.as_str(), "waits: {message}");
            let pod = Pod {
                metadata: ObjectMeta {
                    name: Some(request.pod.clone()),
                    namespace: Some(self.name().namespace.clone()),
                    uid: Some(request.pod_uid.clone()),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            };
            let note = format!("no certificate yet for {name} ({reason}): {message}");
            self.ctx.reporter.event(&pod, true, Reason::CertificateWaits.as_str(), &note).await;
        }
    }

    async fn note_pods(&self, record: &ChannelRecord) -> Result<(), Fault> {
        let known = self.vault.channel_records.get(&self.plan.id).await;
        let known = known.map_err(|error| self.vault.fault(&error))?;
        self.note(known, record.clone()).await.map(|_| ())
    }

    /// Answers the judged requests. A failure does not stop the others; the first fault is returned.
    async fn answer(
        &mut self,
        judged: &JudgedRequests<Serial>,
        issuer: Option<&AuthorityCertificate>,
    ) -> Result<(), Fault> {
        let mut outcome = Ok(());
        let denied = judged.deny.iter().map(|(_, request, _)| request);
        let fresh = confirmed(self.ctx, &self.name().namespace, denied).await;
        let namespace = &self.channel.name().namespace;
        let key = |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
        for (name, request, refusal) in &judged.deny {
            let fresh = match &fresh {
                Ok(fresh) => fresh,
                Err(fault) => {
                    outcome = Err(fault.clone());
                    break;
                }
            };
            match deny(self.ctx, &key(name), request, refusal, Some(self.channel), fresh).await {
                Ok(Denied::Written) => {}
                Ok(Denied::Outdated) => self.wake.push(later(self.now, SOON)),
                Err(fault) => outcome = outcome.and(Err(fault)),
            }
        }
        for one in &judged.issue {
            let Some(issuer) = issuer else { break };
            let issued =
                issue(self.ctx, self.vault, &self.plan.id, &key(&one.name), one, issuer, self.now).await;
            if issued.is_ok() {
                self.ctx.metrics.issued("PodCertificate");
            }
            outcome = outcome.and(issued);
        }
        outcome
    }
}
