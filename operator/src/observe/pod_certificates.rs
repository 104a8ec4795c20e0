//! Whether the cluster serves PodCertificateRequests, and a watch of those for our signer.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use kube::{Api, Resource as _};
use subrosa_crds::{Channel, channel::Delivery};
use subrosa_plan::pod_certificate::SIGNER;
use tokio_util::sync::CancellationToken;

use super::watch::{self, Change};
use crate::{context::Context, subject::Subject};

/// How often to check, because the cluster may be upgraded.
const PAUSE: Duration = Duration::from_secs(30);

/// Asks the API server whether it serves the kind, and notes the answer in the world.
pub async fn look(ctx: &Context) -> bool {
    let version = PodCertificateRequest::api_version(&());
    let plural = PodCertificateRequest::plural(&());
    let served = match ctx.client.list_api_group_resources(&version).await {
        Ok(list) => list.resources.iter().any(|one| one.name == plural),
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => {
            tracing::debug!(%error, "whether {plural} are served could not be heard");
            return ctx.cluster.read(|world| world.pod_certificates == Some(true));
        }
    };
    let before = ctx.cluster.write(|world| world.pod_certificates.replace(served));
    if before != Some(served) {
        tracing::info!(served, "{plural} of {version}");
        let concerned: Vec<_> = ctx.cluster.read(|world| {
            let channels = world.all_channels();
            let of_each = channels.filter(|channel| channel.delivery() == Delivery::PodCertificate);
            of_each.map(|channel| channel.name().clone()).collect()
        });
        concerned.into_iter().for_each(|name| ctx.wake(Subject::of::<Channel>(name)));
    }
    served
}

/// Watches the requests to our signer until `stop`, once they are served. A cluster without them is no fault here;
/// Channels that need them report it.
pub async fn follow(
    ctx: Arc<Context>,
    stop: CancellationToken,
    apply: impl FnMut(Change<PodCertificateRequest>) + Send + 'static,
) {
    while !look(&ctx).await {
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
    let looking = {
        let ctx = Arc::clone(&ctx);
        async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                look(&ctx).await;
            }
        }
    };
    let api = Api::<PodCertificateRequest>::all(ctx.client.clone());
    let ours = watch::config().fields(&format!("spec.signerName={SIGNER}"));
    let (announcer, _) = ctx.refresh.announcer(std::any::type_name::<PodCertificateRequest>());
    tokio::select! {
        () = watch::follow(api, ours, announcer, stop.clone(), apply) => {}
        () = looking => {}
    }
}
