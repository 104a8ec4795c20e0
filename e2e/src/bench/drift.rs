//! Deleted Secrets, and how soon they are back.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _, api::DeleteParams};

use super::crowd::Crowd;

/// How soon deleted Secrets were back.
pub(super) struct Healed {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Deletes `count` Secrets at once.
pub(super) async fn heal(client: &Client, crowd: &Crowd, count: usize) -> Result<Healed> {
    let deleted = crowd.sample(count).into_iter().map(|(namespace, name)| back(client, namespace, name));
    let results: Vec<_> = stream::iter(deleted).buffer_unordered(count).collect().await;
    let mut times = results.into_iter().collect::<Result<Vec<_>>>()?;
    times.sort();
    let at = |share: usize| {
        times.get((times.len() * share / 100).min(times.len() - 1)).copied().unwrap_or_default()
    };
    Ok(Healed { p50: at(50), p99: at(99) })
}

/// Deletes one Secret, `count` times; the median.
pub(super) async fn one(client: &Client, crowd: &Crowd, count: usize) -> Result<Duration> {
    let mut times = Vec::new();
    // Others than those just deleted: an object is issued at most three certificates an hour.
    for (namespace, name) in crowd.sample(count * 7).into_iter().skip(3).step_by(7) {
        times.push(back(client, namespace, name).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

async fn back(client: &Client, namespace: String, name: String) -> Result<Duration> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let name = format!("{name}-mtls");
    let before = api.get(&name).await?.uid();
    let started = Instant::now();
    api.delete(&name, &DeleteParams::default()).await?;
    loop {
        if let Some(found) = api.get_opt(&name).await?
            && found.uid() != before
        {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
