//! Deleted Secrets, and how soon they are back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, PartialObjectMeta},
    runtime::watcher::{self, Event, watcher},
};

use super::crowd::Crowd;

/// How soon deleted Secrets were back.
pub(super) struct Healed {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Deletes `count` Secrets at once.
pub(super) async fn heal(client: &Client, crowd: &Crowd, count: usize) -> Result<Healed> {
    let mut times = back(client, crowd.sample(count)).await?;
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
    for secret in crowd.sample(count * 7).into_iter().skip(3).step_by(7) {
        times.extend(back(client, vec![secret]).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Deletes the Secrets of Channels, all at once; says how long each was away, as a watch sees it.
async fn back(client: &Client, channels: Vec<(String, String)>) -> Result<Vec<Duration>> {
    let ours = watcher::Config::default().labels("app.kubernetes.io/managed-by=subrosa");
    let mut watching = std::pin::pin!(watcher(Api::<PartialObjectMeta<Secret>>::all(client.clone()), ours));
    let mut before = BTreeMap::new();
    loop {
        match watching.try_next().await?.context("the watch ended")? {
            Event::InitApply(secret) => drop(before.insert(named(&secret), secret.uid())),
            Event::InitDone => break,
            _ => {}
        }
    }
    let name_of = |(namespace, channel): (String, String)| (namespace, format!("{channel}-mtls"));
    let names: Vec<_> = channels.into_iter().map(name_of).collect();
    let started = Instant::now();
    let deleting = async {
        stream::iter(&names)
            .map(Ok)
            .try_for_each_concurrent(names.len(), |(namespace, name)| async move {
                let api = Api::<Secret>::namespaced(client.clone(), namespace);
                anyhow::Ok(api.delete(name, &DeleteParams::default()).await.map(drop)?)
            })
            .await
    };
    let mut missing: BTreeSet<_> = names.iter().cloned().collect();
    let mut times = Vec::new();
    let seeing = async {
        while !missing.is_empty() {
            let Event::Apply(secret) = watching.try_next().await?.context("the watch ended")? else {
                continue;
            };
            let name = named(&secret);
            if before.get(&name).is_some_and(|uid| *uid != secret.uid()) && missing.remove(&name) {
                times.push(started.elapsed());
            }
        }
        anyhow::Ok(())
    };
    tokio::try_join!(deleting, seeing)?;
    Ok(times)
}

fn named(secret: &PartialObjectMeta<Secret>) -> (String, String) {
    (secret.namespace().unwrap_or_default(), secret.name_any())
}
