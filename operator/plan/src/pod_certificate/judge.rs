//! Decides on all requests of a Channel together, so that one write of the record precedes everything that is signed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::Reason;

use super::{Refusal, RequestAnswer, answer, of_channel, renewal, tidied, validity};
use crate::{
    certificate::LeafSpec,
    channel::Plan,
    record::{
        channel::ChannelRecord,
        pods::{IssuedToPod, PodNames},
    },
    world::{World, certificate::Validity, declaration::Declaration, request::Request},
};

/// The signing generation of the authority.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Its number.
    pub generation: u32,
    /// Its validity.
    pub validity: Validity,
    /// The DNS subtrees that it permits.
    pub permitted: &'a BTreeSet<String>,
}

/// A certificate to sign for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToIssue<S> {
    /// The request's name.
    pub name: String,
    /// The request.
    pub request: Request,
    /// What is to be signed.
    pub spec: LeafSpec,
    /// Its serial.
    pub serial: S,
    /// Its validity.
    pub validity: Validity,
    /// When kubelet requests the next one.
    pub renew_at: Timestamp,
}

/// The decisions on requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedRequests<S> {
    /// The Channel's record, with the certificates to issue.
    pub record: ChannelRecord,
    /// The certificates to issue once the record is written.
    pub issue: Vec<ToIssue<S>>,
    /// The denied requests, by name.
    pub deny: Vec<(String, Request, Refusal)>,
    /// The waiting requests, by name.
    pub wait: Vec<(String, Request, Refusal)>,
    /// When to look again.
    pub wake_at: Vec<Timestamp>,
}

/// A Channel that answers requests.
#[derive(Clone, Copy)]
pub struct ChannelSigner<'a> {
    /// The Channel.
    pub channel: &'a Declaration,
    /// Its plan.
    pub plan: &'a Plan,
}

impl ChannelSigner<'_> {
    /// Decides on every request of the Channel's pods. Without an `issuer` none is answered. `is_unsigned` tells
    /// whether a recorded serial was never signed; `serial` makes a new one, lower-case hex as text.
    pub fn judge<S: ToString>(
        &self,
        before: &ChannelRecord,
        world: &World,
        issuer: Option<Issuer<'_>>,
        is_unsigned: impl Fn(&str) -> bool,
        mut serial: impl FnMut() -> S,
        now: Timestamp,
    ) -> JudgedRequests<S> {
        let pods = tidied(before.pods.clone(), self.channel.name(), world, now);
        let record = ChannelRecord { pods, ..before.clone() };
        let mut judged = JudgedRequests {
            record,
            issue: Vec::new(),
            deny: Vec::new(),
            wait: Vec::new(),
            wake_at: Vec::new(),
        };
        let Some(issuer) = issuer else { return judged };
        for (at, request) in of_channel(self.channel.name(), world, now) {
            self.judge_one(at, request, issuer, &is_unsigned, &mut serial, now, &mut judged);
        }
        judged
    }

    #[expect(clippy::too_many_arguments)] // The parts of `judge`, and the request.
    fn judge_one<S: ToString>(
        &self,
        at: String,
        request: Request,
        issuer: Issuer<'_>,
        is_unsigned: &impl Fn(&str) -> bool,
        serial: &mut impl FnMut() -> S,
        now: Timestamp,
        judged: &mut JudgedRequests<S>,
    ) {
        let noted = judged.record.pods.as_ref();
        let again = noted.and_then(|pods| pods.without_unsigned(&request.pod_uid, is_unsigned));
        let pods = again.as_ref().or(noted);
        match answer(&request, self.channel, self.plan, pods, issuer.permitted, now) {
            RequestAnswer::Issue(spec) => {
                if again.is_some() {
                    judged.record.pods = again;
                }
                match self.validated(&spec, issuer, now) {
                    Ok(validity) => {
                        let (serial, renew_at) = (serial(), renewal(&spec, validity));
                        let name = at;
                        let to_issue = ToIssue { name, request, spec: *spec, serial, validity, renew_at };
                        note(&mut judged.record, &to_issue, issuer, now);
                        judged.issue.push(to_issue);
                    }
                    Err(refusal) => judged.wait.push((at, request, refusal)),
                }
            }
            RequestAnswer::Deny(refusal) => judged.deny.push((at, request, refusal)),
            RequestAnswer::Wait(until, refusal) => {
                judged.wake_at.extend(until);
                judged.wait.push((at, request, refusal));
            }
        }
    }

    fn validated(&self, spec: &LeafSpec, issuer: Issuer<'_>, now: Timestamp) -> Result<Validity, Refusal> {
        spec.validate().map_err(|problem| {
            Refusal::new(Reason::CertificateRefused, format!("Channel {}: {problem}", self.channel.name()))
        })?;
        validity(spec, issuer.validity, now)
    }
}

/// Records a certificate that is about to be signed.
fn note<S: ToString>(record: &mut ChannelRecord, one: &ToIssue<S>, issuer: Issuer<'_>, now: Timestamp) {
    let issued = IssuedToPod {
        serial: one.serial.to_string(),
        generation: issuer.generation,
        not_before: one.validity.not_before,
        not_after: one.validity.not_after,
        renew_at: one.renew_at,
    };
    let pods = record.pods.take().unwrap_or_default();
    record.pods = Some(pods.noted(&one.request.pod_uid, PodNames::of(&one.spec), issued, now));
    record.authority =
        std::mem::take(&mut record.authority).with_leaf(issuer.generation, one.validity.not_after);
}
