//! Whether the admission policies that guard membership and deletion are in place and unedited.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Resource,
    core::{ApiResource, DynamicObject},
};

use crate::{
    context::Context,
    grants::admission::{Found, RESTORE, gaps, names, policies},
};

/// What is wrong with the admission policies, if anything. What cannot be read counts as wrong.
pub async fn look(ctx: &Context) -> Option<String> {
    match found(ctx).await {
        Err(error) => Some(format!("the admission policies cannot be read: {error}")),
        Ok(found) => {
            let gaps: Vec<_> =
                gaps(&policies(&ctx.installation), &found).iter().map(ToString::to_string).collect();
            (!gaps.is_empty()).then(|| format!("{}; next: {RESTORE}", gaps.join("; ")))
        }
    }
}

/// Read without this build's types, so that a field they do not know is seen too.
async fn found(ctx: &Context) -> kube::Result<Found<DynamicObject, DynamicObject>> {
    let policies = api::<ValidatingAdmissionPolicy>(ctx);
    let bindings = api::<ValidatingAdmissionPolicyBinding>(ctx);
    let mut found = Found { policies: Vec::new(), bindings: Vec::new() };
    for name in names(&ctx.installation) {
        found.policies.extend(policies.get_opt(&name).await?);
        found.bindings.extend(bindings.get_opt(&name).await?);
    }
    Ok(found)
}

fn api<K: Resource<DynamicType = ()>>(ctx: &Context) -> Api<DynamicObject> {
    Api::all_with(ctx.client.clone(), &ApiResource::erase::<K>(&()))
}
