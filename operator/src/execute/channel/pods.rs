//! What the Channel's pods ask for: certificates for keys that kubelet made.
//!
//! All that wait are answered together, with one note in the record before anything is signed: fifty pods of a
//! Deployment are one write.

use jiff::SignedDuration;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use subrosa_plan::{
    certificate::LeafSpec,
    pod_certificate::{self, Refusal, RequestAnswer},
    record::{
        channel::ChannelRecord,
        pods::{Issued, Names},
    },
    world::{fault::Fault, request::Request},
};

use super::{Work, later, secret::Certified};
use crate::{
    execute::{
        authority::Authority,
        certificate::random_serial,
        pod_certificate::{Denied, Noted, confirmed, deny, issue},
    },
    observe::watch::ObjectKey,
    pki::AuthorityCertificate,
};

/// How soon to look again at a request that the watches are behind with.
const SOON: SignedDuration = SignedDuration::from_secs(2);

/// Requests as they were judged.
#[derive(Default)]
struct Judged {
    noted: Vec<Noted>,
    denied: Vec<(ObjectKey, Request, Refusal)>,
    waiting: Vec<(ObjectKey, Request, Refusal)>,
}

impl Work<'_> {
    /// Answers the requests of the Channel's pods, as far as that can be done now.
    pub(super) async fn pods(&mut self, certified: Certified, authority: &Authority) -> Certified {
        let Ok(before) = &certified.record else { return certified };
        let (requests, pods) = self.ctx.cluster.read(|world| {
            let tidied = pod_certificate::tidied(before.pods.clone(), self.name, world, self.now);
            (pod_certificate::of_channel(self.name, world, self.now), tidied)
        });
        let mut record = ChannelRecord { pods, ..before.clone() };
        let signing = record.authority.signing().map(|signing| signing.version);
        // A blocked authority signs nothing new, here as elsewhere.
        let issuer = authority.usable.iter().find(|one| Some(one.version()) == signing);
        let issuer = issuer.filter(|_| certified.authority.is_ok());
        let mut judged = Judged::default();
        for (name, request) in requests {
            let key = ObjectKey { namespace: self.name.namespace.clone(), name };
            self.judge(key, request, issuer, &mut record, &mut judged);
        }
        for (key, request, refusal) in &judged.waiting {
            self.tell(key, request, refusal).await;
        }
        let written = if record == *before { Ok(()) } else { self.note_pods(&record).await };
        if let Err(fault) = written {
            return Certified { record: Err(fault), ..certified };
        }
        let answered = self.answer(judged, issuer).await;
        Certified { record: Ok(record), certificate: certified.certificate.and(answered), ..certified }
    }

    /// Decides on one request; what is to be issued is noted in `record`.
    fn judge(
        &mut self,
        key: ObjectKey,
        request: Request,
        issuer: Option<&AuthorityCertificate>,
        record: &mut ChannelRecord,
        judged: &mut Judged,
    ) {
        let Some(issuer) = issuer else { return };
        let again = record.pods.as_ref().and_then(|pods| {
            pods.without_unsigned(&request.pod_uid, |serial| self.vault.is_unsigned(serial))
        });
        let (pods, permitted) = (again.as_ref().or(record.pods.as_ref()), issuer.permitted_dns());
        match pod_certificate::answer(&request, self.channel, self.name, self.plan, pods, permitted, self.now)
        {
            RequestAnswer::Issue(spec) => {
                record.pods = again.or(record.pods.take());
                match self.noted(key.clone(), request.clone(), *spec, issuer, record) {
                    Ok(noted) => judged.noted.push(noted),
                    Err(refusal) => judged.waiting.push((key, request, refusal)),
                }
            }
            RequestAnswer::Deny(refusal) => judged.denied.push((key, request, refusal)),
            RequestAnswer::Wait(until, refusal) => {
                self.wake.extend(until);
                judged.waiting.push((key, request, refusal));
            }
        }
    }

    fn noted(
        &self,
        key: ObjectKey,
        request: Request,
        spec: LeafSpec,
        issuer: &AuthorityCertificate,
        record: &mut ChannelRecord,
    ) -> Result<Noted, Refusal> {
        spec.validate().map_err(|problem| Refusal {
            reason: "CertificateRefused",
            message: format!("Channel {}: {problem}", self.name),
        })?;
        let validity = pod_certificate::validity(&spec, issuer.validity(), self.now)?;
        let renew_at = pod_certificate::renewal(&spec, validity);
        let serial = random_serial();
        let issued = Issued {
            serial: serial.hex(),
            generation: issuer.version(),
            not_before: validity.not_before,
            not_after: validity.not_after,
            renew_at,
        };
        let pods = record.pods.take().unwrap_or_default();
        record.pods = Some(pods.noted(&request.pod_uid, Names::of(&spec), issued, self.now));
        record.authority =
            std::mem::take(&mut record.authority).with_leaf(issuer.version(), validity.not_after);
        Ok(Noted { key, request, spec, serial, validity, renew_at })
    }

    /// kubelet keeps asking and tells nobody: an Event of the pod does, once for each reason.
    async fn tell(&self, key: &ObjectKey, request: &Request, refusal: &Refusal) {
        let news = self.ctx.cluster.write(|world| {
            let seen = world.requests.get_mut(&key.namespace).and_then(|all| all.get_mut(&key.name));
            seen.is_some_and(|seen| seen.told.replace(refusal.reason) != Some(refusal.reason))
        });
        if news {
            let Refusal { reason, message } = refusal;
            tracing::info!(channel = %self.name, request = key.name, pod = request.pod, reason, "waits: {message}");
            let pod = Pod {
                metadata: ObjectMeta {
                    name: Some(request.pod.clone()),
                    namespace: Some(key.namespace.clone()),
                    uid: Some(request.pod_uid.clone()),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            };
            let note = format!("no certificate yet for {} ({reason}): {message}", key.name);
            self.ctx.reporter.event(&pod, true, "CertificateWaits", &note).await;
        }
    }

    async fn note_pods(&self, record: &ChannelRecord) -> Result<(), Fault> {
        let known = self.vault.channel_records.get(&self.plan.id).await;
        let known = known.map_err(|error| self.vault.fault(&error))?;
        self.note(known, record.clone()).await.map(|_| ())
    }

    /// Answers what was judged; one that fails holds up no other. The first fault comes back.
    async fn answer(&mut self, judged: Judged, issuer: Option<&AuthorityCertificate>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        let denied = judged.denied.iter().map(|(_, request, _)| request);
        let fresh = confirmed(self.ctx, &self.name.namespace, denied).await;
        for (key, request, refusal) in &judged.denied {
            let fresh = match &fresh {
                Ok(fresh) => fresh,
                Err(fault) => {
                    outcome = Err(fault.clone());
                    break;
                }
            };
            match deny(self.ctx, key, request, refusal, Some((self.name, self.channel)), fresh).await {
                Ok(Denied::Written) => {}
                Ok(Denied::Outdated) => self.wake.push(later(self.now, SOON)),
                Err(fault) => outcome = outcome.and(Err(fault)),
            }
        }
        for noted in &judged.noted {
            let Some(issuer) = issuer else { break };
            let issued = issue(self.ctx, self.vault, &self.plan.id, noted, issuer, self.now).await;
            if issued.is_ok() {
                self.ctx.metrics.issued("PodCertificate");
            }
            outcome = outcome.and(issued);
        }
        outcome
    }
}
