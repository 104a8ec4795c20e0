//! The certificate that pods mount, as it is: read without Vault, and whatever becomes of issuing another.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_crds::{Channel, channel::Delivery, names::ChannelRef};
use subrosa_plan::{
    certificate::{CurrentCertificate, Observation, ObservedSecret, external::judge},
    channel::Plan,
    world::fault::Fault,
};

use crate::{
    context::Context,
    execute::{
        certificate,
        objects::{self, Found},
    },
};

/// The certificate that the pods of `channel` mount.
pub(super) async fn certificate(
    ctx: &Context,
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    now: Timestamp,
) -> Observation {
    if plan.delivery == Delivery::PodCertificate {
        return CurrentCertificate::OfEach.into();
    }
    let api = objects::namespaced(&ctx.client, &name.namespace);
    if let Some(secret) = plan.external.as_deref() {
        return external(&api, secret, now).await.0;
    }
    let uid = channel.metadata.uid.as_deref().unwrap_or_default();
    let found = objects::find(&api, &plan.secret_name, |secret| objects::owned_by(secret, uid)).await;
    let found = match found {
        Ok(Found::None) => ObservedSecret::Missing,
        Ok(Found::Ours(secret)) => certificate::observe(&secret, &[]),
        Ok(Found::Foreign(_)) | Err(_) => return Observation::Unknown,
    };
    in_secret(ctx, channel, name, plan, &found)
}

/// What was found in the Secret. Where there is none and the one that status told of has another name, pods have that
/// one until the declared one is made.
pub(super) fn in_secret(
    ctx: &Context,
    channel: &Channel,
    name: &ChannelRef,
    plan: &Plan,
    found: &ObservedSecret,
) -> Observation {
    let before = channel.status.as_ref().and_then(|status| status.certificate.as_ref()?.secret_name.as_ref());
    let elsewhere = before.filter(|before| **before != plan.secret_name);
    match (found, elsewhere) {
        (ObservedSecret::Missing, Some(before)) if ctx.cluster.secrets.of(name).contains(before) => {
            Observation::Unknown
        }
        _ => found.into(),
    }
}

/// The certificate that somebody else puts into `secret`, and whether it is one that pods can present now.
pub(super) async fn external(
    api: &Api<Secret>,
    secret: &str,
    now: Timestamp,
) -> (Observation, Result<(), Fault>) {
    let found = match super::external::found(api, secret).await {
        Ok(found) => found,
        Err(fault) => return (Observation::Unknown, Err(fault)),
    };
    (Observation::from(&found), judge(&found, secret, now))
}
