//! Objects that a deleted Channel left behind, because it was deleted with `--cascade=orphan` or garbage collection
//! does not run: closes its policy and empties its trust files. Its leaf may stay, because no peer trusts it any
//! more.

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, api::networking::v1::NetworkPolicy};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{
    CHANNEL_LABEL, TrustDomain,
    names::{ChannelId, ChannelRef},
};
use subrosa_plan::{
    certificate::{AuthoritySpec, ObservedSecret, specs, trust_sources},
    channel::ownership,
    record::channel::ChannelRecord,
    world::fault::Fault,
};

use super::{certificate, objects};
use crate::{
    changes::related,
    context::Context,
    observe::{
        DomainVault, asked,
        watch::{Change, ObjectKey},
    },
    pki,
};

/// Closes the policies that deleted Channels left open in `namespace`.
///
/// # Errors
/// The first fault; the other policies are closed all the same.
pub async fn close_policies(ctx: &Context, namespace: &str) -> Result<(), Fault> {
    let mut outcome = Ok(());
    if !ctx.cluster.is_prepared(namespace) {
        return outcome;
    }
    for (channel, policy) in ctx.cluster.read(|world| ownership::left_open(namespace, world)) {
        outcome = outcome.and(close(ctx, &channel, &policy).await);
    }
    outcome
}

/// Whether the Channel exists although the watch does not show it.
async fn is_there(ctx: &Context, channel: &ChannelRef) -> Result<bool, Fault> {
    let found = asked::is_there(&ctx.client, channel).await;
    found.map_err(|error| objects::fault(&format!("looking for Channel {channel}"), &error))
}

async fn close(ctx: &Context, channel: &ChannelRef, policy: &NetworkPolicy) -> Result<(), Fault> {
    if is_there(ctx, channel).await? {
        return Ok(());
    }
    let spec = ownership::closed(&policy.spec.clone().unwrap_or_default());
    let (name, what) =
        (policy.name_any(), format!("closing NetworkPolicy {}/{}", channel.namespace, policy.name_any()));
    let api = objects::namespaced::<NetworkPolicy>(&ctx.client, &channel.namespace);
    // A policy deleted meanwhile opens nothing.
    let Some(now) = api.get_opt(&name).await.map_err(|error| objects::fault(&what, &error))? else {
        return Ok(());
    };
    if !ownership::is_lost_policy(&now, &channel.name, None) {
        return Ok(());
    }
    let changes = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": now.resource_version()},
        {"op": "replace", "path": "/spec", "value": spec},
    ]);
    let closed = objects::patch_json(&api, &name, changes, &what).await?;
    tracing::info!(%channel, policy = name, "its Channel is gone: the policy opens nothing any more");
    let key = ObjectKey { namespace: channel.namespace.clone(), name };
    let woken = ctx.cluster.write(|world| related::network_policy(world, Change::Applied(key, closed)));
    woken.into_iter().for_each(|subject| ctx.wake(subject));
    Ok(())
}

/// Empties the trust files of the Secrets that the Channel of `id` left, where they provably belonged to it. Failures
/// are retried with the next search; withdrawing access does not wait for them.
pub async fn withdraw(ctx: &Context, domain: &str, vault: &DomainVault, id: &ChannelId) {
    let domain = ctx.cluster.read(|world| world.domains.get(domain).cloned());
    let (Some(domain), Ok(entry)) = (domain, vault.channel_records.get(id).await) else { return };
    let Some(record) = entry.record else { return };
    if let Err(fault) = withdraw_trust(ctx, &domain, &record, ctx.now()).await {
        tracing::warn!(channel = %record.channel, reason = fault.reason.as_str(), "{}", fault.message);
    }
}

async fn withdraw_trust(
    ctx: &Context,
    domain: &TrustDomain,
    record: &ChannelRecord,
    now: Timestamp,
) -> Result<(), Fault> {
    let channel = &record.channel;
    let nothing = record.open.is_empty() && record.extra_trust.is_empty();
    if nothing && ctx.cluster.secrets.of(channel).is_empty() || !ctx.cluster.is_prepared(&channel.namespace) {
        return Ok(());
    }
    let api = objects::namespaced::<Secret>(&ctx.client, &channel.namespace);
    let labelled = ListParams::default().labels(&format!("{CHANNEL_LABEL}={}", channel.name));
    let what = format!("reading the Secrets that Channel {channel} left");
    let found = api.list(&labelled).await.map_err(|error| objects::fault(&what, &error))?.items;
    if found.is_empty() || is_there(ctx, channel).await? {
        return Ok(());
    }
    let spec = specs::authority_spec(channel, &record.id(), domain, now);
    let mut outcome = Ok(());
    for secret in &found {
        outcome = outcome.and(trust_nobody(&api, channel, secret, record, &spec).await);
    }
    outcome
}

async fn trust_nobody(
    api: &Api<Secret>,
    channel: &ChannelRef,
    secret: &Secret,
    record: &ChannelRecord,
    spec: &AuthoritySpec,
) -> Result<(), Fault> {
    let own = pki::authority::recorded(&record.authority, spec);
    let observed = certificate::observe(secret, &own);
    if !ownership::is_lost_secret(secret, &observed, &spec.spiffe_id(), &channel.name, None) {
        return Ok(());
    }
    let ObservedSecret::Present(found) = &observed else { return Ok(()) };
    let nobody = ownership::trusting_nobody(&found.trust);
    if !trust_sources::exceeds(&found.trust, &nobody) {
        return Ok(());
    }
    let name = secret.name_any();
    let version =
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": secret.resource_version()});
    let files = nobody.into_iter().map(|(file, text)| {
        // The names of our files contain neither `/` nor `~`, so they need no escaping in a JSON pointer.
        json!({"op": "replace", "path": format!("/data/{file}"), "value": ByteString(text.into_bytes())})
    });
    let changes = Value::Array([version].into_iter().chain(files).collect());
    let what = format!("taking the trust from Secret {}/{name}", channel.namespace);
    objects::patch_json(api, &name, changes, &what).await?;
    tracing::info!(%channel, secret = name, "its Channel is gone: the trust files trust nobody any more");
    Ok(())
}
