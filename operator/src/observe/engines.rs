//! Other policy engines, by the API groups they serve.

use std::collections::BTreeSet;

use kube::Client;
use subrosa_crds::Channel;
use subrosa_plan::world::declaration::Declaration;

use super::Cluster;
use crate::subject::Subject;

/// Groups whose resources widen or replace NetworkPolicy in ways that cannot be computed from it.
const ENGINES: [&str; 4] =
    ["cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io"];

/// Notes in the world which engines' API groups are served. Returns the objects to reconcile because of a change.
pub async fn look(client: &Client, cluster: &Cluster) -> Vec<Subject> {
    match client.list_api_groups().await {
        Ok(groups) => {
            let found: BTreeSet<String> = groups
                .groups
                .into_iter()
                .map(|group| group.name)
                .filter(|name| ENGINES.contains(&name.as_str()))
                .collect();
            let before = cluster.write(|world| std::mem::replace(&mut world.other_engines, found.clone()));
            if before == found {
                return Vec::new();
            }
            // This changes what Channels may claim about their isolation.
            let subject = |channel: &Declaration| Subject::of::<Channel>(channel.name().clone());
            cluster.read(|world| world.all_channels().map(subject).collect())
        }
        Err(error) => {
            tracing::debug!(%error, "the API groups could not be listed");
            Vec::new()
        }
    }
}
