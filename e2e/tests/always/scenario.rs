//! Three Channels in two namespaces, and what happens to them.

use anyhow::Result;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use subrosa_crds::names::ChannelId;
use subrosa_e2e::{installation::governed_namespace, openbao::key_path};

use crate::cluster::{Cluster, DOMAIN};

/// The Channels: two clients in front, a database behind.
pub const CHANNELS: [(Side, &str); 3] = [(Side::Front, "voice"), (Side::Front, "portal"), (Side::Data, "db")];
/// The ServiceAccounts, all in front.
pub const ACCOUNTS: [&str; 2] = ["sbc", "portal"];

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Front,
    Data,
}

/// One scenario in namespaces of its own.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub front: String,
    pub data: String,
    /// The identities of the Channels, by name.
    pub ids: Vec<(&'static str, ChannelId)>,
}

impl Scenario {
    /// Makes the namespaces and ServiceAccounts; no Channel yet.
    pub async fn found(cluster: &Cluster, name: &str) -> Result<Self> {
        let (front, data) = (format!("{name}-front"), format!("{name}-data"));
        let front_uid = governed_namespace(&cluster.env, &front, DOMAIN).await?;
        let data_uid = governed_namespace(&cluster.env, &data, DOMAIN).await?;
        for account in ACCOUNTS {
            cluster
                .apply(json!({
                    "apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": account, "namespace": front},
                }))
                .await?;
        }
        let uid = |side| if side == Side::Front { &front_uid } else { &data_uid };
        let ids = CHANNELS.map(|(side, name)| (name, ChannelId::mint(uid(side), name))).to_vec();
        Ok(Self { front, data, ids })
    }

    /// The namespace of a side.
    pub fn namespace(&self, side: Side) -> &str {
        match side {
            Side::Front => &self.front,
            Side::Data => &self.data,
        }
    }

    /// Namespace and name of every Channel.
    pub fn channels(&self) -> Vec<(&str, &'static str)> {
        CHANNELS.map(|(side, name)| (self.namespace(side), name)).to_vec()
    }

    /// The identity of a Channel.
    pub fn id(&self, channel: &str) -> &ChannelId {
        &self.ids.iter().find(|(name, _)| *name == channel).unwrap().1
    }

    /// The Channels as they are created.
    pub fn created(&self) -> Vec<Value> {
        vec![
            self.channel(Side::Data, "db", json!({
                "type": "Database",
                "workload": {"selector": {"matchLabels": {"app": "db"}}},
                "listeners": [{"name": "sql", "port": 5432}],
                "accepts": [
                    {"name": "voice", "namespace": self.front},
                    {"name": "portal", "namespace": self.front},
                ],
            })),
            self.channel(Side::Front, "voice", json!({
                "type": "Voice",
                "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
                "connectsTo": [{"name": "db", "namespace": self.data}],
                "dataClasses": ["call-recording"],
            })),
            self.channel(Side::Front, "portal", json!({
                "type": "Chat",
                "workload": {"selector": {"matchLabels": {"app": "portal"}}, "serviceAccountName": "portal"},
                "listeners": [{"name": "https", "port": 8443}],
                "connectsTo": [{"name": "db", "namespace": self.data}],
                "dataClasses": ["chat-log"],
            })),
        ]
    }

    /// Changed: voice leaves db for portal, and portal has another name in its certificate.
    pub fn changed(&self) -> Vec<Value> {
        vec![
            self.channel(Side::Data, "db", json!({
                "type": "Database",
                "workload": {"selector": {"matchLabels": {"app": "db"}}},
                "listeners": [{"name": "sql", "port": 5432}],
                "accepts": [{"name": "portal", "namespace": self.front}],
            })),
            self.channel(Side::Front, "voice", json!({
                "type": "Voice",
                "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
                "connectsTo": [{"name": "portal"}],
                "dataClasses": ["call-recording"],
            })),
            self.channel(Side::Front, "portal", json!({
                "type": "Chat",
                "workload": {"selector": {"matchLabels": {"app": "portal"}}, "serviceAccountName": "portal"},
                "listeners": [{"name": "https", "port": 8443}],
                "accepts": [{"name": "voice"}],
                "connectsTo": [{"name": "db", "namespace": self.data}],
                "tls": {"dnsNames": ["portal.example.org"]},
                "dataClasses": ["chat-log"],
            })),
        ]
    }

    fn channel(&self, side: Side, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": self.namespace(side)}, "spec": spec,
        })
    }

    /// Deletes every Channel that is there, confirmed.
    pub async fn delete_channels(&self, cluster: &Cluster) -> Result<()> {
        for (namespace, name) in self.channels() {
            cluster.delete(&cluster.subrosa("Channel", namespace).await?, name).await?;
        }
        Ok(())
    }

    /// Removes every trace, in OpenBao too, as no operator ever would. Does not wait for it.
    pub async fn raze(&self, cluster: &Cluster) -> Result<()> {
        let namespaces = cluster.api("v1", "Namespace", "").await?;
        for namespace in [&self.front, &self.data] {
            cluster.delete(&namespaces, namespace).await?;
        }
        for key in cluster.keys().await? {
            if self.ids.iter().any(|(_, id)| key.starts_with(id.as_str())) {
                let (path, deletable) = (key_path(&key), json!({"deletion_allowed": true}));
                cluster.root("POST", &format!("{path}/config"), Some(deletable)).await?;
                cluster.root("DELETE", &path, None).await?;
            }
        }
        for (_, id) in &self.ids {
            cluster.root("DELETE", &format!("subrosa/metadata/channels/{id}"), None).await?;
        }
        Ok(())
    }

    /// The UID of a ServiceAccount.
    pub async fn account_uid(&self, cluster: &Cluster, account: &str) -> Result<String> {
        let accounts = cluster.api("v1", "ServiceAccount", &self.front).await?;
        Ok(accounts.get(account).await?.uid().unwrap_or_default())
    }
}
