//! Channels in pairs, each with a ServiceAccount, a listener or a connection, and a data class.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    core::v1::{Secret, ServiceAccount},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use subrosa_crds::Channel;

use crate::wait::whole;

/// How long a crowd may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Channels, numbered from 0; the even ones listen, the odd ones connect to the one before.
pub(super) struct Crowd {
    per_namespace: usize,
    added: Vec<usize>,
}

impl Crowd {
    /// Makes namespaces and ServiceAccounts for `size` Channels beforehand: they are not measured.
    pub(super) async fn prepare(
        client: &Client,
        domain: &str,
        size: usize,
        per_namespace: usize,
    ) -> Result<Self> {
        let crowd = Self { per_namespace, added: Vec::new() };
        let namespaces: Vec<_> = (0..=size / per_namespace + 1).collect();
        stream::iter(namespaces)
            .map(Ok)
            .try_for_each_concurrent(16, |number| async move {
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                    "name": format!("crowd-{number}"), "labels": {"subrosa.dev/trust-domain": domain},
                }});
                crate::installation::apply_object(client, &namespace).await.map(drop)
            })
            .await?;
        stream::iter(0..size)
            .map(Ok)
            .try_for_each_concurrent(32, |number| {
                let api = Api::<ServiceAccount>::namespaced(client.clone(), &crowd.namespace_of(number));
                async move {
                    let account =
                        serde_json::from_value(json!({"metadata": {"name": format!("w{number}")}}))?;
                    anyhow::Ok(api.create(&PostParams::default(), &account).await.map(drop)?)
                }
            })
            .await?;
        adopted(client, size / per_namespace + 2).await?;
        Ok(crowd)
    }

    fn namespace_of(&self, number: usize) -> String {
        format!("crowd-{}", number / self.per_namespace)
    }

    /// Lets the API server compile what it checks Channels by: it does so at the first one, for seconds.
    pub(super) async fn warm_up(&self, client: &Client) -> Result<()> {
        let channel = serde_json::from_value(manifest(0, true))?;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        Api::<Channel>::namespaced(client.clone(), &self.namespace_of(0)).create(&dry, &channel).await?;
        Ok(())
    }

    /// Applies `count` more Channels and waits until all of them are whole; says how long that took.
    pub(super) async fn add(&mut self, client: &Client, count: usize, at_once: usize) -> Result<Duration> {
        // A new crowd begins with one that listens, so that nobody waits for one of an earlier crowd.
        let first = self.added.last().map_or(0, |last| (last + 1).next_multiple_of(2));
        let numbers: Vec<_> = (first..first + count).collect();
        self.added.extend(&numbers);
        let last = first + count - 1;
        let mut missing: BTreeSet<_> = numbers.iter().map(|number| name_of(*number)).collect();
        let (channels, which) = self.watched(client, &numbers);
        let mut watching = std::pin::pin!(watcher(channels, which).default_backoff());
        // Those that are there are listed before the clock runs.
        while !matches!(watching.try_next().await?.context("the watch ended")?, Event::InitDone) {}
        let started = Instant::now();
        let applying = stream::iter(numbers).map(Ok).try_for_each_concurrent(at_once, |number| {
            let channel = manifest(number, number == last && number % 2 == 0);
            let api = Api::<Channel>::namespaced(client.clone(), &self.namespace_of(number));
            async move {
                let channel = serde_json::from_value(channel)?;
                anyhow::Ok(api.create(&PostParams::default(), &channel).await.map(drop)?)
            }
        });
        let waiting = async {
            while !missing.is_empty() {
                let event = watching.try_next().await?.context("the watch ended")?;
                let (Event::Apply(seen) | Event::InitApply(seen)) = event else { continue };
                if seen.status.as_ref().is_some_and(whole) {
                    missing.remove(&seen.name_any());
                }
            }
            anyhow::Ok(())
        };
        let both = async { tokio::try_join!(applying, waiting) };
        match tokio::time::timeout(LIMIT, both).await {
            Ok(result) => result.map(|_| started.elapsed()),
            Err(_) => bail!("{} of {count} Channels did not become whole", missing.len()),
        }
    }

    /// What is watched for these Channels. For one it is that one: the API server would still be busy with a list of
    /// thousands when its clock runs.
    fn watched(&self, client: &Client, numbers: &[usize]) -> (Api<Channel>, watcher::Config) {
        match numbers {
            [one] => {
                let named = format!("metadata.name={}", name_of(*one));
                let api = Api::namespaced(client.clone(), &self.namespace_of(*one));
                (api, watcher::Config::default().fields(&named))
            }
            _ => (Api::all(client.clone()), watcher::Config::default()),
        }
    }

    /// Adds Channels that stand alone, one after the other; the median of how long each took.
    pub(super) async fn one_by_one(&mut self, client: &Client, rounds: usize) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push(self.add(client, 1, 1).await?);
            // What the one before still wakes is not part of the next.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        times.sort();
        Ok(times.get(times.len() / 2).copied().unwrap_or_default())
    }

    /// Namespaces and names of the Channels with a Secret, spread over the whole crowd.
    pub(super) fn sample(&self, count: usize) -> Vec<(String, String)> {
        let step = (self.added.len() / count).max(1);
        self.added
            .iter()
            .step_by(step)
            .take(count)
            .map(|number| (self.namespace_of(*number), name_of(*number)))
            .collect()
    }
}

/// Waits until the operator has taken over every namespace.
async fn adopted(client: &Client, namespaces: usize) -> Result<()> {
    let policies: Api<NetworkPolicy> = Api::all(client.clone());
    let denying = ListParams::default().fields("metadata.name=subrosa-default-deny");
    crate::wait::until(Duration::from_secs(600), || async {
        let found = policies.list_metadata(&denying).await.map_err(|error| error.to_string())?.items.len();
        if found >= namespaces {
            Ok(())
        } else {
            Err(format!("{found} of {namespaces} namespaces are adopted"))
        }
    })
    .await
}

fn name_of(number: usize) -> String {
    format!("c{number}")
}

/// A Channel of the crowd; one that is left without its pair stands alone.
fn manifest(number: usize, alone: bool) -> Value {
    let workload = json!({"selector": {"matchLabels": {"app": name_of(number)}}, "serviceAccountName": format!("w{number}")});
    let listeners = json!([{"name": "tls", "port": 8443}]);
    let spec = match (number % 2, alone) {
        (0, true) => json!({"workload": workload, "dataClasses": ["chat-log"], "listeners": listeners}),
        (0, false) => json!({"workload": workload, "dataClasses": ["chat-log"], "listeners": listeners,
            "accepts": [{"name": name_of(number + 1)}]}),
        _ => {
            json!({"workload": workload, "dataClasses": ["chat-log"], "connectsTo": [{"name": name_of(number - 1)}]})
        }
    };
    json!({"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name_of(number)}, "spec": spec})
}

/// Secrets that have nothing to do with Subrosa, in namespaces that do and do not belong to it.
pub(super) async fn unrelated_secrets(client: &Client, count: usize, at_once: usize) -> Result<()> {
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(at_once, |number| async move {
            let secret: Secret = serde_json::from_value(json!({
                "metadata": {"name": format!("unrelated-{number}")},
                "stringData": {"content": "x".repeat(512)},
            }))?;
            let namespace = if number % 2 == 0 { "default".to_owned() } else { "crowd-0".to_owned() };
            anyhow::Ok(
                Api::<Secret>::namespaced(client.clone(), &namespace)
                    .create(&PostParams::default(), &secret)
                    .await
                    .map(drop)?,
            )
        })
        .await
}
