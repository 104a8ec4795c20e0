//! Waiting for what should become so.

use std::{fmt::Debug, future::Future, time::Duration};

use anyhow::{Result, bail};
use kube::{Api, Client};
use subrosa_crds::{Channel, ChannelStatus, condition};

/// How often something is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until `look` gives `Ok`; the error of the last look says what was missing.
///
/// # Errors
/// When time is up, with what was missing last.
pub async fn until<T, E, F>(limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(missing) if tokio::time::Instant::now() >= deadline => {
                bail!("not so within {limit:?}: {missing:?}")
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Waits until a Channel's status satisfies `holds`.
///
/// # Errors
/// When time is up, with the whole status.
pub async fn channel(
    client: &Client,
    namespace: &str,
    name: &str,
    limit: Duration,
    holds: impl Fn(&ChannelStatus) -> bool,
) -> Result<ChannelStatus> {
    let api: Api<Channel> = Api::namespaced(client.clone(), namespace);
    until(limit, || async {
        let channel = api.get(name).await.map_err(|error| error.to_string())?;
        let status = channel.status.unwrap_or_default();
        let current = status.observed_generation == channel.metadata.generation;
        if current && holds(&status) {
            Ok(status)
        } else {
            Err(serde_json::to_string_pretty(&status).unwrap_or_default())
        }
    })
    .await
}

/// Whether a condition is true.
pub fn is(status: &ChannelStatus, kind: &str) -> bool {
    condition::is_true(&status.conditions, kind)
}

/// The reason of a condition; empty where it is absent.
pub fn reason<'a>(status: &'a ChannelStatus, kind: &str) -> &'a str {
    condition::find(&status.conditions, kind).map(|found| found.reason.as_str()).unwrap_or_default()
}

/// Whether a Channel is Ready and all its connections are open.
pub fn whole(status: &ChannelStatus) -> bool {
    is(status, condition::READY) && is(status, condition::CONNECTED)
}
