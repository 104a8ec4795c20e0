//! Forcing a renewal, and watching it reach a running server while somebody connects all the time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa_crds::{Channel, channel::KeyAlgorithm};
use tokio::time::Instant;

use super::{
    Node, PATIENCE,
    servers::{CLIENTS_NAMESPACE, DESK, SERVERS_NAMESPACE, Server},
    wire::Wire,
};

/// Between one connection and the next.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the new certificate has to be met in a row: a server may have processes that took it later.
const SETTLED: u32 = 20;

/// A renewal that a server took while it ran.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The serial number that was served before.
    pub old: String,
    /// The one that is served now.
    pub new: String,
    /// How many connections were made meanwhile; every one of them succeeded.
    pub connections: u32,
    /// How long it took from the change of the Channel.
    pub took: Duration,
}

impl Node {
    /// Asks for another key algorithm, so that the server's Channel gets another leaf, and connects as its peer until
    /// that is what is served.
    ///
    /// # Errors
    /// When one connection fails, or the old certificate is served for too long.
    pub async fn renew(&self, Server { name, port, protocol, .. }: Server) -> Result<Renewal> {
        let server = (SERVERS_NAMESPACE, name, port);
        let wire = Wire::new(self, server, (CLIENTS_NAMESPACE, DESK), protocol).await?;
        let old = wire.call().await.context("before the renewal")?.serial;
        let channels: Api<Channel> = Api::namespaced(self.client()?, SERVERS_NAMESPACE);
        let tls = channels.get(name).await?.spec.tls.unwrap_or_default();
        let other = match tls.key_algorithm.unwrap_or_default() {
            KeyAlgorithm::EcdsaP256 => KeyAlgorithm::EcdsaP384,
            KeyAlgorithm::EcdsaP384 => KeyAlgorithm::EcdsaP256,
        };
        let change = json!({"spec": {"tls": {"keyAlgorithm": other}}});
        channels.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await?;

        let began = Instant::now();
        let (mut connections, mut met, mut new) = (0, 0, old.clone());
        while met < SETTLED {
            let found = wire.call().await;
            let serving = found.with_context(|| format!("connection {connections} of {name}"))?.serial;
            connections += 1;
            met = if serving != old && serving == new { met + 1 } else { 0 };
            new = serving;
            ensure!(
                began.elapsed() < PATIENCE,
                "{name} serves {new}, and served {old} {PATIENCE:?} ago, met in {connections} connections"
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Renewal { old, new, connections, took: began.elapsed() })
    }
}
