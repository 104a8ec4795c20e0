//! The certificate that pods mount: read without Vault, even when issuing another one fails.

use jiff::Timestamp;
use subrosa_crds::channel::Delivery;
use subrosa_plan::{
    certificate::{CurrentCertificate, Observation, ObservedSecret},
    channel::Plan,
    world::declaration::Declaration,
};

use super::external;
use crate::{
    context::Context,
    execute::{
        certificate,
        objects::{self, FoundObject},
    },
};

/// The certificate that the pods of `channel` mount.
pub(super) async fn certificate(
    ctx: &Context,
    channel: &Declaration,
    plan: &Plan,
    now: Timestamp,
) -> Observation {
    if plan.delivery == Delivery::PodCertificate {
        return CurrentCertificate::OfEach.into();
    }
    let api = objects::namespaced(&ctx.client, &channel.name().namespace);
    if let Some(secret) = plan.external.as_deref() {
        return external::observed(&api, secret, now).await.0;
    }
    let uid = channel.uid().unwrap_or_default();
    let found = objects::find(&api, &plan.secret_name, |secret| objects::owned_by(secret, uid)).await;
    let found = match found {
        Ok(FoundObject::None) => ObservedSecret::Missing,
        Ok(FoundObject::Ours(secret)) => certificate::observe(&secret, &[]),
        Ok(FoundObject::Foreign(_)) | Err(_) => return Observation::Unknown,
    };
    in_secret(ctx, channel, plan, &found)
}

/// The content of the Secret. Where it does not exist and status names another one, pods still have that one until
/// the declared one is made.
pub(super) fn in_secret(
    ctx: &Context,
    channel: &Declaration,
    plan: &Plan,
    found: &ObservedSecret,
) -> Observation {
    let before = channel.status().and_then(|status| status.into_owned().certificate?.secret_name);
    let elsewhere = before.filter(|before| *before != plan.secret_name);
    match (found, elsewhere) {
        (ObservedSecret::Missing, Some(before))
            if ctx.cluster.secrets.of(channel.name()).contains(&before) =>
        {
            Observation::Unknown
        }
        _ => found.into(),
    }
}
