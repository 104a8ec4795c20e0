//! The controller of PodCertificateRequests. A Channel answers the requests of its pods in its own reconcile, where
//! all inputs are at hand. Requests of pods without a Channel are denied here.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use subrosa_crds::Channel;
use subrosa_plan::{
    pod_certificate::{Refusal, Responder, responder},
    world::{World, fault::Fault, request::Request},
};

use super::again;
use crate::{
    context::Context,
    execute::pod_certificate::{Denied, confirmed, deny},
    kinds::{Kind, start::Start, turns::Again},
    observe::watch::ObjectKey,
    subject::Subject,
};

/// How often a Channel is woken for a request that it has not answered.
const REMINDER: Duration = Duration::from_secs(60);

/// How soon to look again at a request that is newer than the watches' view.
const SOON: Duration = Duration::from_secs(2);

impl Kind for PodCertificateRequest {
    fn watch(start: &mut Start<'_>) {
        start.watch_requests();
    }

    // Passes a request to the Channel that answers it.
    fn reconcile(key: ObjectKey, ctx: Arc<Context>) -> BoxFuture<'static, Again> {
        async move { hand_over(key, &ctx).await }.boxed()
    }

    fn all(world: &World) -> Vec<ObjectKey> {
        let of = |namespace: &String, name: &String| ObjectKey {
            namespace: namespace.clone(),
            name: name.clone(),
        };
        let requests = world.requests.iter();
        requests.flat_map(|(namespace, all)| all.keys().map(move |name| of(namespace, name))).collect()
    }

    fn is_there(world: &World, key: &ObjectKey) -> bool {
        world.requests.get(&key.namespace).is_some_and(|requests| requests.contains_key(&key.name))
    }
}

async fn hand_over(key: ObjectKey, ctx: &Context) -> Again {
    let now = ctx.now();
    let pending = ctx.cluster.read(|world| {
        let request = world.requests.get(&key.namespace)?.get(&key.name)?.clone();
        let responder = responder(&key.namespace, &request, world, now);
        Some((request, responder))
    });
    let subject = Subject::of::<PodCertificateRequest>(key.clone());
    match pending {
        None => Again::when_named(),
        Some((_, Responder::Wait(until))) => again(ctx, subject, false, Some(until)),
        Some((_, Responder::Of(channel))) => {
            ctx.wake(Subject::of::<Channel>(channel));
            Again::after(REMINDER)
        }
        Some((request, Responder::Deny(refusal))) => match denied(ctx, &key, &request, &refusal).await {
            Ok(Denied::Written) => Again::when_named(),
            Ok(Denied::Outdated) => Again::after(SOON),
            Err(fault) => {
                tracing::warn!(request = key.name, reason = fault.reason.as_str(), "{}", fault.message);
                again(ctx, subject, true, None)
            }
        },
    }
}

async fn denied(
    ctx: &Context,
    key: &ObjectKey,
    request: &Request,
    refusal: &Refusal,
) -> Result<Denied, Fault> {
    let fresh = confirmed(ctx, &key.namespace, [request]).await?;
    deny(ctx, key, request, refusal, None, &fresh).await
}
