//! Other policy engines, by the API groups they serve.

use std::collections::BTreeSet;

use crate::context::Context;

/// Groups whose resources widen or replace NetworkPolicy in ways that cannot be computed from it.
const ENGINES: [&str; 4] =
    ["cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io"];

/// Takes into the world which engines' APIs are served.
pub async fn look(ctx: &Context) {
    match ctx.client.list_api_groups().await {
        Ok(groups) => {
            let found: BTreeSet<String> = groups
                .groups
                .into_iter()
                .map(|group| group.name)
                .filter(|name| ENGINES.contains(&name.as_str()))
                .collect();
            ctx.cluster.write(|world| world.other_engines = found);
        }
        Err(error) => tracing::debug!(%error, "the API groups could not be listed"),
    }
}
