//! Real servers on a node, each with its own configuration and the Secret that Subrosa writes, and two clients: one
//! that the servers accept, and a stranger.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Node,
    wire::{Protocol, Wire},
};
use crate::wait;

/// The namespace of the servers.
pub const SERVERS_NAMESPACE: &str = "cc-servers";
/// The namespace of the clients.
pub const CLIENTS_NAMESPACE: &str = "cc-desk";
/// The client that every server accepts: its Channel and its Deployment.
pub const DESK: &str = "desk";
/// The client that none accepts.
pub const STRANGER: &str = "stranger";

/// A server: a Channel, a Service and a Deployment of one name.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// That name.
    pub name: &'static str,
    /// What it is.
    pub software: &'static str,
    /// The image, and the container.
    pub image: &'static str,
    /// Where it listens.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    manifests: &'static str,
}

/// Everyone.
pub const SERVERS: [Server; 4] = [
    Server {
        name: "db",
        software: "PostgreSQL",
        image: "postgresql",
        port: 5432,
        protocol: Protocol::PostgreSql,
        manifests: include_str!("servers/postgresql.yaml"),
    },
    Server {
        name: "web",
        software: "nginx",
        image: "nginx",
        port: 8443,
        protocol: Protocol::Http,
        manifests: include_str!("servers/nginx.yaml"),
    },
    Server {
        name: "broker",
        software: "Mosquitto",
        image: "mosquitto",
        port: 8883,
        protocol: Protocol::Mqtt,
        manifests: include_str!("servers/mosquitto.yaml"),
    },
    Server {
        name: "sip",
        software: "Kamailio",
        image: "kamailio",
        port: 5061,
        protocol: Protocol::Sip,
        manifests: include_str!("servers/kamailio.yaml"),
    },
];

impl Node {
    /// Applies all of it and waits until every Channel is ready, every pod runs and every server answers its peer. A
    /// pod whose Secret is not there yet waits for it: nothing has to be applied in order.
    ///
    /// # Errors
    /// When something does not come up; the error says how the pods are.
    pub async fn install_servers(&self) -> Result<()> {
        self.image("client").await?;
        for server in SERVERS {
            self.image(server.image).await?;
        }
        let mut manifests =
            vec![include_str!("servers/namespaces.yaml"), include_str!("servers/clients.yaml")];
        manifests.extend(SERVERS.map(|server| server.manifests));
        for text in manifests {
            let objects: Vec<Value> = serde_saphyr::from_multiple(text).context("the servers' manifests")?;
            for object in objects {
                self.apply(&object).await?;
            }
        }
        let client = self.client()?;
        for (namespace, channel) in channels() {
            wait::channel(&client, namespace, channel, super::PATIENCE, wait::whole)
                .await
                .with_context(|| format!("Channel {namespace}/{channel}"))?;
        }
        for (namespace, channel) in channels() {
            self.is_rolled_out(namespace, channel).await?;
        }
        // What was written into a Secret after its pod had begun is mounted, and taken by the server, a moment later.
        for Server { name, software, port, protocol, .. } in SERVERS {
            let at = (SERVERS_NAMESPACE, name, port);
            let wire = Wire::new(self, at, (CLIENTS_NAMESPACE, DESK), protocol).await?;
            wait::until(super::PATIENCE, || wire.call()).await.context(software)?;
        }
        Ok(())
    }
}

/// Every Channel, with its namespace.
pub fn channels() -> impl Iterator<Item = (&'static str, &'static str)> {
    let servers = SERVERS.into_iter().map(|server| (SERVERS_NAMESPACE, server.name));
    servers.chain([(CLIENTS_NAMESPACE, DESK), (CLIENTS_NAMESPACE, STRANGER)])
}
