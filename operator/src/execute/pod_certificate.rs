//! Answers a PodCertificateRequest. Its status is written once and is immutable afterwards.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::certificates::v1::PodCertificateRequest,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{FIELD_MANAGER, Reason, names::ChannelId};
use subrosa_plan::{
    pod_certificate::{self, Refusal, ToIssue},
    world::{World, declaration::Declaration, fault::Fault, request::Request},
};

use super::{
    objects,
    signing::{self, LeafOrder},
};
use crate::{
    changes::Watched as _,
    context::Context,
    observe::{
        DomainVault, asked,
        watch::{Change, ObjectKey},
    },
    pki::{AuthorityCertificate, PublicKey, Serial},
};

/// Signs the recorded certificate and returns it to kubelet. The key comes from the request; no private key is here.
///
/// # Errors
/// When it may not be signed, or Vault or the API server refuses.
pub async fn issue(
    ctx: &Context,
    vault: &DomainVault,
    id: &ChannelId,
    key: &ObjectKey,
    noted: &ToIssue<Serial>,
    issuer: &AuthorityCertificate,
    now: Timestamp,
) -> Result<(), Fault> {
    let ToIssue { name: _, request, spec, serial, validity, renew_at } = noted;
    let spki = request.key.as_ref().map(|key| key.spki.as_slice()).unwrap_or_default();
    let public = PublicKey::from_spki(spki)
        .map_err(|problem| Fault::new(Reason::CertificateRefused, problem.to_string()))?;
    let order = LeafOrder { spec, validity: *validity, serial, key: &public, issuer };
    let certificate = signing::leaf(vault, id, order, now).await?;
    let message = format!("serial {} of {}", serial.hex(), spec.spiffe_id());
    let status = json!({
        "certificateChain": certificate.chain_pem(issuer),
        "notBefore": Time(validity.not_before),
        "notAfter": Time(validity.not_after),
        "beginRefreshAt": Time(*renew_at),
        "conditions": [condition("Issued", Reason::Issued, message, now)],
    });
    write(ctx, key, request, status).await
}

/// The result of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It was written.
    Written,
    /// The API server's current state does not support it; wait for the watches.
    Outdated,
}

/// Reads the pods of `requests` and the Channels in `namespace` from the API server.
///
/// # Errors
/// When the request fails.
pub async fn confirmed<'a>(
    ctx: &Context,
    namespace: &str,
    requests: impl IntoIterator<Item = &'a Request>,
) -> Result<World, Fault> {
    let pods: Vec<_> = requests.into_iter().map(|request| request.pod.as_str()).collect();
    if pods.is_empty() {
        return Ok(World::default());
    }
    let fresh = asked::requested(&ctx.client, namespace, &pods).await;
    fresh.map_err(|error| {
        objects::fault("asking for a pod and its Channel before a request is denied", &error)
    })
}

/// Denies a request for good, if that is still right by the [`confirmed`] state. `judged` is the Channel that denies
/// it; `None` where the pod has no Channel.
///
/// # Errors
/// When the API server refuses.
pub async fn deny(
    ctx: &Context,
    key: &ObjectKey,
    request: &Request,
    refusal: &Refusal,
    judged: Option<&Declaration>,
    fresh: &World,
) -> Result<Denied, Fault> {
    let (namespace, name) = (&key.namespace, &key.name);
    if !pod_certificate::stands(namespace, request, judged, fresh, ctx.now()) {
        tracing::info!(
            namespace,
            request = name,
            pod = request.pod,
            reason = refusal.reason.as_str(),
            "not denied: it is otherwise by what the API server says now"
        );
        ctx.refresh.soon();
        return Ok(Denied::Outdated);
    }
    tracing::info!(
        namespace,
        request = name,
        pod = request.pod,
        reason = refusal.reason.as_str(),
        "{}",
        refusal.message
    );
    let condition = condition("Denied", refusal.reason, refusal.message.clone(), ctx.now());
    write(ctx, key, request, json!({"conditions": [condition]})).await?;
    Ok(Denied::Written)
}

fn condition(kind: &str, reason: Reason, message: String, now: Timestamp) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: reason.to_string(),
        message,
        last_transition_time: Time(now),
        observed_generation: None,
    }
}

/// Writes the status of exactly this version of the request; a conflict means that it was answered already.
async fn write(ctx: &Context, key: &ObjectKey, request: &Request, status: Value) -> Result<(), Fault> {
    let api: Api<PodCertificateRequest> = objects::namespaced(&ctx.client, &key.namespace);
    let patch = json!({
        "metadata": {"uid": request.uid, "resourceVersion": request.version},
        "status": status,
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let what = format!("answering PodCertificateRequest {}/{}", key.namespace, key.name);
    match api.patch_status(&key.name, &params, &Patch::Merge(&patch)).await {
        Ok(answered) => {
            // Taken in before the watch shows it, so that the request is not answered twice.
            take_in(ctx, Change::Applied(key.clone(), Arc::new(answered)));
            Ok(())
        }
        // Deleted with its pod: nobody waits for the answer.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            take_in(ctx, Change::Gone(key.clone()));
            Ok(())
        }
        Err(error) => Err(objects::fault(&what, &error)),
    }
}

fn take_in(ctx: &Context, change: Change<Arc<PodCertificateRequest>>) {
    // An answered request wakes nobody.
    let _ = ctx.cluster.write(|world| PodCertificateRequest::seen(world, change));
}
