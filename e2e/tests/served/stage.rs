//! A cluster with an operator that probes, and what a node would do there.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Pod, Secret},
    events::v1::Event,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde_json::{Value, json};
use subrosa_crds::{
    ChannelStatus,
    condition::{self, Condition},
};
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{apply_object, governed_namespace, retention_policy},
    operator::Options,
    wait,
};

use crate::server::Files;

/// The namespace of these tests.
pub const NS: &str = "cc-data";
/// The labels of the operator's pods, if it ran in one.
pub const LABELS: &str = "app.kubernetes.io/name=subrosa,app.kubernetes.io/component=operator";
const DOMAIN: &str = "oosterlinde";
/// A probe comes within a minute, what holds a restart back is looked at every half.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Stage {
    pub env: Environment,
    pub admin: Client,
    installed: Installation,
    operator: Option<Operator>,
}

impl Stage {
    pub async fn set() -> Self {
        let env = Environment::builder().local().start().await.unwrap();
        let installed = Installation::install(&env, DOMAIN).await.unwrap();
        let admin = env.admin().unwrap();
        let mut stage = Self { env, admin, installed, operator: None };
        stage.start_operator().await;
        stage.apply(&stage.installed.trust_domain(&stage.env)).await;
        stage.apply(&retention_policy()).await;
        governed_namespace(&stage.env, NS, DOMAIN).await.unwrap();
        stage
    }

    pub async fn start_operator(&mut self) {
        let options = Options { probe_from_labels: Some(LABELS), ..Options::default() };
        self.operator = Some(Operator::start_with(&self.installed, options).await.unwrap());
    }

    /// Ends the operator as a crash would.
    pub fn kill_operator(&mut self) {
        self.operator.take().unwrap().kill();
    }

    /// The operator's metrics, once they have a condition `Served` with these labels.
    pub async fn metrics_with(&self, labels: &str) -> Option<String> {
        let series = format!("condition=\"Served\",{labels}}}");
        let metrics = self.until(&series, || async {
            let text = self.operator.as_ref().unwrap().metrics().await.map_err(|error| error.to_string())?;
            if text.contains(&series) { Ok(text) } else { Err(text) }
        });
        Some(metrics.await)
    }

    pub async fn apply(&self, object: &Value) {
        apply_object(&self.admin, object).await.unwrap();
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), NS)
    }

    /// A Channel of the pods `app: <name>`.
    pub async fn channel(&self, name: &str, spec: Value) {
        let mut whole = json!({"workload": {"selector": {"matchLabels": {"app": name}}}});
        merge(&mut whole, spec);
        self.apply(&json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": NS}, "spec": whole,
        }))
        .await;
    }

    /// Waits for a status of the current generation that satisfies `holds`.
    pub async fn status(&self, name: &str, holds: impl Fn(&ChannelStatus) -> bool) -> ChannelStatus {
        match wait::channel(&self.admin, NS, name, PATIENCE, holds).await {
            Ok(status) => status,
            Err(error) => panic!("Channel {name}: {error:#}\n{}", self.log()),
        }
    }

    /// Waits until Served says this.
    pub async fn served(&self, name: &str, status: &str, reason: &str) -> ChannelStatus {
        self.status(name, |found| {
            let served = served(found);
            (served.status.as_str(), served.reason.as_str()) == (status, reason)
        })
        .await
    }

    pub async fn until<T, F>(&self, what: &str, look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, String>>,
    {
        match wait::until(PATIENCE, look).await {
            Ok(found) => found,
            Err(error) => panic!("{what}: {error:#}\n{}", self.log()),
        }
    }

    fn log(&self) -> String {
        let log =
            self.operator.as_ref().map(|operator| operator.log().unwrap_or_default()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The files that a pod would mount, once the Channel has another certificate than `before`.
    pub async fn files(&self, name: &str, before: Option<&Files>) -> Files {
        let secret = format!("{name}-mtls");
        let files = self
            .until(&secret, || async {
                let found = self.api::<Secret>().get_opt(&secret).await.map_err(|error| error.to_string())?;
                let data = found.and_then(|secret| secret.data).ok_or("there is no Secret")?;
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                let files: Files = data.into_iter().map(|(file, bytes)| (file, text(bytes.0))).collect();
                let same = before.is_some_and(|before| before["tls.crt"] == files["tls.crt"]);
                if same { Err("it is the same certificate".to_owned()) } else { Ok(files) }
            })
            .await;
        self.status(name, |status| wait::is(status, condition::READY)).await;
        files
    }

    /// Makes a pod, as its controller and kubelet would: it runs since `started` and is ready.
    pub async fn pod(&self, name: &str, app: &str, ip: IpAddr, mount: Mount, started: Timestamp) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": NS, "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        });
        let volume = |path: Value| {
            let mut volume_mount = json!({"name": "tls", "mountPath": "/tls"});
            merge(&mut volume_mount, path);
            json!([volume_mount])
        };
        match mount {
            Mount::Not => {}
            Mount::Whole | Mount::Named(_) => {
                pod["spec"]["containers"][0]["volumeMounts"] = volume(json!({}))
            }
            Mount::SubPath => {
                let path = json!({"mountPath": "/tls/tls.crt", "subPath": "tls.crt"});
                pod["spec"]["containers"][0]["volumeMounts"] = volume(path);
            }
        }
        if mount != Mount::Not {
            let ours = format!("{app}-mtls");
            let secret = json!({"secretName": if let Mount::Named(theirs) = mount { theirs } else { &ours }});
            pod["spec"]["volumes"] = json!([{"name": "tls", "secret": secret}]);
        }
        self.apply(&pod).await;
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": started,
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "main", "image": "none", "imageID": "none", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }],
        }});
        self.patch_status::<Pod>(name, status).await;
    }

    pub async fn delete_pod(&self, name: &str) {
        self.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    /// Writes a status as whoever's it is.
    pub async fn patch_status<K>(&self, name: &str, status: Value)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        self.api::<K>().patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// The notes of the Events about a Channel with that reason, one each, whatever became a series.
    pub async fn events(&self, name: &str, reason: &str) -> Vec<String> {
        let events = self.api::<Event>().list(&Default::default()).await.unwrap();
        let of_it = |event: &&Event| {
            event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
                && event.reason.as_deref() == Some(reason)
        };
        events.items.iter().filter(of_it).map(|event| event.note.clone().unwrap_or_default()).collect()
    }
}

/// How a pod mounts the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    Not,
    Whole,
    /// As a whole, the Secret of this name instead of the Channel's.
    Named(&'static str),
    SubPath,
}

/// The condition Served.
pub fn served(status: &ChannelStatus) -> Condition {
    condition::find(&status.conditions, condition::SERVED).cloned().unwrap_or_else(|| {
        let none = json!({"type": "Served", "status": "", "reason": "", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        serde_json::from_value(none).unwrap()
    })
}

/// Serial and count of `status.certificate.served`, as `serial 2/2`.
pub fn presented(status: &ChannelStatus) -> Option<(String, String)> {
    let served = status.certificate.as_ref()?.served.as_ref()?;
    Some((served.serial.clone(), served.pods.clone()))
}

/// The serial of the certificate in the Secret.
pub fn serial(status: &ChannelStatus) -> String {
    status.certificate.as_ref().expect("a certificate").serial.clone()
}

fn merge(target: &mut Value, more: Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            for (name, value) in more {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
        (target, more) => *target = more,
    }
}
