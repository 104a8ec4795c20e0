//! The finalizer that keeps a deleted TrustDomain until its access is withdrawn.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa_crds::{FIELD_MANAGER, TrustDomain, WITHDRAW_ACCESS_FINALIZER};
use subrosa_plan::world::{domain, fault::Fault};

use super::objects;
use crate::context::Context;

/// Adds or removes the finalizer on `domain`.
///
/// # Errors
/// When the API server refuses.
pub async fn set(ctx: &Context, domain: &TrustDomain, wanted: bool) -> Result<(), Fault> {
    let mut finalizers = domain.finalizers().to_vec();
    if domain::withdraws_access(domain) == wanted {
        return Ok(());
    }
    if wanted {
        finalizers.push(WITHDRAW_ACCESS_FINALIZER.into());
    } else {
        finalizers.retain(|one| one != WITHDRAW_ACCESS_FINALIZER);
    }
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": domain.resource_version()}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api: Api<TrustDomain> = Api::all(ctx.client.clone());
    match api.patch(&domain.name_any(), &params, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 && !wanted => Ok(()),
        Err(error) => Err(objects::fault("writing the finalizer", &error)),
    }
}
