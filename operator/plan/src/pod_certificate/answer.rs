//! Whether a Channel issues a certificate for one of its pods now, and which.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{Reason, channel::Delivery, names::ChannelRef};

use crate::{
    certificate::LeafSpec,
    channel::{Plan, Scope},
    world::{
        certificate::{KeyAlgorithm, Validity, after, fraction, whole_seconds},
        declaration::Declaration,
    },
};
use crate::{
    pod_certificate::{PATIENCE, Refusal, titled},
    record::pods::PodCertificates,
    world::request::{Request, RequestedKey},
};

/// How far a pod's certificate is backdated: the API server allows a difference of five minutes between its clock and
/// the start.
const BACKDATED: SignedDuration = SignedDuration::from_mins(2);
/// The shortest lifetime that the API server allows.
const SHORTEST: SignedDuration = SignedDuration::from_hours(1);
/// The least time between renewal and end: the API server requires ten minutes, and kubelet adds up to five.
const LEAST_LEAD: SignedDuration = SignedDuration::from_mins(15);

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestAnswer {
    /// A certificate as specified, for the key in the request.
    Issue(Box<LeafSpec>),
    /// Deny, which is final for the pod.
    Deny(Refusal),
    /// Wait until something changes, or until this time.
    Wait(Option<Timestamp>, Refusal),
}

/// The answer of `channel` to a request of one of its pods. `record` is its record, `permitted` are the DNS subtrees
/// of the signing authority.
#[must_use]
pub fn answer(
    request: &Request,
    channel: &Declaration,
    plan: &Plan,
    record: Option<&PodCertificates>,
    permitted: &BTreeSet<String>,
    now: Timestamp,
) -> RequestAnswer {
    let name = channel.name();
    let knows = record.is_some_and(|record| record.knows(&request.pod_uid));
    // While the declaration is not in force, existing certificates are renewed with their names.
    let held = !matches!(plan.scope, Scope::Full | Scope::Audit);
    let patience = after(request.created, PATIENCE);
    // The declaration may be about to change, and one that is not in force is no reason to deny.
    let refused = |refusal: Refusal| match now < patience {
        _ if held => RequestAnswer::Wait(None, refusal),
        true => RequestAnswer::Wait(Some(patience), refusal),
        false => RequestAnswer::Deny(refusal),
    };
    // A pod with a certificate keeps getting renewals for its life, whatever the delivery for new pods.
    if plan.delivery != Delivery::PodCertificate && !knows {
        let declared = channel.delivery() == Delivery::PodCertificate;
        return refused(if declared { not_in_force(name) } else { in_secret(request, name, plan) });
    }
    let names = record.and_then(|record| record.names.as_ref());
    if held && names.is_none() {
        return RequestAnswer::Wait(None, not_in_force(name));
    }
    if let Some(refusal) = wrong_account(request, channel).filter(|_| !(held && knows)) {
        return refused(refusal);
    }
    // Annotations belong to the pod, which cannot be changed.
    if !request.annotations.is_empty() {
        return RequestAnswer::Deny(annotated(request));
    }
    let wanted = plan.leaf.key_algorithm;
    let Some(key) = &request.key else { return RequestAnswer::Deny(wrong_key(None, wanted, name)) };
    // So does the key type; a pod keeps the one it began with.
    if key.algorithm != wanted && !knows {
        return refused(wrong_key(Some(key), wanted, name));
    }
    if let Some(Err((until, refusal))) = record.map(|record| record.admit(&request.pod_uid, now)) {
        return RequestAnswer::Wait(Some(until), refusal);
    }
    let declared = LeafSpec { key_algorithm: key.algorithm, ..plan.leaf.clone() };
    let named = match names {
        Some(names) if held => names.given_to(&declared, key.algorithm),
        _ => declared,
    };
    RequestAnswer::Issue(Box::new(shortened(&named.permitted_by(permitted).0, request.max_life)))
}

/// With the lifetime that the pod requested, and the renewal at the same share of it.
fn shortened(spec: &LeafSpec, max_life: SignedDuration) -> LeafSpec {
    let duration = spec.duration.min(max_life);
    let renew_before = fraction(duration, spec.renew_before.as_secs(), spec.duration.as_secs());
    LeafSpec { duration, renew_before: renew_before.max(SignedDuration::from_secs(1)), ..spec.clone() }
}

/// The validity of a certificate made now: as [`LeafSpec::validity`], within the API server's rules.
///
/// # Errors
/// When the authority is not valid long enough.
pub fn validity(spec: &LeafSpec, authority: Validity, now: Timestamp) -> Result<Validity, Refusal> {
    let now = whole_seconds(now);
    let life = spec.duration.min(fraction(authority.lifetime(), 1, 4));
    let not_before = after(now, -BACKDATED.min(fraction(life, 1, 10))).max(authority.not_before);
    let not_after = after(not_before, life).min(authority.not_after);
    let validity = Validity { not_before, not_after };
    if now < authority.not_before || validity.lifetime() < SHORTEST {
        let message = format!(
            "the authority is valid from {} to {}: a certificate for a pod lives at least an hour and at most a quarter of that; lengthen \
             certificateAuthority.duration of the TrustDomain, or let the next generation take over",
            authority.not_before, authority.not_after
        );
        return Err(Refusal { reason: Reason::AuthorityNotValid, message });
    }
    Ok(validity)
}

/// When kubelet requests the next one: ahead of the end by the share of the lifetime in `spec`, but not in its first
/// third.
#[must_use]
pub fn renewal(spec: &LeafSpec, validity: Validity) -> Timestamp {
    let life = validity.lifetime();
    let lead = fraction(life, spec.renew_before.as_secs(), spec.duration.as_secs());
    after(validity.not_after, -lead.max(LEAST_LEAD).min(fraction(life, 2, 3)))
}

fn in_secret(request: &Request, name: &ChannelRef, plan: &Plan) -> Refusal {
    Refusal::new(
        Reason::DeliveredInSecret,
        format!(
            "{} delivers its certificate in Secret {}: set its tls.delivery to PodCertificate and delete pod {}, or mount the Secret",
            titled(name),
            plan.secret_name,
            request.pod
        ),
    )
}

fn not_in_force(name: &ChannelRef) -> Refusal {
    Refusal::new(
        Reason::ChannelNotInForce,
        format!(
            "{} is Stalled or its namespace frozen, and no pod of it was given a certificate before: see its conditions; what waits is \
             answered once they are mended",
            titled(name)
        ),
    )
}

fn wrong_account(request: &Request, channel: &Declaration) -> Option<Refusal> {
    let account = channel.service_account()?;
    let name = channel.name();
    (account != request.service_account).then(|| {
        Refusal::new(
            Reason::ServiceAccountMismatch,
            format!(
                "pod {} runs as ServiceAccount {}, and {} is the workload of {account}: set serviceAccountName of the pod to {account}, or \
                 correct workload.serviceAccountName of the Channel, then delete the pod to have it made again",
                request.pod,
                request.service_account,
                titled(name)
            ),
        )
    })
}

fn annotated(request: &Request) -> Refusal {
    let names: Vec<_> = request.annotations.iter().map(String::as_str).collect();
    Refusal::new(
        Reason::InvalidUnverifiedUserAnnotations,
        format!(
            "this signer knows no userAnnotations: take {} out of the pod's podCertificate source; what a certificate says is declared in \
             the Channel",
            names.join(", ")
        ),
    )
}

fn wrong_key(found: Option<&RequestedKey>, wanted: KeyAlgorithm, name: &ChannelRef) -> Refusal {
    let has = match found {
        Some(key) => key_type(key.algorithm),
        None => "another",
    };
    Refusal::new(
        Reason::UnsupportedKeyType,
        format!(
            "{} asks for {} keys (tls.keyAlgorithm), and this is {has}: write keyType: {} in the pod's podCertificate source",
            titled(name),
            key_type(wanted),
            key_type(wanted)
        ),
    )
}

/// The value for the pod's volume source.
fn key_type(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => "ECDSAP256",
        KeyAlgorithm::EcdsaP384 => "ECDSAP384",
    }
}
