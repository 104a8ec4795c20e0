//! An installation with two operators and somebody who keeps them busy.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use serde_json::json;
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{apply_object, governed_namespace, retention_policy},
    operator::{self, Options},
    wait,
};
use tokio::task::JoinHandle;

use crate::timeline::{ENOUGH, Timeline};

pub const NAMESPACE: &str = "cc-front";
/// How long the first leader may take: it waits for a Lease that is new.
const FIRST: Duration = Duration::from_secs(40);
/// How long a leader may take until it has done something on both servers, or enough of it.
const BEGUN: Duration = Duration::from_secs(60);
/// How long a change of hands may take, measured to the first effect.
pub const TAKEOVER: Duration = Duration::from_secs(20);

/// The names of the two operators' pods.
pub const OLD: &str = "subrosa-old";
pub const NEW: &str = "subrosa-new";

/// A cluster with Subrosa installed.
pub struct Stage {
    pub env: Environment,
    pub installed: Installation,
    pub admin: Client,
    /// The operator's binary, out of reach of later builds.
    program: PathBuf,
}

impl Stage {
    pub async fn build() -> Result<Self> {
        let env = Environment::builder().local().start().await?;
        let installed = Installation::install(&env, "oosterlinde").await?;
        // OpenBao's audit log tells the replicas apart as the API server's does.
        let headers = "sys/config/auditing/request-headers/user-agent";
        env.openbao().request("POST", headers, Some(json!({"hmac": false}))).await?;
        let program = env.directory().join("subrosa");
        std::fs::copy(operator::binary()?, &program)?;
        let admin = env.admin()?;
        apply_object(&admin, &installed.trust_domain(&env)).await?;
        apply_object(&admin, &retention_policy()).await?;
        governed_namespace(&env, NAMESPACE, "oosterlinde").await?;
        Ok(Self { env, installed, admin, program })
    }

    /// A replica that has seen everything.
    pub async fn replica(&self, pod: &'static str, kubeconfig: Option<PathBuf>) -> Result<Operator> {
        let options = Options {
            kubeconfig,
            program: Some(self.program.clone()),
            leader_elect: true,
            pod,
            ..Options::default()
        };
        Operator::start_with(&self.installed, options).await
    }

    /// Where the Lease is.
    pub fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.admin.clone(), self.installed.names.namespace())
    }

    /// A leader and a replica that stands by, both ready, with the leader at work.
    pub async fn pair(&self, leaders_kubeconfig: Option<PathBuf>) -> Result<(Operator, Operator)> {
        let old = self.replica(OLD, leaders_kubeconfig).await?;
        wait::until(FIRST, || leads(&old, true)).await.with_context(|| old.log().unwrap_or_default())?;
        let new = self.replica(NEW, None).await?;
        leads(&new, false).await.map_err(anyhow::Error::msg)?;
        Ok((old, new))
    }

    /// Declares one Channel after another: each takes writes to both servers.
    pub fn keep_busy(&self) -> Busy {
        let admin = self.admin.clone();
        Busy(tokio::spawn(async move {
            for number in 0.. {
                // A write that is refused while a server is gone is made again with the next Channel.
                let _ = declare(&admin, number).await;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        }))
    }

    /// What both replicas did.
    pub fn timeline(&self) -> Result<Timeline> {
        Timeline::read(&self.env, &self.installed)
    }

    /// Waits for effects of a replica after `since`, on both servers.
    pub async fn at_work(&self, pod: &str, since: Timestamp, limit: Duration) -> Result<Timestamp> {
        wait::until(limit, || async {
            let timeline = self.timeline().map_err(|error| error.to_string())?;
            timeline.first_effects(pod, since).ok_or_else(|| format!("nothing of {pod} since {since}"))
        })
        .await
    }

    /// Waits until a leader is in the midst of work, and has done enough of it.
    pub async fn busy(&self, pod: &str) -> Result<()> {
        self.at_work(pod, Timestamp::now(), BEGUN).await?;
        wait::until(BEGUN, || async {
            let done = self.timeline().map_err(|error| error.to_string())?.of(pod).count();
            if done > ENOUGH { Ok(()) } else { Err(format!("{pod} has done {done} things")) }
        })
        .await
    }

    /// What holds after every change of hands.
    pub async fn handed_over(&self, since: Timestamp, new: &Operator) -> Result<Duration> {
        let first = self.at_work(NEW, since, TAKEOVER + Duration::from_secs(15)).await?;
        leads(new, true).await.map_err(anyhow::Error::msg)?;
        let took = Duration::try_from(first.duration_since(since))?;
        ensure!(took <= TAKEOVER, "the first effect of the new leader came after {took:?}");
        Ok(took)
    }
}

/// Keeps the operators busy until it is dropped.
pub struct Busy(JoinHandle<()>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn declare(admin: &Client, number: u32) -> Result<()> {
    let name = format!("voice-{number}");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
    });
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
            "dataClasses": ["call-recording"],
        },
    });
    apply_object(admin, &account).await?;
    apply_object(admin, &channel).await.map(drop)
}

/// Whether a replica says that it leads, as its metrics have it.
pub async fn leads(replica: &Operator, expected: bool) -> Result<(), String> {
    let metrics = replica.metrics().await.map_err(|error| error.to_string())?;
    let line = format!("\nsubrosa_leader {}\n", i32::from(expected));
    if metrics.contains(&line) { Ok(()) } else { Err(format!("expected{line}")) }
}
