//! A scenario that works, with workloads that seal: what deletion may take from it and what it may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{core::v1::Secret, networking::v1::NetworkPolicy};
use kube::Api;
use subrosa_crds::Channel;
use subrosa_e2e::{openbao::key_path, wait};

use crate::{
    cluster::{Cluster, PATIENCE},
    scenario::Scenario,
    snapshot,
};

/// How long access may outlive what gave it, while an operator runs and has seen it go.
pub const AT_ONCE: Duration = Duration::from_secs(10);

/// A scenario that works, and what its workloads hold.
pub struct SealingScenario<'a> {
    pub cluster: &'a Cluster,
    pub scenario: Scenario,
    /// Live tokens in OpenBao and the key each seals with, by Channel.
    pub tokens: BTreeMap<&'static str, (String, String)>,
    pub keys: BTreeSet<String>,
}

impl<'a> SealingScenario<'a> {
    /// Whole, with workloads that seal.
    pub async fn found(cluster: &'a Cluster, name: &str) -> Result<Self> {
        let scenario = Scenario::found(cluster, name).await?;
        cluster.apply_all(scenario.created()).await?;
        cluster.whole(&scenario.channels()).await?;
        let keys: BTreeSet<String> = cluster.keys().await?.into_iter().collect();
        let mut sealing = Self { cluster, scenario, tokens: BTreeMap::new(), keys };
        sealing.log_in().await?;
        Ok(sealing)
    }

    /// Every workload logs in and seals.
    pub async fn log_in(&mut self) -> Result<()> {
        for (channel, account, class) in
            [("voice", "sbc", "call-recording"), ("portal", "portal", "chat-log")]
        {
            let prefix = format!("{}.{class}.", self.scenario.id(channel));
            let key = self.keys.iter().find(|key| key.starts_with(&prefix)).context(prefix)?.clone();
            let token = self.cluster.workload_token(&self.scenario.front, account).await?;
            self.tokens.insert(channel, (token, key));
            self.seals(channel, true).await?;
        }
        Ok(())
    }

    /// Waits until a Channel's live token may seal, or, at once, may not; says how long that took.
    pub async fn seals(&self, channel: &str, may: bool) -> Result<Duration> {
        self.seals_within(if may { PATIENCE } else { AT_ONCE }, channel, may).await
    }

    async fn seals_within(&self, limit: Duration, channel: &str, may: bool) -> Result<Duration> {
        let (token, key) = &self.tokens[channel];
        let begun = Instant::now();
        let look = || async {
            match self.cluster.may_seal(token, key).await {
                Ok(found) if found == may => Ok(()),
                Ok(_) => Err(format!("{channel} may{} seal with {key}", if may { " not" } else { "" })),
                Err(error) => Err(format!("{error:#}")),
            }
        };
        wait::until(limit, look).await?;
        Ok(begun.elapsed())
    }

    /// Nobody can do anything any more with what `channel` had, neither now nor by another login.
    pub async fn shut(&self, channel: &str, account: Option<&str>) -> Result<Duration> {
        self.shut_within(AT_ONCE, channel, account).await
    }

    /// The same where others have their part before the operator has its own: a start, a login, a controller of
    /// Kubernetes.
    pub async fn shut_within(
        &self,
        limit: Duration,
        channel: &str,
        account: Option<&str>,
    ) -> Result<Duration> {
        let took = self.seals_within(limit, channel, false).await?;
        if let Some(account) = account {
            let again = self.cluster.workload_token(&self.scenario.front, account).await?;
            ensure!(
                !self.cluster.may_seal(&again, &self.tokens[channel].1).await?,
                "{channel}: another login opens"
            );
        }
        Ok(took)
    }

    /// Every key is there, and every namespace that is there denies by default.
    pub async fn intact(&self, namespaces: &[&str]) -> Result<()> {
        let keys: BTreeSet<String> = self.cluster.keys().await?.into_iter().collect();
        let gone: Vec<_> = self.keys.difference(&keys).collect();
        ensure!(gone.is_empty(), "keys are gone: {gone:?}");
        for key in &self.keys {
            let (status, described) = self.cluster.root("GET", &key_path(key), None).await?;
            let data = &described["data"];
            ensure!(status == 200 && data["deletion_allowed"] == false, "{key}: {described}");
            ensure!(data["min_decryption_version"] == 1, "{key} opens less than it did: {described}");
        }
        for namespace in namespaces {
            let policies: Api<NetworkPolicy> = Api::namespaced(self.cluster.admin.clone(), namespace);
            let deny = policies.get_opt("subrosa-default-deny").await?;
            let spec =
                deny.with_context(|| format!("{namespace} does not deny any more"))?.spec.context("spec")?;
            ensure!(
                spec.ingress.unwrap_or_default().is_empty()
                    && spec.egress.unwrap_or_default().is_empty()
                    && spec.policy_types.is_some_and(|types| types.len() == 2)
                    && spec.pod_selector.unwrap_or_default() == Default::default(),
                "{namespace} denies less than it did"
            );
        }
        Ok(())
    }

    pub fn both(&self) -> [&str; 2] {
        [&self.scenario.front, &self.scenario.data]
    }

    /// Applied again, it is what it was: the same identities, whose workloads seal with the same keys. They
    /// log in anew: a token whose access was withdrawn stays without.
    pub async fn same_again(&mut self) -> Result<()> {
        self.cluster.whole(&self.scenario.channels()).await?;
        for (namespace, name) in self.scenario.channels() {
            let channel = Api::<Channel>::namespaced(self.cluster.admin.clone(), namespace).get(name).await?;
            let id = channel.status.and_then(|status| status.id);
            ensure!(id.as_deref() == Some(self.scenario.id(name).as_str()), "{name} is {id:?}");
        }
        self.log_in().await?;
        let keys: BTreeSet<String> = self.cluster.keys().await?.into_iter().collect();
        let ours = |key: &&String| self.scenario.ids.iter().any(|(_, id)| key.starts_with(id.as_str()));
        let new: Vec<_> = keys.difference(&self.keys).filter(ours).collect();
        ensure!(new.is_empty(), "the same identity needs no new keys: {new:?}");
        Ok(())
    }

    /// What the other side still has of a Channel that went: nothing.
    pub async fn closed_to(&self, gone: &str) -> Result<()> {
        let selector = if gone == "voice" { "sbc" } else { gone };
        let policies: Api<NetworkPolicy> = Api::namespaced(self.cluster.admin.clone(), &self.scenario.data);
        let secrets: Api<Secret> = Api::namespaced(self.cluster.admin.clone(), &self.scenario.data);
        let look = || async {
            let policy = policies.get("subrosa-channel-db").await.map_err(|error| error.to_string())?;
            let policy = serde_json::to_string(&policy.spec).map_err(|error| error.to_string())?;
            let secret = secrets.get("db-mtls").await.map_err(|error| error.to_string())?;
            let seen = snapshot::certificates(&secret).map_err(|error| error.to_string())?;
            let trusted = seen["clients-ca.crt"].to_string();
            if policy.contains(selector) || trusted.contains(gone) {
                return Err(format!("db is still open to {gone}: {policy} {trusted}"));
            }
            Ok(())
        };
        wait::until(AT_ONCE, look).await
    }
}
