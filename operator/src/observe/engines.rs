//! Other policy engines, by the API groups they serve.

use std::collections::BTreeSet;
use subrosa_crds::Channel;

use crate::{context::Context, kinds::Subject};

/// Groups whose resources widen or replace NetworkPolicy in ways that cannot be computed from it.
const ENGINES: [&str; 4] =
    ["cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io"];

/// Notes in the world which engines' API groups are served.
pub async fn look(ctx: &Context) {
    match ctx.client.list_api_groups().await {
        Ok(groups) => {
            let found: BTreeSet<String> = groups
                .groups
                .into_iter()
                .map(|group| group.name)
                .filter(|name| ENGINES.contains(&name.as_str()))
                .collect();
            let before =
                ctx.cluster.write(|world| std::mem::replace(&mut world.other_engines, found.clone()));
            if before != found {
                // This changes what Channels may claim about their isolation.
                let channels: Vec<_> = ctx
                    .cluster
                    .read(|world| world.all_channels().map(|channel| channel.name().clone()).collect());
                channels.into_iter().for_each(|name| ctx.wake(Subject::of::<Channel>(name)));
            }
        }
        Err(error) => tracing::debug!(%error, "the API groups could not be listed"),
    }
}
